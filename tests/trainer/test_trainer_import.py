"""`albert-fast import-checkpoint`: published models as checkpoints that every other command takes."""

from __future__ import annotations

import json
import pickle
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
from exports import (
    MODELS,
    TOKENIZER,
    WORDPIECE,
    Values,
    config_of,
    fresh_values,
    golden_run,
    golden_values,
    hugging_face_directory,
    listing,
    same,
    tokenizer_files,
    write_checkpoint,
)
from trainer_runs import Material, arguments

from albert_fast import Tokenizer
from albert_fast.cli import model_tokenizer
from albert_fast.cli.common import CommandError
from albert_fast.tokenizers import match as tokenizer_match
from trainer.exchange import initial, tokenizer_model
from trainer.model import checkpoints, weights
from trainer.model.config import ModelConfig

if TYPE_CHECKING:
    from conftest import Command, Result

pytestmark = pytest.mark.tensorflow


def archive(path: Path, name: str = "tiny", prefix: str = "model.ckpt-best") -> Path:
    """A directory as the published archives have it."""
    path.mkdir(parents=True)
    for part in ("index", "data-00000-of-00001"):
        shutil.copy(MODELS / name / f"model.ckpt-0.{part}", path / f"{prefix}.{part}")
    (path / f"{prefix}.meta").write_bytes(b"a graph")
    shutil.copy(MODELS / name / "albert_config.json", path)
    shutil.copy(TOKENIZER, path / "30k-clean.model")
    (path / "30k-clean.vocab").write_text("")
    return path


def imported(command: Command, source: object, *words: object, into: str = "start") -> Result:
    done = command("import-checkpoint", source, "--output-dir", into, *words)
    assert done.code == 0, done.err
    return done


def refused(command: Command, *words: object, code: int = 1) -> str:
    """The one line of an import that fails and leaves nothing. Its warnings come before."""
    before = listing(Path())
    done = command("import-checkpoint", *words)
    assert done.code == code, done.err
    assert listing(Path()) == before
    return done.err.splitlines()[-1].removeprefix("albert-fast: error: ")


def values(directory: str = "start") -> Values:
    return checkpoints.model_values(checkpoints.find(Path(directory), print))


def save_tf1(prefix: Path, arrays: dict[str, Any]) -> None:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(arrays[name]) for name in names],
    )


# --- sources ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "groups", "square"])
def test_a_published_archive(name: str, command: Command) -> None:
    archive(Path("albert"), name)
    done = imported(command, "albert")
    assert listing(Path("start")) == [
        "albert_config.json",
        "checkpoints",
        "import-checkpoint.config.json",
        "spiece.config.json",
        "spiece.model",
    ]
    assert listing(Path()) == ["albert", "start"]
    assert same(values(), golden_values(name))
    found = checkpoints.find(Path("start"), print)
    assert (found.step, found.config) == (0, config_of(name))
    described = tokenizer_match.described(Tokenizer.from_file(TOKENIZER)) | {"file": "30k-clean.model"}
    assert found.facts == {"imported": "TF1 checkpoint", "initialised": [], "tokenizer": described}
    assert Path("start/spiece.model").read_bytes() == TOKENIZER.read_bytes()
    assert (found.path / "spiece.model").read_bytes() == TOKENIZER.read_bytes()
    # Nothing in the archive says so.
    assert "assuming that both are done" in done.err
    assert json.loads(Path("start/spiece.config.json").read_text())["lower_case"] is True
    imported(command, "albert/model.ckpt-best", "--no-do-lower-case", "--keep-accents", into="cased")
    assert json.loads(Path("cased/spiece.config.json").read_text())["lower_case"] is False
    assert same(values("cased"), values())


