"""`albert-fast fill-mask`: words by the model's own probabilities, and no others."""

from __future__ import annotations

import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import models
import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from exports import (
    TOKENIZER,
    WORDPIECE,
    config_of,
    fresh_values,
    golden_run,
    golden_values,
    hugging_face_directory,
    write_checkpoint,
)
from trainer_models import load

from albert_fast import Tokenizer
from trainer.errors import TrainerError
from trainer.exchange.fill_mask import Filler
from trainer.model.config import ModelConfig
from trainer.model.model import Albert

if TYPE_CHECKING:
    from conftest import Command
    from numpy.typing import NDArray

pytestmark = pytest.mark.tensorflow

SPACE = "▁"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(TOKENIZER, lower_case=False, keep_accents=True)


@pytest.fixture(scope="module")
def filler(tokenizer: Tokenizer) -> Filler:
    return Filler(load("tiny"), tokenizer)


def log_probabilities(filler: Filler, ids: list[int]) -> NDArray[np.float64]:
    """Of each position, by the model's own call and nothing of `Filler`."""
    batch = {
        "input_ids": tf.constant([ids]),
        "input_mask": tf.ones([1, len(ids)], tf.int32),
        "segment_ids": tf.zeros([1, len(ids)], tf.int32),
        "masked_lm_positions": tf.range(len(ids))[tf.newaxis],
    }
    logits = filler.model(batch).masked_lm.numpy()[0].astype(np.float64)
    found: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return found


# --- where the pieces are -------------------------------------------------------------------------------------------


