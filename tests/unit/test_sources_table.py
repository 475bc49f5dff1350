"""The table of official files, and what is refused in one."""

from pathlib import Path

import pytest

from virnucpro.errors import InputError
from virnucpro.model_import.sources_table import TABLE, read_table

ROOT = Path(__file__).parents[2]


def test_the_projects_table_is_one_file_without_faults() -> None:
    assert TABLE.resolve() == ROOT / "assets" / "models.toml"
    table = read_table()
    assert list(table.sets) == ["virnucpro-500", "virnucpro-300"]
    for name, official in table.sets.items():
        assert official.chunk_bp == int(name.split("-")[1])
        assert official.classifier.name == f"{official.chunk_bp}_model.pth"
        assert [file.is_pinned for file in official.files] == [True] * 5
        assert [f.path for f in official.dnabert_s] == [
            f"DNABERT-S/{n}" for n in ("pytorch_model.bin", "config.json", "tokenizer.json")
        ]
    for file in table.files.values():
        assert file.url.startswith("https://")
        assert file.url.endswith(f"/{file.name}")
    assert [key for key, file in table.files.items() if not file.is_pinned] == [
        "esm2_t48_15B_UR50D"  # nobody states its sum
    ]


def test_a_set_with_another_encoder() -> None:
    table = read_table()
    for name in ("3B", "esm2_t36_3B_UR50D", None):
        assert table.official_set("virnucpro-500", name).esm2.name == "esm2_t36_3B_UR50D.pt"
    with pytest.raises(InputError, match="--esm2 650M: gives 1280 numbers .* takes 2560"):
        table.official_set("virnucpro-500", "650M")
    with pytest.raises(InputError, match="--esm2 UR50D: no such encoder. Known are: esm2_t6_8M"):
        table.official_set("virnucpro-500", "UR50D")
    with pytest.raises(InputError, match="x: no such official model set. Known are: virnucpro-500"):
        table.official_set("x")


FILE = '[files.f]\nname = "f.bin"\nurl = "https://x/f.bin"\nsource = "s"\nlicence = "l"\n'


@pytest.mark.parametrize(
    "text, words",
    [
        ("[files.f]\n", "files.f: name is missing, url is missing, source is missing"),
        (FILE + "md5 = 'x'", "files.f: md5 is unknown"),
        (FILE.replace("f.bin", "../f.bin", 1), "name must consist of letters"),
        (FILE + "folder = '..'", "folder must consist of letters"),
        (FILE + "sha256 = 'ABC'", "sha256 must have 64 hexadecimal digits"),
        (FILE + "git_blob = '0'", "git_blob must have 40"),
        (FILE + "size_bytes = 0", "size_bytes must be an integer >= 1"),
        (FILE + "[sets.s]\nesm2 = 'f'", "sets.s: must have exactly classifier .str., dnabert_s .list."),
        (
            FILE + "[sets.s]\nclassifier = 'f'\ndnabert_s = ['g']\nesm2 = 'f'\nesm2_width = 1\nchunk_bp = 1",
            r"sets.s: no entry files.g",
        ),
        ("[files", "is not a TOML file"),
    ],
)  # fmt: skip
def test_a_faulty_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"(?s)t.toml: .*{words}"):
        read_table(path)


def test_a_missing_table_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="It is assets/models.toml of the project"):
        read_table(tmp_path / "none.toml")
