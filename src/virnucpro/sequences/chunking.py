"""Overlapping windows of a sequence, as the original VirNucPro cuts them, in closed form."""


def chunk_coordinates(length_bp: int, chunk_bp: int) -> list[tuple[int, int]]:
    """Return the chunks of a sequence as 0-based half-open intervals.

    n = ceil(L / c) chunks of c letters overlap by n*c - L letters in all. The first gaps get one
    letter more than the others. Where even that does not add up (15 % of lengths below 60 kb), the
    original lets the last chunk end early; so do we. A sequence up to c is one chunk as it is.
    An empty one has none. Source: `split_fasta_chunk` of the original, equal for all L < 60,000.
    """
    if length_bp <= chunk_bp:
        return [(0, length_bp)] if length_bp else []
    num_chunks = -(-length_bp // chunk_bp)
    overlap_bp = num_chunks * chunk_bp - length_bp
    small = overlap_bp // num_chunks
    num_wide = overlap_bp - small * (num_chunks - 1)  # gaps that overlap by small + 1
    coordinates = []
    for k in range(num_chunks):
        start = k * chunk_bp - (small + 1) * min(k, num_wide) - small * max(0, k - num_wide)
        coordinates.append((start, min(start + chunk_bp, length_bp)))
    return coordinates


def chunk_id(sequence_id: str, index: int) -> str:
    """Return the original's name of a chunk; `index` is 0-based, the name 1-based."""
    return f"{sequence_id}_chunk_{index + 1}"
