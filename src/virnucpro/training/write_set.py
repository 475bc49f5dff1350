"""Write a trained network as a model set, then measure what was written.

Encoders are stored in half precision. What rounding does to them is met twice: the classifier's
batch norm gets its statistics from the vectors of the stored encoders, and the figures in the set
are those of the stored files, read back and run the way the pipeline runs them.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from virnucpro.calls.classifier import TENSORS, load_classifier, save_classifier
from virnucpro.engine.device import token_budget
from virnucpro.engine.embed import embed
from virnucpro.models.component import Encoder, file_sha256, load_component, write_component
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer
from virnucpro.training.compact import Head, Network
from virnucpro.training.labelled import LabelledFrames
from virnucpro.training.measures import Measures, measure

DNABERT_S, ESM2 = "dnabert_s.safetensors", "esm2.safetensors"
CLASSIFIER, TOKENIZER = "classifier.safetensors", "tokenizer.json"
SOURCE = "trained from scratch by tools/train_compact.py"
TOKENIZER_SOURCE = "DNABERT-2, zhihan1996/DNABERT-2-117M, Apache-2.0"
LICENCE = "weights: as this project, see LICENSE; tokenizer.json: Apache-2.0 (DNABERT-2)"
SMALLEST_LOGIT_P = 1e-30  # float32 probabilities below it would have an infinite logarithm


@dataclass(frozen=True)
class StoredEncoders:
    """The encoders of a set as its files hold them, in float32, and their tokenizers."""

    dnabert_s: Encoder
    esm2: Encoder
    bpe: BpeTokenizer
    esm: EsmTokenizer
    token_budget: int

    def embed(self, frames: LabelledFrames) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the vectors of each frame: DNA, protein."""
        dna = _vectors(self.dnabert_s, self.bpe, frames.dna, self.token_budget)
        protein = _vectors(self.esm2, self.esm, frames.protein, self.token_budget)
        return dna, protein


def write_set(
    folder: Path,
    chunk_bp: int,
    network: Network,
    tokenizer: Path,
    train: LabelledFrames,
    val: LabelledFrames,
    run: dict[str, Any],
) -> Measures:
    """Write the files of a set and its card; return what the stored set reaches on `val`.

    Args:
        folder: of the set, made if needed.
        chunk_bp: length of the chunks that it was trained on.
        network: trained; its batch norm statistics are computed anew.
        tokenizer: the tokenizer.json that the DNA was tokenised with.
        train: frames for these statistics; val: frames to measure on.
        run: how the network was trained; becomes part of "measured".
    """
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer.resolve() != (folder / TOKENIZER).resolve():
        shutil.copyfile(tokenizer, folder / TOKENIZER)
    write_component(folder / DNABERT_S, network.dnabert_s, torch.float16)
    write_component(folder / ESM2, network.esm2, torch.float16)
    encoders = _load_encoders(folder, next(network.parameters()).device)
    renew_statistics(network.head, np.concatenate(encoders.embed(train), axis=1))
    _write_classifier(folder / CLASSIFIER, network.head)
    measures = measure_stored(folder, encoders, val)
    description = _describe(folder, chunk_bp, network, measures, run)
    _write_text(folder / "modelset.json", json.dumps(description, indent=2, sort_keys=True) + "\n")
    _write_text(folder / "README.md", _card(description, train, val))
    return measures


def measure_stored(folder: Path, encoders: StoredEncoders, val: LabelledFrames) -> Measures:
    """Return what the encoders and the classifier file reach, run as the pipeline runs them."""
    classifier = load_classifier(folder / CLASSIFIER, file_sha256(folder / CLASSIFIER))
    p_other, p_virus = np.maximum(classifier.scores(*encoders.embed(val)), SMALLEST_LOGIT_P).T
    return measure(val, np.log(p_virus) - np.log(p_other))


def renew_statistics(head: Head, features: NDArray[np.float32]) -> None:
    """Set the running statistics of the head's batch norm to those of all features [F, D]."""
    weight, bias = (p.detach().cpu().double().numpy() for p in head.hidden_layer.parameters())
    hidden = features.astype(np.float64) @ weight.T + bias  # [F, hidden]
    assert head.bn1.running_mean is not None and head.bn1.running_var is not None
    head.bn1.running_mean.copy_(torch.from_numpy(hidden.mean(0)))
    head.bn1.running_var.copy_(torch.from_numpy(hidden.var(0, ddof=1)))  # unbiased, as torch's


def _vectors(
    model: Encoder, tokenizer: BpeTokenizer | EsmTokenizer, sequences: Sequence[str], budget: int
) -> NDArray[np.float32]:
    return embed(model, tokenizer, sequences, budget, threads=torch.get_num_threads()).vectors


def _load_encoders(folder: Path, device: torch.device) -> StoredEncoders:
    esm2_model = load_component(folder / ESM2, file_sha256(folder / ESM2), device)
    return StoredEncoders(
        load_component(folder / DNABERT_S, file_sha256(folder / DNABERT_S), device),
        esm2_model,
        BpeTokenizer(folder / TOKENIZER),
        EsmTokenizer(esm2_model.config.alphabet),  # type: ignore[union-attr]
        token_budget(esm2_model, "fp32", device),
    )


