"""Runs with mixtures and phases: stopped where a phase ends, and resumed with the same bits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tensorflow")

from trainer_runs import GOLDEN, Material, arguments, assert_same, lines, steps, stop_at, training, weights

from albert_fast import TokenStore, tokenize

if TYPE_CHECKING:
    from conftest import Command

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


@pytest.fixture
def other(command: Command, material: Material) -> str:
    """A store of other text, in the current directory."""
    tokenize([GOLDEN / "corpus" / "part-b.txt"], "other", TokenStore(material.store).tokenizer())
    return "other"


def test_two_phases_of_one_kind_are_a_run_without_phases(command: Command, material: Material) -> None:
    assert command(*arguments(material, Path("whole"), num_train_steps=4)).code == 0
    words = arguments(material, Path("run"), num_train_steps=None)
    found = command(*words, "--phase", "steps=1", "--phase", "steps=3")
    assert found.code == 0, found.err
    assert_same(weights(Path("run")), weights(Path("whole")))
    more = command(*words, "--phase", "steps=1", "--phase", "steps=4")
    assert more.code == 1
    assert more.error.startswith(
        "run: started with steps 3 in phase 2, not 4; pass the same --phase to resume. For more steps, pass "
        "--init-checkpoint run and another --output-dir: the learning rate falls until step 4. Pass --overwrite to"
    )


def test_a_run_of_phases_resumes_with_the_same_bits(
    command: Command, material: Material, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = str(material.store)
    Path("phases.yaml").write_text(
        json.dumps(
            {
                "tokens": {store: 3, other: 1},
                "phase": [
                    {"steps": 5, "max_seq_length": 32, "masked_lm_prob": "0.3:0.2", "micro_batch_size": 8},
                    {"steps": 7, "tokens": [other], "micro_batch_size": 2},
                ],
            }
        )
    )
    # Flags win over the file, so what is in it must not be passed.
    changes = {"tokens": None, "num_train_steps": None, "config": "phases.yaml", "model": material.dropout}
    whole = command(*arguments(material, Path("whole"), **changes))
    assert whole.code == 0, whole.err
    for told in (
        f"phase 1, steps 1 to 5: up to 32 tokens, 30% to 20% of them masked, 75% from {store} (30 instances), 25% f",
        "phase 2, steps 6 to 12: up to 64 tokens, 15% of them masked, all from other (56 instances)",
        "phase 2: micro-batches of",
    ):
        assert told in whole.err
    words = arguments(material, Path("run"), **changes)
    for step in (5, 8):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            assert command(*words).code == 130
        assert steps(Path("run"))[-1] == step
    again = command(*words)
    assert again.code == 0, again.err
    assert "warning" not in again.err
    assert_same(weights(Path("run")), weights(Path("whole")))
    assert training(Path("run")) == training(Path("whole"))
    found = [line for line in lines(Path("run")) if "loss" in line]
    # A line ends where the phase ends.
    assert [(line["step"], line["phase"], line["max_seq_length"]) for line in found] == [
        (2, 1, 32), (4, 1, 32), (5, 1, 32), (6, 2, 64), (8, 2, 64), (10, 2, 64), (12, 2, 64),
    ]  # fmt: skip
    assert [sum(line["drawn"].values()) for line in found] == [16, 16, 8, 8, 16, 16, 16]
    assert sum(line["drawn"].get(store, 0) for line in found) == 30
    assert [line["masked_lm_prob"] for line in found] == pytest.approx([0.275, 0.225, 0.2, 0.15, 0.15, 0.15, 0.15])
    report = Path("run/report.html").read_text()
    assert "Instances from each store" in report
    assert "<td>56</td>" in report
    described = json.loads(Path("run/run.json").read_text())
    assert len(set(described["training"]["widths"])) == len(described["training"]["widths"])
    assert described["steps"]["total"] == 12
    assert described["data"]["phase 1"]["stores"][store] == "75%, 30 instances"
    kept = json.loads(Path("run/pretrain.config.json").read_text())["pretrain"]
    assert (kept["num_train_steps"], kept["phase"][1]) == (12, {"steps": 7, "tokens": [other], "micro_batch_size": 2})
    # What a run writes beside itself starts it again.
    assert command("pretrain", "--config", "run/pretrain.config.json", "--output-dir", "run").code == 0
    refused = command(*words, "--phase", "steps=12")
    assert refused.code == 1
    assert refused.error.startswith("run: started with 2 phases, not 1; pass the same --phase to resume, --overwrite")


def test_a_mixture_resumes_with_the_same_bits(
    command: Command, material: Material, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"tokens": f"{material.store}=0.7", "num_train_steps": 4}
    more = ["--tokens", f"{other}=0.3"]
    found = command(*arguments(material, Path("whole"), **changes), *more)
    assert found.code == 0, found.err
    told = re.search(
        rf"mixture: 70% from {material.store} \((\d+) instances\), 30% from other \((\d+) insta", found.err
    )
    assert told is not None
    planned = [int(count) for count in told.groups()]
    assert sum(planned) == 32
    assert abs(planned[0] - 0.7 * 32) < 1
    words = [*arguments(material, Path("run"), **changes), *more]
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        assert command(*words).code == 130
    assert command(*words).code == 0
    assert_same(weights(Path("run")), weights(Path("whole")))
    drawn = [line["drawn"] for line in lines(Path("run")) if "loss" in line]
    assert [sum(counts.values()) for counts in drawn] == [16, 16]
    assert [sum(counts[name] for counts in drawn) for name in (str(material.store), other)] == planned
    refused = command(*arguments(material, Path("run"), **{**changes, "tokens": f"{material.store}=0.6"}), *more)
    assert f"started with 70% from {material.store} and 30% from other, not 66.667% from" in refused.error
    assert "; pass the same --tokens with the same weights to resume" in refused.error
    swapped = command(
        *arguments(material, Path("run"), **{**changes, "tokens": "other=0.3"}), "--tokens", f"{material.store}=0.7"
    )
    assert f"run: started with the stores in the order {material.store}, other, not other, " in swapped.error
    assert "; pass --tokens in the first order to resume" in swapped.error
