"""virnucpro models build: make a model set from official files.

Files of torch.save are read as data: nothing in them is run, and they may name the globals of an
allow-list (--show-allowed) only. Components go into a store, each once, under its sha256; the set
refers to them.
"""

import argparse
from pathlib import Path

from virnucpro.model_import.allow_list import as_text

MIN_CHUNK_BP = 30  # as the pipeline's --chunk_length


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="SET", help="folder of the new set")
    add("--esm2", type=Path, required=True, metavar="PATH",
        help="fair-esm's .pt, of any size, or a Hugging Face folder")  # fmt: skip
    add("--dnabert-s", type=Path, required=True, metavar="PATH",
        help="DNABERT-S's folder, or the weights in it, beside tokenizer.json")  # fmt: skip
    add("--classifier", type=Path, required=True, metavar="PATH",
        help="the original's .pth, a state dict, or safetensors")  # fmt: skip
    add("--chunk-length", type=_chunk_bp, metavar="BP",
        help="that the classifier was trained on; needed unless it is official")  # fmt: skip
    add_build_options(parser)
    add("--force", action="store_true", help="replace the modelset.json of an existing set")
    add("--show-allowed", action="version", version=as_text(),
        help="print the globals that a file of torch.save may name, and exit")  # fmt: skip


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `models fetch` has too."""
    parser.add_argument(
        "--dtype", choices=("auto", "float32", "float16"), default="auto",
        help="of the stored encoders; auto: float16 for float16 files, else float32",
    )  # fmt: skip
    parser.add_argument(
        "--store", type=Path, metavar="DIR",
        help="where the set's components go (default: components beside the set)",
    )  # fmt: skip


def _chunk_bp(text: str) -> int:
    if not text.isdecimal() or int(text) < MIN_CHUNK_BP:
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer >= {MIN_CHUNK_BP}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Build the set."""
    from virnucpro.model_import.build import BuildRequest, build

    request = BuildRequest(
        folder=args.output,
        esm2=args.esm2,
        dnabert_s=args.dnabert_s,
        classifier=args.classifier,
        store=args.store,
        chunk_bp=args.chunk_length,
        dtype=args.dtype,
        force=args.force,
    )
    print(build(request))
    return 0
