"""A run's journal, and TensorBoard's scalars made from it."""

import errno
import json
import math
import os
import re
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.report.journal import Journal, read


def training(step: int, **figures: Any) -> dict[str, Any]:
    return {"step": step, "steps": 10, "time": 1e9 + step, "hours": step / 100, "loss": 1 / step, **figures}


def evaluation(step: int) -> dict[str, Any]:
    return {"step": step, "time": 1e9 + step, "evaluation": {"masked_lm_accuracy": 0.25, "records": 8, "seconds": 0.5}}


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The directory of a run that was killed at step 30, in the middle of a line."""
    with Journal(tmp_path) as journal:
        for line in (training(10), evaluation(10), training(20), evaluation(20), training(30)):
            journal.append(line)
    with journal.path.open("ab") as file:
        file.write(b'{"step": 40, "time": 17')
    return tmp_path


def test_a_line_is_in_the_file_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(training(10))
        start, line = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
        assert (start["step"], start["start"]) == (0, "new")
        assert line == training(10)


DOCUMENTED = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def test_the_documented_reader_reads_a_journal_of_two_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of all kinds, the last of them half written."""
    (tmp_path / "run").mkdir()
    figures = {"masked_lm_loss": 5.5, "masked_lm_accuracy": 0.125, "records": 8}
    with Journal(tmp_path / "run") as journal:
        journal.append(training(10, masked_lm_accuracy=0.1))
        journal.append({"step": 10, "time": 1e9, "evaluation": figures})
    with Journal(tmp_path / "run", 10) as journal:
        journal.append(training(20, masked_lm_accuracy=math.nan))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "lo')
    assert [line["start"] for line in read(tmp_path / "run" / "metrics.jsonl") if "start" in line] == ["new", "resumed"]
    (reader,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENTED, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(reader, "docs/training.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["10 0.1 0.1", "20 0.05 None", "10 5.5 0.125"]


def test_each_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def write(_: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    with Journal(tmp_path) as journal:
        monkeypatch.setattr(os, "write", write)
        journal.append(training(10))
    assert [json.loads(data) for data in written] == [training(10)]
    assert written[0].endswith(b"}\n")


def test_a_resume_drops_what_lies_beyond_its_step_and_half_a_line(killed: Path) -> None:
    with Journal(killed, 20) as journal:
        assert journal.lines == read(journal.path)
        assert journal.hours == 0.2
        journal.append(training(30, loss=7.0))
    start, *lines = read(killed / "metrics.jsonl")
    resumed = lines.pop(-2)
    assert start["start"] == "new"
    assert (resumed["step"], resumed["start"]) == (20, "resumed")
    assert lines == [training(10), evaluation(10), training(20), evaluation(20), training(30, loss=7.0)]
    assert [path.name for path in killed.iterdir()] == ["metrics.jsonl"]


def test_a_run_without_a_checkpoint_begins_again_and_remembers_its_starts(killed: Path) -> None:
    with Journal(killed) as journal:
        pass
    assert [line["start"] for line in read(journal.path)] == ["new", "new"]


def test_a_start_beyond_the_step_resumed_from_stays(killed: Path) -> None:
    with Journal(killed, 30):
        pass
    with Journal(killed, 10) as journal:
        pass
    assert [line["step"] for line in read(journal.path)] == [0, 10, 10, 30, 10]


def test_a_repair_that_fails_leaves_the_journal_as_it_was(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = killed / "metrics.jsonl"
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainerError, match=r"metrics\.jsonl: No space left on device"):
        Journal(killed, 10)
    assert path.read_bytes() == before


def test_reading_takes_a_cut_last_line_and_one_that_lacks_only_its_end(killed: Path) -> None:
    path = killed / "metrics.jsonl"
    assert [line["step"] for line in read(path)] == [0, 10, 10, 20, 20, 30]
    whole = path.read_bytes()
    for cut in range(whole.rindex(b"\n") + 1):
        path.write_bytes(whole[:cut])
        found = read(path)
        assert len(found) in (whole[:cut].count(b"\n"), whole[:cut].count(b"\n") + 1)
    assert found == read(path)
    assert found[-1] == training(30)
    assert read(killed / "none.jsonl") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"step": 1\n', "the line must be JSON"),
        (b"\n", "the line must be JSON"),
        (b'{"step": 1, "loss": NaN}\n', "NaN is not a JSON number"),
        (b"\xff\n", "the line must be JSON"),
        (b"[1]\n", 'whole number as "step", got \\[1\\]'),
        (b'{"step": "1"}\n', 'whole number as "step"'),
    ],
)
def test_another_line_that_is_none_is_an_error_with_its_number(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + text + b'{"step": 2}\n')
    with pytest.raises(TrainerError, match=rf"metrics\.jsonl, line 2: .*{message}") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainerError):
        Journal(tmp_path, 1)


