"""`--config`: what it reads, what it refuses, and that what is written beside an output reads again."""

import enum
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from hypothesis import given
from hypothesis import strategies as st

from albert_fast import _native
from albert_fast.cli.commands import STAGES
from albert_fast.cli.common import UsageError, write_config
from albert_fast.cli.config import options_for, parameters
from albert_fast.cli.config import read as read_file
from albert_fast.cli.training import model_config
from albert_fast.options import Tokenize
from trainer.model.config import ModelConfig

GUIDE = """
albert_config:
  attention_probs_dropout_prob: 0.1
  hidden_act: gelu
  hidden_dropout_prob: 0.1
  embedding_size: 128
  hidden_size: 1024
  initializer_range: 0.02
  intermediate_size: 4096
  max_position_embeddings: 512
  num_attention_heads: 16
  num_hidden_layers: 24
  num_hidden_groups: 1
  net_structure_type: 0
  gap_size: 0
  num_memory_blocks: 0
  inner_group_num: 1
  down_scale_factor: 1
  type_vocab_size: 2
  vocab_size: 25000
do_lower_case: true
max_predictions_per_seq: 20
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
max_seq_length: 512
num_train_steps: 125000
num_warmup_steps: 3125
save_checkpoints_steps: 5000
keep_checkpoint_max: 5
"""


def read(tmp_path: Path, text: str, command: str = "make-records", name: str = "config.yaml") -> dict[str, Any]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return options_for(path, command)


def refusal(tmp_path: Path, text: str, command: str = "make-records", name: str = "config.yaml") -> str:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text, command, name)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / name)), message
    assert "\n" not in message
    return message.removeprefix(str(tmp_path / name))


def test_the_guides_file_reads_as_it_stands(tmp_path: Path) -> None:
    assert read(tmp_path, GUIDE) == {
        "do_lower_case": True,
        "max_predictions_per_seq": 20,
        "random_seed": 12345,
        "dupe_factor": 2,
        "masked_lm_prob": 0.15,
        "short_seq_prob": 0.2,
        "do_permutation": False,
        "random_next_sentence": False,
        "do_whole_word_mask": True,
        "favor_shorter_ngram": True,
        "ngram": 3,
        "max_seq_length": 512,
    }
    assert read(tmp_path, GUIDE, "train-tokenizer") == {"do_lower_case": True, "vocab_size": 25000}
    assert read(tmp_path, GUIDE, "inspect-records") == {}


def test_vocab_size_beside_the_models_wins(tmp_path: Path) -> None:
    text = "albert_config: {vocab_size: 100}\nvocab-size: 200\n"
    assert read(tmp_path, text, "train-tokenizer") == {"vocab_size": 200}


def test_json_and_yaml_kebab_and_snake_say_the_same(tmp_path: Path) -> None:
    expected = {"max_seq_length": 128, "rng": "reference", "inputs": ["a.txt", "b.txt"]}
    assert read(tmp_path, "max-seq-length: 128\nrng: reference\ninputs: [a.txt, b.txt]\n") == expected
    assert read(tmp_path, json.dumps(expected), name="config.json") == expected
    assert read(tmp_path, json.dumps({"make_records": expected}), name="config.json") == expected


def test_an_option_of_two_names_is_one(tmp_path: Path) -> None:
    assert read(tmp_path, "text-column: body\n", "prepare-text") == {"text_field": "body"}
    assert read(tmp_path, "prepare-text: {text_column: body}\n", "prepare-text") == {"text_field": "body"}
    assert ": text_field is given twice, once as text_column" in refusal(
        tmp_path, "text_field: a\ntext_column: b\n", "prepare-text"
    )


def test_a_commands_own_section_wins_and_is_its_own(tmp_path: Path) -> None:
    text = "output_dir: shared\nmake-records:\n  output-dir: records\ntokenize:\n  output_dir: store\n"
    assert read(tmp_path, text) == {"output_dir": "records"}
    assert read(tmp_path, text, "tokenize") == {"output_dir": "store"}
    assert read(tmp_path, text, "train-tokenizer") == {"output_dir": "shared"}


def test_numbers_without_a_point_are_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "masked_lm_prob: 2e-1\nshort_seq_prob: 0\n") == {"masked_lm_prob": 0.2, "short_seq_prob": 0.0}
    assert read(tmp_path, "input_sentence_size: 1e6\n", "train-tokenizer") == {"input_sentence_size": 1_000_000}
    assert read(tmp_path, f"random_seed: {2**64 - 1}\n") == {"random_seed": 2**64 - 1}


