"""`pretrain` and `evaluate` before TensorFlow is needed: usage, configuration files, checks of the data."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from trainer_runs import MODEL, Material, arguments

from albert_fast.cli.config import options_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Command

    from albert_fast.options import Pretrain

GUIDE = """
albert_config:
  attention_probs_dropout_prob: 0
  hidden_act: gelu
  hidden_dropout_prob: 0
  embedding_size: 16
  hidden_size: 32
  initializer_range: 0.02
  intermediate_size: 64
  max_position_embeddings: 64
  num_attention_heads: 2
  num_hidden_layers: 2
  num_hidden_groups: 1
  net_structure_type: 0
  gap_size: 0
  num_memory_blocks: 0
  inner_group_num: 1
  down_scale_factor: 1
  type_vocab_size: 2
  vocab_size: 2000
do_lower_case: true
max_predictions_per_seq: 10
random_seed: 12345
dupe_factor: 2
masked_lm_prob: 0.15
short_seq_prob: 0.2
do_permutation: false
random_next_sentence: false
do_whole_word_mask: true
favor_shorter_ngram: true
ngram: 3
optimizer: lamb
poly_power: 1.0
learning_rate: 0.00176
max_seq_length: 64
num_train_steps: 125000
num_warmup_steps: 3125
save_checkpoints_steps: 5000
keep_checkpoint_max: 5
do_train: true
do_eval: true
max_eval_steps: 100
train_batch_size: 4096
"""


class ReachedError(Exception):
    """The command came as far as to TensorFlow."""


@pytest.fixture(autouse=True)
def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks as if it were installed, and must not be imported."""
    monkeypatch.setattr("albert_fast.cli.training.NEEDED", ())
    monkeypatch.setitem(sys.modules, "trainer.run.hardware", None)


def refused(command: Command, *words: object, code: int = 2) -> str:
    """The one line of a command that is refused, and leaves no directory."""
    found = command(*words)
    assert found.code == code, found.err
    assert not Path("run").exists()
    return found.error


def test_help_names_the_defaults(command: Command) -> None:
    shown = command("pretrain", "--help").out
    for text in ("4096", "0.00176", "125000", "3125", "12345", "0.01", "5000", "[lamb]", "--[no-]shuffle"):
        assert text in shown, text


@pytest.mark.parametrize("name", ["pretrain", "evaluate"])
@pytest.mark.parametrize("missing", ["tensorflow", "matplotlib", "safetensors"])
def test_what_is_not_installed_is_named(
    name: str, missing: str, command: Command, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("albert_fast.cli.training.NEEDED", ("tensorflow", "matplotlib", "safetensors"))
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda found: None if found == missing else find("json") and find(found)
    )
    words: list[object] = (
        [*arguments(material, Path("run"))]
        if name == "pretrain"
        else ["evaluate", "--checkpoint", "x", "--records", "y"]
    )
    told = refused(command, *words, code=1)
    assert told.startswith(f"{name} needs ")
    assert missing in told.removeprefix(f"{name} needs ").split(":", maxsplit=1)[0]
    assert 'pip install ".[train]" in the clone, or ".[gpu]"' in told


def test_what_to_train_on(command: Command, material: Material) -> None:
    rule = "pass either --tokens STORE or --records GLOB to train on"
    assert refused(command, *arguments(material, Path("run"), tokens=None)) == rule
    both = arguments(material, Path("run"), records=material.records, tokens=material.store)
    assert refused(command, *both) == rule
    told = refused(command, *arguments(material, Path("run"), tokenizer="spiece.model"))
    assert told == "--tokenizer has no effect without --records; remove it"


def test_tokens_that_are_text(command: Command, material: Material) -> None:
    Path("corpus.txt").write_text("A sentence.\n")
    told = refused(command, *arguments(material, Path("run"), tokens="corpus.txt"), code=1)
    assert told.startswith("--tokens must be a token store (a directory), got the file corpus.txt; make a store of it")
    assert "albert-fast tokenize corpus.txt --tokenizer spiece.model --output-dir store" in told


