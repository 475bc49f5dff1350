"""Parts of the vectors of an unfinished task, from which its next attempt continues.

    CHECKPOINT_DIR/IDENTITY/UNIQUE.safetensors     vectors, and to which sequences they belong
    CHECKPOINT_DIR/IDENTITY/.UNIQUE.tmp            one that is being written, or was

A part is complete or absent: it is written under a temporary name, synced and renamed. Its header
has the identity of the task, so that parts of different tasks are never mixed, and a digest of its
content. Names are unique and parts never change: two processes of the same identity (a task and its
retry, two runs) may write beside each other, since their vectors of a sequence are equal.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from virnucpro.embeddings.store import Provenance
from virnucpro.engine.embed import Embeddings

FORMAT = "virnucpro checkpoint 2"
INTERVAL_S = 60.0  # what a killed task computes again, at most
INTERVAL_VARIABLE = "VIRNUCPRO_CHECKPOINT_S"  # another interval, for tests and measurements
PART_NAME = re.compile(r"[0-9a-f]{32}\.safetensors|\.[0-9a-f]{32}\.tmp")
PART_BYTES = 1 << 27  # vectors of a part, which are in memory a second time while it is written
DTYPES = {
    "vectors": "float32", "rows": "int64", "num_tokens": "int64", "recomputed": "bool",
    "no_vector": "uint8",
}  # fmt: skip

log = logging.getLogger(__name__)


class PartError(Exception):
    """A part cannot be used; the text says why."""


class OtherTaskError(PartError):
    """It is a part of another task, and so not ours to remove."""


@dataclass(frozen=True)
class Part:
    """Vectors of k of the m distinct sequences of a task.

    Attributes:
        vectors: float32 [k, d].
        rows: int64 [k], their rows among the distinct sequences.
        num_tokens: int64 [k].
        recomputed: bool [k], sequences that overflowed and were computed in float32.
        no_vector: uint8 [k], why a sequence has no vector (sequences/no_vector.py).
    """

    vectors: np.ndarray
    rows: np.ndarray
    num_tokens: np.ndarray
    recomputed: np.ndarray
    no_vector: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in DTYPES}


def identity_of(provenance: Provenance, distinct: Iterable[str]) -> dict[str, Any]:
    """Return all that the vectors of a task depend on: code, weights, numerics key, sequences."""
    digest = hashlib.sha256()
    for sequence in distinct:
        digest.update(f"{sequence}\n".encode())
    return {
        "architecture": provenance.architecture,
        "component_sha256": provenance.component_sha256,
        "tokenizer_sha256": provenance.tokenizer_sha256,
        "library_digest": provenance.library_digest,
        "numerics": provenance.numerics,
        "sequences_sha256": digest.hexdigest(),
    }


def write_part(folder: Path, identity: dict[str, Any], part: Part) -> None:
    """Write a part under a name of its own, complete or not at all, and to the disk.

    Raises: OSError, SafetensorError.
    """
    name = uuid.uuid4().hex
    temporary = folder / f".{name}.tmp"
    arrays, words = part.arrays(), _as_json(identity)
    header = {"format": FORMAT, "identity": words, "sha256": _digest(words, arrays)}
    try:
        save_file(arrays, temporary, metadata=header)
        _sync(temporary)
        temporary.replace(folder / f"{name}.safetensors")
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            _sync(folder)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_part(path: Path, identity: dict[str, Any], num_sequences: int, width: int) -> Part:
    """Return a part of the task with this identity.

    Raises: PartError for one that is damaged, or of another task.
    """
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise PartError(f"cannot be read ({error})") from error
    if header.get("format") != FORMAT:
        raise PartError(f"is not a {FORMAT}")
    words = header.get("identity", "")
    if header.get("sha256") != _digest(words, arrays):
        raise PartError("is damaged: its content does not match its sha256")
    if words != _as_json(identity):
        raise OtherTaskError(f"belongs to another task{_difference(json.loads(words), identity)}")
    if {name: str(array.dtype) for name, array in arrays.items()} != DTYPES:
        raise PartError("is damaged: it has other arrays")
    part = Part(**arrays)
    count = len(part.rows)
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != dict.fromkeys(DTYPES, (count,)) | {"vectors": (count, width)}:
        raise PartError("is damaged: its arrays do not fit together")
    if count and not 0 <= part.rows.min() <= part.rows.max() < num_sequences:
        raise PartError("is damaged: it has rows that the task does not have")
    return part


class Checkpoint:
    """Restores the vectors of earlier attempts, writes those of this one, and removes all.

    Without a folder that it can use, or when a part cannot be written, it says so in one line, and
    the task continues without parts.

    Attributes:
        num_restored: sequences that earlier attempts computed.
        num_parts: parts written.
        write_s: seconds of writing them.
    """

    def __init__(self, base: Path | None, identity: dict[str, Any]) -> None:
        """Take the folder of all tasks, or None for no checkpoints, and what is computed."""
        self.num_restored = self.num_parts = 0
        self.write_s = 0.0
        self._identity = identity
        name = hashlib.sha256(_as_json(identity).encode()).hexdigest()[:32]
        self._folder = base / name if base and _is_writable(base) else None
        self._is_writing = self._folder is not None
        self._others: set[Path] = set()  # parts of other tasks, which are not ours to remove
        self._interval_s = float(os.environ.get(INTERVAL_VARIABLE, INTERVAL_S))
        self._lock = threading.Lock()  # the writer and a signal's thread
        self._written_at = time.monotonic()
        self._embeddings: Embeddings | None = None
        self._is_final = self._is_saved = np.zeros(0, bool)
        self._num_saved = 0

    def restore(self, embeddings: Embeddings, is_final: np.ndarray) -> None:
        """Fill in the vectors that earlier attempts saved, and mark their rows final.

        Args:
            embeddings: without any vector yet; kept, as is_final is, for what is saved later.
        """
        num_parts = 0
        for path in self._files():
            if not PART_NAME.fullmatch(path.name):
                log.warning("checkpoints: %s: is not a part; it is ignored", path)
            if not path.name.endswith(".safetensors"):
                continue  # a leftover, or one that another process writes just now
            try:
                part = read_part(path, self._identity, *embeddings.distinct.shape)
            except PartError as error:
                log.warning("checkpoints: %s: %s; it is ignored", path, error)
                if isinstance(error, OtherTaskError):
                    self._others.add(path)
                continue
            embeddings.distinct[part.rows] = part.vectors
            embeddings.distinct_num_tokens[part.rows] = part.num_tokens
            embeddings.recomputed[part.rows] = part.recomputed
            embeddings.no_vector[part.rows] = part.no_vector
            is_final[part.rows] = True
            num_parts += 1
        self._is_saved = is_final.copy()
        self.num_restored = self._num_saved = int(is_final.sum())
        self._is_final, self._embeddings = is_final, embeddings
        self._written_at = time.monotonic()
        if num_parts:
            log.info("checkpoints: %d of %d distinct sequences restored from %d parts in %s",
                     self.num_restored, len(is_final), num_parts, self._folder)  # fmt: skip

    def is_due(self) -> bool:
        """Return whether a part should be written; no longer when every vector is computed."""
        if not self._is_writing or self._embeddings is None:
            return False
        num_final = int(np.count_nonzero(self._is_final))
        num_new = num_final - self._num_saved
        if not num_new or num_final == len(self._is_final):
            return False
        is_full = num_new * self._embeddings.distinct[:1].nbytes >= PART_BYTES
        return is_full or time.monotonic() - self._written_at >= self._interval_s

    def save(self) -> None:
        """Write what is computed and not saved yet; may be called from any thread."""
        with self._lock:
            if not self._is_writing or self._folder is None or self._embeddings is None:
                return
            start = time.perf_counter()
            rows = np.flatnonzero(self._is_final & ~self._is_saved)
            step = max(1, PART_BYTES // max(self._embeddings.distinct[:1].nbytes, 1))
            try:
                for first in range(0, len(rows), step):
                    self._write(self._folder, self._embeddings, rows[first : first + step])
            except FileNotFoundError:
                pass  # removed by a process that has finished the same task: next time again
            except (OSError, SafetensorError) as error:
                log.warning(
                    "checkpoints: cannot write to %s (%s): continuing without", self._folder, error
                )
                self._is_writing = False
            self._written_at = time.monotonic()
            self.write_s += time.perf_counter() - start

    def remove(self) -> None:
        """Remove all parts, also those of other attempts, since the output is complete."""
        with self._lock:
            self._embeddings = None
            for path in self._files():
                if PART_NAME.fullmatch(path.name) and path not in self._others:
                    with contextlib.suppress(OSError):
                        path.unlink()
            if self._folder:
                with contextlib.suppress(OSError):  # not there, or not empty
                    self._folder.rmdir()

    def _write(self, folder: Path, embeddings: Embeddings, rows: np.ndarray) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise PermissionError("it belongs to another user")
        part = Part(
            embeddings.distinct[rows],
            rows,
            embeddings.distinct_num_tokens[rows],
            embeddings.recomputed[rows],
            embeddings.no_vector[rows],
        )
        write_part(folder, self._identity, part)
        self._is_saved[rows] = True
        self._num_saved += len(rows)
        self.num_parts += 1

    def _files(self) -> list[Path]:
        """Return what is in the folder, if it is there and nobody else can have written it."""
        if self._folder is None or not self._folder.is_dir():
            return []
        if self._folder.stat().st_uid != os.geteuid():
            log.warning("checkpoints: %s belongs to another user: continuing without", self._folder)
            self._folder, self._is_writing = None, False
            return []
        return sorted(self._folder.iterdir())


def _is_writable(base: Path) -> bool:
    """Return whether parts can be written below a folder; say so where not."""
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = "" if os.access(base, os.W_OK | os.X_OK) else "not writable"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        log.warning("checkpoints: --checkpoint_dir %s: %s: continuing without", base, reason)
    return not reason


def _as_json(identity: dict[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)


def _digest(identity: str, arrays: dict[str, np.ndarray]) -> str:
    """Return the sha256 of an identity, and of arrays with their names, types and shapes."""
    digest = hashlib.sha256(f"{identity}\n".encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def _difference(other: dict[str, Any], identity: dict[str, Any]) -> str:
    """Return in words in what an identity differs."""
    return f" (another {', '.join(name for name in identity if other.get(name) != identity[name])})"


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
