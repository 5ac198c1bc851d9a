"""What transformers makes of an exported model: the same logits, the same words. PyTorch runs in its own process."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import hugging_face
from conftest import GOLDEN
from exports import (
    NAMES,
    TOKENIZER,
    WORDPIECE,
    config_of,
    fresh_values,
    golden_run,
    write_checkpoint,
)
from trainer_models import arrays, difference, forward_batch, load

from albert_fast import Tokenizer
from albert_fast.cli.fill_mask import open_filler
from albert_fast.options import FillMask
from trainer.exchange.fill_mask import Filler
from trainer.model.model import Albert

if TYPE_CHECKING:
    from conftest import Command
    from numpy.typing import NDArray

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.torch,
    pytest.mark.skipif(hugging_face.python() is None, reason="PyTorch or transformers is not installed"),
]


def logits(directory: Path, batch: dict[str, Any]) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """transformers' logits for a batch of ours, and what it said on loading."""
    names = {"input_ids": "input_ids", "input_mask": "attention_mask", "segment_ids": "token_type_ids"}
    given: dict[str, Any] = {theirs: np.asarray(batch[ours]) for ours, theirs in names.items()}
    np.savez("batch.npz", **given)
    hugging_face.run("logits", directory, Path("batch.npz"), Path("logits.npz"))
    with np.load("logits.npz") as stored:
        found = {name: stored[name] for name in stored.files}
    return found, json.loads(str(found.pop("report")))


def exported(command: Command, *words: object) -> Path:
    done = command("export", "--checkpoint", "run", "--output-dir", "hf", *words)
    assert done.code == 0, done.err
    return Path("hf")


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
def test_both_heads_say_the_same(name: str, command: Command) -> None:
    golden_run(Path("run"), name)
    batch = forward_batch(name)
    theirs, report = logits(exported(command), batch)
    for attention in ("eager", "sdpa"):
        assert not any(report[attention].values()), report
    assert report["masked_lm_only"]["missing_keys"] == []
    ours = load(name)(batch)
    positions = np.asarray(batch["masked_lm_positions"])[:, :, np.newaxis]
    for kind in ("eager", "sdpa"):
        masked = np.take_along_axis(theirs[f"masked_lm_{kind}"], positions, axis=1)
        assert difference(masked, ours.masked_lm) < 1e-5
        assert difference(theirs[f"sentence_order_{kind}"], ours.sentence_order) < 1e-5
    assert np.array_equal(theirs["masked_lm_only"], theirs["masked_lm_eager"])
    if name != "square":
        expected = arrays(name, "hf/outputs.npz")
        assert difference(masked[:1, :10], expected["prediction_logits_at_masked"]) < 1e-5


def test_dropout_is_kept_and_does_nothing_here(command: Command) -> None:
    config = replace(
        config_of("groups"), hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.3, initializer_range=0.1
    )
    values = fresh_values(config)
    write_checkpoint(Path("run"), values, config)
    batch = forward_batch("groups")
    theirs, report = logits(exported(command), batch)
    assert not any(report["eager"].values()), report
    model = Albert(config)
    for key, variable in model.named_variables.items():
        variable.assign(values[key])
    ours = model(batch)
    masked = np.take_along_axis(theirs["masked_lm_eager"], np.asarray(batch["masked_lm_positions"])[:, :, None], 1)
    assert difference(masked, ours.masked_lm) < 1e-5
    assert difference(theirs["sentence_order_eager"], ours.sentence_order) < 1e-5


def test_bfloat16_loads_and_is_close(command: Command) -> None:
    golden_run(Path("run"))
    batch = forward_batch("tiny")
    theirs, report = logits(exported(command, "--dtype", "bfloat16"), batch)
    assert not any(report["eager"].values()), report
    ours = load("tiny")(batch)
    masked = np.take_along_axis(theirs["masked_lm_eager"], np.asarray(batch["masked_lm_positions"])[:, :, None], 1)
    assert 1e-5 < difference(masked, ours.masked_lm) < 0.1


# Without a "." right after [MASK]: see the docstring of trainer.exchange.fill_mask.
TEXTS = ["Goung si [MASK] plyrcusttest.", "[MASK] orrö vel", "Goung, si [MASK]", "Goung\u00a0si  [MASK] (orrö)"]


