import json
from pathlib import Path

import esm
import pytest

from virnucpro.errors import InputError
from virnucpro.models import esm2
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer

ROOT = Path(__file__).parents[2]
TOKENIZER = ROOT / "models/compact-500/tokenizer.json"
GOLDEN = json.loads((ROOT / "tests/data/tokenizer/golden_tokens.json").read_text())["cases"]
IDS = {case["name"]: case["ids"] for case in GOLDEN}


@pytest.fixture(scope="module")
def bpe():
    return BpeTokenizer(TOKENIZER)


def test_there_are_18_golden_cases():
    assert len(GOLDEN) == 18


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_ids_are_the_golden_ones(bpe, case):
    # The golden file shows what lower case does to the plain tokenizer; ours upper-cases first.
    expected = IDS["readme_example"] if case["name"] == "lowercase" else case["ids"]
    (ids,) = bpe.encode([case["sequence"]])
    assert ids.tolist() == expected


def test_lower_case_bases_get_the_ids_of_upper_case(bpe):
    lower, upper = bpe.encode(["acgtnacgt", "ACGTNACGT"])
    assert lower.tolist() == upper.tolist()
    assert lower.tolist().count(0) == 1  # the N alone is [UNK]


def test_padding_and_truncation_of_the_file_are_ignored(bpe, tmp_path):
    content = json.loads(TOKENIZER.read_text())
    content["truncation"] = {
        "direction": "Right",
        "max_length": 20,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    content["padding"] = {
        "strategy": {"Fixed": 20},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 3,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    sequences = ["ACGT", GOLDEN[6]["sequence"]]
    assert [ids.tolist() for ids in BpeTokenizer(path).encode(sequences)] == [
        ids.tolist() for ids in bpe.encode(sequences)
    ]


def test_the_filler_is_pad(bpe):
    assert (bpe.filler_id, EsmTokenizer(esm2.ALPHABET).filler_id) == (3, 1)


def test_a_damaged_tokenizer_file_is_reported(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"tokenizer\.json: not a readable tokenizer"):
        BpeTokenizer(path)


def test_the_esm_alphabet_is_fair_esms():
    assert list(esm2.ALPHABET) == esm.Alphabet.from_architecture("ESM-1b").all_toks


@pytest.mark.parametrize("protein", ["M", "LAGVSERTIDPKQNFYMHWCXBUZO.-", "MKVLAWYC"])
def test_esm_ids_are_fair_esms(protein):
    convert = esm.Alphabet.from_architecture("ESM-1b").get_batch_converter()
    _, _, expected = convert([("", protein)])
    (ids,) = EsmTokenizer(esm2.ALPHABET).encode([protein])
    assert ids.tolist() == expected[0].tolist()


def test_lower_case_residues_are_upper_cased_and_strange_letters_unknown():
    lower, strange = EsmTokenizer(esm2.ALPHABET).encode(["mkv", "MJ*é€"])
    assert lower.tolist() == [0, 20, 15, 7, 2]
    assert strange.tolist() == [0, 20, 3, 3, 3, 3, 2]
