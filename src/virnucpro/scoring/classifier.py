"""The original's classifier, evaluated in numpy: both embeddings of a frame in, P(virus) out.

A set trained by us may take composition features (composition_features.py) behind them.

Linear -> batch norm with running statistics -> ReLU -> Linear -> softmax; dropout is off.
Arithmetic is float64 in blocks of a fixed number of rows, so that the float32 scores depend neither
on the block a frame falls in nor, in practice, on the machine's BLAS.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from virnucpro.errors import InputError
from virnucpro.files import check_sha256, sort_metadata
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH

# In the metadata of classifier files; their sha256 covers it, so the old name stays.
COMPOSITION_KEY = "frame_counts"
BLOCK_ROWS = 256  # the original's batch
BATCH_NORM_EPS = 1e-5  # torch's default, which the original keeps
TENSORS = (
    "hidden_layer.weight",
    "hidden_layer.bias",
    "bn1.weight",
    "bn1.bias",
    "bn1.running_mean",
    "bn1.running_var",
    "output_layer.weight",
    "output_layer.bias",
)


@dataclass(frozen=True)
class Classifier:
    """Weights in float64.

    Attributes:
        hidden_weight: [hidden, dna + protein + composition], batch norm folded in;
        hidden_bias: [hidden].
        output_weight: [2, hidden], row 0 other, row 1 virus; output_bias: [2].
        takes_composition: whether it takes a frame's composition features.
    """

    hidden_weight: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    output_weight: NDArray[np.float64]
    output_bias: NDArray[np.float64]
    takes_composition: bool = False

    @property
    def input_width(self) -> int:
        """Width of DNA embedding, protein embedding and composition features together."""
        return self.hidden_weight.shape[1]

    def scores(
        self,
        dna: NDArray[np.float32],
        protein: NDArray[np.float32],
        composition: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return float32 [n, 2]: probabilities of other and of virus for each frame.

        Args:
            dna: float32 [n, dna width], DNABERT-S; protein: float32 [n, protein width], ESM-2.
            composition: float32 [n, COMPOSITION_WIDTH], for a classifier that takes it.
        """
        assert self.takes_composition == (composition is not None), "if and only if it takes it"
        inputs = [dna, protein] if composition is None else [dna, protein, composition]
        scores = np.empty((len(dna), 2), np.float32)
        block = np.zeros((BLOCK_ROWS, self.input_width))
        for start in range(0, len(dna), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            num_rows = len(dna[rows])
            # DNA first, as in training; the last block is filled up, never shorter
            block[:num_rows] = np.concatenate([part[rows] for part in inputs], axis=1)
            hidden = np.maximum(block @ self.hidden_weight.T + self.hidden_bias, 0)
            logits = hidden @ self.output_weight.T + self.output_bias
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            scores[rows] = (powers / powers.sum(axis=1, keepdims=True))[:num_rows]
        return scores


def load_classifier(path: Path, sha256: str | None = None) -> Classifier:
    """Read a classifier component.

    Raises: InputError for a file that is damaged, another than the model set names, or not an MLP.
    """
    if sha256 is not None:
        check_sha256(path, sha256)
    try:
        with safe_open(str(path), "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path.name}: is not a readable safetensors file ({error}).") from error
    if metadata.get("architecture") != "mlp" or set(tensors) != set(TENSORS):
        raise InputError(
            f"{path.name}: is not a classifier (architecture {metadata.get('architecture')!r}, "
            f"missing tensors {sorted(set(TENSORS) - set(tensors))}). Give the set's classifier."
        )
    scale = tensors["bn1.weight"] / np.sqrt(tensors["bn1.running_var"] + BATCH_NORM_EPS)
    return Classifier(
        hidden_weight=tensors["hidden_layer.weight"] * scale[:, None],
        hidden_bias=(tensors["hidden_layer.bias"] - tensors["bn1.running_mean"]) * scale
        + tensors["bn1.bias"],
        output_weight=tensors["output_layer.weight"],
        output_bias=tensors["output_layer.bias"],
        takes_composition=json.loads(metadata.get("config", "{}")).get(COMPOSITION_KEY, 0) > 0,
    )


def save_classifier(
    path: Path, tensors: dict[str, NDArray[Any]], *, takes_composition: bool = False
) -> None:
    """Write the eight tensors of an MLP as a component file, in the dtype they come in.

    Equal tensors give equal bytes.
    """
    from safetensors.numpy import save_file

    missing = set(TENSORS) - set(tensors)
    assert not missing, missing
    widths = {"hidden": tensors["hidden_layer.bias"].shape[0],
              "input": tensors["hidden_layer.weight"].shape[1]}  # fmt: skip
    if takes_composition:
        widths[COMPOSITION_KEY] = COMPOSITION_WIDTH
    metadata = {"architecture": "mlp", "config": json.dumps(widths, sort_keys=True)}
    save_file({name: np.ascontiguousarray(tensors[name]) for name in TENSORS}, path, metadata)
    sort_metadata(path)
    path.chmod(0o644)  # save_file leaves it to its owner alone
