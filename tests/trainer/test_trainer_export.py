"""`albert-fast export`: the same model in other directories, whole or not at all."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
safetensors = pytest.importorskip("safetensors.numpy")

import tensorflow as tf
import yaml
from conftest import GOLDEN
from exports import (
    MODELS,
    NAMES,
    TOKENIZER,
    WORDPIECE,
    config_of,
    fresh_values,
    golden_run,
    golden_values,
    listing,
    same,
    tokenizer_files,
    write_checkpoint,
)
from trainer_models import arrays, difference, forward_batch

from trainer.exchange import initial
from trainer.model import checkpoints, weights
from trainer.model.model import Albert

if TYPE_CHECKING:
    from conftest import Command, Result

pytestmark = pytest.mark.tensorflow

HUGGING_FACE = [
    "README.md",
    "config.json",
    "model.safetensors",
    "spiece.config.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
]


def export(command: Command, *words: object) -> Result:
    """An export from `run` to `out` that succeeds."""
    done = command("export", "--checkpoint", "run", "--output-dir", "out", *words)
    assert done.code == 0, done.err
    assert done.out == ""
    return done


def refused(command: Command, *words: object, code: int = 1) -> str:
    """The one line of an export that fails and leaves nothing."""
    before = listing(Path())
    done = command("export", *words)
    assert done.code == code, done.err
    assert listing(Path()) == before
    return done.error


# --- faithful --------------------------------------------------------------------------------------------------------


@pytest.mark.golden
@pytest.mark.parametrize("name", ["tiny", "groups"])
def test_tensors_and_configuration_are_transformers_own(name: str, command: Command) -> None:
    golden_run(Path("run"), name)
    export(command)
    assert same(
        safetensors.load_file("out/model.safetensors"), safetensors.load_file(MODELS / name / "hf/model.safetensors")
    )
    theirs = json.loads((MODELS / name / "hf" / "config.json").read_text())
    del theirs["transformers_version"]
    assert json.loads(Path("out/config.json").read_text()) == theirs


@pytest.mark.golden
@pytest.mark.parametrize("name", ["tiny", "groups"])
def test_logits_after_export_are_those_that_transformers_gave(name: str, command: Command) -> None:
    golden_run(Path("run"), name)
    export(command)
    start = initial.initial(Path("out"))
    assert start.config is not None
    model = Albert(start.config, seed=9)
    assert initial.assign(start, model.named_variables, start.config) == []
    found, expected = model(forward_batch(name)), arrays(name, "hf/outputs.npz")
    assert difference(found.masked_lm[:1, :10], expected["prediction_logits_at_masked"]) < 1e-5
    assert difference(found.sentence_order, expected["sop_logits"]) < 1e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("to", ["huggingface", "tf1"])
def test_there_and_back_is_the_same_to_the_bit(name: str, to: str, command: Command) -> None:
    values = golden_values(name)
    golden_run(Path("run"), name)
    export(command, "--to", to)
    start = initial.initial(Path("out"))
    assert same(start.values, values)
    assert start.config == config_of(name)
    assert start.notes == ()
    done = command("import-checkpoint", "out", "--output-dir", "back")
    assert done.code == 0, done.err
    assert same(checkpoints.model_values(checkpoints.find(Path("back"), print)), values)


def test_dropout_and_other_sizes_come_back(command: Command) -> None:
    config = replace(
        config_of("groups"),
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.2,
        hidden_act="relu",
        initializer_range=0.05,
        max_position_embeddings=40,
    )
    values = fresh_values(config)
    write_checkpoint(Path("run"), values, config)
    for to in ("huggingface", "tf1"):
        export(command, "--to", to, "--overwrite")
        start = initial.initial(Path("out"))
        assert start.config == config
        assert same(start.values, values)


def test_a_mapping_of_equal_sizes_is_kept_everywhere(command: Command) -> None:
    config = replace(config_of("square"), square_mapping=True)
    values = fresh_values(config)
    write_checkpoint(Path("run"), values, config)
    for to in ("huggingface", "tf1"):
        done = export(command, "--to", to, "--overwrite")
        assert ("it would skip embedding_hidden_mapping_in" in done.err) == (to == "tf1")
        start = initial.initial(Path("out"))
        assert start.config == config
        assert same(start.values, values)
        assert command("import-checkpoint", "out", "--output-dir", "start", "--overwrite").code == 0
        found = checkpoints.find(Path("start"), print)
        assert found.config == config
        assert same(checkpoints.model_values(found), values)
    # A configuration from elsewhere does not know the key.
    Path("out/albert_config.json").write_text(config_of("square").to_json())
    assert initial.initial(Path("out")).config == config
    Path("out/albert_config.json").rename("model.json")
    done = command("import-checkpoint", "out", "--output-dir", "start", "--overwrite", "--model", "model.json")
    assert done.code == 0, done.err
    assert checkpoints.find(Path("start"), print).config == config


def test_bfloat16_is_rounded_and_half_as_large(command: Command) -> None:
    import ml_dtypes

    values = golden_values("square")
    golden_run(Path("run"), "square")
    export(command)
    whole = Path("out/model.safetensors").stat().st_size
    export(command, "--dtype", "bfloat16", "--overwrite")
    assert abs(2 * Path("out/model.safetensors").stat().st_size - whole) < 8192
    assert json.loads(Path("out/config.json").read_text())["dtype"] == "bfloat16"
    rounded = {name: value.astype(ml_dtypes.bfloat16).astype(np.float32) for name, value in values.items()}
    assert same(initial.initial(Path("out")).values, rounded)
    assert not same(rounded, values)


# --- what is in the directories --------------------------------------------------------------------------------------


def test_what_a_hugging_face_directory_holds(command: Command) -> None:
    golden_run(Path("run"))
    done = export(command)
    assert listing(Path("out")) == HUGGING_FACE
    assert listing(Path()) == ["out", "run"]
    assert done.err.startswith("albert-fast: exported run/checkpoints/step-0000")
    assert Path("out/spiece.model").read_bytes() == TOKENIZER.read_bytes()
    with safetensors.safe_open("out/model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
        assert not any("decoder" in name or "adam" in name for name in file.keys())  # noqa: SIM118
    settings = json.loads(Path("out/tokenizer_config.json").read_text())
    assert (settings["do_lower_case"], settings["keep_accents"]) == (False, True)
    assert settings["model_max_length"] == 128
    config = json.loads(Path("out/config.json").read_text())
    assert (config["pad_token_id"], config["bos_token_id"], config["eos_token_id"]) == (0, 2, 3)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path("out").iterdir()}
    assert len(modes) == 1


def test_the_tokenizer_module_is_asked_for_what_the_checkpoint_says(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.exchange import tokenizer_json

    asked: list[dict[str, Any]] = []
    real = tokenizer_json.files

    def files(model: bytes, **rules: Any) -> dict[str, bytes]:
        made = real(model, **rules)
        asked.append({"model": model, "made": made, **rules})
        return made

    monkeypatch.setattr(tokenizer_json, "files", files)
    golden_run(Path("run"), files=tokenizer_files(lower_case=True, keep_accents=True))
    export(command)
    assert Path("out/tokenizer.json").read_bytes() == asked[0]["made"]["tokenizer.json"]
    export(command, "--overwrite", "--no-do-lower-case", "--no-keep-accents")
    assert [(call["lower_case"], call["keep_accents"]) for call in asked] == [(True, True), (False, False)]
    assert all(call["model"] == TOKENIZER.read_bytes() and call["max_length"] == 128 for call in asked)
    assert json.loads(Path("out/spiece.config.json").read_text())["lower_case"] is False


def test_tf1_has_the_references_names(command: Command) -> None:
    values = golden_values("groups")
    golden_run(Path("run"), "groups", step=1200)
    export(command, "--to", "tf1")
    assert listing(Path("out")) == [
        "albert_config.json",
        "checkpoint",
        "model.ckpt-1200.data-00000-of-00001",
        "model.ckpt-1200.index",
        "spiece.config.json",
        "spiece.model",
    ]
    assert tf.train.latest_checkpoint("out") == "out/model.ckpt-1200"
    reader = tf.train.load_checkpoint("out")
    golden = tf.train.load_checkpoint(str(MODELS / "groups" / "model.ckpt-0"))
    assert reader.get_variable_to_shape_map() == golden.get_variable_to_shape_map()
    assert reader.get_variable_to_dtype_map() == golden.get_variable_to_dtype_map()
    assert reader.get_tensor("global_step") == 1200
    assert same({name: reader.get_tensor(name) for name in values}, values)

    export(command, "--to", "tf1", "--optimizer-state", "--overwrite")
    reader = tf.train.load_checkpoint("out")
    assert len(reader.get_variable_to_shape_map()) == 3 * len(values) + 1
    for name, value in values.items():
        for number, slot in enumerate(("adam_m", "adam_v"), 1):
            assert np.array_equal(reader.get_tensor(f"{name}/{slot}"), np.full_like(value, number))
    assert same(initial.initial(Path("out")).values, values)


def test_the_card_says_what_the_checkpoint_knows(command: Command, tmp_path: Path) -> None:
    facts = {
        "data": {"kind": "tokens", "digest": "f00", "instances": 4321, "max_seq_length": 64, "masked_lm_prob": 0.15},
        "options": {
            "optimizer": "lamb",
            "learning_rate": 0.00176,
            "batch_size": 4096,
            "num_train_steps": 10,
            "learning_rate_schedule": "wsd",
            "poly_power": 1.0,
            "decay_fraction": 0.2,
        },
        "init_checkpoint": str(tmp_path / "secret"),
        "resolved": {"precision": "bf16"},
    }
    found = golden_run(Path("run"), facts=facts)
    checkpoints.set_evaluation(
        found, {"masked_lm_accuracy": 0.4321, "sentence_order_accuracy": 0.9, "records": 436, "predictions": 4000}
    )
    run = {"data": {"path": str(tmp_path / "corpus"), "documents": 1234567, "tokens_per_sequence": 61.5}}
    Path("run/run.json").write_text(json.dumps(run))
    export(command, "--license", "apache-2.0", "--language", "de", "--language", "no", "--model-name", "Wälder: klein")
    card = Path("out/README.md").read_text(encoding="utf-8")
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "language": ["de", "no"],
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["albert", "fill-mask", "sentence-order-prediction", "albert-fast"],
    }
    assert text.startswith("\n# Wälder: klein\n\nAn ALBERT ")
    for row in (
        "| documents | 1,234,567 |",
        "| mean tokens per instance | 61.5 |",
        "| instances per epoch | 4,321 |",
        "| steps | 7 |",
        "| peak learning rate | 0.00176 |",
        "| batch size (instances) | 4,096 |",
        "| schedule of the learning rate | wsd |",
        "| fraction of the steps in which the learning rate decays | 0.2 |",
        "| precision | bf16 |",
        "| masked-LM accuracy | 0.4321 |",
        "| sentence-order accuracy | 0.9000 |",
        "On held-out documents: 436 instances with 4,000 masked tokens.",
        "Training started from the weights of another model",
        "Text is not lowercased, and accents are kept.",
    ):
        assert row in text, row
    assert str(tmp_path) not in card
    assert "exponent" not in card
    # By itself a checkpoint knows less, and the card says so.
    golden_run(Path("bare"), step=0)
    assert command("export", "--checkpoint", "bare", "--output-dir", "plain").code == 0
    plain = Path("plain/README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(plain.split("---\n")[1]).keys() == {"library_name", "pipeline_tag", "tags"}
    assert "# plain\n" in plain
    for part in ("Not evaluated.", "Not stated.", "## Training\n\nUnknown.", "## Training data\n\nUnknown."):
        assert part in plain


def test_wordpiece(command: Command) -> None:
    config = replace(config_of("tiny"), vocab_size=len(WORDPIECE.read_text().splitlines()))
    values = fresh_values(config)
    write_checkpoint(Path("run"), values, config, files={"vocab.txt": WORDPIECE.read_bytes()})
    export(command, "--no-do-lower-case")
    assert listing(Path("out")) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    settings = json.loads(Path("out/tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "BertTokenizer"
    assert settings["do_lower_case"] is False
    assert "token_type_ids" in settings["model_input_names"]
    written = json.loads(Path("out/config.json").read_text())
    vocabulary = WORDPIECE.read_text().splitlines()
    assert vocabulary[written["bos_token_id"]] == "[CLS]"
    assert vocabulary[written["eos_token_id"]] == "[SEP]"
    assert same(initial.initial(Path("out")).values, values)
    assert "WordPiece" in Path("out/README.md").read_text()
    done = command("fill-mask", "out", "zyr [MASK].")
    assert done.code == 0, done.err


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_what_is_there_stays(command: Command) -> None:
    golden_run(Path("run"))
    export(command)
    before = Path("out/README.md").stat().st_mtime_ns
    words = ("--checkpoint", "run", "--output-dir", "out")
    assert refused(command, *words).endswith(
        "out is not empty; pass --overwrite to replace it, or another --output-dir"
    )
    assert Path("out/README.md").stat().st_mtime_ns == before
    Path("out/notes.txt").write_text("mine")
    assert refused(command, *words).endswith("out is not empty; pass another --output-dir")
    message = refused(command, *words, "--overwrite")
    assert "out holds notes.txt, which this command does not write and --overwrite would delete" in message
    assert Path("out/notes.txt").read_text() == "mine"
    Path("out/notes.txt").unlink()
    export(command, "--overwrite", "--to", "tf1")
    assert not Path("out/model.safetensors").exists()
    # Names that an export writes too, but no export.
    Path("project").mkdir()
    Path("project/README.md").write_text("mine")
    message = refused(command, "--checkpoint", "run", "--output-dir", "project", "--overwrite")
    assert "project holds README.md, which this command does not write" in message
    Path("file").write_text("")
    assert refused(command, "--checkpoint", "run", "--output-dir", "file").endswith("file: Not a directory")
    Path("empty").mkdir()
    assert command("export", "--checkpoint", "run", "--output-dir", "empty").code == 0
    inside = refused(command, "--checkpoint", "run", "--output-dir", "run/checkpoints/step-00000007", "--overwrite")
    assert "does not write" in inside
    assert "must be a directory that is not in the checkpoint" in refused(
        command, "--checkpoint", "run", "--output-dir", "run/checkpoints/step-00000007/out", code=2
    )


@pytest.mark.parametrize("place", ["put", "sync"])
def test_a_full_disk_leaves_the_directory_as_it_was(
    place: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden_run(Path("run"))
    export(command, "--to", "tf1")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"albert_fast.files.{place}", full)
    for to in ("huggingface", "tf1"):
        message = refused(command, "--checkpoint", "run", "--output-dir", "out", "--overwrite", "--to", to)
        assert message.startswith("cannot write ")
        assert message.endswith("/out: No space left on device")
        assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written(command: Command) -> None:
    golden_run(Path("run"))
    Path("closed").mkdir(0o500)
    message = refused(command, "--checkpoint", "run", "--output-dir", "closed/out")
    assert "no permission to write in" in message


def test_a_parent_that_is_a_file(command: Command) -> None:
    golden_run(Path("run"))
    Path("file").write_text("")
    assert refused(command, "--checkpoint", "run", "--output-dir", "file/out").endswith(
        "file is not a directory; pass another path"
    )


def other_tokenizer(directory: Path, pieces: int) -> Path:
    from albert_fast.cli import main

    words = ["train-tokenizer", str(GOLDEN / "corpus" / "part-b.txt"), "--output-dir", str(directory)]
    assert main([*words, "--vocab-size", str(pieces)]) == 0
    return directory / "spiece.model"


def test_tokenizers_that_do_not_fit(command: Command) -> None:
    golden_run(Path("run"))
    words = ("--checkpoint", "run", "--output-dir", "out")
    small = other_tokenizer(Path("small"), 900)
    message = refused(command, *words, "--tokenizer", small)
    assert message.startswith(
        "small/spiece.model is not the tokenizer that the model was trained with, run/checkpoints/"
    )
    config = config_of("tiny")
    write_checkpoint(Path("bare"), golden_values("tiny"), config, files={})
    for to in ("huggingface", "tf1"):
        message = refused(command, "--checkpoint", "bare", "--output-dir", "out", "--tokenizer", small, "--to", to)
        assert message.startswith("small/spiece.model must have 2,000 pieces, as the model has, got 900")
    message = refused(command, "--checkpoint", "bare", "--output-dir", "out")
    assert message.endswith("holds no tokenizer; pass the one that it was trained with as --tokenizer")
    done = command("export", "--checkpoint", "bare", "--output-dir", "out", "--to", "tf1")
    assert done.code == 0
    assert "out has no tokenizer, because checkpoint" in done.err
    done = command("export", "--checkpoint", "bare", "--output-dir", "hf", "--tokenizer", TOKENIZER)
    assert done.code == 0
    assert "no tokenizer" not in refused(command, *words, "--tokenizer", "nowhere.model", "--overwrite")


def test_the_checkpoints_own_tokenizer_may_be_named(command: Command) -> None:
    golden_run(Path("run"))
    done = export(command, "--tokenizer", TOKENIZER)
    assert "warning" not in done.err
    # No file beside the one that was named says so; the checkpoint does.
    assert json.loads(Path("out/spiece.config.json").read_text())["lower_case"] is False
    done = export(command, "--tokenizer", TOKENIZER, "--do-lower-case", "--overwrite")
    assert "with other text rules than the model was trained with" in done.err


def test_checkpoints_that_are_none(command: Command) -> None:
    golden_run(Path("run"))
    message = refused(command, "--checkpoint", "nowhere", "--output-dir", "out")
    assert message.startswith("nowhere does not exist")
    message = refused(command, "--checkpoint", MODELS / "tiny" / "hf", "--output-dir", "out")
    assert "holds no checkpoint; it must be the output directory of a run, or one of its checkpoints" in message
    directory = Path("run/checkpoints/step-00000007")
    config = directory / "albert_config.json"
    kept = config.read_text()
    config.write_text(config_of("groups").to_json())
    assert "is damaged (albert_config.json " in refused(command, "--checkpoint", directory, "--output-dir", "out")
    config.write_text(kept)
    # Weights of one configuration under the name of another.
    for to in ("huggingface", "tf1"):
        write_checkpoint(Path("mixed"), golden_values("tiny"), config_of("groups"), slots=False)
        message = refused(command, "--checkpoint", "mixed", "--output-dir", "out", "--to", to)
        assert message.startswith("this model cannot be exported: ")
    words = ("--checkpoint", "mixed", "--output-dir", "out", "--to", "tf1", "--optimizer-state")
    message = refused(command, *words)
    assert message.startswith("checkpoint mixed/checkpoints/step-")
    assert message.endswith(" holds no optimizer state; remove --optimizer-state")


def test_options_that_contradict(command: Command) -> None:
    golden_run(Path("run"))
    words = ("--checkpoint", "run", "--output-dir", "out")
    assert "--dtype must be float32 with --to tf1" in refused(
        command, *words, "--to", "tf1", "--dtype", "bfloat16", code=2
    )
    assert "--optimizer-state needs --to tf1, because" in refused(command, *words, "--optimizer-state", code=2)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnx, onnxruntime"])
def test_packages_for_onnx_are_named_before_any_work(
    missing: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden_run(Path("run"))
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        if name in {"onnx", "onnxruntime"}:
            return None if name in missing.split(", ") else object()
        return real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    message = refused(command, "--checkpoint", "run", "--output-dir", "out", "--to", "onnx")
    assert message == f'export --to onnx needs {missing}: pip install ".[train,onnx]" in the clone'
    export(command)  # other formats do not need them


def test_groups_that_hugging_face_cannot_express(command: Command) -> None:
    layers = next(
        (layers, groups)
        for layers in range(2, 60)
        for groups in range(2, layers)
        if not _expressible(replace(config_of("tiny"), num_hidden_layers=layers, num_hidden_groups=groups))
    )
    config = replace(config_of("tiny"), num_hidden_layers=layers[0], num_hidden_groups=layers[1])
    write_checkpoint(Path("run"), fresh_values(config), config, slots=False)
    message = refused(command, "--checkpoint", "run", "--output-dir", "out")
    assert "Hugging Face's ALBERT shares weights between layers" in message
    export(command, "--to", "tf1")


def _expressible(config: Any) -> bool:
    zeros = {name: np.zeros(shape, np.float32) for name, shape in weights.shapes(config).items()}
    try:
        weights.to_hugging_face(zeros, config)
    except ValueError:
        return False
    return True