def _write_classifier(path: Path, head: Head) -> None:
    state = head.state_dict()
    temporary = path.with_name(f".{path.name}.tmp")
    save_classifier(temporary, {name: state[name].float().cpu().numpy() for name in TENSORS})
    temporary.chmod(0o644)  # save_file leaves it to its owner alone
    temporary.replace(path)


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _describe(
    folder: Path, chunk_bp: int, network: Network, measures: Measures, run: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of modelset.json."""

    def file_entry(name: str, source: str = SOURCE) -> dict[str, Any]:
        return {"file": name, "sha256": file_sha256(folder / name), "source": source}

    def encoder_entry(name: str, model: Encoder) -> dict[str, Any]:
        sizes = {"architecture": model.architecture, "width": model.config.width}
        return file_entry(name) | sizes | {"dtype": "float16"}

    input_width = network.head.hidden_layer.in_features
    classifier = {"architecture": "mlp", "dtype": "float32", "input_width": input_width}
    return {
        "format": 1,
        "name": f"compact-{chunk_bp}",
        "version": "0",
        "chunk_bp": [chunk_bp],
        "frame_rule": "open",
        "licence": LICENCE,
        "components": {
            "dnabert_s": encoder_entry(DNABERT_S, network.dnabert_s),
            "esm2": encoder_entry(ESM2, network.esm2),
            "tokenizer": file_entry(TOKENIZER, TOKENIZER_SOURCE),
            "classifier": file_entry(CLASSIFIER) | classifier,
        },
        "thresholds": None,
        "calibration": None,
        "measured": asdict(measures) | {"run": run},
    }


def _card(description: dict[str, Any], train: LabelledFrames, val: LabelledFrames) -> str:
    """Return the model card, Markdown."""
    measured = description["measured"]
    run = measured["run"]
    chunk_bp = description["chunk_bp"][0]
    classes = "\n".join(
        f"| {name} | {val.class_totals[name]:,} | {val.classes.count(name):,} | {share:.2f} |"
        for name, share in sorted(measured["called_virus"].items())
    )
    return CARD.format(
        name=description["name"],
        chunk_bp=chunk_bp,
        licence=description["licence"],
        train_chunks=len(train.labels),
        train_frames=len(train.dna),
        train_viral=int(train.labels.sum()),
        val_chunks=len(val.labels),
        classes=classes,
        closed_percent=100 * (1 - val.open_share),
        **{key: value for key, value in measured.items() if key != "called_virus"},
        **{f"run_{key}": value for key, value in run.items()},
    )


CARD = """# {name}

A small model set of the original's architecture, for trying the pipeline out and for its tests
without a download. It does not replace the official weights (ESM-2 3B, DNABERT-S and their
classifier), which are about a thousand times larger: take those for any analysis. Not for
evaluation: no figure below says anything about the original.

## What it is

DNABERT-S and ESM-2 encoders of small sizes with the original's classifier on top, trained together
from scratch on open frames of {chunk_bp} bp chunks; no published weights went in. Encoders are
stored in float16, the classifier in float32. Sizes and digests: `modelset.json`.

## Data

Labelled viral and non-viral chunks, without overlaps and exact duplicates, split by genome cluster:
viral sequences that share at least 50 % amino-acid identity over 100 residues are on one side, and
so are all segments of a genome; prokaryotes are split by genus, eukaryotes by species or locus.
Training sources that turned out to be related to a validation source were left out. Only chunks
with an open frame (no stop codon) can be used: {train_chunks:,} for training ({train_viral:,} of
them viral, {train_frames:,} frames), {val_chunks:,} for validation. The sequences are public
records (INSDC) taken from public repositories under MIT, BSD, Apache, GPL and other licences, some
without one; rows under a licence for non-commercial use were left out.

## Figures

On the validation split, by the stored files run through the pipeline's own code in float32. The
best of the steps was chosen on this same split, so the figures are a little too good.

| | |
| --- | --- |
| AUROC of chunks with an open frame | {chunk_auroc:.4f} |
| AUROC of frames | {frame_auroc:.4f} |
| accuracy of the consensus | {chunk_accuracy:.3f} |
| sensitivity, specificity | {sensitivity:.3f}, {specificity:.3f} |
| share of chunks with an open frame | {open_share:.3f} |

For comparison, a linear model on codon and dipeptide counts: AUROC 0.953 at 500 bp.

| class | chunks | with an open frame | of these called virus |
| --- | --- | --- | --- |
{classes}

## Weaknesses

- Chunks without an open frame, {closed_percent:.0f} % of these, are not scored at all.
- Validation flatters: a simple k-mer and codon model that has 0.94 there has 0.82 on genera and
  species unlike these. Expect the same here.
- Plant viruses are half of the positives; few archaea and one giant virus. Perhaps 1-3 % of the
  bacterial chunks are prophages labelled as non-viral.
- Trained on as many viral as other chunks; samples rarely are. Scores are not calibrated.

## How it was made

`{run_command}`, seed {run_seed}, {run_steps} steps, best at step {run_best_step},
torch {run_torch}, {run_device}. Licence: {licence}.
"""