def test_numbers_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    sizes = "vocab_size: 90, hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 8"
    path.write_text(f"{{{sizes}, layer_norm_eps: 1e-12, initializer_range: 2e-2, hidden_dropout_prob: .1e0}}")
    _, config = model_config(str(path), None)
    assert (config.initializer_range, config.hidden_dropout_prob) == (0.02, 0.1)
    found = read_file(path)
    assert found["layer_norm_eps"] == 1e-12
    path.write_text('{a: 1.5e3, b: -1E+2, c: "1e-2", d: 1e, e: e5, f: 12, g: 1.5, h: 1e5x, i: 010, j: 1:30}')
    assert list(read_file(path).values()) == [1500.0, -100.0, "1e-2", "1e", "e5", 12, 1.5, "1e5x", 8, 90]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"ngram": 2, "ngram": 3, "albert_config": {"vocab_size": 90, "note": {"a": 1, "a": 2}}}'),
        ("c.yaml", "ngram: 2\nngram: 3\nalbert_config: {vocab_size: 90, note: {a: 1, a: 2}}\n"),
    ],
)
def test_the_last_of_repeated_keys_counts(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_text(text)
    for _ in range(2):  # a model's command reads the file twice
        assert options_for(path, "make-records") == {"ngram": 3}
    (line,) = capsys.readouterr().err.splitlines()
    assert set(line.split(f"warning: {path}: repeated keys ")[1].split(": ")[0].split(", ")) == {"'a'", "'ngram'"}
    assert line.endswith(": their last value counts")


def test_merged_keys_are_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("base: &base {a: 1}\nmore: {<<: *base, a: 2}\nlast: {<<: *base, <<: *base}\n")
    assert read_file(tmp_path / "c.yaml")["more"] == {"a": 2}
    assert capsys.readouterr().err == ""


def test_a_model_misspelled_here_is_misspelled_there(tmp_path: Path) -> None:
    """One function tells, whichever command reads it."""
    for key in ("hiddenSize", "num_layers", "numHiddenGroups", "max_position_embedding"):
        known = {"vocab_size": 90, "num_attention_heads": 2, "intermediate_size": 8}
        found = refusal(tmp_path, json.dumps({"albert_config": {**known, key: 5}}), name="c.json")
        meant = found.split("did you mean albert_config.")[1].removesuffix("?")
        with pytest.raises(ValueError, match=f"unknown key '{key}' .*; write '{meant}'"):
            ModelConfig.parse({**known, key: 5})


def test_null_and_an_empty_file_leave_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "num_shards: null\nalbert_config:\n") == {}
    assert read(tmp_path, "") == {}


def test_keys_of_other_programs_in_the_model_are_left_to_its_reader(tmp_path: Path) -> None:
    keys = "{vocab_size: 99, directionality: bidi, pad_token_id: 0, ln_type: preln, my_own_note: 3}"
    assert read(tmp_path, f"ngram: 2\nalbert_config: {keys}") == {"ngram": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_sequence_length: 5", ": unknown key max_sequence_length; did you mean max_seq_length?"),
        ("quux: 5", ": unknown key quux"),
        (
            "albert_config: {hidden_sise: 5}",
            ": unknown key albert_config.hidden_sise; did you mean albert_config.hidden_size?",
        ),
        ("make-records: {vocab_size: 5}", ": unknown key make-records.vocab_size"),
        ("make-records: 5", ": make-records must be a mapping, got a number"),
        ("ngram: 3\nalbert_config: [1]", ": albert_config must be a mapping, got a list"),
        ("dupe-factor: 1\ndupe_factor: 2", ": dupe_factor is given twice, in snake case and in kebab case"),
        ("ngram: three", ': ngram must be a whole number from 1 to 64, got "three" (string)'),
        ("ngram: 2.5", ": ngram must be a whole number from 1 to 64, got 2.5 (number)"),
        ("ngram: true", ": ngram must be a whole number from 1 to 64, got true (boolean)"),
        ("ngram: [3]", ": ngram must be a whole number from 1 to 64, got [3] (list)"),
        ("ngram: 0", ": ngram must be a whole number from 1 to 64, got 0 (number)"),
        ("masked_lm_prob: .nan", ": masked_lm_prob must be a number from 0 to 1, got NaN (number)"),
        ("masked_lm_prob: 0.3:0.15", ': masked_lm_prob must be a number from 0 to 1, got "0.3:0.15" (string)'),
        ("masked_lm_prob: 1.5", ": masked_lm_prob must be a number from 0 to 1, got 1.5 (number)"),
        ("do_permutation: 1", ": do_permutation must be true or false, got 1 (number)"),
        ('do_permutation: "false"', ': do_permutation must be true or false, got "false" (string)'),
        ("rng: quick", ': rng must be one of fast, reference, got "quick" (string)'),
        ("tokenizer: 5", ": tokenizer must be a path, got 5 (number)"),
        ("inputs: [a.txt, 5]", ": inputs must be a list of strings, got 5 (number)"),
        ("5: x", ": a key must be an option's name, got 5 (number)"),
        ("- a", ": must be a mapping of option names to values, got a list"),
    ],
)
def test_refusals_name_file_key_and_value(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


def test_refusals_of_syntax_name_the_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, "ngram: 3\n a: [\n").startswith(", line 2, column")
    assert refusal(tmp_path, '{"ngram": 3,\n "a": }', name="config.json").startswith(", line 2, column 7: not JSON")
    (tmp_path / "latin.yaml").write_bytes(b"ngram: 3 # \xe4\n")
    with pytest.raises(UsageError, match="byte 12: a configuration must be UTF-8"):
        options_for(tmp_path / "latin.yaml", "make-records")
    with pytest.raises(UsageError, match=r"cannot read the configuration .*none\.yaml: No such file"):
        options_for(tmp_path / "none.yaml", "make-records")


