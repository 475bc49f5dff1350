"""virnucpro models check: verify every file of a model set, and compute with it on this machine.

Prints a line for each component and calibration. Exit status: 0 when all are well, 1 when one
is not, or when this version does not have the frame rule of the set.

--certify also compares the lower precisions that this device has with float32, on real frames and
through the set's classifier, prints a table and stores the figures in modelset.json. The pipeline
accepts --precision fp8 only for a set that is certified for it.
"""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from virnucpro.errors import InputError

if TYPE_CHECKING:
    import torch

    from virnucpro.model_diagnostics.certify import Certificate
    from virnucpro.model_sets.description import ModelSet

# Columns of the table: title, key of the figure, format
FIGURES = (
    ("cosine min", "cosine_min", "12.7f"),
    ("mean", "cosine_mean", "10.7f"),
    ("centred min", "centred_cosine_min", "12.6f"),
    ("mean", "centred_cosine_mean", "9.6f"),
    ("max abs", "max_abs", "9.1e"),
    ("rms", "rms", "9.1e"),
    ("score", "score_max_abs", "8.4f"),
    ("flips", "flips", "6d"),
    ("outside", "flips_outside_tie", "8d"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("set", type=Path, metavar="SET", help="folder of the set")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="to compute on; auto: the GPU where there is one")  # fmt: skip
    add("--certify", action="store_true", help="measure lower precisions against float32")
    add("--frames", type=Path, metavar="FILE",
        help="to certify with: X.faa or X.fna, beside each other; default: the demo's")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Check the set; return 0 or 1."""
    from virnucpro.engine.device import choose_device
    from virnucpro.model_diagnostics.set_check import check_set
    from virnucpro.model_sets.description import read_model_set

    if args.frames and not args.certify:
        raise InputError("--frames: is what --certify measures with. Add --certify.")
    logging.getLogger("virnucpro.engine").setLevel(logging.WARNING)  # no progress of two frames
    model_set, device = read_model_set(args.set), choose_device(args.device)
    all_ok = True
    for status in check_set(model_set, device):
        all_ok &= status.ok
        print(f"{'ok' if status.ok else 'FAULT'}\t{status.role}\t{status.text}", flush=True)
    if all_ok and args.certify:
        _certify(model_set, args.frames, device)
    return 0 if all_ok else 1


def _certify(model_set: "ModelSet", path: Path | None, device: "torch.device") -> None:
    """Measure the lower precisions, print the table, and store the figures in the set."""
    from virnucpro.model_diagnostics.certify import certify
    from virnucpro.model_diagnostics.real_frames import real_frames
    from virnucpro.model_sets.certificates import store_entries

    frames = real_frames(path, model_set.description["chunk_bp"][0])
    print(f"\nagainst fp32, {len(frames.dna)} frames ({frames.source}); flips: labels that change, "
          "outside: of these not within 0.01 of the tie")  # fmt: skip
    head = "".join(f"{title:>{_width(form)}}" for title, _, form in FIGURES)
    print(f"{'encoder':10}{'precision':>9}{head}  verdict", flush=True)
    measured = []
    for certificate in certify(model_set, frames, device):
        print(_line(certificate), flush=True)
        if certificate.entry:
            measured.append((certificate.precision, certificate.role, certificate.entry))
    store_entries(model_set, measured)
    print(f"kept in {model_set.folder / 'modelset.json'}")


def _line(certificate: "Certificate") -> str:
    start = f"{certificate.role:10}{certificate.precision:>9}"
    if certificate.reason:
        return f"{start}  cannot be computed here: {certificate.reason}"
    figures = certificate.entry["figures"]
    cells = "".join(f"{figures[name]:>{form}}" for _, name, form in FIGURES)
    verdict = (
        f"below its floor: {', '.join(certificate.faults)}" if certificate.faults else "passed"
    )
    return f"{start}{cells}  {verdict}"


def _width(form: str) -> int:
    return int(form.split(".")[0].rstrip("d"))
