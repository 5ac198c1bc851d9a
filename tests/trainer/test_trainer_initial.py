"""What a run may start from: the same weights from each kind of source, and one clear line where there are none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
safetensors = pytest.importorskip("safetensors.numpy")

import tensorflow as tf
from conftest import GOLDEN

from trainer.errors import TrainerError
from trainer.exchange import initial
from trainer.model import checkpoints, weights
from trainer.model.config import ModelConfig
from trainer.model.model import Albert

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.tensorflow

MODELS = GOLDEN / "model"
TF1_FILES = ("model.ckpt-0.index", "model.ckpt-0.data-00000-of-00001")


def config_of(name: str) -> ModelConfig:
    return ModelConfig.from_file(MODELS / name / "albert_config.json")


TINY = config_of("tiny")


def tiny_with(key: str, value: Any) -> ModelConfig:
    change: dict[str, Any] = {key: value}
    return replace(TINY, **change)


def expected(name: str) -> dict[str, NDArray[Any]]:
    reader = tf.train.load_checkpoint(str(MODELS / name / "model.ckpt-0"))
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if key != "global_step"}


def same(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> bool:
    assert left.keys() == right.keys()
    return all(left[name].dtype == np.float32 and np.array_equal(left[name], right[name]) for name in left)


def tf1_directory(path: Path, prefix: str = "model.ckpt-0") -> Path:
    """A copy of a golden TF1 checkpoint."""
    path.mkdir(parents=True, exist_ok=True)
    for name in TF1_FILES:
        shutil.copy(MODELS / "tiny" / name, path / name.replace("model.ckpt-0", prefix))
    return path


def write_tf1(prefix: Path, values: dict[str, NDArray[Any]]) -> Path:
    """A TF1 checkpoint of these values."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(values)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(values[name]) for name in names],
    )
    return prefix


def hugging_face_directory(path: Path, **changes: Any) -> Path:
    """A copy of a golden Hugging Face directory, its config.json changed."""
    shutil.copytree(MODELS / "tiny" / "hf", path)
    change_config(path, **changes)
    return path


def change_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def message_of(source: Path) -> str:
    """The one line of the error that `source` brings about."""
    with pytest.raises(TrainerError) as error:
        initial.initial(source)
    message = str(error.value)
    assert "\n" not in message
    return message


def fresh(config: ModelConfig) -> dict[str, tf.Variable]:
    return Albert(config).named_variables


# --- sources ---------------------------------------------------------------------------------------------------------


@pytest.mark.golden
@pytest.mark.parametrize("name", ["tiny", "groups", "square"])
def test_tf1_and_hugging_face_give_the_reference_values(name: str) -> None:
    sources = [MODELS / name, MODELS / name / "model.ckpt-0", MODELS / name / TF1_FILES[0]]
    if name != "square":
        sources += [MODELS / name / "hf", MODELS / name / "hf" / "model.safetensors"]
    for source in sources:
        start = initial.initial(source)
        assert same(start.values, expected(name))
        assert start.config == config_of(name)
        assert start.notes == ()
        assert str(source.parent) in start.origin
        variables = fresh(config_of(name))
        assert initial.assign(start, variables, config_of(name)) == []
        assert same({key: variable.numpy() for key, variable in variables.items()}, start.values)


def test_checkpoint_of_ours(tmp_path: Path) -> None:
    model = Albert(TINY, seed=4)
    variables = model.named_variables
    slots = {f"{name}/adam_{part}": tf.Variable(variable) for name, variable in variables.items() for part in "mv"}
    run = tmp_path / "run"
    for step in (1, 2):
        path = checkpoints.write(run / "checkpoints", variables | slots, step=step, seed=0, config=TINY).path
    for source in (run, run / "checkpoints", path):
        start = initial.initial(source)
        assert same(start.values, {name: variable.numpy() for name, variable in variables.items()})
        assert start.config == TINY
        assert start.origin == f"checkpoint {path} (step 2)"
    (path / "spiece.model").touch()
    (path / "checkpoint.json").unlink()
    start = initial.initial(run)
    assert start.origin.endswith("(step 1)")
    (note,) = start.notes
    assert "step-00000002 is damaged" in note
    assert "step-00000002 is damaged" in message_of(path)


