"""`albert-fast export --to onnx`: what onnxruntime computes from the directory is what the model computes."""

from __future__ import annotations

import ast
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

import hugging_face
import tensorflow as tf
import yaml
from exports import (
    NAMES,
    TOKENIZER,
    WORDPIECE,
    config_of,
    fresh_values,
    golden_run,
    golden_values,
    listing,
    write_checkpoint,
)
from trainer_models import arrays, difference, forward_batch

from albert_fast import Tokenizer, __version__
from trainer.exchange import onnx_directory, onnx_graph
from trainer.exchange.fill_mask import Filler
from trainer.model.model import Albert

if TYPE_CHECKING:
    from conftest import Command, Result
    from exports import Values
    from numpy.typing import NDArray

    from trainer.model.config import ModelConfig

pytestmark = pytest.mark.tensorflow

DIRECTORY = [
    "README.md",
    "config.json",
    "onnx",
    "spiece.config.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
]
TOLERANCE = 1e-4
"""What the export promises."""


def export(command: Command, *words: object) -> Result:
    """An export from `run` to `out` that succeeds."""
    done = command("export", "--checkpoint", "run", "--output-dir", "out", "--to", "onnx", *words)
    assert done.code == 0, done.err
    return done


def refused(command: Command, *words: object, code: int = 1) -> str:
    """The one line of an export from `run` to `out` that fails and changes nothing."""
    before = content(Path("out"))
    done = command("export", "--checkpoint", "run", "--output-dir", "out", "--to", "onnx", *words)
    assert done.code == code, done.err
    assert content(Path("out")) == before
    assert listing(Path()) == (["out", "run"] if before else ["run"])
    return done.error


def content(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def model_of(config: ModelConfig, values: Values) -> Albert:
    model = Albert(config, seed=99)
    for name, variable in model.named_variables.items():
        variable.assign(values[name])
    return model


def answer(path: str, ids: Any, mask: Any, types: Any) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(path)
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {name: np.asarray(value, np.int64) for name, value in given.items()})
    return dict(zip(names, found, strict=True))


def batches(config: ModelConfig, draw: np.random.Generator) -> list[tuple[NDArray[np.int64], ...]]:
    """Ids, mask and types: one token, batches with padding, and a row of the most tokens."""
    made: list[tuple[NDArray[np.int64], ...]] = []
    limit = config.max_position_embeddings
    for rows, tokens in ((1, 1), (5, 23), (1, limit), (2, limit)):
        lengths = draw.integers(1, tokens + 1, rows)
        lengths[0] = tokens
        mask = (np.arange(tokens) < lengths[:, np.newaxis]).astype(np.int64)
        ids = draw.integers(0, config.vocab_size, (rows, tokens))
        made.append((ids, mask, draw.integers(0, config.type_vocab_size, (rows, tokens))))
    return made


# --- the same outputs ------------------------------------------------------------------------------------------------


def variants() -> dict[str, ModelConfig]:
    """Models that differ in what decides the graph."""
    groups = config_of("groups")
    return {
        **{name: config_of(name) for name in NAMES},
        "square with a mapping": replace(config_of("square"), square_mapping=True),
        "relu": replace(config_of("tiny"), hidden_act="relu"),
        "tanh": replace(config_of("tiny"), hidden_act="tanh"),
        "dropout": replace(config_of("tiny"), hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2),
        "three types": replace(config_of("tiny"), type_vocab_size=3, max_position_embeddings=37),
        # Hugging Face's ALBERT cannot express this one: test_trainer_export has the rule.
        "uneven groups": replace(groups, num_hidden_layers=7, num_hidden_groups=3),
        "as many groups as layers": replace(groups, num_hidden_layers=3, num_hidden_groups=3, inner_group_num=1),
    }


