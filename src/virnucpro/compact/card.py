"""The model card of a compact set, Markdown, out of its modelset.json."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from virnucpro.compact.windows import HARD_KINDS_FACTOR

CARD = """# {name}

A small model set of the original's architecture, trained from scratch by this project: for trying
the pipeline out, for its tests, and for a first look on a laptop. **It does not replace the
official weights** (ESM-2 3B, DNABERT-S and their classifier), which are a thousand times larger:
take those for any analysis. No figure below says anything about the original.

## What it is

Small encoders of the architecture of DNABERT-S and ESM-2, and a classifier that is the mean of
{members} of the original's width, each of which learnt from {bagging:.0f} % of the groups of
sequences (bagging). {embedding_members} of them takes the embeddings, the others {composition}
composition features of each frame (shares of codons, of all and of those for the same residue, of
tetramers and dipeptides, and the length: `composition_features` in `modelset.json`), which predict
better than encoders of this size. Trained together, end to end, without published
weights{teacher}. All weights are stored in float16.

## Data

{train_sources:,} sequences of public records (INSDC, RefSeq), {train_mb:.1f} Mb: {train_kinds}.
Windows of {shortest_bp} to {longest_bp} bp at random places and on a random strand, as many viral
as other ones; classes, and groups within a class, drawn by the root of their size, phages and
prokaryotes {hard_kinds_factor} times as often. Validation:
{val_sources:,} sequences, {val_mb:.1f} Mb, of other units: {val_kinds}. No viral sequence there
shares 50 % amino-acid identity over 100 residues with one of training, prokaryotes are of other
genera, most eukaryotes of other families. Sources known to be related in spite of that were left
out of training.

The sequences were taken from public repositories, most under permissive or GPL licences, some
without a licence file but identified as INSDC or RefSeq records; rows for non-commercial use were
left out. By licence, in Mb of training and validation: {licences}.
The set holds weights, and none of the sequences.

## Figures

On validation windows, by stored files through the pipeline's own code in float32, of a network
that had seen none of the validation sequences. The calibration comes from it too. **The weights in
the set are of a second network, trained in the same way on training and validation sequences
together**: it knows more families, and no sequence is left here to measure it on. The recipe (which
composition features, lengths of windows, width) was chosen by validation figures, so they are a
little too good.
`longest_open` is the set's frame rule, `open` the original's.

| window, bp | with an open frame | AUROC, `open` | AUROC, all | as in the field | sequences | ECE |
| --- | --- | --- | --- | --- | --- | --- |
{lengths}

The set is calibrated for {chunk_bp} bp. "AUROC, `open`" is of windows with an open frame, the
columns behind it of all windows under `longest_open`. "As in the field": viral windows 30 % of
plant, 30 % of animal viruses and 35 % phages; others 45 % of prokaryotes, 45 % of eukaryotes, 10 %
of organelles. "Sequences": pooled over the windows of each. ECE, the calibration error, is of the
windows that it was fitted to; on groups left out: {held_out}.

For comparison, on the same windows of {chunk_bp} bp, models trained on {baseline_rows:,} of its
frames or windows:

| | AUROC, all | as in the field |
| --- | --- | --- |
| this set | {set_all:.3f} | {set_field:.3f} |
| linear model on composition features, best frame | {linear_all:.3f} | {linear_field:.3f} |
| logistic regression on 5-mers of the whole window | {kmer_all:.3f} | {kmer_field:.3f} |

By class, `longest_open`; the AUROC is against all windows of the other label:

| class | windows | accuracy | AUROC |
| --- | --- | --- | --- |
{classes}

## Weaknesses

- Of validation windows {wrong:.0f} % are called wrongly.
- Coding sequence of eukaryotes and viruses of unseen families look very similar to it.
- Few archaeal and giant viruses, RNA phages, insects and protists in training; phages are mostly
  Caudoviricetes. Perhaps 1 to 3 % of the bacterial windows are prophages labelled as non-viral.
- Probabilities are for equal numbers of viral and other sequences unless `--viral_prior` says more.

## How it was made

`{command}`,
which trains twice, on windows of {shortest_bp} to {longest_bp} bp; torch {torch}, {device}.
Licence: {licence}.
"""


def compact_card(description: dict[str, Any]) -> str:
    """Return the text of the card.

    Args:
        description: content of modelset.json, with "measured" as write_set fills it.
    """
    measured = description["measured"]
    run, chunk_bp = measured["run"], description["chunk_bp"][0]
    total = measured["by_length"][str(chunk_bp)]["longest_open"]
    data = run["data"]
    bins = measured["calibration"]["longest_open"]["bins"]
    return CARD.format(
        name=description["name"],
        composition=description["components"]["classifier"]["composition_features"],
        chunk_bp=chunk_bp,
        teacher=f", but scores of {run['teacher']} as labels" if run["teacher"] else "",
        train_sources=data["train"]["sequences"],
        train_mb=data["train"]["bp"] / 1e6,
        train_kinds=_in_mb(data["train"]["kinds"]),
        val_sources=data["val"]["sequences"],
        val_mb=data["val"]["bp"] / 1e6,
        val_kinds=_in_mb(data["val"]["kinds"]),
        licences=_in_mb(Counter(data["train"]["licences"]) + Counter(data["val"]["licences"])),
        shortest_bp=round(run["window_shares"][0] * chunk_bp),
        longest_bp=round(run["window_shares"][1] * chunk_bp),
        members=run["members"],
        embedding_members=run["embedding_members"],
        baseline_rows=run["baselines"]["rows"],
        bagging=100 * run["bagging_fraction"],
        hard_kinds_factor=HARD_KINDS_FACTOR,
        lengths="\n".join(
            _length_row(bp, rules)
            for bp, rules in sorted(measured["by_length"].items(), key=lambda item: int(item[0]))
        ),
        held_out=_number(bins[0].get("ece_held_out")),
        set_all=total["auroc_every_chunk"],
        set_field=total["auroc_field"],
        linear_all=run["baselines"]["linear"]["all"],
        linear_field=run["baselines"]["linear"]["field"],
        kmer_all=run["baselines"]["5-mers"]["all"],
        kmer_field=run["baselines"]["5-mers"]["field"],
        classes="\n".join(
            f"| {name} | {of_class['chunks']:,} | {_number(of_class['accuracy'])} | "
            f"{_number(of_class['auroc'])} |"
            for name, of_class in measured["by_class"]["longest_open"].items()
        ),
        wrong=100 * (1 - total["accuracy"]),
        licence=description["licence"],
        **{key: run[key] for key in ("command", "torch", "device")},
    )


def _length_row(bp: str, rules: dict[str, dict[str, Any]]) -> str:
    every, only_open = rules["longest_open"], rules["open"]
    columns = (
        only_open["called_share"], only_open["auroc"], every["auroc_every_chunk"],
        every["auroc_field"], every["auroc_sequences"], every["ece"],
    )  # fmt: skip
    return f"| {bp} | " + " | ".join(map(_number, columns)) + " |"


def _in_mb(bases: Mapping[str, int]) -> str:
    largest_first = sorted(bases.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count / 1e6:.2f}" for name, count in largest_first)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
