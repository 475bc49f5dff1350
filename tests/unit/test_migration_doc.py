"""docs/migration.md has every option, variable, file, key and command of the fork."""

import re
import runpy
from pathlib import Path

import pytest

from virnucpro.migration.options import OPTIONS, VARIABLES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/migration.md").read_text()

# As the fork's sources have them (main at a8d3e4b), and its container's wrapper.
PREDICT = """-m --model-type -p --model-path -e --expected-length -o --output-dir -d --device -b --batch-size
-w --num-workers -k --keep-intermediate --resume -f --force --no-progress --dnabert-batch-size
--parallel --v1-fallback --v1-attention --gpus --esm-batch-size -t --threads --merge-threads
--verbose --quiet --skip-checkpoint-validation --force-resume --dataloader-workers --pin-memory
--expandable-segments --cache-clear-interval --cuda-streams --no-cuda-streams --persistent-models
--no-persistent-models -v -q -l --log-file -c --config --use-gpu --no-gpu --virnucpro-path"""
COMMANDS = """profile benchmark list-devices validate generate-config validate-checkpoints
compare_virnucpro_outputs.py --min-batch --max-batch --step --test-file --suite --data-size
--compare-to --vanilla-baseline --quick --skip-load --vanilla --refactored --mode --tolerance
--output --export-csv --mismatch-limit --version"""
ENVIRONMENT = """VIRNUCPRO_DISABLE_PACKING VIRNUCPRO_DISABLE_FP16 VIRNUCPRO_V1_ATTENTION
VIRNUCPRO_VIRAL_CHECKPOINT_MODE CUDA_VISIBLE_DEVICES PYTORCH_CUDA_ALLOC_CONF
TOKENIZERS_PARALLELISM BENCHMARK_DATA_SIZE BENCHMARK_GPUS BENCHMARK_OUTPUT_DIR BENCHMARK_VANILLA
BENCHMARK_QUICK"""
KEYS = """prediction.batch_size prediction.num_workers prediction.sequences_per_file prediction.models.300
device.fallback_to_cpu features.dnabert.batch_size features.esm.truncation_seq_length
features.esm.toks_per_batch checkpointing.checkpoint_dir files.auto_cleanup files.keep_files
prediction.default_model_type device.default features.dnabert.model_name trust_remote_code
features.esm.model_name representation_layer parallelization checkpointing.enabled keep_history
logging progress validation enable_checkpointing force_restart timeout_per_attempt
spot_retry_poll_interval enable_elastic_redistribution"""
FILES = """_chunked{c}.fa _nucleotide.fa _protein.faa output_N.fa _DNABERT_S.pt _DNABERT.pt _ESM.pt .pt.done
_merged.pt prediction_results.txt prediction_results_highestscore.csv failed_files.txt
pipeline_state.json failed_checkpoints.txt shard_{rank} batch_ manifest.json sequence_index.json
embeddings.h5 worker_{rank}.log gpu_metrics_ max_score_0"""


def test_the_tables_are_those_of_the_code():
    tool = runpy.run_path(str(ROOT / "tools/write_migration_tables.py"))
    assert tool["with_tables"](DOCUMENT) == DOCUMENT, "run tools/write_migration_tables.py"


def test_the_parser_has_each_option_of_the_fork():
    flags = {flag for option in OPTIONS for flag in option.flags}
    assert set(PREDICT.split()) <= flags
    assert flags - set(PREDICT.split()) == {"--model-set", "--pipeline"}


def test_each_option_and_variable_is_in_the_document():
    for option in OPTIONS:
        cells = ", ".join(f"`{flag}`" for flag in option.flags)
        row = next(line for line in DOCUMENT.splitlines() if line.startswith(f"| {cells}"))
        assert f"| {option.support} |" in row
    for variable in VARIABLES:
        assert f"| `{variable.name}` | {variable.here} |" in DOCUMENT


@pytest.mark.parametrize("words", [PREDICT, COMMANDS, ENVIRONMENT, KEYS, FILES])
def test_nothing_of_the_fork_is_left_out(words):
    assert [word for word in words.split() if word not in DOCUMENT] == []


def test_parameters_and_files_in_the_text_exist():
    schema = (ROOT / "nextflow_schema.json").read_text()
    for name in set(re.findall(r"`--([a-z]+_[a-z_]+)", DOCUMENT)):
        assert f'"{name}": {{' in schema, name
    for path in re.findall(r"\]\(([^)#]+)\)", DOCUMENT):
        assert (ROOT / "docs" / path).exists(), path
    assert "docs/migration.md" in (ROOT / "README.md").read_text()