@given(st.text(max_size=60))
def test_no_text_at_all_gives_another_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        options_for(path, "make-records")
    except UsageError:
        return


def test_options_of_the_same_name_have_the_same_type_in_every_command() -> None:
    kinds: dict[str, Any] = {}
    for stage in STAGES.values():
        for name, parameter in parameters(stage).items():
            # Text has more kinds of compression than records, a model card many languages: `gzip` and `de` suit both.
            kind = enum.Enum if name == "compression" else parameter.kind
            # A path would lose the slash at its end, by which prepare-text knows a directory.
            kind = Path if name == "output" else kind
            if name == "shuffle":
                # How make-records shuffles, and whether pretrain shuffles records. Each command may have a section.
                continue
            many = False if name == "language" else parameter.many
            assert kinds.setdefault(name, (kind, many)) == (kind, many), name


def test_flags_win_over_the_file(
    command: Command, model: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def native(inputs: list[str], output_dir: str, tokenizer: object, options: str, **rest: Any) -> dict[str, Any]:
        seen.update(json.loads(options), inputs=inputs, **rest)
        Path(output_dir).mkdir(exist_ok=True)
        return {}

    monkeypatch.setattr(_native, "make_records", native)
    (tmp_path / "c.yaml").write_text(
        f"inputs: {corpus}\noutput_dir: out\ntokenizer: {model}\nngram: 1\nmax_seq_length: 64\ndo_permutation: true\n"
        "compression: gzip\nnum-threads: 3\n"
    )
    result = command("make-records", "--config", "c.yaml", "--ngram", 2, "--no-do-permutation")
    assert result.code == 0, result.err
    assert seen["inputs"] == [str(corpus)]
    assert (seen["ngram"], seen["max_seq_length"], seen["do_permutation"]) == (2, 64, False)
    assert (seen["compression"], seen["num_threads"]) == ("gzip", 3)
    assert command("make-records", "other.txt", "--config", "c.yaml").code == 0
    assert seen["inputs"] == ["other.txt"]


def test_the_written_configuration_repeats_the_run(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def native(
        inputs: list[str], output_dir: str, tokenizer: _native.Tokenizer, options: str, **rest: Any
    ) -> dict[str, Any]:
        del rest["progress"]
        calls.append((inputs, output_dir, tokenizer.lower_case, json.loads(options), rest))
        Path(output_dir).mkdir(exist_ok=True)
        return {}

    monkeypatch.setattr(_native, "make_records", native)
    given_flags = [
        "--rng",
        "reference",
        "--no-do-lower-case",
        "--dupe-factor",
        7,
        "--masked-lm-prob",
        0.1,
        "--num-shards",
        3,
    ]
    assert command("make-records", "a.txt", "--tokenizer", model, "--output-dir", "out", *given_flags).code == 0
    assert command("make-records", "--config", "out/make-records.config.json").code == 0
    assert calls[0] == calls[1]


def test_written_configurations_are_whole(tmp_path: Path) -> None:
    path = write_config(
        tmp_path, "tokenize", Tokenize(output_dir=tmp_path, inputs=("ä.txt",)), resolved={"keep_accents": True}
    )
    assert [name.name for name in tmp_path.iterdir()] == ["tokenize.config.json"]
    assert options_for(path, "tokenize") == {
        "output_dir": str(tmp_path),
        "inputs": ["ä.txt"],
        "input_format": "auto",
        "on_bad_utf8": "error",
        "keep_accents": True,
    }


def test_a_value_that_contains_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contain itself"):
        read(tmp_path, "ngram: &a [*a]")


@pytest.mark.parametrize("use", ["[*a{0}, *a{0}]", "{{left: *a{0}, right: *a{0}}}", "{{<<: [*a{0}, *a{0}]}}"])
def test_aliases_of_aliases_are_counted(use: str, tmp_path: Path) -> None:
    """They would become values without end, or a mapping of them when they are merged."""
    path = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 {x: 1}", *(f"a{n + 1}: &a{n + 1} {use.format(n)}" for n in range(60))]
    path.write_text("\n".join(lines))
    with pytest.raises(UsageError, match=r"yaml: must have at most 1,000,000 values, counting an alias each time$"):
        read_file(path)
    path.write_text("\n".join(lines[:9]))
    assert len(read_file(path)) == 9
    path.write_text("")
    assert read_file(path) == {}
