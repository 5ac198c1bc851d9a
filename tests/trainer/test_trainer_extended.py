"""Weights of a tokenizer that was extended: rows for its new pieces, in import-checkpoint and pretrain."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from exports import MODELS, TOKENIZER, golden_values, hugging_face_directory
from fields import field_text
from trainer_runs import MODEL, Material, arguments, lines

from albert_fast import Tokenizer, train_tokenizer
from trainer.exchange import growing, initial
from trainer.model import checkpoints

if TYPE_CHECKING:
    from conftest import Command
    from exports import Values

pytestmark = pytest.mark.tensorflow

SIZE = 2000
NEW = 60


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The golden tokenizer with pieces of another text."""
    directory = tmp_path_factory.mktemp("extended")
    return train_tokenizer(
        field_text(directory / "field.txt"), directory / "tokenizer", extend=TOKENIZER, vocab_size=SIZE + NEW
    )


@pytest.fixture
def store(extended: Tokenizer, tmp_path: Path, command: Command) -> Path:
    field = field_text(tmp_path / "field.txt")
    store = tmp_path / "store"
    assert command("tokenize", field, "--tokenizer", extended.path, "--output-dir", store).code == 0
    return store


def archive(path: Path, tokenizer: Path | None = TOKENIZER) -> Path:
    """A directory as the published archives have it, of a model with 2,000 pieces."""
    path.mkdir(parents=True)
    for part in ("index", "data-00000-of-00001"):
        shutil.copy(MODELS / "tiny" / f"model.ckpt-0.{part}", path / f"model.ckpt-best.{part}")
    shutil.copy(MODELS / "tiny" / "albert_config.json", path)
    if tokenizer is not None:
        shutil.copy(tokenizer, path / "30k-clean.model")
    return path


def values(directory: str) -> Values:
    return checkpoints.model_values(checkpoints.find(Path(directory), print))


def check(grown: Values, old: Values, tokenizer: Tokenizer) -> None:
    """Compares all rows, the new ones with means that are computed one by one."""
    model = Tokenizer.from_file(TOKENIZER, text_rules="none")
    for name, value in old.items():
        if name not in (growing.EMBEDDING, growing.BIAS):
            np.testing.assert_array_equal(grown[name], value)
            continue
        assert grown[name].shape == (SIZE + NEW, *value.shape[1:])
        np.testing.assert_array_equal(grown[name][:SIZE], value)
        checked = 0
        for row, piece in zip(grown[name][SIZE:], tokenizer.pieces[SIZE:], strict=True):
            if piece.startswith("▁"):
                parts = model.encode(piece[1:])
                np.testing.assert_allclose(row, value[parts].mean(axis=0), rtol=1e-6, atol=1e-7)
                checked += 1
        assert checked > 10


@pytest.mark.parametrize("source", ["tf1", "hugging face", "albert-fast"])
def test_import_grows_the_rows(source: str, extended: Tokenizer, command: Command) -> None:
    archive(Path("albert"))
    old = golden_values("tiny")
    if source == "hugging face":
        hugging_face_directory(Path("hf"))
    elif source == "albert-fast":
        assert command("import-checkpoint", "albert", "--output-dir", "ours").code == 0
    name = {"tf1": "albert", "hugging face": "hf", "albert-fast": "ours"}[source]
    done = command("import-checkpoint", name, "--tokenizer", extended.path, "--output-dir", "start")
    assert done.code == 0, done.err
    note = (
        r"added 60 rows to the embedding and the output bias, each the mean of its old pieces' rows \(\d\.\d on average"
    )
    assert re.search(rf"^albert-fast: {note}\)$", done.err, re.MULTILINE), done.err
    # The text of this directory's tokenizer was not lowercased, that of the extension was.
    other_rules = f"because {extended.path} has other text rules than hf/spiece.model; extend that one again"
    assert (other_rules in done.err) == (source == "hugging face")
    assert done.err.count("warning:") == (source == "hugging face")
    check(values("start"), old, extended)
    assert json.loads(Path("start/albert_config.json").read_text())["vocab_size"] == SIZE + NEW
    assert Path("start/spiece.model").read_bytes() == Path(extended.path).read_bytes()
    found = checkpoints.find(Path("start"), print)
    assert found.facts["tokenizer"]["vocab_digest"] == extended.vocab_digest