def test_tf1_directories(tmp_path: Path) -> None:
    # The path in it is that of the machine that wrote it.
    directory = tf1_directory(tf1_directory(tmp_path / "two"), "model.ckpt-9")
    assert "has 2 TF1 checkpoints (model.ckpt-0, model.ckpt-9); name the one" in message_of(directory)
    (directory / "checkpoint").write_text(
        'model_checkpoint_path: "/far/away/model.ckpt-9"\nall_model_checkpoint_paths: "x"'
    )
    start = initial.initial(directory)
    assert start.origin == f"TF1 checkpoint {directory / 'model.ckpt-9'}"
    assert start.config is None
    (directory / "checkpoint").write_text('model_checkpoint_path: "gone"\n')
    assert "has 2 TF1 checkpoints" in message_of(directory)

    directory = tf1_directory(tmp_path / "best", "model.ckpt-best")
    assert same(initial.initial(directory).values, expected("tiny"))
    (directory / "albert_config.json").write_text('{"vocab_size": 7, "hiden_size": 3}')
    assert message_of(directory).startswith(
        f"{directory / 'albert_config.json'}: unknown key 'hiden_size' (value 3); write 'hi"
    )


@pytest.mark.parametrize("kind", ["tf1", "hf"])
def test_the_last_of_repeated_keys_counts(kind: str, tmp_path: Path) -> None:
    """Beside the weights of other programs too, and a line tells."""
    if kind == "tf1":
        directory, name = tf1_directory(tmp_path / "tf1", "model.ckpt-best"), "albert_config.json"
        shutil.copy(MODELS / "tiny" / name, directory)
    else:
        directory, name = tmp_path / "hf", "config.json"
        shutil.copytree(MODELS / "tiny" / "hf", directory)
    text = (directory / name).read_text()
    (directory / name).write_text(text.replace("{", '{"vocab_size": 7, "notes": {"a": 1, "a": 2},', 1))
    start = initial.initial(directory)
    assert start.config is not None
    assert start.config.vocab_size == json.loads(text)["vocab_size"]
    path = directory / name
    assert start.notes[:2] == (
        f"{path}: repeated keys 'a', 'vocab_size': their last value counts",
        f'{path}: ignoring unknown key: notes ({{"a": 2}})',
    )


def test_tf1_names_of_another_training_and_a_directory_of_the_cache(tmp_path: Path) -> None:
    """Keras's names, a wrapper's scope, keys of albert_zh and transformers: all of it is read."""
    values = expected("tiny")
    theirs = {f"model/{name.replace('LayerNorm', 'layer_normalization')}": value for name, value in values.items()}
    trained = write_tf1(tmp_path / "tf1" / "model.ckpt-best", theirs | {"model/global_step": np.asarray(9, np.int64)})
    config = json.loads((MODELS / "tiny" / "albert_config.json").read_text())
    keys = {"directionality": "bidi", "pad_token_id": 0, "ln_type": "postln"}
    (tmp_path / "tf1" / "albert_config.json").write_text(json.dumps(config | keys))
    start = initial.initial(trained)
    assert same(start.values, values)
    assert start.config == TINY
    ignored, translated = start.notes
    assert ignored.endswith("ignoring 2 keys, which do not change the model: directionality, pad_token_id")
    assert translated.startswith("translated the names of 8 variables to those of google-research/ALBERT: ")
    odd = write_tf1(
        tmp_path / "odd" / "model.ckpt-best", values | {"bert/encoder/adapter/kernel": np.zeros(2, np.float32)}
    )
    assert refused(initial.initial(odd), TINY).startswith(" has bert/encoder/adapter/kernel, which this model lacks")

    cache = tmp_path / "models--me--albert"
    hugging_face_directory(cache / "snapshots" / ("c" * 40))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("c" * 40)
    start = initial.initial(cache)
    assert same(start.values, values)
    assert start.origin == f"Hugging Face directory {cache / 'snapshots' / ('c' * 40)}"


def test_tf1_of_a_training_and_of_tensorflow_hub(tmp_path: Path) -> None:
    values = expected("tiny")
    slots = {f"{name}/adam_{part}": value for name, value in values.items() for part in "mv"}
    trained = write_tf1(tmp_path / "model.ckpt-best", values | slots | {"global_step": np.asarray(9, np.int64)})
    assert same(initial.initial(trained).values, values)
    hub = tmp_path / "hub"
    write_tf1(hub / "variables" / "variables", {f"module/{name}": value for name, value in values.items()})
    (hub / "assets").mkdir()
    shutil.copy(MODELS / "tiny" / "albert_config.json", hub / "assets")
    start = initial.initial(hub)
    assert same(start.values, values)
    assert start.config == TINY