def test_which_model(command: Command, material: Material) -> None:
    told = refused(command, *arguments(material, Path("run"), model=None))
    assert told == "pass --model base, large, xlarge, xxlarge, tiny or an albert_config.json"
    told = refused(command, *arguments(material, Path("run"), model="huge"))
    assert told.startswith("--model must be one of ")
    assert told.endswith("or the path of a configuration, got huge")
    for content, what in (
        ("{", "line 1, column 2: not JSON"),
        ("[]", "must be a mapping"),
        ("{}", "vocab_size"),
        (json.dumps(MODEL | {"hidden_size": 33}), "33"),
        (json.dumps(MODEL | {"hidden_sise": 32}), "hidden_sise"),
        (json.dumps(MODEL | {"num_memory_blocks": 3}), "num_memory_blocks"),
    ):
        Path("model.json").write_text(content)
        told = refused(command, *arguments(material, Path("run"), model="model.json"))
        assert told.startswith("model.json")
        assert what in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"learning_rate": "nan"}, "--learning-rate must be a number above 0, got nan"),
        ({"learning_rate": 0}, "--learning-rate must be a number above 0, got 0"),
        ({"learning_rate": "inf"}, "--learning-rate must be a number above 0, got inf"),
        ({"poly_power": -1}, "--poly-power must be a number above 0, got -1"),
        ({"max_hours": 0}, "--max-hours must be a number above 0, got 0"),
        ({"peak_tflops": "nan"}, "--peak-tflops must be a number above 0, got nan"),
        ({"weight_decay": "inf"}, "--weight-decay must be a number of at least 0, got inf"),
        (
            {"num_warmup_steps": 13},
            "--num-warmup-steps must be at most 12, so that warmup ends within --num-train-steps (12), got 13",
        ),
        (
            {"num_warmup_steps": 10, "learning_rate_schedule": "wsd", "decay_fraction": 0.25},
            (
                "--num-warmup-steps must be at most 9, so that warmup ends before the decay, which begins at step 9, "
                "got 10"
            ),
        ),
        ({"decay_fraction": 0.2}, "--decay-fraction must be 0.1 unless --learning-rate-schedule is wsd, got 0.2"),
        (
            {"learning_rate_schedule": "cosine", "poly_power": 2},
            "--poly-power must be 1 unless --learning-rate-schedule is polynomial, got 2",
        ),
        ({"decay_fraction": 0}, "--decay-fraction must be a number above 0 and at most 1, got 0"),
        ({"decay_fraction": 1.5}, "--decay-fraction must be a number above 0 and at most 1, got 1.5"),
        (
            {"final_learning_rate_fraction": 1},
            "--final-learning-rate-fraction must be a number of at least 0 and below 1, got 1",
        ),
        (
            {"learning_rate_schedule": "linear"},
            "--learning-rate-schedule must be one of polynomial, wsd, cosine, got 'linear'",
        ),
        (
            {"budget_hours": 1, "num_warmup_steps": 10},
            "pass either --budget-hours or --num-train-steps, which it decides; remove one",
        ),
        ({"budget_hours": 0}, "--budget-hours must be a number above 0, got 0"),
        (
            {"budget_hours": 1, "num_train_steps": None},
            (
                "--num-warmup-steps must be at least 10 with --budget-hours, because the run measures its speed during "
                "warmup, got 2"
            ),
        ),
        (
            {"budget_hours": 1, "num_train_steps": None, "num_warmup_steps": 10, "masked_lm_prob": "0.3:0.15"},
            (
                "--masked-lm-prob must be one number with --budget-hours, got '0.3:0.15'; a fraction that falls needs "
                "the number of steps from the start: pass --num-train-steps instead"
            ),
        ),
        *(
            (
                {"masked_lm_prob": value},
                f"--masked-lm-prob must be two fractions FIRST:LAST with 1 >= FIRST >= LAST > 0, got '{value}'",
            )
            for value in ("0.3:0.15:0.1", "0:0.15", "0.15:0.3", "1.5:0.15", "0.3:", "0.3:0")
        ),
        (
            {"start_warmup_step": 11},
            "--num-warmup-steps must be at most 1, so that warmup ends within --num-train-steps (12), got 2",
        ),
    ],
)
def test_values_that_are_none(changes: dict[str, Any], told: str, command: Command, material: Material) -> None:
    assert refused(command, *arguments(material, Path("run"), **changes)) == told


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 0),
        ("micro_batch_size", 0),
        ("num_train_steps", 0),
        ("random_seed", 2**31),
        ("random_seed", -1),
        ("save_checkpoints_steps", 0),
        ("keep_checkpoint_max", 0),
        ("log_steps", 0),
        ("weight_decay", "nan"),
        ("weight_decay", -0.1),
        ("eval_batch_size", 0),
        ("masked_lm_prob", 1.5),
        ("optimizer", "sgd"),
        ("precision", "fp8"),
        ("batch_size", "many"),
    ],
)
def test_values_out_of_range(option: str, value: object, command: Command, material: Material) -> None:
    assert f"--{option.replace('_', '-')}" in refused(command, *arguments(material, Path("run"), **{option: value}))