def test_fill_mask_is_that_of_the_pipeline(command: Command) -> None:
    golden_run(Path("run"))
    Path("texts.json").write_text(json.dumps(TEXTS))
    hugging_face.run("fill", exported(command), Path("texts.json"), Path("filled.json"))
    tokenizer = Tokenizer.from_file(TOKENIZER, lower_case=False, keep_accents=True)
    filler = Filler(load("tiny"), tokenizer)
    allowed = np.flatnonzero(filler.after_space)
    for text, theirs in zip(TEXTS, json.loads(Path("filled.json").read_text()), strict=True):
        (ours,) = filler.fill(text, top_k=20, masks_per_word=1)
        expected = [found for found in theirs if found["token"] in allowed][:20]
        assert [word.pieces for word in ours] == [(tokenizer.id_to_piece(found["token"]),) for found in expected]
        assert [word.probability for word in ours] == pytest.approx([found["score"] for found in expected], abs=1e-5)


def tuned(command: Command, name: str) -> Path:
    """A golden model in a directory that transformers saved after 20 steps of its Trainer, the tokenizer with it."""
    golden_run(Path("run"), name)
    Path("texts.json").write_text(json.dumps(corpus()[:200]))
    hugging_face.run("tune", exported(command), Path("texts.json"), Path("tuned"))
    assert not Path("tuned/spiece.model").exists()
    return Path("tuned")


def corpus() -> list[str]:
    lines = (GOLDEN / "corpus" / "part-b.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip()]


def ids(directory: Path, lines: list[str]) -> list[list[int]]:
    """AutoTokenizer's."""
    Path("lines.json").write_text(json.dumps(lines))
    hugging_face.run("ids", directory, Path("lines.json"), Path("ids.json"))
    found: list[list[int]] = json.loads(Path("ids.json").read_text())["ids"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "square"])
def test_there_and_back_after_a_fine_tuning(name: str, command: Command) -> None:
    directory, batch = tuned(command, name), forward_batch(name)
    done = command("import-checkpoint", directory, "--output-dir", "start")
    assert done.code == 0, done.err
    done = command("export", "--checkpoint", "start", "--output-dir", "again")
    assert done.code == 0, done.err
    before, _ = logits(directory, batch)
    after, report = logits(Path("again"), batch)
    assert not any(report["eager"].values()), report
    for kind, value in before.items():
        assert difference(after[kind], value) < 1e-5
    # Ours, of the directory as it is; and it was trained.
    filler = open_filler(FillMask(model_dir=directory, texts=("[MASK]",)))
    positions = np.asarray(batch["masked_lm_positions"])[:, :, np.newaxis]
    ours = filler.model(batch)
    assert difference(np.take_along_axis(before["masked_lm_eager"], positions, axis=1), ours.masked_lm) < 1e-5
    assert difference(before["sentence_order_eager"], ours.sentence_order) < 1e-5
    assert difference(ours.masked_lm, load(name)(batch).masked_lm) > 0.01
    assert filler.model.config.square_mapping == (name == "square")
    # The tokenizer is the one that it was.
    assert ids(directory, corpus()) == ids(Path("again"), corpus())
    first = Tokenizer.from_file(TOKENIZER, lower_case=False, keep_accents=True)
    last = Tokenizer.from_file("start/spiece.model", lower_case=False, keep_accents=True)
    for text in corpus():
        assert first.encode(text) == last.encode(text) == filler.tokenizer.encode(text)


def test_wordpiece_gives_the_same_ids(command: Command) -> None:
    config = replace(config_of("tiny"), vocab_size=len(WORDPIECE.read_text().splitlines()))
    write_checkpoint(Path("run"), fresh_values(config), config, files={"vocab.txt": WORDPIECE.read_bytes()})
    lines = (GOLDEN / "corpus" / "part-b.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line.strip()]
    Path("lines.json").write_text(json.dumps(lines))
    for lower in (True, False):
        switch = "--do-lower-case" if lower else "--no-do-lower-case"
        directory = exported(command, switch, "--overwrite")
        hugging_face.run("ids", directory, Path("lines.json"), Path("ids.json"))
        found = json.loads(Path("ids.json").read_text())
        assert found["class"].startswith("Bert")
        assert "token_type_ids" in found["inputs"]
        tokenizer = Tokenizer.from_vocab_file(WORDPIECE, lower_case=lower)
        expected = [[tokenizer.cls_id, *tokenizer.encode(line), tokenizer.sep_id] for line in lines]
        other = [line for line, one, two in zip(lines, found["ids"], expected, strict=True) if one != two]
        # A final sigma; characters for private use; the names of special pieces in a text.
        assert [line for line in other if not re.search("Σ|\ue000|\\[CLS\\]", line)] == []
        assert len(other) < 0.02 * len(lines)
