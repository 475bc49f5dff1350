"""A target for atheris: atheris_target.py FORMAT CORPUS [options of libFuzzer]; see tools/fuzz.py."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["virnucpro"]):
    from formats import FORMATS
from limits import read_or_refuse


def main(name: str, corpus: Path, *options: str) -> None:
    """Fuzz a format, starting from its valid examples."""
    chosen = FORMATS[name]
    for number, data in enumerate(chosen.examples()):
        (corpus / str(number)).write_bytes(data)
    path = Path(tempfile.mkdtemp()) / "file"

    def target(data: bytes) -> None:
        path.write_bytes(data)
        read_or_refuse(lambda: chosen.read(path))

    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