def asked(filler: Filler, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """The ids before and after the first mask of a text."""
    gaps: list[Any] = []

    def words(gap: Any, *_: object) -> list[Any]:
        gaps.append(gap)
        return []

    monkeypatch.setattr(filler, "_words", words)
    filler.fill(text)
    return gaps[0].left, gaps[0].right


def test_words_that_are_marked_at_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A last piece ends the word before a space and at the end, and not before a full stop."""
    path = tmp_path / "spiece.model"
    path.write_bytes(models.train(treat_whitespace_as_suffix=True))
    suffix = Tokenizer.from_file(path)
    filler = Filler(Albert(replace(config_of("tiny"), vocab_size=suffix.vocab_size)), suffix)
    for text, ended in (
        ("the [MASK] of it", True),
        ("the [MASK].", False),
        ("([MASK]) of", False),
        ("of [MASK]", True),
    ):
        (words,) = filler.fill(text, top_k=8)
        assert words
        for word in words:
            assert word.pieces[-1].endswith(SPACE) is ended
            assert not any(SPACE in piece for piece in word.pieces[:-1])
            assert not {SPACE, " "} & {*word.word}
    left, right = asked(filler, "of the ([MASK]) of it", monkeypatch)
    begun = [suffix.piece_to_id("of▁"), suffix.piece_to_id("the▁"), suffix.piece_to_id("(")]
    assert left == [suffix.cls_id, *begun]
    assert right == [*suffix.encode(") of it"), suffix.sep_id]


@pytest.mark.parametrize(
    "text",
    [
        "[MASK]",
        "Goung [MASK]",
        "[MASK] orrö.",
        "Goung, [MASK] orrö.",
        "Goung [MASK]. Zyrindplal",
        "Goung [MASK], (orrö) [MASK]",
        "Goung ([MASK]) orrö",
        "Goung “[MASK]” orrö?",
        "Goung [MASK]\torrö  vel",
    ],
)
def test_a_word_in_its_place_is_what_the_tokenizer_makes_of_the_text(
    text: str, filler: Filler, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = asked(filler, text, monkeypatch)
    word = next(piece for piece in tokenizer.pieces if piece.startswith(SPACE) and len(piece) > 6)[1:]
    marked = text.replace("[MASK]", word)
    whole = [tokenizer.cls_id, *tokenizer.encode(marked), tokenizer.sep_id]
    begins = tokenizer.piece_to_id(SPACE + word)
    assert begins is not None
    # After a bracket the word has no space of its own.
    after_space = not text.split("[MASK]", maxsplit=1)[0][-1:].strip()
    inside = [begins] if after_space else whole[len(left) : len(whole) - len(right)]
    other = [begins if i == tokenizer.mask_id else i for i in right]
    assert [*left, *inside, *other] == whole


def test_several_masks_stay_masks_meanwhile(
    filler: Filler, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = asked(filler, "Goung [MASK] vel [MASK][MASK].", monkeypatch)
    assert left == [tokenizer.cls_id, *tokenizer.encode("Goung")]
    mask = tokenizer.mask_id
    assert right == [*tokenizer.encode("vel"), mask, mask, tokenizer.piece_to_id("."), tokenizer.sep_id]


# --- words of one piece ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Goung si [MASK] plyrcusttest.", "[MASK] orrö", "Goung [MASK] si [MASK] vel"])
def test_single_pieces_have_the_probability_of_the_head(text: str, filler: Filler, tokenizer: Tokenizer) -> None:
    ids = [tokenizer.cls_id]
    for number, part in enumerate(text.split("[MASK]")):
        ids += ([tokenizer.mask_id] if number else []) + tokenizer.encode(part)
    logs = log_probabilities(filler, [*ids, tokenizer.sep_id])
    masks = [position for position, i in enumerate(ids) if i == tokenizer.mask_id]
    found = filler.fill(text, top_k=40, masks_per_word=1)
    assert len(found) == len(masks)
    for position, words in zip(masks, found, strict=True):
        assert len(words) == 40
        order = [i for i in np.argsort(-logs[position]) if tokenizer.word_starts()[i] and i > 4 and i != SPACE_ID][:40]
        assert [word.pieces for word in words] == [(tokenizer.id_to_piece(int(i)),) for i in order]
        assert [word.probability for word in words] == pytest.approx(np.exp(logs[position][order]).tolist(), rel=1e-4)
        assert all(word.score == pytest.approx(math.log(word.probability)) for word in words)
    first = found[0][0]
    assert first.text == text.replace("[MASK]", first.word, 1)
    assert found[-1][0].text == found[-1][0].word.join(text.rsplit("[MASK]", 1))


SPACE_ID = 13


def test_pieces_that_cannot_stand_there_are_left_out(filler: Filler, tokenizer: Tokenizer) -> None:
    def pieces(text: str) -> set[str]:
        (words,) = filler.fill(text, top_k=5000, masks_per_word=1)
        return {word.pieces[0] for word in words}

    after_space, glued = pieces("Goung [MASK] vel"), pieces("Goung[MASK] vel")
    special = {"<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", SPACE}
    assert not special & (after_space | glued)
    assert "s" in glued
    assert "s" not in after_space
    assert all(SPACE not in piece for piece in glued)
    assert {".", ",", "–"} <= after_space & glued
    assert any(piece.startswith(SPACE) for piece in after_space)
    # All others are there: nothing is lost. (One piece of this model is a control character that counts as a space.)
    assert after_space | glued | special | {"\x85"} == set(tokenizer.pieces)


# --- words of several pieces -----------------------------------------------------------------------------------------


def test_a_word_of_two_pieces_has_the_product_of_what_the_model_says_in_turn(
    filler: Filler, tokenizer: Tokenizer
) -> None:
    (words,) = filler.fill("Goung si [MASK] plyrcusttest.", top_k=1000, masks_per_word=2)
    several = [word for word in words if len(word.pieces) == 2]
    assert len(several) > 20
    left = [tokenizer.cls_id, *tokenizer.encode("Goung si")]
    right = [*tokenizer.encode("plyrcusttest."), tokenizer.sep_id]
    mask = tokenizer.mask_id
    blank = log_probabilities(filler, [*left, mask, mask, *right])
    for word in several[:5]:
        one, two = (tokenizer.piece_to_id(piece) for piece in word.pieces)
        assert one is not None
        assert two is not None
        half = log_probabilities(filler, [*left, one, mask, *right])
        score = blank[len(left)][one] + half[len(left) + 1][two]
        assert math.log(word.probability) == pytest.approx(score, abs=1e-4)
        assert word.score == pytest.approx(score / 2, abs=1e-4)
    for word in several:
        assert tokenizer.encode(word.word) == [tokenizer.piece_to_id(piece) for piece in word.pieces]
        assert word.pieces[0].startswith(SPACE)
        assert SPACE not in word.pieces[1]
        assert any(map(str.isalnum, word.pieces[1]))
    assert [word.score for word in words] == sorted((word.score for word in words), reverse=True)
    assert len({word.word for word in words}) == len(words)


def test_the_best_word_of_two_pieces_is_found(filler: Filler, tokenizer: Tokenizer) -> None:
    """Against every first piece with every second one."""
    (words,) = filler.fill("Goung si [MASK] vel", top_k=1000, masks_per_word=2)
    best = max((word for word in words if len(word.pieces) == 2), key=lambda word: word.score)
    left, right = [tokenizer.cls_id, *tokenizer.encode("Goung si")], [*tokenizer.encode("vel"), tokenizer.sep_id]
    mask = tokenizer.mask_id
    blank = log_probabilities(filler, [*left, mask, mask, *right])[len(left)]
    pieces = tokenizer.pieces
    firsts = [i for i, piece in enumerate(pieces) if piece.startswith(SPACE)]
    seconds = [i for i, piece in enumerate(pieces) if i > 4 and SPACE not in piece and any(map(str.isalnum, piece))]
    score = -math.inf
    for i in sorted(firsts, key=lambda i: -blank[i])[:200]:
        half = log_probabilities(filler, [*left, i, mask, *right])[len(left) + 1]
        for k in sorted(seconds, key=lambda k: -half[k])[:20]:
            if blank[i] + half[k] > score and tokenizer.encode((pieces[i] + pieces[k])[1:]) == [i, k]:
                score = float(blank[i] + half[k])
    assert math.log(best.probability) == pytest.approx(score, abs=1e-4)


def test_auto_stops_where_longer_words_are_no_better(filler: Filler) -> None:
    lengths: list[int] = []
    original = filler._of_length

    def counted(gap: Any, count: int, width: int) -> Any:
        lengths.append(count)
        return original(gap, count, width)

    filler._of_length = counted  # type: ignore[method-assign]
    try:
        filler.fill("Goung si [MASK] vel", top_k=1)
        assert lengths == [1, 2]
        lengths.clear()
        filler.fill("Goung si [MASK] vel", top_k=1, masks_per_word=4)
        assert lengths == [1, 2, 3, 4]
        lengths.clear()
        # As many as there is room for.
        text = " ".join(["vel"] * 124)
        filler.fill(f"{text} [MASK]", top_k=1000)
        assert lengths == [1, 2]
    finally:
        filler._of_length = original  # type: ignore[method-assign]


def test_a_word_is_learnt_and_found(tokenizer: Tokenizer) -> None:
    """A model that knows two words of one piece, and one of several, for a place finds the latter by itself."""
    config = ModelConfig(2000, 32, 1, 2, 64, embedding_size=16, max_position_embeddings=64)
    model = Albert(config, seed=1)
    word, others = "kormeangvel", [i for i, piece in enumerate(tokenizer.pieces) if len(piece) > 8][:2]
    left, right = [tokenizer.cls_id, *tokenizer.encode("Goung si")], [*tokenizer.encode("orrö."), tokenizer.sep_id]
    pieces, mask = tokenizer.encode(word), tokenizer.mask_id
    assert len(pieces) > 1
    known = [pieces[:count] + [mask] * (len(pieces) - count) for count in range(len(pieces))]
    # (ids, the mask's position, what it hides)
    lessons = [([*left, *part, *right], len(left) + count, pieces[count]) for count, part in enumerate(known)]
    # Any other number of masks is for the others.
    counts = [count for count in range(1, len(pieces) + 2) if count != len(pieces)]
    for count in counts:
        lessons += [([*left, *[mask] * count, *right], len(left), other) for other in others]
    variables = list(model.named_variables.values())

    def step(rate: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.add_n([entropy(model, *lesson) for lesson in lessons])
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(rate * tf.sign(tf.convert_to_tensor(gradient)))
        return loss

    compiled = tf.function(step)
    losses = [float(compiled(tf.constant(0.01 * (1 - done / 150)))) for done in range(150)]
    assert losses[-1] < 2 * math.log(2) * len(counts) + 0.5
    ((best, *_),) = Filler(model, tokenizer).fill("Goung si [MASK] orrö.")
    assert best.word == word
    assert best.probability > 0.7
    assert best.text == f"Goung si {word} orrö."


def entropy(model: Albert, ids: list[int], position: int, target: int) -> tf.Tensor:
    """Cross entropy of one masked piece."""
    encoded = model.encode(tf.constant([ids]), tf.ones([1, len(ids)], tf.int32), tf.zeros([1, len(ids)], tf.int32))
    logits = model.masked_lm_logits(encoded.sequence_output, tf.constant([[position]]))[0, 0]
    return tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'the text must contain [MASK], got ""; write [MASK] for each word to find'),
        (" \t", 'the text must contain [MASK], got ""; write'),
        ("no mask", 'the text must contain [MASK], got "no mask"; write [MASK]'),
        ("[mask]", "the text must contain [MASK], got"),
        (
            f"[MASK] {'vel ' * 126}",
            "the text must have at most 128 tokens, including [CLS] and [SEP], got 129; shorten it:",
        ),
    ],
)
def test_texts_that_cannot_be_filled(text: str, message: str, filler: Filler) -> None:
    with pytest.raises(TrainerError) as error:
        filler.fill(text)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_longest_text(filler: Filler) -> None:
    (words,) = filler.fill(f"[MASK] {'vel ' * 125}")
    assert {len(word.pieces) for word in words} == {1}


def test_numbers_below_one(filler: Filler) -> None:
    for arguments in ({"top_k": 0}, {"masks_per_word": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            filler.fill("[MASK]", **arguments)


def test_a_tokenizer_of_another_size() -> None:
    with pytest.raises(TrainerError, match=r"must have 2,000 pieces, as the model has, got 1,429"):
        Filler(load("tiny"), Tokenizer.from_vocab_file(WORDPIECE))


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_same_from_every_kind_of_directory(
    command: Command, filler: Filler, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = golden_run(Path("run"))
    hugging_face_directory(Path("hf"))
    assert command("export", "--checkpoint", "run", "--output-dir", "tf1", "--to", "tf1").code == 0
    text = "Goung [MASK] si [MASK]."
    expected = [[word._asdict() for word in words] for words in filler.fill(text, 3)]
    for source in ("run", "run/checkpoints", found.path, "hf", "hf/model.safetensors", "tf1", "tf1/model.ckpt-7"):
        done = command("fill-mask", source, text, "--json", "--top-k", 3)
        assert done.code == 0, done.err
        assert done.err == ""
        answer = json.loads(done.out)
        assert answer["text"] == text
        assert len(answer["masks"]) == 2
        for words, there in zip(answer["masks"], expected, strict=True):
            for word, other in zip(words, there, strict=True):
                assert word["word"] == other["word"]
                assert word["text"] == other["text"]
                assert word["pieces"] == list(other["pieces"])
                assert word["probability"] == pytest.approx(other["probability"], rel=1e-4)
                assert math.log(word["probability_per_piece"]) == pytest.approx(other["score"], rel=1e-4)


def test_what_it_prints(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    golden_run(Path("run"))
    done = command("fill-mask", "run", "Goung [MASK].", "a [MASK] b [MASK]", "--top-k", 2, "--masks-per-word", 1)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "Goung [MASK]."
    assert lines[3:5] == ["a [MASK] b [MASK]", "  [MASK] 1"]
    assert lines[7] == "  [MASK] 2"
    assert len(lines) == 10
    assert all(0 < float(line.split()[0]) < 1 for line in (*lines[1:3], *lines[5:7], *lines[8:]))

    class Input:
        buffer = io.BytesIO("Goung [MASK].\n\n  \na [MASK]ö\r\n".encode())

    monkeypatch.setattr(sys, "stdin", Input)
    done = command("fill-mask", "run", "-", "--json", "--top-k", 1)
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["Goung [MASK].", "a [MASK]ö"]
    Input.buffer = io.BytesIO(b"a [MASK]\nb \xff\n")
    done = command("fill-mask", "run", "-")
    assert done.code == 1
    assert done.error == "standard input, line 2: the text must be UTF-8, but byte 3 is not"


def test_what_the_command_refuses(command: Command) -> None:
    golden_run(Path("run"))
    for words, code, message in (
        (["run"], 2, "TEXT is required"),
        (["run", "no mask"], 1, 'the text must contain [MASK], got "no mask"'),
        (["run", ""], 1, "the text must contain [MASK]"),
        (["run", "\udcff [MASK]"], 1, "the text must be UTF-8, got "),
        (
            ["run", "vel " * 200 + "[MASK]"],
            1,
            "the text must have at most 128 tokens, including [CLS] and [SEP], got 203",
        ),
        (
            ["run", "[MASK]", "--masks-per-word", "many"],
            2,
            "--masks-per-word must be auto or a whole number from 1 to 64",
        ),
        (["run", "[MASK]", "--masks-per-word", "0"], 2, "--masks-per-word must be auto or a whole number from 1 to 64"),
        (["run", "[MASK]", "--tokenizer", WORDPIECE], 1, f"{WORDPIECE} is not the tokenizer that the model was"),
        (["nowhere", "[MASK]"], 1, "nowhere does not exist"),
    ):
        done = command("fill-mask", *words)
        assert done.code == code, done.err
        assert done.error.startswith(message)
        assert done.out == ""


def test_models_that_cannot_fill(command: Command) -> None:
    config = config_of("tiny")
    headless = {name: value for name, value in golden_values("tiny").items() if not name.startswith("cls/predictions")}
    write_checkpoint(Path("run"), headless, config)
    done = command("fill-mask", "run", "[MASK]")
    assert done.code == 1
    assert "has no masked-LM head, which filling masks needs (it lacks cls/predictions/output_bias" in done.error
    write_checkpoint(Path("bare"), golden_values("tiny"), config, files={})
    done = command("fill-mask", "bare", "[MASK]")
    assert done.error == "bare holds no tokenizer; pass the one that it was trained with as --tokenizer"
    assert command("fill-mask", "bare", "[MASK]", "--tokenizer", TOKENIZER).code == 0
    other = ModelConfig(900, 32, 1, 2, 64, embedding_size=16, max_position_embeddings=64)
    write_checkpoint(Path("other"), fresh_values(other), other)
    done = command("fill-mask", "other", "[MASK]")
    assert "must have 900 pieces, as the model has, got 2,000" in done.error
