"""Sweeps both encoders of a model set, and writes the file for the pipeline's --engine_profile."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch

from virnucpro.engine.device import choose_precision
from virnucpro.engine.load import load_engine, load_tokenizer
from virnucpro.files import write_text
from virnucpro.model_diagnostics.machine import device_name
from virnucpro.model_diagnostics.real_frames import RealFrames
from virnucpro.model_diagnostics.sweep import Measurement, recommend, sweep
from virnucpro.model_sets.description import ModelSet
from virnucpro.models.options import PROFILE_FORMAT


class Profile:
    """The sweep of a model set on a device, and its recommendations."""

    def __init__(self, model_set: ModelSet, device: torch.device, precision: str) -> None:
        """Start without measurements.

        Args:
            precision: the requested one, "auto" or a name.
        Raises: InputError for a precision that the device does not have.
        """
        self._model_set, self._device = model_set, device
        self._precision = choose_precision(precision, device)
        self._encoders: dict[str, dict[str, Any]] = {}
        self._head = {
            "format": PROFILE_FORMAT,
            "model_set": model_set.name,
            "model_set_digest": model_set.digest,
            "device": device_name(device),
            "device_type": device.type,
            "asked_precision": precision,
            "precision": self._precision,
            "torch": str(torch.__version__),
            "date": date.today().isoformat(),
        }

    def measure(self, role: str, frames: RealFrames) -> Iterator[Measurement]:
        """Yield the measurement of each setting for an encoder; then recommended() has its best."""
        part, vocab = self._model_set.component(role), self._model_set.component("tokenizer")
        engine = load_engine(part.path, part.sha256, self._device, self._precision)
        tokenizer = load_tokenizer(engine.encoder, self._device, vocab.path, vocab.sha256)
        sequences = frames.protein if role == "esm2" else frames.dna
        rows = []
        for measured in sweep(engine, tokenizer, sequences, self._device):
            rows.append(measured)
            yield measured
        best = recommend(rows)
        self._encoders[role] = {
            "component_sha256": part.sha256,
            "attention": best.setting.attention,
            "token_budget": best.setting.token_budget,
            "threads": best.setting.threads,
            "tokens_per_s": round(best.tokens_per_s, 1),
            "frames": len(sequences),
            "frames_source": frames.source,
            "measured": [_flat(row) for row in rows],
        }

    def recommended(self, role: str) -> dict[str, Any]:
        """Return attention, token_budget, threads and rate of a measured encoder."""
        return self._encoders[role]

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        text = json.dumps(self._head | {"encoders": self._encoders}, indent=2, sort_keys=True)
        write_text(path, text + "\n")


def _flat(measured: Measurement) -> dict[str, Any]:
    values = asdict(measured)
    return values.pop("setting") | values
