"""What the two embedding executables do: frame files in, one HDF5 for each out."""

import argparse
import json
import logging
import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from virnucpro import task
from virnucpro.checksums import read_checksums
from virnucpro.embeddings.store import Provenance
from virnucpro.engine import device as devices
from virnucpro.engine.checkpoints import Checkpoint, identity_of
from virnucpro.engine.embed import distinct_sequences, embed_within_memory
from virnucpro.engine.engine import Engine
from virnucpro.engine.load import load_engine, load_tokenizer
from virnucpro.engine.memory import GpuMemoryError, gpu_memory_errors
from virnucpro.engine.outputs import Output, Outputs
from virnucpro.engine.stopping import STOP
from virnucpro.errors import InputError
from virnucpro.models import options
from virnucpro.sequences.frames_file import read_frames
from virnucpro.sequences.no_vector import HAS_VECTOR

# What the vectors depend on, for their provenance: the packages of EMBED_* in library.nf.
LIBRARY = ("embeddings", "engine", "kernels", "models", "sequences")
VERSIONS = ("torch", "tokenizers", "safetensors", "h5py", "dnaio")
EXIT_GPU_MEMORY = 75  # the pipeline tries again elsewhere

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedTask:
    """How the two executables differ."""

    architecture: str
    frames_suffix: str  # of the input files, X.frames.faa
    output_suffix: str  # of the output files, X.esm2.h5


ESM2_TASK = EmbedTask("esm2", ".frames.faa", ".esm2.h5")
DNABERT_S_TASK = EmbedTask("dnabert_s", ".frames.fna", ".dnabert_s.h5")


def run_embed(kind: EmbedTask, description: str | None, argv: list[str] | None) -> int:
    """Parse the arguments, embed, write; return the exit status."""
    args = parse_args(kind, description, argv)
    os.environ.setdefault("RAYON_NUM_THREADS", str(args.threads))  # of the tokenizer
    checkpoints: list[Checkpoint] = []
    try:
        with gpu_memory_errors():
            status = task.run_task(lambda _: embed_files(kind, args, checkpoints), args, VERSIONS)
    except GpuMemoryError as error:
        hint = "Another program may hold it: try again elsewhere or later."
        print(f"{Path(sys.argv[0]).stem}: error: {error} {hint}", file=sys.stderr)
        return EXIT_GPU_MEMORY
    if status == 0:  # everything is written
        STOP.before_exit(None)
        for checkpoint in checkpoints:
            checkpoint.remove()
    return status


def parse_args(
    kind: EmbedTask, description: str | None, argv: list[str] | None
) -> argparse.Namespace:
    """Return the options of one of the executables."""
    parser = task.task_parser(description)
    parser.add_argument(
        "--frames", type=Path, nargs="+", required=True, help=f"FASTA files, X{kind.frames_suffix}"
    )
    parser.add_argument("--encoder", type=Path, required=True, help="safetensors component file")
    parser.add_argument("--encoder-sha256", required=True, help="digest that it must have")
    if kind is DNABERT_S_TASK:
        parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
        parser.add_argument("--tokenizer-sha256", required=True, help="digest that it must have")
    parser.add_argument("--device", choices=options.DEVICES, default="auto")
    parser.add_argument("--precision", choices=options.PRECISIONS, default="auto")
    parser.add_argument("--attention", choices=options.ATTENTION, default="auto")
    parser.add_argument("--engine", choices=options.ENGINES, default="virnucpro",
                        help="official: the authors' own forward pass, for comparison")  # fmt: skip
    parser.add_argument("--token-budget", type=_token_budget,
                        help="tokens of a batch (default: by model and memory)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument(
        "--checkpoint-dir", default="", help="folder for parts of unfinished work (default: none)"
    )
    return parser.parse_args(argv)


def _token_budget(text: str) -> int:
    if not text.isdecimal() or int(text) < options.MIN_TOKEN_BUDGET:
        least = options.MIN_TOKEN_BUDGET
        raise argparse.ArgumentTypeError(f"must be an integer >= {least}, not {text!r}")
    return int(text)