@pytest.mark.parametrize("name", ["tiny", "groups"])
def test_a_hugging_face_directory(name: str, command: Command) -> None:
    hugging_face_directory(Path("hf"), name)
    done = imported(command, "hf")
    assert "warning" not in done.err
    assert checkpoints.find(Path("start"), print).facts["imported"] == "Hugging Face directory"
    assert same(values(), golden_values(name))
    assert checkpoints.find(Path("start"), print).config == config_of(name)
    assert json.loads(Path("start/spiece.config.json").read_text())["lower_case"] is False
    # Hugging Face's own file says it where ours is not there.
    Path("hf/spiece.config.json").unlink()
    for lower in (True, False):
        Path("hf/tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower, "keep_accents": not lower}))
        done = imported(command, "hf", "--overwrite")
        assert "warning" not in done.err
        rules = json.loads(Path("start/spiece.config.json").read_text())
        assert (rules["lower_case"], rules["keep_accents"]) == (lower, not lower)


def only_json(command: Command, **rules: bool) -> dict[str, Any]:
    """A Hugging Face directory `hf` as transformers 5 saves it, and its tokenizer.json; `full` is the export before."""
    golden_run(Path("run"), files=tokenizer_files(**rules))
    assert command("export", "--checkpoint", "run", "--output-dir", "full").code == 0
    shutil.copytree("full", "hf")
    for name in ("spiece.model", "spiece.config.json", "README.md"):
        Path("hf", name).unlink()
    content: dict[str, Any] = json.loads(Path("hf/tokenizer.json").read_text())
    return content


@pytest.mark.parametrize(("lower_case", "keep_accents"), [(False, True), (True, False)])
def test_a_directory_with_tokenizer_json_alone(lower_case: bool, keep_accents: bool, command: Command) -> None:
    only_json(command, lower_case=lower_case, keep_accents=keep_accents)
    Path("hf/tokenizer_config.json").unlink()
    done = imported(command, "hf")
    assert "warning" not in done.err
    assert same(values(), golden_values("tiny"))
    rules = json.loads(Path("start/spiece.config.json").read_text())
    assert (rules["lower_case"], rules["keep_accents"]) == (lower_case, keep_accents)
    assert tokenizer_model.differences(Path("start/spiece.model").read_bytes(), TOKENIZER.read_bytes()) == []
    # Another file than the one that it was rebuilt from, which data were made with: only the pieces tell.
    assert rules["rebuilt"] is True
    start, own = initial.initial(Path("start")), tokenizer_match.described(Tokenizer.from_file("full/spiece.model"))
    assert start.facts["tokenizer"]["rebuilt"] is True
    assert start.facts["tokenizer"]["digest"] != own["digest"]
    for data in (own, {key: value for key, value in own.items() if key != "vocab_digest"}):
        model_tokenizer.check_data(Path("start"), start, data, "data")
    with pytest.raises(CommandError, match="the same id is a different piece in each"):
        model_tokenizer.check_data(Path("start"), start, own | {"digest": "0", "vocab_digest": "0"}, "data")
    assert command("tokenize", GOLDEN / "corpus" / "part-a.txt", "--tokenizer", "hf", "--output-dir", "store").code == 1
    words = ("tokenize", GOLDEN / "corpus" / "part-a.txt", "--tokenizer", "start/spiece.model", "--output-dir", "store")
    assert command(*words).code == 0
    # Everything else takes it too.
    filled = [command("fill-mask", directory, "Goung si [MASK].", "--json") for directory in ("hf", "full", "start")]
    assert {done.code for done in filled} == {0}
    assert len({done.out for done in filled}) == 1
    assert command("export", "--checkpoint", "start", "--output-dir", "again").code == 0
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        assert Path("again", name).read_bytes() == Path("full", name).read_bytes()
    # Named, for a directory that has none, and for one with the model that it came from.
    hugging_face_directory(Path("bare"))
    for name in ("spiece.model", "spiece.config.json"):
        Path("bare", name).unlink()
    for source in ("bare", "full"):
        done = imported(command, source, "--tokenizer", "hf/tokenizer.json", "--overwrite")
        assert "warning" not in done.err
        rules = json.loads(Path("start/spiece.config.json").read_text())
        assert (rules["lower_case"], rules["keep_accents"]) == (lower_case, keep_accents)
    assert "warning" not in imported(command, "hf", "--tokenizer", "full/spiece.model", "--overwrite").err


def test_a_tokenizer_json_that_cannot_be_used(command: Command) -> None:
    content = only_json(command)
    path = Path("hf/tokenizer.json")
    remedy = "; pass the spiece.model that the model was trained with as --tokenizer"
    content["model"]["type"] = "WordPiece"
    other = json.dumps(content)
    for text, reason in (
        ("", "the file must hold a tokenizer, but is empty"),
        ("{", "the file must be JSON, but is not at line 1, column 2"),
        (other, "model.type must be Unigram, the kind of ALBERT's tokenizers, got 'WordPiece'"),
    ):
        path.write_text(text)
        message = refused(command, "hf", "--output-dir", "start")
        assert message.startswith(f"hf/tokenizer.json: {reason}")
        assert message.endswith(remedy)
        done = command("fill-mask", "hf", "a [MASK]")
        assert (done.code, done.error) == (1, message)
    done = imported(command, "hf", "--tokenizer", "full/spiece.model")
    assert "warning" not in done.err
    shutil.copy("full/spiece.model", "hf")
    done = imported(command, "hf", "--overwrite")
    assert "warning: using hf/spiece.model, and ignoring the tokenizer.json next to it: hf/tok" in done.err
    message = refused(command, "full", "--output-dir", "other", "--tokenizer", "no.json")
    assert message == "cannot read no.json: No such file or directory"
    content["model"]["type"] = "Unigram"
    content["model"]["vocab"].pop()
    Path("hf/spiece.model").unlink()
    path.write_text(json.dumps(content))
    message = refused(command, "hf", "--output-dir", "other")
    assert message.startswith("hf/tokenizer.json must have 2,000 pieces, as the model has, got 1,999")


def test_a_tokenizer_json_beside_a_model_must_have_its_pieces(command: Command) -> None:
    content = only_json(command)
    shutil.copy(TOKENIZER, "hf")
    path = Path("hf/tokenizer.json")
    # It tells the text rules where nothing else does.
    Path("hf/tokenizer_config.json").unlink()
    assert "warning" not in imported(command, "hf").err
    assert json.loads(Path("start/spiece.config.json").read_text())["lower_case"] is False
    content["model"]["vocab"][100][1] -= 1
    path.write_text(json.dumps(content))
    done = imported(command, "hf", "--overwrite")
    assert (
        "warning: using hf/spiece.model; hf/tokenizer.json has the same pieces, but differs in scores (1 of 2,000)"
    ) in done.err
    assert Path("start/spiece.model").read_bytes() == TOKENIZER.read_bytes()
    content["model"]["vocab"][100][0] = "zzz"
    path.write_text(json.dumps(content))
    for words in (["import-checkpoint", "hf", "--output-dir", "other"], ["fill-mask", "hf", "a [MASK]"]):
        done = command(*words)
        assert done.code == 1
        assert "hf/spiece.model and hf/tokenizer.json are different tokenizers: id 100 is " in done.error
        assert " in the first and 'zzz' in the second; remove the one that the model was not trained with" in done.error
    assert not Path("other").exists()


def test_text_rules_that_disagree(command: Command) -> None:
    only_json(command)
    settings = json.loads(Path("hf/tokenizer_config.json").read_text())
    Path("hf/tokenizer_config.json").write_text(json.dumps(settings | {"do_lower_case": True}))
    done = imported(command, "hf")
    assert "the normalizer of hf/tokenizer.json has do_lower_case false, which is used, although" in done.err
    assert json.loads(Path("start/spiece.config.json").read_text())["lower_case"] is False
    done = imported(command, "hf", "--do-lower-case", "--overwrite")
    assert "has do_lower_case false, but true was passed: the pieces do not fit such text well" in done.err
    assert json.loads(Path("start/spiece.config.json").read_text())["lower_case"] is True


def test_a_training_of_the_reference_and_a_module_of_tensorflow_hub(command: Command) -> None:
    arrays = golden_values("tiny")
    slots = {f"{name}/adam_{part}": value for name, value in arrays.items() for part in "mv"}
    save_tf1(Path("run/model.ckpt-9"), arrays | slots | {"global_step": np.asarray(9, np.int64)})
    shutil.copy(MODELS / "tiny" / "albert_config.json", "run")
    imported(command, "run")
    assert same(values(), arrays)
    save_tf1(Path("hub/variables/variables"), {f"module/{name}": value for name, value in arrays.items()})
    Path("hub/assets").mkdir()
    shutil.copy(MODELS / "tiny" / "albert_config.json", "hub/assets")
    shutil.copy(TOKENIZER, "hub/assets/30k-clean.model")
    imported(command, "hub", into="from-hub")
    assert same(values("from-hub"), arrays)
    assert Path("from-hub/spiece.model").is_file()


@pytest.mark.parametrize("heads", [["cls/seq_relationship"], ["cls/", "bert/pooler"]])
def test_heads_that_lack_are_initialised_and_named(heads: list[str], command: Command) -> None:
    arrays = golden_values("tiny")
    kept = {name: value for name, value in arrays.items() if not name.startswith(tuple(heads))}
    save_tf1(Path("albert/model.ckpt-0"), kept)
    shutil.copy(MODELS / "tiny" / "albert_config.json", "albert")
    done = imported(command, "albert")
    lacking = sorted(arrays.keys() - kept.keys())
    assert f"TF1 checkpoint albert/model.ckpt-0 lacks {', '.join(lacking)}: using random values for them" in done.err
    found = values()
    fresh = fresh_values(config_of("tiny"), seed=12345)
    for name, value in arrays.items():
        assert np.array_equal(found[name], fresh[name] if name in lacking else value), name
    assert checkpoints.find(Path("start"), print).facts["initialised"] == lacking
    if "bert/pooler" not in heads:
        shutil.copy(TOKENIZER, "spiece.model")
        exported = command("export", "--checkpoint", "start", "--output-dir", "hf", "--tokenizer", "spiece.model")
        assert exported.code == 0, exported.err
        card = Path("hf/README.md").read_text()
        assert f"had no {', '.join(f'`{name}`' for name in lacking)}. Their values here are random" in card
    imported(command, "albert", "--random-seed", 4, into="other")
    assert any(not np.array_equal(values("other")[name], found[name]) for name in lacking)


def test_a_model_without_its_configuration(command: Command) -> None:
    directory = archive(Path("albert"))
    (directory / "albert_config.json").rename("model.json")
    message = refused(command, "albert", "--output-dir", "start")
    assert "has no albert_config.json next to it; pass --model base, large" in message
    imported(command, "albert", "--model", "model.json")
    assert same(values(), golden_values("tiny"))
    assert checkpoints.find(Path("start"), print).config == config_of("tiny")
    message = refused(command, "albert", "--model", "base", "--output-dir", "other")
    assert "hidden_size must be 64, got 768" in message or "embedding_size must be 32, got 128" in message
    message = refused(command, "albert", "--model", "huge", "--output-dir", "other", code=2)
    assert message.startswith("--model must be one of tiny, base")
    hugging_face_directory(Path("hf"))
    message = refused(command, "hf", "--model", "base", "--output-dir", "other")
    assert message == "--model base contradicts the configuration of Hugging Face directory hf; remove --model"


def test_a_preset_takes_the_size_of_the_vocabulary(command: Command) -> None:
    config = ModelConfig.preset("tiny", 50)
    save_tf1(Path("albert/model"), dict(fresh_values(config)))
    done = imported(command, "albert", "--model", "tiny")
    assert checkpoints.find(Path("start"), print).config == config
    assert "albert holds no tokenizer; pass --tokenizer here" in done.err
    assert listing(Path("start")) == ["albert_config.json", "checkpoints", "import-checkpoint.config.json"]


def test_wordpiece(command: Command) -> None:
    config = replace(config_of("tiny"), vocab_size=len(WORDPIECE.read_text().splitlines()))
    write_checkpoint(Path("run"), fresh_values(config), config, files={"vocab.txt": WORDPIECE.read_bytes()})
    assert command("export", "--checkpoint", "run", "--output-dir", "hf", "--no-do-lower-case").code == 0
    imported(command, "hf")
    assert Path("start/vocab.txt").read_bytes() == WORDPIECE.read_bytes()


# --- what takes it --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_command_takes_it_and_pretrain_does_not_go_on_with_it(command: Command, material: Material) -> None:
    config = ModelConfig.from_file(material.small)
    write_checkpoint(Path("trained"), fresh_values(config), config)
    assert command("export", "--checkpoint", "trained", "--output-dir", "hf").code == 0
    imported(command, "hf")
    evaluated = command("evaluate", "--checkpoint", "start", "--records", material.held_out, "--no-jit")
    assert evaluated.code == 0, evaluated.err
    assert evaluated.out.startswith("start/checkpoints/step-00000000, step 0, on 436 records")
    assert command("export", "--checkpoint", "start", "--output-dir", "again").code == 0
    assert Path("again/model.safetensors").read_bytes() == Path("hf/model.safetensors").read_bytes()
    filled = command("fill-mask", "start", "a [MASK]", "--json")
    assert filled.code == 0, filled.err

    before = {path: path.read_bytes() for path in Path("start").rglob("*") if path.is_file()}
    for more in ((), ("--overwrite",)):
        words = [*arguments(material, Path("start"), num_train_steps=2, num_warmup_steps=0), *more]
        done = command(*words)
        assert done.code == 1
        assert done.error == "start is not empty, and is not a run of pretrain; pass another --output-dir"
    assert {path: path.read_bytes() for path in Path("start").rglob("*") if path.is_file()} == before

    run = arguments(material, Path("run"), num_train_steps=2, num_warmup_steps=0, init_checkpoint=Path("start"))
    done = command(*run)
    assert done.code == 0, done.err
    assert "starting from checkpoint start/checkpoints/step-00000000 (step 0)" in done.err
    # With nothing left to learn at, it is the same model.
    still = arguments(
        material,
        Path("still"),
        num_train_steps=1,
        num_warmup_steps=1,
        init_checkpoint=Path("start"),
        learning_rate=0.01,
    )
    assert command(*still).code == 0
    assert same(values("still"), values())
    assert not same(values("run"), values())


@pytest.mark.slow
def test_a_mapping_of_equal_sizes_is_trained_further(command: Command, material: Material) -> None:
    small = ModelConfig.from_file(material.small)
    config = replace(small, embedding_size=small.hidden_size, square_mapping=True)
    write_checkpoint(Path("trained"), fresh_values(config), config)
    assert command("export", "--checkpoint", "trained", "--output-dir", "hf").code == 0
    Path("hf/spiece.model").unlink()
    Path("square.json").write_text(config.to_json())
    for directory, steps, rate in (("still", 1, 0.01), ("further", 3, 0.01)):
        words = arguments(
            material,
            Path(directory),
            model="square.json",
            num_train_steps=steps,
            num_warmup_steps=1,
            init_checkpoint=Path("hf"),
            learning_rate=rate,
        )
        done = command(*words)
        assert done.code == 0, done.err
        assert "starting from Hugging Face directory hf" in done.err
    before, still, after = values("trained"), values("still"), values("further")
    assert same(before, still)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert {name for name in before if "mapping_in" in name} <= {*changed}
    # As in any checkpoint, the configuration says so, and a model without the mapping is refused.
    assert checkpoints.find(Path("further"), print).config == config
    Path("plain.json").write_text(replace(config, square_mapping=False).to_json())
    words = arguments(material, Path("plain"), model="plain.json", init_checkpoint=Path("hf"))
    done = command(*words)
    assert done.code == 1
    assert "square_mapping is true, in only one of the two configurations" in done.err.splitlines()[-1]


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_what_is_there_stays(command: Command) -> None:
    archive(Path("albert"))
    imported(command, "albert")
    message = refused(command, "albert", "--output-dir", "start")
    assert message.endswith("start is not empty; pass --overwrite to replace it, or another --output-dir")
    imported(command, "albert", "--overwrite")
    Path("start/metrics.jsonl").write_text("")
    message = refused(command, "albert", "--output-dir", "start", "--overwrite")
    assert "start holds metrics.jsonl, which this command does not write" in message
    Path("start/metrics.jsonl").unlink()
    Path("start/checkpoints/mine").mkdir()
    message = refused(command, "albert", "--output-dir", "start", "--overwrite")
    assert "start/checkpoints holds mine, which this command does not write" in message
    Path("start/checkpoints/mine").rmdir()
    write_checkpoint(Path("start"), golden_values("tiny"), config_of("tiny"), step=5)
    message = refused(command, "albert", "--output-dir", "start", "--overwrite")
    assert message.endswith(
        "start holds checkpoints of a run, which --overwrite would delete; pass another --output-dir"
    )
    assert Path("start/checkpoints/step-00000005").is_dir()


def test_a_tokenizer_of_another_size(command: Command) -> None:
    archive(Path("albert"))
    shutil.copy(WORDPIECE, "vocab.txt")
    message = refused(command, "albert", "--output-dir", "start", "--tokenizer", "vocab.txt")
    assert message.startswith("vocab.txt is not the tokenizer that the model was trained with, albert/30k-clean.model")
    Path("albert/30k-clean.model").unlink()
    message = refused(command, "albert", "--output-dir", "start", "--tokenizer", "vocab.txt")
    assert message.startswith("vocab.txt must have 2,000 pieces, as the model has, got 1,429")
    Path("vocab.txt").rename("albert/vocab.txt")
    message = refused(command, "albert", "--output-dir", "start")
    assert message.startswith("albert/vocab.txt must have 2,000 pieces")
    assert message.endswith(": pass it as --tokenizer, or remove albert/vocab.txt")
    for name in ("a.model", "b.model"):
        shutil.copy(TOKENIZER, Path("albert", name))
    message = refused(command, "albert", "--output-dir", "start")
    assert message == "albert holds several tokenizers (a.model, b.model, vocab.txt); pass the file of one of them"
    Path("albert/vocab.txt").unlink()
    Path("albert/a.model").write_bytes(b"not a model")
    Path("albert/b.model").unlink()
    assert "albert/a.model" in refused(command, "albert", "--output-dir", "start")


def test_the_named_tokenizer_takes_the_place_of_one_that_cannot_be_the_models(command: Command) -> None:
    archive(Path("albert"))
    own = Path("albert/30k-clean.model").rename("albert/a.model")
    shutil.copy(own, "albert/b.model")
    imported(command, "albert", "--tokenizer", TOKENIZER)
    Path("albert/b.model").unlink()
    own.write_bytes(TOKENIZER.read_bytes()[:500])
    imported(command, "albert", "--tokenizer", TOKENIZER, "--overwrite")
    own.unlink()
    shutil.copy(WORDPIECE, "albert/vocab.txt")
    imported(command, "albert", "--tokenizer", TOKENIZER, "--overwrite")
    assert Path("start/spiece.model").read_bytes() == TOKENIZER.read_bytes()


@pytest.mark.parametrize("place", ["beside the named one", "in the source"])
def test_the_text_rules_of_a_named_tokenizer(place: str, command: Command) -> None:
    """They are found in tokenizer_config.json, which is all that a directory from elsewhere has."""
    archive(Path("albert"))
    Path("albert/30k-clean.model").rename("spiece.model")
    directory = Path()
    if place == "in the source":
        directory = Path("albert")
        shutil.copy("spiece.model", directory)
    (directory / "tokenizer_config.json").write_text('{"do_lower_case": false, "keep_accents": true}')
    done = imported(command, "albert", "--tokenizer", "spiece.model")
    assert "warning" not in done.err
    rules = json.loads(Path("start/spiece.config.json").read_text())
    assert (rules["lower_case"], rules["keep_accents"]) == (False, True)


class Explosive:
    """Does something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_pickles_are_never_opened(command: Command) -> None:
    Path("hf").mkdir()
    shutil.copy(MODELS / "tiny" / "hf" / "config.json", "hf")
    Path("hf/pytorch_model.bin").write_bytes(pickle.dumps(Explosive()))
    for source in ("hf", "hf/pytorch_model.bin"):
        for name in ("import-checkpoint", "fill-mask"):
            rest = ["--output-dir", "start"] if name == "import-checkpoint" else ["a [MASK]"]
            done = command(name, source, *rest)
            assert done.code == 1
            assert done.error.startswith("hf/pytorch_model.bin may be a pickle, which can run code when opened")
    assert listing(Path()) == ["hf"]


def test_other_models_and_damaged_files(command: Command) -> None:
    hugging_face_directory(Path("hf"), model_type="bert")
    assert refused(command, "hf", "--output-dir", "start") == "hf/config.json: model_type must be 'albert', got 'bert'"
    zeros = np.zeros([2, 2], np.float32)
    bert = {"bert/embeddings/word_embeddings": zeros, "bert/encoder/layer_0/attention/self/key/kernel": zeros}
    save_tf1(Path("bert/bert_model.ckpt"), bert)
    assert "is a BERT, not an ALBERT" in refused(command, "bert", "--output-dir", "start")
    hugging_face_directory(Path("cut"))
    weights_file = Path("cut/model.safetensors")
    weights_file.write_bytes(weights_file.read_bytes()[:-9])
    assert refused(command, "cut", "--output-dir", "start").startswith("cut/model.safetensors is damaged")
    assert refused(command, "nowhere", "--output-dir", "start").startswith("nowhere does not exist")
    # A configuration that is not that of the weights.
    hugging_face_directory(Path("other"), hidden_size=128)
    message = refused(command, "other", "--output-dir", "start")
    assert "does not fit this model" in message
    assert "hidden_size must be 64, got 128" in message
    # One that no memory would hold.
    hugging_face_directory(Path("large"), max_position_embeddings=10**12)
    cause = ": max_position_embeddings must be 128, got 1000000000000 ("
    assert cause in refused(command, "large", "--output-dir", "start")
    assert cause in command("fill-mask", "large", "a [MASK]").error
    hugging_face_directory(Path("more"), num_hidden_groups=2)
    assert "num_hidden_groups differs" in refused(command, "more", "--output-dir", "start")


def test_a_directory_that_is_no_checkpoint_has_no_rules(command: Command) -> None:
    hugging_face_directory(Path("hf"))
    Path("hf/spiece.config.json").write_text("[]")
    Path("hf/tokenizer_config.json").write_text("[1]")
    damaged = command("import-checkpoint", "hf", "--output-dir", "damaged")
    assert damaged.code == 1
    assert "hf/spiece.config.json: the file must hold a JSON object" in damaged.err
    assert not Path("damaged").exists()
    Path("hf/spiece.config.json").unlink()
    damaged = command("import-checkpoint", "hf", "--output-dir", "damaged")
    assert "hf/tokenizer_config.json: the file must hold a JSON object" in damaged.err
    Path("hf/tokenizer_config.json").unlink()
    assert "assuming that both are done" in imported(command, "hf").err
    assert sorted(tokenizer_files()) == ["spiece.config.json", "spiece.model"]
    assert list(weights.shapes(config_of("tiny"))) == sorted(values())