def test_pretrain_grows_the_rows_and_trains(
    extended: Tokenizer, store: Path, material: Material, command: Command, tmp_path: Path
) -> None:
    model = tmp_path / "model.json"
    first = arguments(material, Path("old"), num_train_steps=2, num_warmup_steps=1)
    assert command(*first).code == 0
    model.write_text(json.dumps(MODEL | {"vocab_size": SIZE + NEW}))
    words = arguments(
        material, Path("new"), tokens=store, model=model, num_train_steps=4, num_warmup_steps=1, learning_rate=1e-3
    )
    done = command(*words, "--init-checkpoint", "old")
    assert done.code == 0, done.err
    assert "added 60 rows to the embedding and the output bias, each the mean of" in done.err
    losses = [line["loss"] for line in lines(Path("new")) if "loss" in line]
    assert losses
    assert np.isfinite(losses).all()
    grown = values("new")[growing.EMBEDDING]
    assert grown.shape == (SIZE + NEW, MODEL["embedding_size"])
    before = growing.grown(initial.initial(Path("old")), extended)
    check(before.values, values("old"), extended)
    # All new pieces are in the text, and so are trained.
    assert (np.abs(grown[SIZE:] - before.values[growing.EMBEDDING][SIZE:]).max(axis=1) > 0).all()
    # The grown run resumes, and its own tokenizer is the extended one.
    again = command(*words, "--init-checkpoint", "old")
    assert again.code == 0, again.err
    assert Path("new/spiece.model").read_bytes() == Path(extended.path).read_bytes()


def test_without_proof_there_are_no_new_rows(
    extended: Tokenizer, store: Path, material: Material, command: Command, tmp_path: Path
) -> None:
    # No tokenizer next to the weights.
    archive(Path("bare"), None)
    refused = command("import-checkpoint", "bare", "--tokenizer", extended.path, "--output-dir", "start")
    assert refused.code == 1
    assert "must have 2,000 pieces" in refused.err
    assert "or put the spiece.model that it extends next to the weights" in refused.err
    model = tmp_path / "model.json"
    config: dict[str, Any] = json.loads((MODELS / "tiny" / "albert_config.json").read_text())
    model.write_text(json.dumps(config | {"vocab_size": SIZE + NEW}))
    words = arguments(material, Path("run"), tokens=store, model=model)
    refused = command(*words, "--init-checkpoint", "bare")
    assert refused.code == 1
    assert "put the spiece.model that they were trained with next to them" in refused.err
    # Another tokenizer there.
    other = train_tokenizer(field_text(tmp_path / "field.txt", 300), tmp_path / "other", vocab_size=100)
    archive(Path("strange"), Path(other.path))
    refused = command(*words, "--init-checkpoint", "strange")
    assert refused.code == 1
    assert "put the spiece.model that they were trained with next to them" in refused.err
    # A tokenizer that is larger and no extension.
    pieces = Path("larger.model")
    data = Path(extended.path).read_bytes()
    one, two = (b"\n\x05" + piece.encode() for piece in ("▁se", "▁tr"))
    pieces.write_bytes(data.replace(one, b"\0" * 7).replace(two, one).replace(b"\0" * 7, two))
    archive(Path("albert"))
    refused = command("import-checkpoint", "albert", "--tokenizer", pieces, "--output-dir", "start")
    assert refused.code == 1
    assert not Path("start").exists()
    larger = tmp_path / "larger"
    assert command("tokenize", field_text(tmp_path / "f.txt"), "--tokenizer", pieces, "--output-dir", larger).code == 0
    words = arguments(material, Path("run"), tokens=larger, model=model)
    refused = command(*words, "--init-checkpoint", "albert")
    assert refused.code == 1
    assert "or with one that train-tokenizer --extend made of it" in refused.err


def test_records_need_the_tokenizer(extended: Tokenizer, material: Material, command: Command, tmp_path: Path) -> None:
    field, records = field_text(tmp_path / "field.txt"), tmp_path / "records"
    words: list[Any] = ["make-records", field, "--tokenizer", extended.path, "--output-dir", records]
    assert command(*words, "--max-seq-length", 64, "--max-predictions-per-seq", 10, "--dupe-factor", 1).code == 0
    archive(Path("albert"))
    config: dict[str, Any] = json.loads((MODELS / "tiny" / "albert_config.json").read_text())
    model = tmp_path / "model.json"
    model.write_text(json.dumps(config | {"vocab_size": SIZE + NEW}))
    words = arguments(material, Path("run"), records=records, model=model, num_train_steps=2, num_warmup_steps=1)
    words += ["--init-checkpoint", "albert"]
    refused = command(*words)
    assert refused.code == 1
    assert "and pass it as --tokenizer" in refused.err
    done = command(*words, "--tokenizer", extended.path)
    assert done.code == 0, done.err
    assert "added 60 rows to the embedding and the output bias, each the mean of" in done.err
    assert values("run")[growing.EMBEDDING].shape[0] == SIZE + NEW