def test_sizes_that_disagree(command: Command, material: Material) -> None:
    Path("other.json").write_text(json.dumps(MODEL | {"vocab_size": 3000}))
    for source in ({}, {"records": material.records}):
        told = refused(command, *arguments(material, Path("run"), model="other.json", **source), code=1)
        assert "the tokenizer must have 3,000 pieces, as many as the model, got 2,000; pass data made with the" in told
    told = refused(command, *arguments(material, Path("run"), records=material.records, max_seq_length=128), code=1)
    assert told == f"--max-seq-length must be 64, that of the records {material.records}, got 128; remove it"
    told = refused(
        command, *arguments(material, Path("run"), records=material.records, max_predictions_per_seq=20), code=1
    )
    assert told == f"--max-predictions-per-seq must be 10, that of the records {material.records}, got 20; remove it"
    told = refused(command, *arguments(material, Path("run"), max_seq_length=128))
    assert told == "--max-seq-length must be at most 64, the model's max_position_embeddings, got 128"
    Path("short.json").write_text(json.dumps(MODEL | {"max_position_embeddings": 32}))
    told = refused(command, *arguments(material, Path("run"), records=material.records, model="short.json"), code=1)
    assert told.startswith(f"{material.records}: the length of the instances must be at most 32, the model's max_pos")
    assert told.endswith("got 64; make records with --max-seq-length 32, or use a model with more positions")
    Path("one.json").write_text(json.dumps(MODEL | {"type_vocab_size": 1}))
    told = refused(command, *arguments(material, Path("run"), model="one.json"))
    assert "type_vocab_size must be at least 2" in told


def test_masks_of_records_do_not_fall(command: Command, material: Material) -> None:
    words = arguments(material, Path("run"), records=material.records)
    told = refused(command, *words, "--masked-lm-prob", "0.3:0.15")
    assert told == "--masked-lm-prob has no effect without --tokens; remove it"
    Path("masks.yaml").write_text("masked_lm_prob: 0.3:0.15\n")
    told = refused(command, *words, "--config", "masks.yaml")
    assert told == "--masked-lm-prob 0.3:0.15 needs --tokens: records keep the masks that they were made with"


def test_records_are_made_with_one_fraction(command: Command, material: Material) -> None:
    told = refused(command, "make-records", material.store, "--output-dir", "run", "--masked-lm-prob", "0.3:0.15")
    assert told == (
        "--masked-lm-prob must be one number from 0 to 1, got '0.3:0.15'; only pretrain with --tokens and "
        "InstanceStream take FIRST:LAST"
    )


@pytest.mark.parametrize("option", ["tokens", "records", "eval_records"])
def test_data_that_is_not_there(option: str, command: Command, material: Material) -> None:
    Path("empty").mkdir()
    for path in ("nowhere", "empty"):
        told = refused(command, *arguments(material, Path("run"), **{option: path}), code=1)
        assert path in told