@pytest.mark.parametrize("name", variants())
def test_outputs_are_those_of_the_model(name: str, command: Command) -> None:
    config = variants()[name]
    values = golden_values(name) if name in NAMES else fresh_values(replace(config, initializer_range=0.1))
    write_checkpoint(Path("run"), values, config, slots=False)
    export(command)
    model = model_of(config, values)
    for ids, mask, types in batches(config, np.random.default_rng(3)):
        encoded = model.encode(*(tf.constant(array, tf.int32) for array in (ids, mask, types)))
        positions = tf.tile(tf.range(ids.shape[1])[tf.newaxis], [len(ids), 1])
        found = answer("out/onnx/model.onnx", ids, mask, types)
        assert list(found) == ["logits"]
        assert difference(found["logits"], model.masked_lm_logits(encoded.sequence_output, positions)) < TOLERANCE
        found = answer("out/onnx/encoder.onnx", ids, mask, types)
        assert list(found) == ["last_hidden_state", "pooler_output"]
        assert difference(found["last_hidden_state"], encoded.sequence_output) < TOLERANCE
        assert difference(found["pooler_output"], encoded.pooled_output) < TOLERANCE


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_the_reference(name: str, command: Command) -> None:
    golden_run(Path("run"), name)
    export(command)
    batch = {key: np.asarray(value) for key, value in forward_batch(name).items()}
    given = [batch[key] for key in ("input_ids", "input_mask", "segment_ids")]
    expected = arrays(name, "forward.npz")
    found = answer("out/onnx/encoder.onnx", *given)
    assert difference(found["last_hidden_state"], expected["sequence_output"]) < TOLERANCE
    assert difference(found["pooler_output"], expected["pooled_output"]) < TOLERANCE
    logits = answer("out/onnx/model.onnx", *given)["logits"].astype(np.float64)
    logits = np.take_along_axis(logits, batch["masked_lm_positions"][:, :, np.newaxis], axis=1)  # [B, P, V]
    right = np.take_along_axis(logits, batch["masked_lm_ids"][:, :, np.newaxis], axis=2)[:, :, 0]
    losses = np.log(np.exp(logits).sum(axis=2)) - right
    assert difference(losses.ravel(), expected["masked_lm_example_loss"]) < TOLERANCE


def test_padding_changes_nothing(command: Command) -> None:
    golden_run(Path("run"))
    export(command, "--task", "fill-mask")
    ids = np.array([[2, 50, 60, 70, 3]])
    alone = answer("out/onnx/model.onnx", ids, np.ones_like(ids), np.zeros_like(ids))["logits"]
    padded = np.array([[2, 50, 60, 70, 3, 0, 0, 0], [2, 9, 9, 9, 9, 9, 9, 3]])
    mask = np.array([[1, 1, 1, 1, 1, 0, 0, 0], [1] * 8])
    both = answer("out/onnx/model.onnx", padded, mask, np.zeros_like(padded))["logits"]
    assert difference(both[:1, :5], alone) < 1e-5
    # And the mask is read.
    unmasked = answer("out/onnx/model.onnx", padded, np.ones_like(padded), np.zeros_like(padded))["logits"]
    assert difference(unmasked[:1, :5], alone) > 1e-2


# --- fill-mask with other programs' tokenizers -----------------------------------------------------------------------


def test_words_are_those_of_fill_mask(command: Command) -> None:
    """Text through tokenizer.json and model.onnx, without any of our code."""
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    golden_run(Path("run"))
    export(command, "--task", "fill-mask")
    texts = ["Goung si [MASK] plyrcusttest.", "[MASK] orrö vel", "Goung, si [MASK]"]
    theirs = tokenizers.Tokenizer.from_file("out/tokenizer.json")
    pad = json.loads(Path("out/config.json").read_text())["pad_token_id"]
    theirs.enable_padding(pad_id=pad, pad_token=theirs.id_to_token(pad))
    batch = theirs.encode_batch(texts)
    assert len({sum(encoded.attention_mask) for encoded in batch}) > 1, "a batch with padding"
    logits = answer(
        "out/onnx/model.onnx",
        [encoded.ids for encoded in batch],
        [encoded.attention_mask for encoded in batch],
        [encoded.type_ids for encoded in batch],
    )["logits"].astype(np.float64)
    ours = Tokenizer.from_file(TOKENIZER, lower_case=False, keep_accents=True)
    filler = Filler(model_of(config_of("tiny"), golden_values("tiny")), ours)
    for text, encoded, rows in zip(texts, batch, logits, strict=True):
        (words,) = filler.fill(text, top_k=10, masks_per_word=1)
        row = rows[encoded.ids.index(theirs.token_to_id("[MASK]"))]
        probabilities = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        order = np.argsort(-np.where(filler.after_space, probabilities, -1), kind="stable")[:10]
        assert [word.pieces for word in words] == [(theirs.id_to_token(int(number)),) for number in order]
        assert [word.probability for word in words] == pytest.approx(probabilities[order].tolist(), abs=1e-5)


