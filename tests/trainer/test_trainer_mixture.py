"""Phases of a run as numbers: steps, stores, what is drawn from each, and what must be the same to resume."""

from __future__ import annotations

import dataclasses
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from trainer_runs import GOLDEN, Material

from albert_fast import AlbertFastError, TokenStore, tokenize
from albert_fast.options import Pretrain
from trainer.report.sources import drawn, section
from trainer.run import data, phases, resume

if TYPE_CHECKING:
    from trainer.run.data import Data


@pytest.fixture(scope="module")
def other(material: Material, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of other text, with the same tokenizer."""
    path = tmp_path_factory.mktemp("other") / "store"
    tokenize([GOLDEN / "corpus" / "part-b.txt"], path, TokenStore(material.store).tokenizer())
    return str(path)


def opened(workers: int = 1, **options: Any) -> Data:
    chosen = Pretrain(output_dir=Path("run"), model="tiny", num_warmup_steps=1, **{"max_seq_length": 32, **options})
    chosen = dataclasses.replace(chosen, num_train_steps=chosen.phase_steps or 12)
    return data.from_tokens(chosen.plans(), 8 // workers, chosen.num_train_steps, 7, workers=workers)


def two(store: Path, other: str) -> dict[str, Any]:
    return {
        "tokens": (f"{store}=3", f"{other}=1"),
        "phase": (
            "steps=5,masked_lm_prob=0.4:0.2",
            {"steps": 4, "tokens": {other: 1}},
            {"steps": 6, "max_seq_length": 64, "tokens": {str(store): 1, other: 1}, "micro_batch_size": 2},
        ),
    }


def test_each_step_belongs_to_a_phase(material: Material, other: str) -> None:
    store = str(material.store)
    found = opened(**two(material.store, other))
    steps = phases.Steps(found.phases, 15)
    assert [steps.number(step) for step in (0, 4, 5, 8, 9, 14, 99)] == [0, 0, 1, 1, 2, 2, 2]
    assert steps.borders == {5, 9}
    assert [steps.masked(step) for step in (0, 2, 4, 5, 14)] == pytest.approx([0.4, 0.3, 0.2, 0.15, 0.15])
    assert [phase.source.max_seq_length for phase in found.phases] == [32, 32, 64]
    assert [phase.micro_batch_size for phase in found.phases] == [None, None, 2]
    assert steps.drawn(0, 15, 1) == {store: 30 + 24, other: 10 + 32 + 24}
    assert steps.drawn(4, 6, 1) == {
        store: 30 - steps.drawn(0, 4, 1)[store],
        other: 16 - 30 + steps.drawn(0, 4, 1)[store],
    }
    assert sum(steps.drawn(3, 11, 1).values()) == 8 * 8
    batches = [(index, batch["input_ids"].shape[1]) for index, batch in phases.batches(steps, 4, lambda source: source)]
    assert batches == [(0, 32)] + 4 * [(1, 32)] + 6 * [(2, 64)]


def test_a_store_continues_where_the_phases_before_left_it(material: Material, other: str) -> None:
    """As long as the length stays. Then two phases of the same kind are one."""
    whole = opened(tokens=str(material.store))
    parts = opened(tokens=str(material.store), phase=("steps=5", "steps=7,masked_lm_prob=0.15"))
    both = [
        [batch for _, batch in phases.batches(phases.Steps(one.phases, 12), 0, lambda it: it)] for one in (whole, parts)
    ]
    assert len(both[0]) == len(both[1]) == 12
    for one, another in zip(*both, strict=True):
        assert all(np.array_equal(one[name], another[name]) for name in one)
    found = opened(**two(material.store, other))
    assert [phase.source._arguments["starts"] for phase in found.phases] == [[0, 0], [10], [0, 0]]


def test_the_workers_of_a_cluster_have_the_rows_of_one(material: Material, other: str) -> None:
    alone, divided = opened(**two(material.store, other)), opened(workers=2, **two(material.store, other))
    assert alone.identity == divided.identity
    one, half = phases.Steps(alone.phases, 15), phases.Steps(divided.phases, 15)
    assert one.drawn(2, 13, 1) == half.drawn(2, 13, 2)
    wanted = [batch["input_ids"] for _, batch in phases.batches(one, 0, lambda source: source)]
    for worker in range(2):
        part = operator.methodcaller("shard", worker, 2)
        found = [batch["input_ids"] for _, batch in phases.batches(half, 0, part)]
        assert all(np.array_equal(batch, whole[worker::2]) for batch, whole in zip(found, wanted, strict=True))


def facts(given: Data) -> dict[str, Any]:
    return {
        "model": {},
        "options": {},
        "data": given.identity,
        "tokenizer": {},
        resume.STORES: phases.digests(given.phases),
    }


def test_what_must_be_the_same_to_resume(material: Material, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_complete", dict)
    monkeypatch.setattr(resume, "_decay_begins", lambda *_: None)
    store = str(material.store)
    known = two(material.store, other)
    mixed: dict[str, Any] = {"tokens": (f"{store}=3", f"{other}=1")}
    phased = facts(opened(**known))
    again = {**known, "phase": (*known["phase"][:2], {**known["phase"][2], "micro_batch_size": 4})}
    resume.check_facts(Path("run"), phased, facts(opened(**again)), 3)  # as fast as the user likes
    for before, now, told in (
        (known, {**known, "phase": ()}, "started with phases, not without them; pass the same `phase` to resume"),
        (mixed, known, "started without phases, not with them; remove `phase` to resume, or pass overwrite=True"),
        (known, {**known, "phase": known["phase"][:2]}, "started with 3 phases, not 2; pass the same `phase`"),
        (
            known,
            {**known, "phase": ("steps=6,masked_lm_prob=0.4:0.2", *known["phase"][1:])},
            (
                "started with steps 5 in phase 1, not 6; pass the same `phase` to resume. For more steps, pass "
                "init_checkpoint='run' and another `output_dir`: the learning rate falls until step 15. Pass overwrite"
            ),
        ),
        (
            known,
            {**known, "phase": ("steps=4,masked_lm_prob=0.4:0.2", *known["phase"][1:])},
            "started with steps 5 in phase 1, not 4; pass the same `phase` to resume, overwrite=True to start over",
        ),
        (
            known,
            {**known, "phase": (*known["phase"], "steps=3")},
            "started with 3 phases, not 4; pass the same `phase` to resume. For more steps, pass init_checkpoint='run'",
        ),
        ({**known, "ngram": 2}, known, "started with ngram=2, not 3; pass 2 to resume, overwrite=True to start over"),
        (
            {**known, "max_predictions_per_seq": 4},
            known,
            "started with max_predictions_per_seq 4 in phase 1, not without it; pass the same `phase` to resume",
        ),
        (
            known,
            {**known, "tokens": known["tokens"][::-1]},
            (
                f"started with the stores in the order {store}, {other}, not {other}, {store} in phase 1; pass "
                "`tokens` in the first order there to resume, overwrite=True"
            ),
        ),
        (
            known,
            {**known, "phase": (known["phase"][0], {"steps": 4, "tokens": store}, known["phase"][2])},
            f"started with {other}, not {store} in phase 2; pass the same `tokens` there to resume",
        ),
        (
            known,
            {**known, "phase": ("steps=5,masked_lm_prob=0.4", *known["phase"][1:])},
            "started with masked_lm_prob 0.4:0.2 in phase 1, not 0.4;",
        ),
        (
            known,
            {**known, "tokens": (f"{store}=2", f"{other}=1")},
            (
                f"started with 75% from {store} and 25% from {other}, not 66.667% from {store} and 33.333% from "
                f"{other} in phase 1; pass the same `tokens` with the same weights there to resume"
            ),
        ),
        (
            mixed,
            {"tokens": (f"{store}=2", f"{other}=1")},
            (
                f"started with 75% from {store} and 25% from {other}, not 66.667% from {store} and 33.333% from {other}"
                "; pass the same `tokens` with the same weights to resume, overwrite=True"
            ),
        ),
        (
            mixed,
            {"tokens": (f"{other}=1", f"{store}=3")},
            (
                f"started with the stores in the order {store}, {other}, not {other}, {store}; pass `tokens` in the "
                "first order to resume, overwrite=True to start over, or another `output_dir`"
            ),
        ),
        (
            mixed,
            {"tokens": (f"{other}=3", f"{store}=1")},
            f"started with 75% from {store} and 25% from {other}, not 25% from {store} and 75% from {other}; pass the",
        ),
        (mixed, {"tokens": store}, f"started with {store} and {other}, not {store}; pass the same `tokens` to resume"),
    ):
        with pytest.raises(AlbertFastError) as caught:
            resume.check_facts(Path("run"), facts(opened(**before)), facts(opened(**now)), 3)
        assert str(caught.value).startswith(f"run: {told}")
    # Checkpoints of earlier versions do not say what their stores are called.
    older = {**facts(opened(**mixed)), resume.STORES: {}}
    with pytest.raises(AlbertFastError, match=r"^run: started with other data; pass the same `tokens` or `records`"):
        resume.check_facts(Path("run"), older, facts(opened(tokens=store)), 3)
    changed = {**facts(opened(tokens=store)), resume.STORES: {}}
    changed[resume.STORES] = {changed["data"]["digest"]: other}
    with pytest.raises(AlbertFastError, match=r"^run: started with other text in .*; pass the same `tokens` to resume"):
        resume.check_facts(Path("run"), facts(opened(tokens=other)), changed, 3)


def test_more_steps_in_a_phase(material: Material, other: str) -> None:
    """The number of steps follows from the phases, and the user has not passed it."""
    known = two(material.store, other)
    before, now = facts(opened(**known)), facts(opened(**{**known, "phase": ("steps=6", *known["phase"][1:])}))
    before["options"], now["options"] = {"num_train_steps": 15}, {"num_train_steps": 16}
    for one in (before, now):
        one["options"] = resume._complete(one["options"])
    with pytest.raises(AlbertFastError) as caught:
        resume.check_facts(Path("run"), before, now, 3)
    assert str(caught.value).startswith("run: started with steps 5 in phase 1, not 6; pass the same `phase` to resume.")
    assert "--num-train-steps" not in str(caught.value)
    assert "num_train_steps" not in str(caught.value)


def test_lines_and_figures_of_phases(material: Material, other: str) -> None:
    store = str(material.store)
    found = opened(**two(material.store, other))
    steps = phases.Steps(found.phases, 15)
    assert phases.lines(steps, 1)[0] == (
        f"phase 1, steps 1 to 5: up to 32 tokens, 40% to 20% of them masked, 75% from {store} (30 instances), 25% from "
        f"{other} (10 instances)"
    )
    # One phase is a phase too.
    one = phases.Steps(opened(tokens=store, phase="steps=1").phases, 1)
    assert phases.lines(one, 1) == [
        f"phase 1, step 1: up to 32 tokens, 15% of them masked, all from {store} (8 instances)"
    ]
    assert phases.described(one, 1) == {
        "phase 1": {"steps": 1, "max_seq_length": 32, "masked_lm_prob": 0.15, "stores": {store: "100%, 8 instances"}}
    }
    assert phases.lines(phases.Steps(opened(tokens=store).phases, 12), 1) == []
    assert phases.described(phases.Steps(opened(tokens=store).phases, 12), 1) == {}
    # While the number of steps is open, nobody knows how many instances there will be.
    mixed = phases.Steps(opened(tokens=(f"{store}=3", f"{other}=1")).phases, 12)
    assert phases.lines(mixed, 1, pending=True) == [f"mixture: 75% from {store}, 25% from {other}"]
    open_ended = phases.described(mixed, 1, pending=True)["mixture"]
    assert (open_ended["steps"], open_ended["stores"][store]) == (None, "75%")
    assert phases.described(mixed, 1)["mixture"]["stores"][store] == "75%, 72 instances"


def test_what_does_not_fit_is_refused(material: Material, other: str) -> None:
    given: dict[str, Any] = {"tokens": str(material.store), "phase": ("steps=5", "steps=6")}
    plans = Pretrain(output_dir=Path("run"), **given).plans()
    with pytest.raises(AlbertFastError) as caught:
        data.from_tokens(plans, 8, 12, 7)
    assert str(caught.value) == (
        "the phases must have as many steps as the run, 12, got 11; change the steps of a phase, or pass "
        "num_train_steps=11"
    )
    with pytest.raises(AlbertFastError) as caught:
        opened(
            tokens=str(material.store), phase=("steps=5", {"steps": 5, "tokens": {other: 1e-9, str(material.store): 1}})
        )
    assert str(caught.value).startswith(
        f"in phase 2, the weight of {other} must be at least 1/65,536 of the sum of all weights, got 1e-09 of 1; pass"
    )


def test_the_report_counts_what_was_drawn() -> None:
    lines = [
        {"step": 2, "phase": 1, "drawn": {"a": 12, "b": 4}},
        {"step": 4, "phase": 1, "drawn": {"a": 13, "b": 3}},
        {"step": 6, "phase": 2, "drawn": {"b": 16}},
    ]
    assert drawn(lines) == {(1, "a"): 25, (1, "b"): 7, (2, "b"): 16}
    text = section(lines)
    for words in ("<td>25</td>", "<td>78.12%</td>", "<td>100.00%</td>", "<th>phase</th>", "Instances from each store"):
        assert words in text
    assert "phase" not in section([{"step": 2, "drawn": {"a": 12, "b": 4}}])
    assert section([{"step": 2}]) == ""
    # A value that no version writes.
    assert drawn([{"step": 2, "drawn": {"a": None, "b": 4}}, {"step": 4, "drawn": {"b": "x"}}]) == {(None, "b"): 4}