def test_what_json_does_not_know_becomes_null_or_a_number(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(
            {"step": np.int64(3), "loss": math.nan, "rate": np.float32(0.5), "all": [math.inf, {"x": -math.inf}]}
        )
    assert read(journal.path)[-1] == {"step": 3, "loss": None, "rate": 0.5, "all": [None, {"x": None}]}


def test_a_full_disk_is_an_error_and_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Journal(tmp_path) as journal:

        def fills_up(file: int, data: bytes) -> int:
            if len(data) < 40:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(file, data[:-39])

        monkeypatch.setattr(os, "write", fills_up)
        with pytest.raises(TrainerError, match=r"cannot write .*metrics\.jsonl: No space left on device"):
            journal.append(training(10))
        monkeypatch.undo()
        journal.append(training(20))
    assert [json.loads(line)["step"] for line in journal.path.read_text().splitlines()] == [0, 20]


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"cannot write .*metrics\.jsonl: No such file or directory"):
        Journal(tmp_path / "none")


def events(run: Path) -> dict[str, list[tuple[float, int, float]]]:
    """Time, step and value of every scalar in the directory, by tag."""
    tf = pytest.importorskip("tensorflow")
    found: dict[str, list[tuple[float, int, float]]] = {}
    for path in sorted((run / "tensorboard").glob("*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.wall_time, event.step, value.simple_value))
    return found


@pytest.mark.tensorflow
def test_tensorboard_gets_each_line_at_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    from trainer.report.tensorboard import TensorBoard

    with TensorBoard(tmp_path, []) as board:
        board.write(training(10, learning_rate=0.5, mfu=None, input_wait=math.nan))
        assert events(tmp_path) == {
            "train/loss": [(1e9 + 10, 10, pytest.approx(0.1))],
            "train/learning_rate": [(1e9 + 10, 10, 0.5)],
        }
        board.write(evaluation(10))
        found = events(tmp_path)
        assert found["eval/masked_lm_accuracy"] == [(1e9 + 10, 10, 0.25)]
        assert "eval/records" not in found


@pytest.mark.tensorflow
def test_a_resume_makes_tensorboard_forget_the_steps_taken_again(killed: Path) -> None:
    pytest.importorskip("tensorflow")
    from trainer.report.tensorboard import TensorBoard

    with TensorBoard(killed, read(killed / "metrics.jsonl")):
        pass
    (killed / "tensorboard" / "events.out.tfevents.1.another").write_bytes(b"")
    with Journal(killed, 10) as journal, TensorBoard(killed, journal.lines) as board:
        board.write(training(20, loss=7.0))
    found = events(killed)
    assert found["train/loss"] == [(1e9 + 10, 10, pytest.approx(0.1)), (1e9 + 20, 20, 7.0)]
    assert [step for _, step, _ in found["eval/masked_lm_accuracy"]] == [10]
    names = sorted(path.name for path in (killed / "tensorboard").iterdir())
    assert names == ["events.out.tfevents.1.another", board.path.name]


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_itself_reads_the_events(killed: Path) -> None:
    pytest.importorskip("tensorflow")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from trainer.report.tensorboard import TensorBoard

    with TensorBoard(killed, read(killed / "metrics.jsonl")):
        pass
    board = accumulator.EventAccumulator(str(killed / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [10, 20, 30]
    assert [event.value for event in board.Scalars("eval/masked_lm_accuracy")] == [0.25, 0.25]


@pytest.mark.tensorflow
def test_a_tensorboard_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    from trainer.report.tensorboard import TensorBoard

    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(TrainerError, match=r"cannot write .*tensorboard.*: File exists"):
        TensorBoard(tmp_path, [])


@pytest.mark.tensorflow
def test_a_disk_that_fills_up_is_an_error_of_tensorboard_too(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    from trainer.report.tensorboard import TensorBoard

    with TensorBoard(tmp_path, [training(10)]) as board:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (board.path.stat().st_size, hard))
        try:
            with pytest.raises(TrainerError, match=r"cannot write .*\.albert-fast: File too large$"):
                board.write(training(20))
            with pytest.raises(TrainerError, match=r"cannot write .*\.albert-fast: File too large$"):
                TensorBoard(tmp_path, [training(10), training(20)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (tmp_path / "tensorboard").iterdir()] == [board.path.name]
    board.close()