@pytest.mark.torch
def test_optimum_opens_the_directory(command: Command) -> None:
    if not hugging_face.has("optimum.onnxruntime"):
        pytest.skip("optimum-onnx is not installed")
    golden_run(Path("run"))
    export(command)
    ids, mask, types = batches(config_of("tiny"), np.random.default_rng(3))[1]
    np.savez("batch.npz", input_ids=ids, attention_mask=mask, token_type_ids=types)
    hugging_face.run("optimum", Path("out"), Path("batch.npz"), Path("found.npz"))
    with np.load("found.npz") as found:
        assert difference(found["logits"], answer("out/onnx/model.onnx", ids, mask, types)["logits"]) < 1e-5
        expected = answer("out/onnx/encoder.onnx", ids, mask, types)["last_hidden_state"]
        assert difference(found["last_hidden_state"], expected) < 1e-5


def test_wordpiece(command: Command) -> None:
    config = replace(config_of("tiny"), vocab_size=len(WORDPIECE.read_text().splitlines()))
    write_checkpoint(Path("run"), fresh_values(config), config, files={"vocab.txt": WORDPIECE.read_bytes()})
    export(command)
    assert listing(Path("out")) == ["README.md", "config.json", "onnx", "tokenizer_config.json", "vocab.txt"]
    assert facts("out/onnx/model.onnx")["tokenizer"] == "wordpiece"


# --- what is in the directory ----------------------------------------------------------------------------------------


def facts(path: str) -> dict[str, str]:
    """The model's metadata, as onnxruntime reads it."""
    return dict(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map)


@pytest.mark.parametrize("task", ["both", "fill-mask", "encoder"])
def test_the_directory_of_each_task(task: str, command: Command) -> None:
    golden_run(Path("run"))
    done = export(command, "--task", task)
    assert done.out == ""
    assert "to out; the outputs of onnxruntime and TensorFlow differ by up to " in done.err
    assert listing(Path("out")) == DIRECTORY
    assert listing(Path()) == ["out", "run"]
    assert listing(Path("out/onnx")) == (["encoder.onnx", "model.onnx"] if task == "both" else ["model.onnx"])
    config = json.loads(Path("out/config.json").read_text())
    assert config["architectures"] == ["AlbertModel" if task == "encoder" else "AlbertForMaskedLM"]
    _, front, card = Path("out/README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(front) == {
        "pipeline_tag": "feature-extraction" if task == "encoder" else "fill-mask",
        "tags": ["onnx", "albert", "albert-fast"],
    }
    assert ("`onnx/encoder.onnx`" in card) == (task == "both")
    assert ("ORTModelForFeatureExtraction" in card) == (task == "encoder")
    files = {"model.onnx": "encoder" if task == "encoder" else "fill-mask", "encoder.onnx": "encoder"}
    for file in listing(Path("out/onnx")):
        assert facts(f"out/onnx/{file}") == {
            "task": files[file],
            "step": "7",
            "tokenizer": "unigram",
            "tokenizer_digest": Tokenizer.from_file(TOKENIZER, lower_case=False, keep_accents=True).digest,
            "text_rules": '{"lower_case": false, "keep_accents": true}',
        }


