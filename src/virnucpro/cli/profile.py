"""virnucpro profile: find the fastest token budget and attention on this machine.

Sweeps both encoders of a model set with real frames: a few seconds a setting, a few minutes in all.
The pipeline's --engine_profile reads the file of -o. Give the precision that you run with: the
pipeline refuses a profile of another one.
"""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from virnucpro.errors import InputError
from virnucpro.models.options import PRECISIONS

if TYPE_CHECKING:
    from virnucpro.model_diagnostics.sweep import Measurement


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("--encoder-of", type=Path, required=True, metavar="SET", help="folder of a model set")
    add("--precision", choices=PRECISIONS, default="auto", help="as the pipeline's (default: auto)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="auto: the GPU where there is one")  # fmt: skip
    add("--frames", type=Path, metavar="FILE",
        help="X.faa or X.fna, beside each other; default: the demo's")  # fmt: skip
    add("-o", "--output", type=Path, metavar="FILE", help="JSON for --engine_profile")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write."""
    from virnucpro.engine.device import choose_device
    from virnucpro.model_diagnostics.profile import Profile
    from virnucpro.model_diagnostics.real_frames import real_frames
    from virnucpro.model_sets.description import read_model_set

    if args.output and not args.output.absolute().parent.is_dir():
        raise InputError(f"{args.output}: there is no such folder. Make it, or choose another -o.")
    logging.getLogger("virnucpro.engine").setLevel(logging.WARNING)  # no progress of each run
    model_set = read_model_set(args.encoder_of)
    profile = Profile(model_set, choose_device(args.device), args.precision)
    frames = real_frames(args.frames, model_set.description["chunk_bp"][0])
    print(
        f"{'encoder':10}{'attention':>10}{'budget':>8}{'threads':>8}{'tokens/s':>11}{'peak GiB':>9}"
    )
    for role in ("dnabert_s", "esm2"):
        for measured in profile.measure(role, frames):
            print(_line(role, measured), flush=True)
        best = profile.recommended(role)
        print(f"{role:10}recommended: attention {best['attention']}, token budget "
              f"{best['token_budget']}, threads {best['threads']}", flush=True)  # fmt: skip
    if args.output:
        profile.write(args.output)
        print(f"nextflow run … --engine_profile {args.output}")
    return 0


def _line(role: str, measured: "Measurement") -> str:
    setting = measured.setting
    rate = f"{measured.tokens_per_s:.0f}" if measured.tokens_per_s else "no memory"
    return (
        f"{role:10}{setting.attention:>10}{setting.token_budget:8}{setting.threads:8}{rate:>11}"
        f"{measured.peak_gib:9.2f}"
    )
