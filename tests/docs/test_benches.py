"""The pure functions of the bench on training steps: what each side gets, and what becomes of its answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

# Last: nothing there stands in for a module of the tests.
sys.path.append(str(Path(__file__).parents[2] / "benches"))

import padding
import real_steps
import sides


def batch_of(lengths: list[int], width: int = 8) -> dict[str, np.ndarray[Any, Any]]:
    """Rows of so many tokens, whose second token is predicted, and the first row's third as well."""
    count = len(lengths)
    ids = np.arange(10, 10 + count * width, dtype=np.int32).reshape(count, width)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int32)
    weights = np.zeros((count, 2), np.float32)
    weights[:, 0] = 1
    weights[0, 1] = 1
    return {
        "input_ids": ids * mask,
        "input_mask": mask,
        "segment_ids": mask * 0,
        "masked_lm_positions": np.tile(np.array([1, 2], np.int32), (count, 1)) * weights.astype(np.int32),
        "masked_lm_ids": (ids[:, 1:3] + 100) * weights.astype(np.int32),
        "masked_lm_weights": weights,
        "next_sentence_labels": (np.arange(count, dtype=np.int32) % 2)[:, None],
    }


def test_labels_ask_only_for_the_predictions_that_count() -> None:
    batch = batch_of([8, 5])
    expected = np.full((2, 8), sides.NOT_ASKED)
    expected[0, 1:3] = [111, 112]
    expected[1, 1] = 119
    np.testing.assert_array_equal(sides.labels(batch), expected)


def test_micro_batches_are_the_batch_in_order() -> None:
    batch = batch_of([3, 4, 8, 5, 2])
    parts = sides.micro_batches(batch, 2, cut=False)
    assert [part["input_ids"].shape for part in parts] == [(2, 8), (2, 8), (1, 8)]
    for name, feature in (
        ("input_ids", batch["input_ids"]),
        ("attention_mask", batch["input_mask"]),
        ("token_type_ids", batch["segment_ids"]),
        ("labels", sides.labels(batch)),
        ("sentence_order_label", batch["next_sentence_labels"][:, 0]),
    ):
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), feature)
        assert all(part[name].dtype == np.int64 for part in parts)


def test_cut_micro_batches_lose_padding_alone() -> None:
    batch = batch_of([3, 4, 8, 5, 2])
    whole, cut = (sides.micro_batches(batch, 2, cut=cut) for cut in (False, True))
    assert [part["input_ids"].shape for part in cut] == [(2, 4), (2, 8), (1, 2)]
    for one, other in zip(whole, cut, strict=True):
        assert one["attention_mask"].sum() == other["attention_mask"].sum()
        assert (one["labels"] != sides.NOT_ASKED).sum() == (other["labels"] != sides.NOT_ASKED).sum()


def test_an_older_trainer_is_told_by_the_parameters_of_its_step() -> None:
    def older(replicas: object, schedule: object, micro_batch: int) -> None: ...

    def newer(replicas: object, schedule: object) -> None: ...

    assert sides.splits_batches_itself(SimpleNamespace(make_step=older))
    assert not sides.splits_batches_itself(SimpleNamespace(make_step=newer))
    assert not sides.splits_batches_itself(SimpleNamespace())


def test_widths_are_the_full_one_or_those_that_pretrain_chooses() -> None:
    config = sides.model_config("tiny")
    sample = [batch_of([2] * 30 + [64] * 2, width=64)]
    [full] = sides.widths(config, 4, sample, cut=False)
    assert full == (64, 2, 4)
    chosen = sides.widths(config, 4, sample, cut=True)
    assert len(chosen) > 1
    assert chosen[-1] == full
    assert chosen[0].tokens < 64
    assert chosen[0].rows > 4


def test_the_model_has_no_dropout_and_the_layers_and_pieces_asked_for() -> None:
    config = sides.model_config("base", 3, 123)
    assert (config.num_hidden_layers, config.vocab_size, config.hidden_size) == (3, 123, 768)
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0
    assert sides.model_config("base").num_hidden_layers == 12


def test_batches_come_back_as_they_were_saved(tmp_path: Path) -> None:
    batches = [batch_of([3, 4, 8]), batch_of([8, 1, 2])]
    real_steps.save(tmp_path / "batches.npz", batches)
    for rows, count in ((None, 3), (2, 2)):
        found = real_steps.load(str(tmp_path / "batches.npz"), rows)
        assert len(found) == 2
        for one, other in zip(batches, found, strict=True):
            assert one.keys() == other.keys()
            for name, array in one.items():
                np.testing.assert_array_equal(other[name], array[:count])
                assert other[name].dtype == array.dtype


def test_a_case_survives_the_command_line() -> None:
    case = real_steps.Case("b.npz", 8, "base", 3, 30000, cut=False, attention="eager", rows=16)
    assert real_steps.Case(**json.loads(case.text())) == case


def test_padding_is_a_fraction_of_all_tokens() -> None:
    assert padding.padding([batch_of([8, 4]), batch_of([2, 2])]) == pytest.approx(0.5)


def test_the_longest_rows_come_from_all_batches() -> None:
    found = padding.longest_rows([batch_of([3, 7]), batch_of([8, 5])], 3)
    assert found["input_mask"].sum(axis=1).tolist() == [8, 7, 5]
    assert all(len(array) == 3 for array in found.values())


class Clock:
    """Stands in for a process: it answers, and writes down its turn."""

    def __init__(self, name: str, log: list[tuple[str, int]]) -> None:
        self.name, self.log = name, log

    def ask(self, number: int) -> dict[str, float]:
        self.log.append((self.name, number))
        return {"seconds": float(len(self.log))}


def test_all_sides_take_each_batch_and_nobody_is_always_first() -> None:
    log: list[tuple[str, int]] = []
    both: Any = {name: Clock(name, log) for name in ("ours", "theirs")}
    answers = padding.turns(both, 3)
    assert log == [("ours", 0), ("theirs", 0), ("theirs", 1), ("ours", 1), ("ours", 2), ("theirs", 2)]
    assert [answer["seconds"] for answer in answers["ours"]] == [1, 4, 5]
    assert [answer["seconds"] for answer in answers["theirs"]] == [2, 3, 6]


def test_ratios_are_of_the_same_round() -> None:
    theirs, ours = [{"seconds": 3.0}, {"seconds": 8.0}, {"seconds": 1.0}], [{"seconds": 2.0}] * 3
    assert padding.ratios(theirs, ours) == [1.5, 4.0, 0.5]
    assert padding.spread(padding.ratios(theirs, ours)) == "1.50x (0.50 to 4.00)"


def test_an_overlay_has_the_other_checkouts_trainer_and_nothing_else(tmp_path: Path) -> None:
    for name in ("trainer", "albert_fast"):
        (tmp_path / "checkout" / name).mkdir(parents=True)
        (tmp_path / "checkout" / name / "__init__.py").write_text(name)
    for _ in range(2):  # again, over what an earlier run left
        found = padding.overlay(tmp_path / "checkout", tmp_path / "work")
        assert [path.name for path in found.iterdir()] == ["trainer"]
        assert (found / "trainer" / "__init__.py").read_text() == "trainer"
