"""docs/reliability.md names every exit status of a task, and what conf/base.config does with it."""

import re
from pathlib import Path

from virnucpro import task
from virnucpro.engine.embed_task import EXIT_GPU_MEMORY
from virnucpro.engine.stopping import EXIT_STOPPED

ROOT = Path(__file__).parents[2]
ROW = re.compile(
    r"^\| (\d+)(?:-(\d+))? \| .+ \| (goes on|ends the run|tries again) \|$", re.MULTILINE
)
CONFIG = (ROOT / "conf/base.config").read_text()


def documented() -> dict[int, str]:
    section = (ROOT / "docs/reliability.md").read_text().partition("## Exit statuses\n")[2]
    rows = ROW.findall(section.partition("\n## ")[0])
    assert len(rows) == 18
    statuses: dict[int, str] = {}
    for first, last, action in rows:
        for status in range(int(first), int(last or first) + 1):
            assert statuses.setdefault(status, action) == action
    return statuses


def retried() -> set[int]:
    """Return the statuses of ext.retried_exits."""
    found = re.search(r"ext\.retried_exits = \((\d+)\.\.(\d+)\) \+ \[([^]]+)\]", CONFIG)
    assert found
    words = found[3].replace("Integer.MAX_VALUE", str(2**31 - 1)).split(",")
    return {*range(int(found[1]), int(found[2]) + 1), *map(int, words)}


def of_shell(name: str) -> set[int]:
    text = (ROOT / "tools" / name).read_text()
    return set(map(int, re.findall(r"\b(?:exit|return) (\d+)", text)))


def test_what_is_tried_again_is_what_the_configuration_says() -> None:
    assert {
        status for status, action in documented().items() if action == "tries again"
    } == retried()


def test_every_status_of_our_code_is_documented() -> None:
    constants = {value for name, value in vars(task).items() if name.startswith("EXIT_")}
    assert constants == {2, 65, 74, 78, 137}
    ours = constants | {0, 1, EXIT_GPU_MEMORY, EXIT_STOPPED}
    assert ours | of_shell("task_env.sh") | of_shell("gpu-lease.sh") <= set(documented())
    assert {task.EXIT_MEMORY, EXIT_GPU_MEMORY, EXIT_STOPPED} <= retried()
    assert (
        not {0, 1, task.EXIT_INPUT, task.EXIT_DAMAGE, task.EXIT_DISK, task.EXIT_LIBRARY} & retried()
    )


def test_the_number_of_tries_is_the_documents() -> None:
    assert re.findall(r"maxRetries\s+= (\d+)", CONFIG) == ["2", "5"]
    gpu = CONFIG.partition("withLabel: 'process_gpu'")[2]
    assert gpu.count("[task.attempt, 3].min()") == 2
