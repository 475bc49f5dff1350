"""What names of files say: their sample, and which two of `*_R{1,2}.fastq.gz` are mates."""

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

SEQUENCES = re.compile(r"\.(fa|fas|fasta|fna|ffn|fq|fastq|bam)$", re.IGNORECASE)
COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst)$", re.IGNORECASE)
MATE_WORDS = (("1", "2"), ("forward", "reverse"), ("fwd", "rev"))  # in names of files
SECOND = dict(MATE_WORDS)
GLOB_TOKEN = re.compile(r"\\.|\*+|\?|\[[^\]]+\]|\{[^{}]*\}|.", re.DOTALL)
FIRST_MATES = re.compile(  # the name of their file
    r"(?P<before>.*(?P<kind>[._-]R?))(?P<mate>1|forward|fwd)(?P<after>[._-](?:[^/]*\.)?(?:fq|fastq)(?:\.\w+)?)",
    re.IGNORECASE,
)


def is_sequence_name(name: str) -> bool:
    """Return whether a file is called like a sequence file, compressed or not."""
    return bool(SEQUENCES.search(COMPRESSED.sub("", name)))


def stem(name: str) -> str:
    """Return the name of a file without the endings of its format and compression."""
    return SEQUENCES.sub("", COMPRESSED.sub("", name))


def pair_files(glob: str, paths: Sequence[str]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Return what is wrong, and before it the files of each sample, in order, with a name for it.

    A glob that asks for both mates, such as {1,2}, {R1,R2} or [12], makes pairs, called what the
    names of both begin with. A file that is not of a pair is alone, with the name "".
    """
    pattern, words = _pattern(glob)
    groups: dict[tuple[str, str, str], dict[str, str]] = {}  # folder, before, after: mate -> path
    for path in paths:
        folder, _, name = path.rpartition("/")
        match = pattern.fullmatch(name) if pattern else None
        key = (folder, match[1], match[3]) if match else (path, "", "")
        groups.setdefault(key, {})[match[2] if match else ""] = path
    samples, faults = [], []
    for (_, before, after), files in groups.items():
        # as Nextflow's fromFilePairs: what stands before the mate
        name = re.sub(r"([._-]+[Rr]?|R)$", "", before) or stem(after.lstrip("._-"))
        samples.append((name, [files[word] for word in ("", *words) if word in files]))
        if len(files) == 1 and "" not in files:
            ((word, path),) = files.items()
            other = before + words[word == words[0]] + after
            faults.append(
                f"{PurePosixPath(path).name}: there is no {other}, its mate, beside it. Add it, or "
                "name the files in a samplesheet"
            )
    return samples, faults


def unpaired_warning(glob: str, paths: Sequence[str]) -> str:
    """Return a line about FASTQ files that look like mates, but are samples; "" without any."""
    others = {path for _, files in pair_files(glob, paths)[0] for path in files if not files[1:]}
    found = []
    for path in sorted(others):
        second = second_mates(path)
        if second in others:
            found.append((path, second))
    if not found:
        return ""
    first, second = (PurePosixPath(path).name for path in found[0])
    more = f" ({len(found) - 1} more such pairs)" if found[1:] else ""
    advice = glob[: glob.rfind("/") + 1] + _glob_of_pair(found[0][0])
    return (
        f"{first} and {second} look like mates, but become two samples{more}. To pair them: "
        f"--input {shlex.quote(advice)}, or a samplesheet with the column input_2"
    )


def second_mates(path: str) -> str:
    """Return what the file of second mates beside one of first mates is called; "" for others."""
    match = FIRST_MATES.fullmatch(path)
    return match["before"] + SECOND[match["mate"].lower()] + match["after"] if match else ""


def _glob_of_pair(path: str) -> str:
    match = FIRST_MATES.fullmatch(path)
    assert match
    mates = f"{{{match['mate']},{SECOND[match['mate'].lower()]}}}"
    return f"*{match['kind']}{mates}{match['after']}"


def _pattern(glob: str) -> tuple[re.Pattern[str] | None, tuple[str, str]]:
    """Return a pattern of file names with the groups before, mate and after, and the mates."""
    tokens = GLOB_TOKEN.findall(glob.rpartition("/")[2])
    for place in reversed(range(len(tokens))):
        for words in MATE_WORDS:
            if match := _asks_for_both(tokens[place], words):
                before = "".join(map(_regex, tokens[:place])) + re.escape(match["before"])
                rest = [*GLOB_TOKEN.findall(match["after"]), *tokens[place + 1 :]]
                after = "".join(map(_regex, rest))
                mate = rf"(?<!\d)({'|'.join(words)})(?!\d)"  # not a digit of 001
                return re.compile(f"({before}){mate}({after})", re.DOTALL), words
    return None, MATE_WORDS[0]


def _asks_for_both(token: str, words: tuple[str, str]) -> re.Match[str] | None:
    """Match a part of a glob that is {1,2} or {R1,R2} or [12]; {S1,S2} are two samples."""
    if token in ("[12]", "[1-2]"):
        token = "{1,2}"
    first, second = words
    token = ",".join(sorted(token[1:-1].split(","), key=lambda text: second in text))
    both = rf"(?P<before>[._-]?[Rr]?){first}(?P<after>(?:[._*-].*)?),(?P=before){second}(?P=after)"
    return re.fullmatch(both, token)


def _regex(token: str) -> str:
    """Return the regular expression of a part of a glob, within the name of a file."""
    if token[0] == "*":
        return ".*"
    if token == "?":
        return "."
    if token[0] == "[" and token[1:]:
        return "[" + re.sub(r"^!", "^", token[1:-1]).replace("\\", r"\\") + "]"
    if token[0] == "{" and token[1:]:
        parts = [GLOB_TOKEN.findall(part) for part in token[1:-1].split(",")]
        return f"(?:{'|'.join(''.join(map(_regex, part)) for part in parts)})"
    return re.escape(token[1:] if token[0] == "\\" and token[1:] else token)