def test_the_file_is_valid_and_says_what_it_is(command: Command) -> None:
    golden_run(Path("run"), "groups")
    export(command)
    weights = golden_values("groups")
    for file, outputs in (("model", ["logits"]), ("encoder", ["last_hidden_state", "pooler_output"])):
        path = f"out/onnx/{file}.onnx"
        onnx.checker.check_model(path, full_check=True)
        model = onnx.load(path)
        assert (model.producer_name, model.producer_version) == ("albert-fast", __version__)
        assert model.ir_version == 8
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
        inputs = {value.name: sizes(value) for value in model.graph.input}
        assert inputs == {name: ["batch_size", "sequence_length"] for name in onnx_graph.INPUTS}
        assert [value.name for value in model.graph.output] == outputs
        assert sizes(model.graph.output[0])[:2] == ["batch_size", "sequence_length"]
        # Layers that share their weights do so in the file.
        stored = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
        stored = {name: array for name, array in stored.items() if not name.startswith("constant/")}
        unused = {"bert/pooler", "cls/seq_relationship"} if file == "model" else {"cls/"}
        expected = {name for name in weights if not any(name.startswith(prefix) for prefix in unused)}
        assert stored.keys() == expected
        assert all(np.array_equal(array, weights[name]) for name, array in stored.items())


def sizes(value: Any) -> list[str | int]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def test_the_same_bytes_each_time(command: Command) -> None:
    golden_run(Path("run"))
    export(command)
    before = content(Path("out"))
    export(command, "--overwrite")
    assert content(Path("out")) == before