def embed_files(kind: EmbedTask, args: argparse.Namespace, checkpoints: list[Checkpoint]) -> None:
    """Embed all frames of all files as one pool, and write one HDF5 for each file.

    Args:
        checkpoints: gets the checkpoint of each token budget tried, to be removed at the end.
    """
    targets = [output_name(kind, path) for path in args.frames]
    if len(set(targets)) < len(targets):
        raise InputError("--frames: two files have the same name, so their outputs would too.")
    device = devices.choose_device(args.device)
    is_official = args.engine == "official"  # which has one precision
    asked = "fp32" if is_official and args.precision == "auto" else args.precision
    precision = devices.choose_precision(asked, device)
    start = time.perf_counter()
    checksums = read_checksums(args.checksums)
    with ThreadPoolExecutor(1, "read") as pool:
        reading = pool.submit(
            lambda: [read_frames(checksums.checked(path)) for path in args.frames]
        )
        engine = load_engine(
            args.encoder,
            args.encoder_sha256,
            device,
            precision,
            attention_name=args.attention,
            engine=args.engine,
            budget=args.token_budget,
        )
        if (architecture := engine.encoder.architecture) != kind.architecture:
            raise InputError(f"{args.encoder}: is {architecture}, not {kind.architecture}.")
        files = reading.result()
    loaded = time.perf_counter()
    names = [name for ids, _ in files for name in ids]
    sequences = [sequence for _, sequences in files for sequence in sequences]
    tokenizer_file = getattr(args, "tokenizer", None)
    tokenizer_sha256 = getattr(args, "tokenizer_sha256", "").lower()
    tokenizer = load_tokenizer(engine.encoder, device, tokenizer_file, tokenizer_sha256)
    outputs = [
        Output(Path(target), ids, checksums.expected(path.name) or "")
        for target, path, (ids, _) in zip(targets, args.frames, files, strict=True)
    ]
    base = Path(args.checkpoint_dir).absolute() if args.checkpoint_dir else None
    distinct = distinct_sequences(sequences)[0] if base else []
    attempts: list[Outputs] = []

    def write(engine: Engine) -> Outputs:
        provenance = Provenance(
            architecture=kind.architecture,
            component_sha256=args.encoder_sha256.lower(),
            tokenizer_sha256=tokenizer_sha256,
            library_digest=task.library_digest(LIBRARY),
            numerics=engine.numerics,
        )
        checkpoint = Checkpoint(base, identity_of(provenance, distinct))
        checkpoints.append(checkpoint)
        STOP.before_exit(checkpoint.save)
        attempts.append(Outputs(outputs, provenance, checkpoint))
        return attempts[-1]

    result, engine = embed_within_memory(
        engine, tokenizer, sequences, names, args.threads, write, strict=False
    )
    stages = {
        "read_and_load_s": round(loaded - start, 3),
        "embed_s": round(time.perf_counter() - loaded, 3),
        "write_s": round(attempts[-1].write_s, 3),  # while embedding
        "waited_for_writer_s": round(attempts[-1].waited_s, 3),  # a part of embed_s
        "sequences": len(sequences),
        "distinct": len(result.distinct),
        "restored": checkpoints[-1].num_restored,  # of the distinct ones
        "tokens": int(result.distinct_num_tokens.sum()),
        "recomputed": int(result.recomputed.sum()),
        "no_vector": int((result.no_vector != HAS_VECTOR).sum()),
        "parts": checkpoints[-1].num_parts,
        "parts_s": round(checkpoints[-1].write_s, 3),  # of the writer, while embedding
    }
    if not math.isnan(result.gpu_busy):
        stages["gpu_busy"] = round(result.gpu_busy, 4)
    log.info("stages: %s", json.dumps(stages))


def output_name(kind: EmbedTask, path: Path) -> str:
    """Return X.esm2.h5 for X.frames.faa.

    Raises: InputError for another name.
    """
    if not path.name.endswith(kind.frames_suffix):
        raise InputError(f"{path}: the name must end in {kind.frames_suffix}.")
    return path.name.removesuffix(kind.frames_suffix) + kind.output_suffix
