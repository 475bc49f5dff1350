"""The tokenizer of DNABERT-S on a GPU: the ids of BpeTokenizer, from kernels/bpe."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from virnucpro.kernels.bpe import Merges, encode
from virnucpro.models.tokenizers import BpeTokenizer, Ids

WIDTHS = (128, 256, 512, 1024)  # letters; what is longer goes to the CPU
# The kernel implements this kind of tokenizer.json and no other.
EXPECTED_MODEL = {
    "type": "BPE", "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
    "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
}  # fmt: skip


class GpuBpeTokenizer(BpeTokenizer):
    """Encodes words of ASCII letters on a GPU, on a separate stream; anything else on the CPU."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Read the file and put its tables on the GPU.

        Raises: InputError when it cannot be read; ValueError when it is of another kind than
            DNABERT-S's: BpeTokenizer can encode with it, this cannot.
        """
        super().__init__(path)
        description = json.loads(self._tokenizer.to_str())
        model = description["model"]
        differences = {k: model[k] for k, v in EXPECTED_MODEL.items() if model.get(k, v) != v}
        pre = (description["pre_tokenizer"] or {}).get("type")
        if differences or pre != "Whitespace" or description["normalizer"] is not None:
            raise ValueError(f"{path}: not a plain BPE ({differences or pre or 'normalizer'})")
        vocabulary: dict[str, int] = model["vocab"]
        self._cls, *_, self._sep = self._tokenizer.encode("A").ids
        self._device = device
        self._merges = Merges.on(
            device,
            [
                (vocabulary[left], vocabulary[right], vocabulary[left + right])
                for left, right in map(_pair, model["merges"])
            ],
            {
                ord(token): number
                for token, number in vocabulary.items()
                if len(token) == 1 and token.isascii()
            },
            vocabulary[model["unk_token"]],
            len(vocabulary),
        )
        self._stream = torch.cuda.Stream(device)

    def encode(self, sequences: Sequence[str]) -> list[Ids]:
        """Return the ids of each sequence, [CLS] and [SEP] included."""
        result: list[Ids | None] = [None] * len(sequences)
        by_width: dict[int, list[int]] = defaultdict(list)
        for row, sequence in enumerate(sequences):
            by_width[_width(sequence)].append(row)
        for width, rows in by_width.items():
            part = [sequences[row] for row in rows]
            encoded = self._encode(part, width) if width else super().encode(part)
            for row, ids in zip(rows, encoded, strict=True):
                result[row] = ids
        assert all(ids is not None for ids in result)
        return result  # type: ignore[return-value]

    def _encode(self, sequences: list[str], width: int) -> list[Ids]:
        """Return the ids of words of up to `width` letters."""
        text = "".join(sequence.upper().ljust(width) for sequence in sequences)
        letters = torch.frombuffer(bytearray(text, "ascii"), dtype=torch.uint8).view(-1, width)
        lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int32)
        with torch.cuda.stream(self._stream):
            tokens, numbers = encode(
                letters.pin_memory().to(self._device, non_blocking=True),
                lengths.to(self._device, non_blocking=True),
                self._merges,
            )
            padded, counts = tokens.cpu().numpy(), numbers.cpu().numpy()
        ids = np.empty((len(sequences), width + 2), np.int32)
        ids[:, 0] = self._cls
        ids[:, 1:-1] = padded
        ends = counts + 1
        ids[np.arange(len(sequences)), ends] = self._sep
        # copies: the padded block is several times as large
        return [row[: end + 1].copy() for row, end in zip(ids, ends.tolist(), strict=True)]


def _pair(merge: Any) -> tuple[str, str]:
    """Return both parts of a merge: "A C" in old files, ["A", "C"] in new ones."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _width(sequence: str) -> int:
    """Return the smallest of WIDTHS that fits a word of ASCII letters; 0 for anything else."""
    if not (sequence.isascii() and sequence.isalpha()):
        return 0
    return next((width for width in WIDTHS if len(sequence) <= width), 0)
