"""The `nextflow run` command, and the effects of options on it."""

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError

CHUNK_LENGTHS = ("300", "500")  # of the fork's two classifiers


@dataclass
class Launch:
    """A command that is built option by option.

    Attributes:
        before: options of nextflow itself, which go before `run`.
        after: options of `nextflow run`, which begin with one dash.
        parameters: of the pipeline, without their two dashes.
        environment: variables to set.
        pipeline: its folder, where an option names one.
        resume, force: why the results folder need not be empty.
    """

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    pipeline: Path | None = None
    resume: bool = False
    force: bool = False

    def set(self, name: str, value: str, flag: str) -> None:
        """Give a parameter of the pipeline its value.

        Raises: InputError when another option has given it a different one.
        """
        current = self.parameters.setdefault(name, value)
        if current != value:
            raise InputError(f"{flag} asks for --{name} {value}, another option for {current}.")

    def arguments(self, nextflow: str, pipeline: Path) -> list[str]:
        """Return the whole command."""
        options = [word for n, value in self.parameters.items() for word in (f"--{n}", value)]
        return [nextflow, *self.before, "run", str(pipeline), *self.after, *options]

    def shell_line(self, arguments: list[str]) -> str:
        """Return the command with its variables as a line for a shell."""
        variables = [f"{name}={shlex.quote(text)}" for name, text in self.environment.items()]
        return " ".join([*variables, shlex.join(arguments)])


Effect = Callable[[Launch, Any, str], None]  # launch, value, names of the option


def parameter(name: str, value: str | None = None) -> Effect:
    """Return an effect that sets a parameter to a fixed value, or to that of the option."""

    def effect(launch: Launch, given: Any, flag: str) -> None:
        launch.set(name, str(given) if value is None else value, flag)

    return effect


def model_type(launch: Launch, given: str, flag: str) -> None:
    """Set the chunk length of one of the fork's two models."""
    if given not in CHUNK_LENGTHS:
        raise InputError(
            f"{flag} {given}: a classifier of your own goes into a model set: build it with "
            "`virnucpro models build`, then give --model-set."
        )
    launch.set("chunk_length", given, flag)


def device(launch: Launch, given: str, flag: str) -> None:
    """Set the device; a number names one GPU.

    Raises: InputError for anything but auto, cpu, cuda, cuda:N and N.
    """
    match = re.fullmatch(r"(auto|cpu|cuda)|(?:cuda:)?(\d+)", given)
    if not match:
        raise InputError(f"{flag} {given}: give auto, cpu, cuda, cuda:N or N.")
    name, number = match.groups()
    launch.set("device", name or "cuda", flag)
    if number:
        _show_gpus(launch, number, flag)


def gpus(launch: Launch, given: str, flag: str) -> None:
    """Let the run use these GPUs only, and never the CPU instead."""
    if not re.fullmatch(r"\d+(,\d+)*", given):
        raise InputError(f"{flag} {given}: give numbers with commas between, such as 0,1.")
    launch.set("device", "cuda", flag)
    _show_gpus(launch, given, flag)


def _show_gpus(launch: Launch, numbers: str, flag: str) -> None:
    current = launch.environment.setdefault("CUDA_VISIBLE_DEVICES", numbers)
    if current != numbers:
        raise InputError(f"{flag} asks for GPU {numbers}, another option for {current}.")
    launch.environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # so that N is nvidia-smi's


def threads(launch: Launch, given: int, flag: str) -> None:
    """Limit the CPUs that Java sees, and so those of all local tasks together."""
    if given < 1:
        raise InputError(f"{flag} {given}: must be >= 1.")
    options = [os.environ.get("NXF_OPTS", ""), f"-XX:ActiveProcessorCount={given}"]
    launch.environment["NXF_OPTS"] = " ".join(options).strip()


def before(*words: str) -> Effect:
    """Return an effect that adds words, and the option's value if it has one, before `run`."""
    return lambda launch, given, flag: launch.before.extend(_with_value(words, given))


def after(*words: str) -> Effect:
    """Return an effect that adds words, likewise, to the options of `nextflow run`."""
    return lambda launch, given, flag: launch.after.extend(_with_value(words, given))


def _with_value(words: tuple[str, ...], given: Any) -> list[str]:
    return [*words] if given is True else [*words, str(given)]


def pipeline(launch: Launch, given: str, flag: str) -> None:
    """Set the folder of the pipeline."""
    launch.pipeline = Path(given)


def resume(launch: Launch, given: bool, flag: str) -> None:
    """Continue the run that wrote the same results folder."""
    launch.resume = True


def force(launch: Launch, given: bool, flag: str) -> None:
    """Overwrite the results of another run."""
    launch.force = True