def test_a_cluster_that_is_none(command: Command, material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = {"cluster": {"worker": ["a:1", "b:1", "c:1"]}, "task": {"type": "worker", "index": 0}}
    for config, told in (
        ("{", "TF_CONFIG must be like"),
        ("[1]", "TF_CONFIG must be like"),
        (json.dumps({"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}), "has no parameter servers"),
        (
            json.dumps(workers | {"task": {"type": "worker", "index": 3}}),
            "must be a whole number below 3, the number of machines of type worker, got 3",
        ),
    ):
        monkeypatch.setenv("TF_CONFIG", config)
        assert told in refused(command, *arguments(material, Path("run")))
    monkeypatch.setenv("TF_CONFIG", json.dumps(workers))
    told = refused(command, *arguments(material, Path("run")))
    assert told == "--batch-size must be a multiple of the number of workers in TF_CONFIG (3), got 8"


# --- configuration ---------------------------------------------------------------------------------------------------


def test_the_guides_one_file(tmp_path: Path) -> None:
    path = tmp_path / "guide.yaml"
    path.write_text(GUIDE)
    found = options_for(path, "pretrain")
    assert found == {
        "model": str(path),
        "batch_size": 4096,
        "max_predictions_per_seq": 10,
        "random_seed": 12345,
        "masked_lm_prob": 0.15,
        "short_seq_prob": 0.2,
        "random_next_sentence": False,
        "do_permutation": False,
        "do_whole_word_mask": True,
        "favor_shorter_ngram": True,
        "ngram": 3,
        "optimizer": "lamb",
        "poly_power": 1.0,
        "learning_rate": 0.00176,
        "max_seq_length": 64,
        "num_train_steps": 125000,
        "num_warmup_steps": 3125,
        "save_checkpoints_steps": 5000,
        "keep_checkpoint_max": 5,
    }


def test_the_guides_one_file_is_model_and_options(
    command: Command, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def run(options: Pretrain, check: Callable[[], None]) -> None:
        from albert_fast.cli.training import model_config

        check()
        name, config = model_config(str(options.model), 2000)
        seen.update(vars(options), name=name, config=config)

    # The package's attribute of this name is the function.
    monkeypatch.setattr(sys.modules["albert_fast.cli.pretrain"], "run", run)
    Path("guide.yaml").write_text(GUIDE)
    words = ["pretrain", "--config", "guide.yaml", "--tokens", material.store, "--output-dir", "run"]
    assert command(*words, "--batch-size", 16).code == 0
    assert seen["name"] == "guide.yaml"
    assert (seen["config"].vocab_size, seen["config"].hidden_size) == (2000, 32)
    assert (seen["batch_size"], seen["num_train_steps"]) == (16, 125000)
    # What the command line says counts.
    assert command(*words, "--model", "tiny").code == 0
    assert seen["name"] == "tiny"
    # The reference's names of files.
    Path("guide.yaml").write_text("albert_config_file: base\ninput_file: recs\n")
    assert command("pretrain", "--config", "guide.yaml", "--output-dir", "run").code == 0
    assert (seen["name"], seen["records"], seen["tokens"]) == ("base", ("recs",), ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("batch_sise: 8", "unknown key batch_sise; did you mean batch_size?"),
        ("albert_config: {hidden_sise: 8}", "unknown key albert_config.hidden_sise"),
        ("batch_size: 8\ntrain_batch_size: 8", "batch_size is given twice"),
        ("batch_size: many", 'batch_size must be a whole number of at least 1, got "many"'),
        ("optimizer: sgd", "optimizer must be one of lamb, adamw"),
        ("pretrain: {batch_size: 0}", "pretrain.batch_size must be a whole number of at least 1, got 0"),
    ],
)
def test_a_configuration_that_is_wrong(text: str, told: str, command: Command, material: Material) -> None:
    Path("wrong.yaml").write_text(text)
    words = ["pretrain", "--config", "wrong.yaml", "--tokens", material.store, "--model", "tiny", "--output-dir", "run"]
    assert told in refused(command, *words)