def test_bfloat16_and_several_files(tmp_path: Path) -> None:
    import ml_dtypes

    directory = hugging_face_directory(tmp_path / "hf")
    tensors = safetensors.load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    names = sorted(tensors)
    index = {name: f"model-0000{1 + position % 2}-of-00002.safetensors" for position, name in enumerate(names)}
    for file in set(index.values()):
        part = {name: tensors[name].astype(ml_dtypes.bfloat16) for name in names if index[name] == file}
        safetensors.save_file(part, directory / file)
    assert "holds no model" in message_of(directory)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    rounded = {name: value.astype(ml_dtypes.bfloat16).astype(np.float32) for name, value in expected("tiny").items()}
    assert same(initial.initial(directory).values, rounded)
    (directory / file).unlink()
    assert message_of(directory).startswith(f"cannot read {directory / file}: No such file")
    (directory / "model.safetensors.index.json").write_text("[]")
    assert message_of(directory).startswith(f"cannot read {directory / 'model.safetensors.index.json'}: ")


def test_notes(tmp_path: Path) -> None:
    directory = hugging_face_directory(tmp_path / "hf", hidden_act="gelu", num_hidden_layers=5)
    tensors = safetensors.load_file(directory / "model.safetensors")
    safetensors.save_file(tensors | {"classifier.bias": np.zeros(2, np.float32)}, directory / "model.safetensors")
    start = initial.initial(directory)
    assert len(start.notes) == 2
    assert 'hidden_act "gelu"' in start.notes[0]
    assert "skipped variables that do not belong to the pretraining model: classifier.bias" in start.notes[1]
    assert initial.assign(start, fresh(TINY), TINY) == []
    assert initial.remarks(start, TINY) == [
        *start.notes,
        f"Hugging Face directory {directory} has 5 layers, and this model has 3, which share the weights",
    ]
    assert initial.remarks(initial.initial(MODELS / "tiny"), TINY) == []


# --- sources that are none -------------------------------------------------------------------------------------------


