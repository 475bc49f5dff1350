"""Sequences to token ids: one letter a token for ESM-2, byte-pair encoding for DNABERT-S."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import tokenizers

from virnucpro.errors import InputError

Ids = np.ndarray  # int32 [length], special tokens included


class Tokenizer(Protocol):
    """What the embedding loop needs of a tokenizer."""

    filler_id: int  # id of the tokens that fill up a batch; no sequence attends to them

    def encode(self, sequences: Sequence[str]) -> list[Ids]:
        """Return the ids of each sequence, with its special tokens."""


class EsmTokenizer:
    """<cls>, one token a letter, <eos>; a letter that the alphabet does not have is <unk>."""

    def __init__(self, alphabet: Sequence[str]) -> None:
        """Take the tokens of a model in the order of their ids."""
        ids = {token: index for index, token in enumerate(alphabet)}
        self.filler_id = ids["<pad>"]
        self._bos, self._eos = ids["<cls>"], ids["<eos>"]
        self._id_of_byte = np.full(256, ids["<unk>"], dtype=np.int32)
        for token, index in ids.items():
            if len(token) == 1:
                self._id_of_byte[ord(token)] = index

    def encode(self, sequences: Sequence[str]) -> list[Ids]:
        """Return the ids of each protein, BOS and EOS included; letters are upper-cased."""
        return [self._encode(sequence) for sequence in sequences]

    def _encode(self, sequence: str) -> Ids:
        letters = np.frombuffer(sequence.upper().encode("latin-1", "replace"), dtype=np.uint8)
        ids = np.empty(len(letters) + 2, dtype=np.int32)
        ids[0], ids[-1] = self._bos, self._eos
        ids[1:-1] = self._id_of_byte[letters]
        return ids


class BpeTokenizer:
    """The tokenizer of a `tokenizer.json`, without the padding and truncation it may ask for."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises: InputError when it cannot be read or has no [PAD] token.
        """
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises plain Exception
            raise InputError(f"{path}: not a readable tokenizer.json ({error}).") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        filler_id = self._tokenizer.token_to_id("[PAD]")
        if filler_id is None:
            raise InputError(f"{path}: no [PAD] token. Give the tokenizer.json of DNABERT-S.")
        self.filler_id: int = filler_id

    @property
    def vocab_size(self) -> int:
        """Return the number of tokens."""
        return self._tokenizer.get_vocab_size()

    def encode(self, sequences: Sequence[str]) -> list[Ids]:
        """Return the ids of each sequence, [CLS] and [SEP] included.

        Letters are upper-cased first: the vocabulary has no lower case, each would be [UNK].
        """
        encodings = self._tokenizer.encode_batch_fast([sequence.upper() for sequence in sequences])
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