def test_large_weights_are_in_a_file_of_their_own(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    golden_run(Path("run"))
    export(command)
    whole = Path("out/onnx/model.onnx").stat().st_size
    ids = np.array([[2, 50, 60, 70, 3]])
    expected = answer("out/onnx/model.onnx", ids, np.ones_like(ids), np.zeros_like(ids))["logits"]
    monkeypatch.setattr(onnx_directory, "LARGEST", 1000)
    export(command, "--overwrite")
    names = ["encoder.onnx", "encoder.onnx_data", "model.onnx", "model.onnx_data"]
    assert listing(Path("out/onnx")) == names
    assert Path("out/onnx/model.onnx").stat().st_size < whole / 5
    Path("out").rename("moved")
    found = answer("moved/onnx/model.onnx", ids, np.ones_like(ids), np.zeros_like(ids))["logits"]
    assert np.array_equal(found, expected)
    Path("moved").rename("out")
    export(command, "--overwrite", "--task", "encoder")


# --- what it refuses -------------------------------------------------------------------------------------------------


def test_other_outputs_are_an_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    golden_run(Path("run"))
    export(command)
    monkeypatch.setattr(onnx_graph, "_LAYER_NORM_EPSILON", 0.1)
    message = refused(command, "--overwrite")
    assert message.startswith(
        f"onnxruntime {onnxruntime.__version__} computes another logits from onnx/model.onnx than "
    )
    assert re.search(r"and 0\.000\d+ is allowed; use another version of onnxruntime$", message)
    assert "onnx/encoder.onnx" not in message
    message = refused(command, "--overwrite", "--task", "encoder")
    assert "computes another last_hidden_state from onnx/model.onnx" in message


def test_nan_is_an_error(command: Command) -> None:
    values = golden_values("tiny")
    values["bert/pooler/dense/bias"] = np.full_like(values["bert/pooler/dense/bias"], np.nan)
    write_checkpoint(Path("run"), values, config_of("tiny"), slots=False)
    assert "computes another pooler_output from onnx/encoder.onnx" in refused(command)


def test_an_onnxruntime_that_cannot_run_the_file(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    golden_run(Path("run"))
    monkeypatch.setattr(onnx_graph, "OPSET", 9999)
    message = refused(command)
    assert message.startswith(f"onnxruntime {onnxruntime.__version__} cannot run onnx/model.onnx: ")
    assert message.endswith("; use another version of onnxruntime")


def test_what_is_there_stays(command: Command) -> None:
    golden_run(Path("run"))
    export(command)
    assert refused(command).endswith("out is not empty; pass --overwrite to replace it, or another --output-dir")
    # What another program put beside the model.
    Path("out/onnx/model_int8.onnx").write_bytes(b"mine")
    message = refused(command, "--overwrite")
    assert "out holds onnx/model_int8.onnx, which this command does not write and --overwrite would delete" in message
    Path("out/onnx/model_int8.onnx").unlink()
    Path("out/notes").mkdir()
    assert "out holds notes, which" in refused(command, "--overwrite")
    Path("out/notes/mine.txt").write_text("mine")
    assert "out holds notes/mine.txt, which" in refused(command, "--overwrite")
    Path("out/notes/mine.txt").unlink()
    Path("out/notes").rmdir()
    Path("out/onnx/model.onnx").unlink()
    assert "which this command does not write" in refused(command, "--overwrite")


@pytest.mark.parametrize("to", ["huggingface", "tf1"])
def test_other_exports_replace_it_and_are_replaced(to: str, command: Command) -> None:
    golden_run(Path("run"))
    export(command)
    done = command("export", "--checkpoint", "run", "--output-dir", "out", "--to", to, "--overwrite")
    assert done.code == 0, done.err
    assert not Path("out/onnx").exists()
    export(command, "--overwrite")
    assert listing(Path("out")) == DIRECTORY


def test_options_that_contradict(command: Command) -> None:
    golden_run(Path("run"))
    assert "--dtype must be float32 with --to onnx" in refused(command, "--dtype", "bfloat16", code=2)
    assert "--optimizer-state needs --to tf1, because an ONNX directory" in refused(
        command, "--optimizer-state", code=2
    )
    done = command("export", "--checkpoint", "run", "--output-dir", "out", "--task", "encoder")
    assert done.code == 2
    assert "--task needs --to onnx" in done.error


def test_a_checkpoint_without_tokenizer_or_with_wrong_weights(command: Command) -> None:
    write_checkpoint(Path("run"), golden_values("tiny"), config_of("tiny"), files={})
    assert refused(command).endswith("holds no tokenizer; pass the one that it was trained with as --tokenizer")
    export(command, "--tokenizer", TOKENIZER)
    write_checkpoint(Path("run"), golden_values("tiny"), config_of("groups"), slots=False, step=8)
    assert refused(command, "--overwrite").startswith("this model cannot be exported: ")


# --- the page --------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_page_runs(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert re.findall(r"^- \[(.*)\]\(#", PAGE, re.MULTILINE) == titles
    golden_run(Path("run"))
    session: dict[str, Any] = {}
    printed = []
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        if language == "python":
            capsys.readouterr()
            exec(code, session)
            printed.append(capsys.readouterr().out)
            continue
        for line in code.splitlines():
            name, *words = shlex.split(line)
            if name == "albert-fast":
                done = command(*words)
                assert done.code == 0, done.err
    assert [len(ast.literal_eval(line)) for line in printed[0].splitlines()] == [5, 5]
    assert printed[1] == f"(2, {config_of('tiny').hidden_size})\n"
    assert Path("model_int8.onnx").stat().st_size < Path("my-albert-onnx/onnx/model.onnx").stat().st_size / 1.5


def test_messages_of_the_page(command: Command) -> None:
    golden_run(Path("run"))
    export(command, "--task", "fill-mask")
    limit = config_of("tiny").max_position_embeddings
    for ids, words in (
        (np.full((1, limit + 1), 5), "Non-zero status code returned while running Add node. Name:'embeddings/sum'"),
        (np.full((1, 3), config_of("tiny").vocab_size), "indices element out of data bounds"),
    ):
        assert f"`{words}`" in PAGE
        with pytest.raises(Exception, match=re.escape(words)):
            answer("out/onnx/model.onnx", ids, np.ones_like(ids), np.zeros_like(ids))
    assert "holds no model" in command("fill-mask", "out", "[MASK]").error