class Explosive:
    """Does something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pkl"])
def test_pickles_are_never_opened(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Explosive()))
    shutil.copy(MODELS / "tiny" / "hf" / "config.json", tmp_path)
    for source in (path, tmp_path):
        assert message_of(source).startswith(f"{path} may be a pickle, which can run code when opened")
    assert not Path("exploded").exists()
    # Beside the other kind it is no matter.
    shutil.copy(MODELS / "tiny" / "hf" / "model.safetensors", tmp_path)
    assert same(initial.initial(tmp_path).values, expected("tiny"))


def test_nothing_there(tmp_path: Path) -> None:
    assert (
        message_of(tmp_path / "no")
        == f"{tmp_path / 'no'} does not exist; it must be a directory or a TF1 checkpoint (no.index)"
    )
    assert message_of(tmp_path).startswith(f"{tmp_path} holds no model (no checkpoint of a run, no model.safetensors")
    (tmp_path / "text.txt").touch()
    assert message_of(tmp_path / "text.txt").endswith("must be a TF1 checkpoint or model.safetensors, got another file")
    (tmp_path / "checkpoints").mkdir()
    assert "holds no checkpoint; it must be the output directory of a run" in message_of(tmp_path)
    directory = hugging_face_directory(tmp_path / "hf")
    (directory / "config.json").unlink()
    assert message_of(directory).startswith(
        f"cannot read {directory / 'config.json'}, which must be next to model.safetensors"
    )
    (directory / "config.json").write_text("[" * 100_000)
    assert message_of(directory).startswith(f"{directory / 'config.json'}: the file must be JSON (")
    (directory / "config.json").write_text("{")
    assert message_of(directory).startswith(f"{directory / 'config.json'}: the file must be JSON (")


@pytest.mark.parametrize("size", [0, 5, 1000, -100])
def test_truncated_safetensors(size: int, tmp_path: Path) -> None:
    directory = hugging_face_directory(tmp_path / "hf")
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert message_of(directory).startswith(f"{path} is damaged")


@pytest.mark.parametrize("file", TF1_FILES)
@pytest.mark.parametrize("size", [0, 700, -20, None])
def test_damaged_tf1(file: str, size: int | None, tmp_path: Path) -> None:
    directory = tf1_directory(tmp_path / "tf1")
    path = directory / file
    if size is not None:
        path.write_bytes(path.read_bytes()[:size])
    elif file.endswith("index"):
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    assert message_of(directory).startswith(f"cannot read the TF1 checkpoint {directory / 'model.ckpt-0'}: ")


def test_other_models_are_refused(tmp_path: Path) -> None:
    directory = hugging_face_directory(tmp_path / "hf", model_type="bert")
    assert message_of(directory) == f"{directory / 'config.json'}: model_type must be 'albert', got 'bert'"
    zeros = np.zeros([2, 2], np.float32)
    bert = {"bert/embeddings/word_embeddings": zeros, "bert/encoder/layer_0/attention/self/key/kernel": zeros}
    assert "is a BERT, not an ALBERT: every layer" in message_of(write_tf1(tmp_path / "bert" / "bert_model.ckpt", bert))
    other = write_tf1(tmp_path / "other" / "model", {"dense/kernel": zeros})
    assert message_of(other) == f"TF1 checkpoint {other} is not an ALBERT: it has no word embeddings"
    saved = tf.train.Checkpoint(a=tf.Variable(1.0)).write(str(tmp_path / "object"))
    assert "is a TensorFlow 2 checkpoint of another program" in message_of(Path(saved))

    values = expected("tiny")
    broken = write_tf1(tmp_path / "nan" / "model", values | {"bert/pooler/dense/bias": np.full(64, np.nan, np.float32)})
    assert (
        message_of(broken)
        == f"TF1 checkpoint {broken}: bert/pooler/dense/bias must hold finite numbers, got NaN or an infinity"
    )


# --- models that differ ----------------------------------------------------------------------------------------------


def refused(start: initial.Initial, config: ModelConfig) -> str:
    """The one line of the error of `assign`, which must have assigned nothing."""
    variables = fresh(config)
    before = {name: variable.numpy() for name, variable in variables.items()}
    with pytest.raises(TrainerError) as error:
        initial.assign(start, variables, config)
    assert same({name: variable.numpy() for name, variable in variables.items()}, before)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(start.origin)
    return message.removeprefix(start.origin)


@pytest.mark.parametrize(
    ("key", "value", "there"),
    [
        ("vocab_size", 2001, 2000),
        ("hidden_size", 68, 64),
        ("intermediate_size", 64, 128),
        ("embedding_size", 64, 32),
        ("max_position_embeddings", 256, 128),
        ("type_vocab_size", 3, 2),
    ],
)
def test_shapes_that_differ_name_the_key(key: str, value: int, there: int) -> None:
    message = refused(initial.initial(MODELS / "tiny"), tiny_with(key, value))
    assert " does not fit this model: " in message
    assert f": {key} must be {there}, got {value} (" in message


def test_variables_that_differ_name_the_key() -> None:
    tiny, groups, square = (initial.initial(MODELS / name) for name in ("tiny", "groups", "square"))
    more = replace(TINY, num_hidden_groups=2)
    assert refused(tiny, more).endswith(" more, which this model has; num_hidden_groups differs")
    assert refused(tiny, replace(TINY, inner_group_num=2)).endswith("; num_hidden_groups or inner_group_num differs")
    fewer = replace(config_of("groups"), num_hidden_groups=1, inner_group_num=1)
    assert " has bert/encoder/transformer/group_0/inner_group_1/" in refused(groups, fewer)
    assert "group_1/inner_group_0" in refused(groups, replace(fewer, inner_group_num=2))
    config = config_of("square")
    without = {name: value for name, value in square.values.items() if name != "bert/embeddings/LayerNorm/beta"}
    message = refused(square._replace(values=without), config)
    name = "bert/embeddings/LayerNorm/beta"
    assert message == f" lacks {name}, which this model has; it is not an ALBERT as google-research/ALBERT names it"
    mapping = {
        f"bert/encoder/embedding_hidden_mapping_in/{part}": np.zeros(1, np.float32) for part in ("kernel", "bias")
    }
    message = refused(square._replace(values=square.values | mapping), config)
    assert message.endswith(
        "; embedding_size differs from hidden_size, or square_mapping is true, in only one of the two configurations"
    )


def test_what_no_shape_shows() -> None:
    start = initial.initial(MODELS / "tiny")
    for key, value in (("num_attention_heads", 2), ("hidden_act", "relu")):
        message = refused(start, tiny_with(key, value))
        assert message == f" has {key} {getattr(TINY, key)}, which this model must have too, got {value}"
        # Without its configuration nobody can know.
        changed = tiny_with(key, value)
        assert initial.assign(start._replace(config=None), fresh(changed), changed) == []
    changed = replace(TINY, num_hidden_layers=6, hidden_dropout_prob=0.1, initializer_range=0.1)
    assert initial.assign(start, fresh(changed), changed) == []


def test_missing_heads_start_fresh(tmp_path: Path) -> None:
    directory = hugging_face_directory(tmp_path / "hf")
    tensors = safetensors.load_file(directory / "model.safetensors")
    body = {n.removeprefix("albert."): v for n, v in tensors.items() if n.startswith("albert.") and "pooler" not in n}
    safetensors.save_file(body, directory / "model.safetensors")
    variables = fresh(TINY)
    before = {name: variable.numpy() for name, variable in variables.items()}
    missing = initial.assign(initial.initial(directory), variables, TINY)
    assert missing == [name for name in weights.shapes(TINY) if name.startswith(("cls/", "bert/pooler"))]
    assert len(missing) == 9
    for name, value in expected("tiny").items():
        assert np.array_equal(variables[name], before[name] if name in missing else value)
