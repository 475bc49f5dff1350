"""The one table of options: the parser, the mapping, the messages and the documentation.

Facts about the fork: its main branch at a8d3e4b, its container's wrapper, newest stored version.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from virnucpro.migration import launch
from virnucpro.migration.launch import Effect


class Origin(Enum):
    """Who has an option."""

    OURS = "Ours"
    PREDICT = "The fork's `predict`"
    GLOBAL = "The fork's global options"
    CONTAINER = "The container's wrapper"


@dataclass(frozen=True)
class Option:
    """An option and what becomes of it.

    Attributes:
        flags: as they are written; the last one names it.
        here: what it is here, or why it has no effect, or what to do instead; a sentence or two.
        effect: None: it has no effect.
        value: name of its value; None: it is a switch.
        refused: it would be wrong to go on without it.
    """

    flags: tuple[str, ...]
    origin: Origin
    here: str
    effect: Effect | None = None
    value: str | None = None
    parse: Callable[[str], object] = str
    refused: bool = False

    @property
    def names(self) -> str:
        """Return all flags as one text."""
        return "/".join(self.flags)

    @property
    def fate(self) -> str:
        """Return in a word what becomes of it."""
        if self.refused:
            return "refused"
        return "taken" if self.effect else "no effect"


def absolute(text: str) -> str:
    """Return a path that begins with a slash, so that Nextflow reads no number or option in it."""
    return str(Path(text).absolute())


def _ours(flag: str, here: str, effect: Effect) -> Option:
    return Option((flag,), Origin.OURS, here, effect, "DIR", absolute)


def _taken(
    flags: str,
    here: str,
    effect: Effect,
    value: str | None = None,
    parse: Callable[[str], object] = str,
    origin: Origin = Origin.PREDICT,
) -> Option:
    return Option(tuple(flags.split()), origin, here, effect, value, parse)


def _idle(
    flags: str,
    here: str,
    value: str | None = None,
    parse: Callable[[str], object] = int,
    origin: Origin = Origin.PREDICT,
) -> Option:
    return Option(tuple(flags.split()), origin, here, None, value, parse)


def _refused(flags: str, here: str, value: str, origin: Origin = Origin.PREDICT) -> Option:
    return Option(tuple(flags.split()), origin, here, None, value, refused=True)


BATCHES = (
    "The tokens of a batch follow from the model and the GPU's memory, and are halved when memory "
    "runs out."
)
RESUMING = (
    "Every task is known by a digest of its inputs: --resume repeats nothing that is done, and "
    "nothing is taken over unchecked."
)
FEEDING = "One thread prepares batches while the GPU computes; there are no loader processes."
OWN_ENGINE = (
    "There is no older code to go back to; every path is compared with the authors' own in the "
    "tests."
)

OPTIONS = (
    _ours(
        "--model-set",
        "`--model_set DIR`: what `virnucpro models` made. Default: the variable "
        "VIRNUCPRO_MODEL_SET, else the embedded compact set.",
        launch.parameter("model_set"),
    ),
    _ours(
        "--pipeline",
        "Folder of the pipeline. Default: the variable VIRNUCPRO_PIPELINE, else the checkout "
        "that this command is installed from.",
        launch.pipeline,
    ),
    _taken(
        "-m --model-type",
        "`--chunk_length 300` or `500`: refused by the pipeline when the model set was not "
        "trained on it. `custom` is refused: build a model set. Without -m and -e the set's "
        "own length.",
        launch.model_type,
        "300|500|custom",
    ),
    _refused(
        "-p --model-path",
        "A classifier is part of a model set, and a pickle is never simply loaded. Build a "
        "set of it with `virnucpro models build --classifier FILE`, then give --model-set.",
        "FILE",
    ),
    _taken(
        "-e --expected-length",
        "`--chunk_length N`. Must agree with -m; to use a set with a length that it was not "
        "trained on, leave -m out and add `-- --allow_chunk_length_mismatch`.",
        launch.parameter("chunk_length"),
        "N",
        int,
    ),
    _taken(
        "-o --output-dir",
        "`--outdir DIR`. Default: the input's name and `_predictions`, in the current folder. "
        "One that exists is refused without --resume or --force, where the fork asked.",
        launch.parameter("outdir"),
        "DIR",
        absolute,
    ),
    _taken(
        "-d --device",
        "`--device`; for cuda:N and N also the variable CUDA_VISIBLE_DEVICES=N. cuda fails "
        "without a usable GPU, with the reason; it never falls back to the CPU.",
        launch.device,
        "auto|cpu|cuda|cuda:N|N",
    ),
    _idle(
        "-b --batch-size",
        "The classifier runs in blocks of 256 rows, always, so that scores do not depend on it.",
        "N",
    ),
    _idle(
        "-w --num-workers", "CLASSIFY reads a shard at once; there are no loader processes.", "N"
    ),
    _taken(
        "-k --keep-intermediate",
        "`--save_embeddings true`: the embeddings come to `<outdir>/<sample>/embeddings/`. "
        "Everything else stays in `work/` anyway, until you remove it.",
        launch.parameter("save_embeddings", "true"),
    ),
    _taken(
        "--resume",
        "`-resume` of the last run that was started in this folder with the same output "
        "folder; without one the run begins anew, and says so.",
        launch.resume,
    ),
    _taken(
        "-f --force",
        "Goes on although the output folder has something in it. Files of the same names are "
        "replaced, others stay.",
        launch.force,
    ),
    _taken(
        "--no-progress",
        "`-ansi-log false`: one line for each task, no bars.",
        launch.after("-ansi-log", "false"),
    ),
    _idle("--dnabert-batch-size", BATCHES, "N"),
    _idle(
        "--parallel",
        "With several GPUs embedding tasks run side by side of themselves, one on each.",
    ),
    _idle("--v1-fallback", OWN_ENGINE),
    _idle("--v1-attention", OWN_ENGINE),
    _taken(
        "--gpus",
        "The variable CUDA_VISIBLE_DEVICES, and `--device cuda`. The numbers are nvidia-smi's.",
        launch.gpus,
        "N,N",
    ),
    _idle("--esm-batch-size", BATCHES, "N"),
    _taken(
        "-t --threads --merge-threads",
        "The CPUs of this machine that all tasks together may use (Java's "
        "ActiveProcessorCount, in the variable NXF_OPTS). On a cluster the scheduler decides.",
        launch.threads,
        "N",
        int,
    ),
    _idle("--skip-checkpoint-validation", RESUMING),
    _idle("--force-resume", f"Leave --resume out to compute everything anew. {RESUMING}"),
    _idle("--dataloader-workers", FEEDING, "N"),
    _idle("--pin-memory", FEEDING),
    _idle(
        "--expandable-segments",
        "Batches have one size, so memory does not fragment. The variable "
        "PYTORCH_CUDA_ALLOC_CONF still does what torch says.",
    ),
    _idle("--cache-clear-interval", "Batches have one size, so nothing is to be cleared.", "N"),
    _idle("--cuda-streams", FEEDING),
    _idle("--no-cuda-streams", FEEDING),
    _idle("--persistent-models", "A task loads its model once; small samples share a task."),
    _idle("--no-persistent-models", "A task loads its model once; small samples share a task."),
    _idle(
        "-v --verbose",
        "Nextflow writes all details to .nextflow.log, and each task to its folder in `work/`.",
        origin=Origin.GLOBAL,
    ),
    _taken(
        "-q --quiet",
        "`nextflow -q`: results and errors only.",
        launch.before("-q"),
        origin=Origin.GLOBAL,
    ),
    _taken(
        "-l --log-file",
        "`nextflow -log FILE`: the log file, with all details.",
        launch.before("-log"),
        "FILE",
        origin=Origin.GLOBAL,
    ),
    _refused(
        "-c --config",
        "The fork's YAML file is not read: its keys and what they are here stand in "
        "docs/migration.md. Nextflow's own configuration goes behind two dashes: `-- -c "
        "FILE`.",
        "FILE",
        origin=Origin.GLOBAL,
    ),
    _taken(
        "--use-gpu",
        "`--device cuda`: fails without a usable GPU. In the wrapper it did nothing.",
        launch.parameter("device", "cuda"),
        origin=Origin.CONTAINER,
    ),
    _taken(
        "--no-gpu", "`--device cpu`.", launch.parameter("device", "cpu"), origin=Origin.CONTAINER
    ),
    _idle(
        "--virnucpro-path",
        "It named the fork's checkout. Ours is --pipeline.",
        "DIR",
        str,
        origin=Origin.CONTAINER,
    ),
)


@dataclass(frozen=True)
class Variable:
    """An environment variable of the fork; `effect` happens when it is set to a word for yes."""

    name: str
    here: str
    effect: Effect | None = None


YES = ("1", "true", "yes")  # in the fork's own spelling
VARIABLES = (
    Variable(
        "VIRNUCPRO_DISABLE_FP16",
        "`--precision fp32`, the exact mode. In the fork it ended packed ESM-2 with a TypeError.",
        launch.parameter("precision", "fp32"),
    ),
    Variable(
        "VIRNUCPRO_DISABLE_PACKING",
        "Batches are always packed; a packed sequence gives the bytes that it gives alone. In the "
        "fork it made all proteins of a batch one.",
    ),
    Variable("VIRNUCPRO_V1_ATTENTION", OWN_ENGINE),
    Variable(
        "VIRNUCPRO_VIRAL_CHECKPOINT_MODE",
        "A task is what is done again after an interruption; `--shard_tokens` sets its size.",
    ),
)
