"""The table of the fork's options: source of the parser, the mapping, messages and documentation.

Facts about the fork: its main branch at a8d3e4b, its container's wrapper, newest stored version.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from virnucpro.migration import launch
from virnucpro.migration.launch import Effect


class Origin(Enum):
    """The program that an option comes from."""

    THIS = "This command's own"
    PREDICT = "The fork's `predict`"
    GLOBAL = "The fork's global options"
    CONTAINER = "The container's wrapper"


@dataclass(frozen=True)
class Option:
    """An option of the fork and its counterpart here.

    Attributes:
        spellings: all its flags, with blanks between.
        here: its counterpart, why it has no effect, or what to do instead; a sentence or two.
        effect: None for an option without effect.
        value: name of its value; None for a switch.
        refused: whether to refuse it, since ignoring it would give wrong results.
    """

    spellings: str
    here: str
    effect: Effect | None = None
    value: str | None = None
    parse: Callable[[str], object] = str
    origin: Origin = Origin.PREDICT
    refused: bool = False

    @property
    def flags(self) -> list[str]:
        """Return its flags."""
        return self.spellings.split()

    @property
    def names(self) -> str:
        """Return all flags as one text."""
        return "/".join(self.flags)

    @property
    def support(self) -> str:
        """Return "supported", "no effect" or "refused"."""
        if self.refused:
            return "refused"
        return "supported" if self.effect else "no effect"


def absolute(text: str) -> str:
    """Return an absolute path, so that Nextflow does not take it for a number or an option."""
    return str(Path(text).absolute())


BATCHES = (
    "The number of tokens in a batch depends on the model and the GPU's memory, and is halved when "
    "memory runs out."
)
RESUMING = (
    "Every task is identified by a digest of its inputs: --resume repeats nothing that is done, "
    "and reuses nothing unchecked."
)
FEEDING = "One thread prepares batches while the GPU computes; there are no loader processes."
SINGLE_ENGINE = (
    "There is no older code to fall back to; the tests compare every path with the authors' code."
)

OPTIONS = (
    Option(
        "--model-set",
        "`--model_set DIR`, from `virnucpro models`. Default: the variable VIRNUCPRO_MODEL_SET, "
        "else the bundled compact set.",
        launch.parameter("model_set"),
        "DIR",
        absolute,
        origin=Origin.THIS,
    ),
    Option(
        "--pipeline",
        "Folder of the pipeline. Default: the variable VIRNUCPRO_PIPELINE, else the checkout "
        "that this command is installed from.",
        launch.pipeline,
        "DIR",
        absolute,
        origin=Origin.THIS,
    ),
    Option(
        "-m --model-type",
        "`--chunk_length 300` or `500`, which the pipeline refuses when the model set was not "
        "trained on it. `custom` is refused: build a model set. Default: the length of the set.",
        launch.model_type,
        "300|500|custom",
    ),
    Option(
        "-p --model-path",
        "A classifier is part of a model set, and pickles are never loaded unchecked. Build a set "
        "with `virnucpro models build --classifier FILE`, then give --model-set.",
        value="FILE",
        refused=True,
    ),
    Option(
        "-e --expected-length",
        "`--chunk_length N`. Must agree with -m. To use a set with a length that it was not "
        "trained on, omit -m and add `-- --allow_chunk_length_mismatch`.",
        launch.parameter("chunk_length"),
        "N",
        int,
    ),
    Option(
        "-o --output-dir",
        "`--outdir DIR`. Default: the input's name and `_predictions`, in the current folder. A "
        "folder with results is refused without --resume or --force, where the fork asked.",
        launch.parameter("outdir"),
        "DIR",
        absolute,
    ),
    Option(
        "-d --device",
        "`--device`; for cuda:N and N also the variable CUDA_VISIBLE_DEVICES=N. cuda fails without "
        "a usable GPU, with the reason; it never falls back to the CPU.",
        launch.device,
        "auto|cpu|cuda|cuda:N|N",
    ),
    Option(
        "-b --batch-size",
        "The classifier always runs in blocks of 256 rows, so that scores do not depend on it.",
        value="N",
        parse=int,
    ),
    Option(
        "-w --num-workers",
        "CLASSIFY reads a shard at once; there are no loader processes.",
        value="N",
        parse=int,
    ),
    Option(
        "-k --keep-intermediate",
        "`--save_embeddings true`: writes embeddings to `<outdir>/<sample>/embeddings/`. "
        "Everything else stays in `work/` anyway, until you remove it.",
        launch.parameter("save_embeddings", "true"),
    ),
    Option(
        "--resume",
        "`-resume` of the last run that was started in this folder with the same output folder. "
        "Without one, everything is computed, and a message says so.",
        launch.resume,
    ),
    Option(
        "-f --force",
        "Continues although the output folder is not empty. Files of the same names are replaced, "
        "others stay.",
        launch.force,
    ),
    Option(
        "--no-progress",
        "`-ansi-log false`: one line for each task, no bars.",
        launch.after("-ansi-log", "false"),
    ),
    Option("--dnabert-batch-size", BATCHES, value="N", parse=int),
    Option("--parallel", "With several GPUs embedding tasks always run in parallel, one on each."),
    Option("--v1-fallback", SINGLE_ENGINE),
    Option("--v1-attention", SINGLE_ENGINE),
    Option(
        "--gpus",
        "The variable CUDA_VISIBLE_DEVICES, and `--device cuda`. The numbers are nvidia-smi's.",
        launch.gpus,
        "N,N",
    ),
    Option("--esm-batch-size", BATCHES, value="N", parse=int),
    Option(
        "-t --threads --merge-threads",
        "The CPUs of this machine that all tasks together may use (Java's "
        "ActiveProcessorCount, in the variable NXF_OPTS). On a cluster the scheduler decides.",
        launch.threads,
        "N",
        int,
    ),
    Option("--skip-checkpoint-validation", RESUMING),
    Option("--force-resume", f"Omit --resume to compute everything again. {RESUMING}"),
    Option("--dataloader-workers", FEEDING, value="N", parse=int),
    Option("--pin-memory", FEEDING),
    Option(
        "--expandable-segments",
        "Batches have one size, so memory does not fragment. The variable PYTORCH_CUDA_ALLOC_CONF "
        "works as in torch.",
    ),
    Option(
        "--cache-clear-interval",
        "Batches have one size, so there is nothing to clear.",
        value="N",
        parse=int,
    ),
    Option("--cuda-streams", FEEDING),
    Option("--no-cuda-streams", FEEDING),
    Option("--persistent-models", "A task loads its model once; small samples share a task."),
    Option("--no-persistent-models", "A task loads its model once; small samples share a task."),
    Option(
        "-v --verbose",
        "Nextflow writes all details to .nextflow.log, and each task to its folder in `work/`.",
        origin=Origin.GLOBAL,
    ),
    Option(
        "-q --quiet",
        "`nextflow -q`: results and errors only.",
        launch.before("-q"),
        origin=Origin.GLOBAL,
    ),
    Option(
        "-l --log-file",
        "`nextflow -log FILE`: the log file, with all details.",
        launch.before("-log"),
        "FILE",
        origin=Origin.GLOBAL,
    ),
    Option(
        "-c --config",
        "The fork's YAML file is not read: docs/migration.md has the counterpart of each key. "
        "Configuration of Nextflow goes after two dashes: `-- -c FILE`.",
        value="FILE",
        refused=True,
        origin=Origin.GLOBAL,
    ),
    Option(
        "--use-gpu",
        "`--device cuda`: fails without a usable GPU. In the wrapper it did nothing.",
        launch.parameter("device", "cuda"),
        origin=Origin.CONTAINER,
    ),
    Option(
        "--no-gpu", "`--device cpu`.", launch.parameter("device", "cpu"), origin=Origin.CONTAINER
    ),
    Option(
        "--virnucpro-path",
        "It named the fork's checkout; see --pipeline.",
        value="DIR",
        origin=Origin.CONTAINER,
    ),
)


@dataclass(frozen=True)
class Variable:
    """An environment variable of the fork; its effect applies when it is set to one of YES."""

    name: str
    here: str
    effect: Effect | None = None


YES = ("1", "true", "yes")  # as in the fork
VARIABLES = (
    Variable(
        "VIRNUCPRO_DISABLE_FP16",
        "`--precision fp32`, the exact mode. In the fork, packed ESM-2 then failed with a "
        "TypeError.",
        launch.parameter("precision", "fp32"),
    ),
    Variable(
        "VIRNUCPRO_DISABLE_PACKING",
        "Batches are always packed, and a packed sequence has the same vectors as alone. In the "
        "fork it joined all proteins of a batch into one.",
    ),
    Variable("VIRNUCPRO_V1_ATTENTION", SINGLE_ENGINE),
    Variable(
        "VIRNUCPRO_VIRAL_CHECKPOINT_MODE",
        "After an interruption, unfinished tasks are repeated; `--shard_tokens` sets their size.",
    ),
)
