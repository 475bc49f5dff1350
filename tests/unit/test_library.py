"""Which part of the library each executable really imports, and what is written down about it."""

import ast
import functools
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from virnucpro.engine import embed_task

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
UTILS = ROOT / "subworkflows/local/utils_virnucpro_pipeline"
SCRIPTS = sorted(path.stem for path in (ROOT / "bin").glob("vnp_*.py"))
WITH_TORCH = ("vnp_embed_dnabert_s", "vnp_embed_esm2", "vnp_train_classifier")
IMPORT_AND_LIST = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="script")
print("\\n".join(name for name in sys.modules if name.split(".")[0] in ("virnucpro", "torch")))
"""


@functools.cache
def loaded_modules(script: str) -> frozenset[str]:
    """Return the modules of virnucpro and torch that importing a script loads."""
    path = ROOT / f"bin/{script}.py"
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST, path], capture_output=True, text=True, check=True
    )
    return frozenset(done.stdout.split())


def module_path(name: str) -> Path | None:
    stem = SOURCE.joinpath(*name.split("."))
    candidates = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in candidates if path.exists()), None)


def imported_names(path: Path) -> set[str]:
    """Return the modules of virnucpro that a file imports anywhere, functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return {n for n in names if n.split(".")[0] == "virnucpro" and module_path(n)}


def reachable_modules(script: str) -> set[str]:
    """Return what the script and the modules it reaches import, lazily or not."""
    reached: set[str] = set()
    new = imported_names(ROOT / f"bin/{script}.py")
    while new:
        reached |= new
        new = (
            set().union(*(imported_names(path) for n in new if (path := module_path(n)))) - reached
        )
    return reached


def packages(modules) -> list[str]:
    """Return the sub-packages among module names."""
    names = (name.split(".") for name in modules)
    return sorted({n[1] for n in names if n[0] == "virnucpro" and len(n) > 1
                   and (SOURCE / "virnucpro" / n[1]).is_dir()})  # fmt: skip


def written_in_pipeline() -> dict[str, list[str]]:
    """Return process -> sub-packages of the table in library.nf."""
    text = (UTILS / "library.nf").read_text()
    table = re.search(r"def libraryPackages\(\) \{\s*\[(.*?)\n    \]", text, re.DOTALL)
    assert table
    rows = re.findall(r"^\s*(\w+): \[([^\]]*)\],?$", table[1], re.MULTILINE)
    assert len(rows) == len(table[1].strip().splitlines())
    return {process: re.findall(r"'(\w+)'", names) for process, names in rows}


def process_of(script: str) -> str:
    return script.removeprefix("vnp_").upper()


def test_there_is_a_row_for_each_script():
    assert sorted(written_in_pipeline()) == sorted(map(process_of, SCRIPTS))
    assert len(SCRIPTS) == 11


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_table_lists_what_a_script_imports(script):
    imported = packages(loaded_modules(script) | reachable_modules(script))
    assert imported
    assert written_in_pipeline()[process_of(script)] == imported  # sorted, as people read it


def test_the_provenance_of_vectors_is_of_the_same_packages():
    table = written_in_pipeline()
    assert table["EMBED_ESM2"] == table["EMBED_DNABERT_S"] == list(embed_task.LIBRARY)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_two_ways_of_finding_imports_agree(script):
    loaded = {name for name in loaded_modules(script) if name.startswith("virnucpro.")}
    reached = reachable_modules(script) - {"virnucpro"}
    parents = {name.rpartition(".")[0] for name in reached} - {"virnucpro"}
    assert loaded <= reached | parents


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s not in WITH_TORCH])
def test_torch_is_imported_by_the_encoders_and_training_only(script):
    loaded = loaded_modules(script)
    assert "virnucpro.task" in loaded and "torch" not in loaded
    reached = (path for name in reachable_modules(script) if (path := module_path(name)))
    for path in (ROOT / f"bin/{script}.py", *reached):
        assert not re.search(r"^\s*(import|from) torch", path.read_text(), re.MULTILINE), path


def test_the_others_do_import_torch():  # so that the test above can fail
    assert all("torch" in loaded_modules(script) for script in WITH_TORCH)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_process_runs_the_script_with_its_digest(script):
    name = script.removeprefix("vnp_")
    text = (ROOT / f"modules/local/{name}/main.nf").read_text()
    assert f"process {process_of(script)} {{" in text
    assert f"{script}.py " in text and "--library ${library}" in text
    files = (
        "main.nf",
        "subworkflows/local/embedding/main.nf",
        "workflows/predict.nf",
        "workflows/train.nf",
    )
    texts = [(ROOT / file).read_text() for file in files]
    assert sum(f"library.{process_of(script)}" in text for text in texts) == 1


def test_the_library_under_test_is_that_of_this_checkout():
    spec = importlib.util.find_spec("virnucpro")
    assert spec and Path(str(spec.origin)).resolve().parent == (SOURCE / "virnucpro").resolve()


# Each package imports only from those before it; docs/architecture.md shows the same order.
ORDER = (
    "errors", "files", "checksums", "json_schema", "task", "sequences", "kernels", "consensus", "embeddings",
    "comparison", "migration", "models", "scoring", "calls", "verification", "model_sets", "engine", "model_import",
    "training", "input_checks", "compact", "model_diagnostics", "health", "cli", "__main__",
)  # fmt: skip


def test_imports_point_one_way() -> None:
    upwards = []
    for path in sorted((SOURCE / "virnucpro").rglob("*.py")):
        package = path.relative_to(SOURCE / "virnucpro").with_suffix("").parts[0]
        names = {n.split(".")[1] for n in imported_names(path) if n.count(".")}
        upwards += [(str(path), name) for name in names if package != "__init__"
                    and ORDER.index(name) > ORDER.index(package)]  # fmt: skip
    assert upwards == []


def test_no_module_imports_in_a_circle() -> None:
    imports = {}
    for path in sorted((SOURCE / "virnucpro").rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        imports[name] = {
            n for n in imported_names(path) if n != name and module_path(n) != module_path(name)
        }
    free = {name: names & imports.keys() for name, names in imports.items()}
    while leaves := [name for name, names in free.items() if not names]:
        free = {name: names - set(leaves) for name, names in free.items() if name not in leaves}
    assert free == {}
