"""Which workers TF_CONFIG names, and what it may not name. Needs no TensorFlow."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
from foreign_bytes import changed_json, fuzzed, nested
from hypothesis import given

from trainer.errors import TrainerError
from trainer.run.cluster import cluster, parse


def config(kind: str | None, index: object = 0, **jobs: Any) -> str:
    task = {"index": index} if kind is None else {"type": kind, "index": index}
    return json.dumps({"cluster": jobs, "task": task})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", (1, 0)),
        ('{"cluster": {}, "task": {"type": "chief", "index": 0}}', (1, 0)),
        ('{"cluster": null, "task": null}', (1, 0)),
        (config("worker", worker=["a:1"]), (1, 0)),
        ('{"cluster": {"worker": ["a:1"]}}', (1, 0)),
        ('{"cluster": {"chief": ["a:1"]}, "task": {}}', (1, 0)),
        (config("worker", 1, worker=["a:1", "b:1"]), (2, 1)),
        # What managed training sets for one machine, and for several.
        (config("chief", chief=["localhost:23456"]), (1, 0)),
        (config("chief", chief=["a:1"], worker=["b:1", "c:1"]), (3, 0)),
        (config("worker", 0, chief=["a:1"], worker=["b:1", "c:1"]), (3, 1)),
        (config("worker", 1, chief=["a:1"], worker=["b:1", "c:1"]), (3, 2)),
        (config("worker", "1", worker=["a:1"], chief=["b:1"]).replace('["a:1"]', '["a:1", "c:1"]'), (3, 2)),
        (config("worker", 0, worker=["a:1"], ps=[], evaluator=[]), (1, 0)),
        # What older managed training sets, and what runs an evaluator beside the training.
        (config("master", 0, master=["a:1"], worker=["b:1"]), (2, 0)),
        (config("worker", 0, master=["a:1"], worker=["b:1"]), (2, 1)),
        (config("worker", 0, chief=["a:1"], worker=["b:1"], evaluator=["c:1"]), (2, 1)),
    ],
)
def test_workers_are_counted_from_the_chief(text: str, expected: tuple[int, int]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG must be like"),
        ("[1]", "TF_CONFIG must be like"),
        ('{"cluster": "worker"}', "TF_CONFIG must be like"),
        ('{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}', "TF_CONFIG must be like"),
        ('{"cluster": {"worker": ["a:1"]}, "task": 0.5}', "TF_CONFIG must be like"),
        (
            config("worker", 2, worker=["a:1", "b:1"]),
            "must be a whole number below 2, the number of machines of type worker, got 2",
        ),
        (
            config("worker", True, worker=["a:1", "b:1"]),
            "a whole number below 2, the number of machines of type worker, got True",
        ),
        (
            config("worker", -1, worker=["a:1", "b:1"]),
            "a whole number below 2, the number of machines of type worker, got -1",
        ),
        (
            config("chief", 1, chief=["a:1"], worker=["b:1"]),
            "a whole number below 1, the number of machines of type chief, got 1",
        ),
        (config("chief", 0, worker=["a:1", "b:1"]), "the task in TF_CONFIG must be of type worker, got 'chief'"),
        (
            config(None, chief=["a:1"], worker=["b:1"]),
            "the task in TF_CONFIG must be of type chief or worker, got None",
        ),
        (config("chief", 0, chief=["a:1", "b:1"]), "must have one chief, got 2"),
        (
            config("worker", 0, worker=["a:1"], ps=["b:1"]),
            "have no jobs but chief and worker, got 'ps': pretrain has no parameter servers",
        ),
        (
            config("evaluator", 0, chief=["a:1"], evaluator=["b:1"]),
            "got 'evaluator': pretrain evaluates `eval_records` itself",
        ),
        (config("master", 0, master=["a:1"], chief=["b:1"]), "got 'master': it means chief, and there is a chief"),
        (config("worker", 0, worker=["a:1"]).replace('"worker", "index"', '["worker"], "index"'), "got ['worker']"),
        (config("worker", 0, worker=["a:1"]).replace('"worker", "index"', '{}, "index"'), "got {}"),
        (
            config("worker", "9" * 5000, worker=["a:1"]),
            "a whole number below 1, the number of machines of type worker, got '999",
        ),
        ("[" * 100_000, "TF_CONFIG must be like"),
        (config("tpu", 0, tpu=["a:1"]), "have no jobs but chief and worker, got 'tpu'"),
    ],
)
def test_what_no_run_can_start_from(text: str, message: str) -> None:
    with pytest.raises(TrainerError, match=re.escape(message)) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert (caught.value.kind, caught.value.option) == ("option", "TF_CONFIG")


@given(changed_json(config("worker", 1, chief=["a:1"], worker=["b:1", "c:1"]).encode()) | nested(b'{"task": 0}'))
@fuzzed
def test_other_values(content: bytes) -> None:
    try:
        workers, index = parse(content.decode())
    except TrainerError as error:
        assert "TF_CONFIG" in str(error)  # noqa: PT017 - there may be none
        assert "\n" not in str(error)  # noqa: PT017
        assert len(str(error)) < 600  # noqa: PT017
        return
    assert 0 <= index < workers


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("", (1, 0)), (" ", (1, 0)), (config("chief", chief=["a:1"], worker=["b:1"]), (2, 0))):
        monkeypatch.setenv("TF_CONFIG", text)
        assert cluster() == expected
    monkeypatch.delenv("TF_CONFIG")
    assert cluster() == (1, 0)


def test_tensorflow_is_told_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config("worker", 0, master=["a:1"], worker=["b:1"], evaluator=["c:1"], ps=[]))
    for _ in range(2):
        assert cluster() == (2, 1)
        expected = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}
        assert json.loads(os.environ["TF_CONFIG"]) == expected
    plain = config("chief", chief=["a:1"], worker=["b:1"]).replace(", ", " ,")
    monkeypatch.setenv("TF_CONFIG", plain)
    assert cluster() == (2, 0)
    assert os.environ["TF_CONFIG"] == plain
