"""Trackers: what they are sent, when they fail, and how a resumed run continues. Needs neither TensorFlow nor them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import json
import os
import socket
import sys
import threading
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trainer.errors import TrainerError
from trainer.report.journal import Journal
from trainer.report.trackers import follow
from trainer.report.trackers.follow import Trackers
from trainer.report.trackers.mlflow import Mlflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
VARIABLES = ("WANDB_", "MLFLOW_", "TRACKIO_", "HF_TOKEN")
DEADLINE = 300
"""Seconds after which a thread counts as stuck, however busy the machine is."""
ENDED = ("finished", None)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of the user, an empty home, and threads that look at the log all the time."""
    for name in list(os.environ):
        if name.startswith(VARIABLES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in (("POLL", 0.02), ("FIRST_PAUSE", 0.01), ("LONGEST_PAUSE", 0.02)):
        monkeypatch.setattr(follow, name, value)


class Fake:
    """What the three fakes have taken, and how they fail."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        """Of each tracked run its title, project, configuration, rows, state and how often it was opened."""
        self.errors: list[Exception] = []
        """What the next calls of `log` raise."""
        self.refusals: list[Exception] = []
        """What the next tries to describe a new tracked run raise."""
        self.wait: threading.Event | None = None
        """What each call of `log` waits for."""
        self.rows_at_once: list[int] = []

    def open(self, run: str, title: str | None, project: str | None, config: dict[str, Any] | None = None) -> None:
        found = self.runs.setdefault(run, {"title": title, "project": project, "rows": [], "opened": 0, "config": {}})
        found["opened"] += 1
        found["state"] = "running"
        found["config"] |= config or {}

    def log(self, run: str, step: int, tag: str, value: float) -> None:
        self.runs[run]["rows"].append((step, tag, value))

    def may_fail(self) -> None:
        if self.wait is not None:
            assert self.wait.wait(DEADLINE)
        if self.errors:
            raise self.errors.pop(0)

    def may_refuse(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)

    def losses(self, run: str | None = None, tag: str = "train/loss") -> list[tuple[int, float]]:
        (found,) = [self.runs[run]] if run else self.runs.values()
        return [(step, value) for step, name, value in found["rows"] if name == tag]


def module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    made.__dict__.update(content)
    monkeypatch.setitem(sys.modules, name, made)
    return made


def fake_wandb(monkeypatch: pytest.MonkeyPatch, fake: Fake) -> None:
    class Run:
        url = "https://wandb.example/run"

        def __init__(self, run: str) -> None:
            self.run = run
            self.summary = fake.runs[run].setdefault("summary", {})
            self.settings = types.SimpleNamespace(sync_dir="run/wandb/offline-run")

        def define_metric(self, name: str, step_metric: str | None = None, hidden: bool = False) -> None:
            pass

        def log(self, row: dict[str, float]) -> None:
            fake.may_fail()
            self.summary.update(row)
            row.pop("eval/step", None)
            step = int(row.pop("step"))
            for tag, value in row.items():
                fake.log(self.run, step, tag, value)

        def finish(self, exit_code: int) -> None:
            fake.runs[self.run]["state"] = {0: "finished", 130: "stopped", 1: "failed"}[exit_code]

    def init(*, project: str, resume: str, name: str | None = None, config: Any = None, **more: Any) -> Run:
        print("a package that talks")
        print("a package that talks", file=sys.stderr)
        fake.may_refuse()
        fake.open(more["id"], name, project, config)
        return Run(more["id"])

    class AuthenticationError(Exception):
        pass

    def login(*, prompt: bool, verify: bool = False) -> bool:
        if verify and os.environ.get("WANDB_API_KEY") == "wrong":
            raise AuthenticationError("Failed to authenticate.")
        return "WANDB_API_KEY" in os.environ

    mode = os.environ.get("WANDB_MODE", "online")
    base_url = os.environ.get("WANDB_BASE_URL", "https://wandb.example")
    settings = types.SimpleNamespace(mode=mode, base_url=base_url)
    module(
        monkeypatch,
        "wandb",
        setup=lambda: types.SimpleNamespace(settings=settings),
        init=init,
        login=login,
        Settings=dict,
        errors=types.SimpleNamespace(AuthenticationError=AuthenticationError),
    )


def fake_mlflow(monkeypatch: pytest.MonkeyPatch, fake: Fake) -> None:
    class MlflowException(Exception):  # noqa: N818 - its name there
        error_code = "RESOURCE_DOES_NOT_EXIST"

    class Client:
        def search_experiments(self, max_results: int) -> None:
            pass

        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str) -> str:
            return name

        def create_run(self, experiment: str, run_name: str) -> Any:
            run = f"run{len(fake.runs)}"
            fake.open(run, run_name, experiment)
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run))

        def get_run(self, run: str) -> Any:
            if run not in fake.runs:
                raise MlflowException
            info = types.SimpleNamespace(experiment_id=fake.runs[run]["project"])
            return types.SimpleNamespace(info=info, data=types.SimpleNamespace(params=dict(fake.runs[run]["config"])))

        def update_run(self, run: str, status: str) -> None:
            fake.open(run, None, None)

        def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
            if metrics:
                fake.may_fail()
            assert len(metrics) <= 1000
            assert len(params) <= 100
            if params:
                fake.may_refuse()
            for name, value in params:
                if fake.runs[run]["config"].setdefault(name, value) != value:
                    raise MlflowException(f"Changing param values is not allowed: {name}")
            for tag, value, _, step in metrics:
                fake.log(run, step, tag, value)

        def set_tag(self, run: str, name: str, value: str) -> None:
            fake.runs[run][name] = value

        def set_terminated(self, run: str, status: str, when: int) -> None:
            fake.runs[run]["state"] = {"FINISHED": "finished", "KILLED": "stopped", "FAILED": "failed"}[status]

    entities = types.SimpleNamespace(Metric=lambda *one: one, Param=lambda *one: one)
    module(
        monkeypatch,
        "mlflow",
        get_tracking_uri=lambda: os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"),
        MlflowClient=Client,
        entities=entities,
        exceptions=types.SimpleNamespace(MlflowException=MlflowException),
    )


def fake_trackio(monkeypatch: pytest.MonkeyPatch, fake: Fake) -> None:
    class Run:
        def __init__(self, name: str) -> None:
            self.id, self.name = f"id{len(fake.runs)}", name
            steps = [step for found in fake.runs.values() for step, _, _ in found["rows"]]
            self._next_step = max(steps, default=-1) + 1

        def log(self, row: dict[str, float], step: int) -> None:
            fake.may_fail()
            for tag, value in row.items():
                fake.log(self.id, step, tag, value)

        def finish(self) -> None:
            fake.runs[self.id]["state"] = "finished"

    def init(*, project: str, name: str, config: Any, resume: str, embed: bool) -> Run:
        print("a package that talks")
        fake.may_refuse()
        run = Run(name)
        if resume == "never":
            fake.open(run.id, name, project, config)
        return run

    module(monkeypatch, "trackio", init=init)


FAKES = {"wandb": fake_wandb, "mlflow": fake_mlflow, "trackio": fake_trackio}


@pytest.fixture(params=FAKES)
def tracker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fake(tracker: str, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    FAKES[tracker](monkeypatch, made)
    return made


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a run, described."""
    made = tmp_path / "läuft"
    made.mkdir()
    options = {"batch_size": 8, "tokens": "größe", "a": None}
    (made / "pretrain.config.json").write_text(json.dumps({"pretrain": options}))
    (made / "albert_config.json").write_text(json.dumps({"hidden_size": 32}))
    (made / "run.json").write_text(json.dumps({"data": {"instances": 809}, "steps": {"done": 0}}))
    return made


def line(step: int, loss: float | None = None) -> dict[str, Any]:
    return {"step": step, "time": 1e9 + step, "loss": step / 8 if loss is None else loss, "steps": 2, "hours": 1.0}


def evaluation(step: int) -> dict[str, Any]:
    return {"step": step, "time": 1e9 + step, "evaluation": {"masked_lm_loss": 2.5, "records": 7}}


@contextlib.contextmanager
def following(
    run: Path, names: list[str], said: list[str], end: tuple[str, str | None] | None = ENDED
) -> Iterator[None]:
    """Trackers that follow the log of `run` while the block writes it."""
    with Trackers(names, run) as trackers:
        trackers.start(said.append)
        yield
        if end is not None:
            trackers.finish(*end, said.append)


def wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not reached():
        assert time.monotonic() < until, "stuck"
        time.sleep(0.01)


def test_a_run(tracker: str, fake: Fake, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with Journal(run) as journal, following(run, [tracker], said):
        journal.append(line(2, float("nan")))
        journal.append(line(4))
        wait_until(lambda: fake.losses() == [(4, 0.5)] if fake.runs else False)
        journal.append(evaluation(4))
        journal.append(line(6))
    assert fake.losses() == [(4, 0.5), (6, 0.75)]
    assert fake.losses(tag="eval/masked_lm_loss") == [(4, 2.5)]
    (found,) = fake.runs.values()
    tags = {tag for _, tag, _ in found["rows"]} - {"_timestamp"}
    assert tags == {"train/loss", "eval/masked_lm_loss"}  # and no counts
    assert (found["title"], found["project"], found["state"], found["opened"]) == (
        "läuft",
        "albert-fast",
        "finished",
        1,
    )
    config = found["config"]
    assert str(config["batch_size"]) == "8"
    assert config["tokens"] == "größe"
    if tracker == "mlflow":
        assert config["albert_config.hidden_size"] == "32"
        assert config["run.data.instances"] == "809"
        assert not any("steps" in name for name in config)
    else:
        assert config["run"] == {"data": {"instances": 809}}
    assert len(said) == 1
    assert "a new run" in said[0]
    assert capsys.readouterr() == ("", "")


def test_what_a_thread_says_is_seen(tracker: str, fake: Fake, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though what its package writes is not."""
    with Journal(run), Trackers([tracker], run) as trackers:
        stream = sys.stderr
        trackers.start(lambda message: print(message, file=stream))
        trackers.finish(*ENDED, pytest.fail)
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith(f"{tracker}: a new run")
    assert found.err.count("\n") == 1


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_how_a_run_ended(state: str, tracker: str, fake: Fake, run: Path) -> None:
    with Journal(run), following(run, [tracker], [], (state, None if state == "finished" else "SIGTERM")):
        pass
    (found,) = fake.runs.values()
    assert found["state"] == ("finished" if tracker == "trackio" else state)
    if state == "stopped" and tracker != "trackio":
        assert "SIGTERM" in {found.get("stopped"), found.get("summary", {}).get("stopped")}


def test_a_run_resumes(tracker: str, fake: Fake, run: Path) -> None:
    """The second start continues the tracked run, though the first one could not end it."""
    said: list[str] = []
    with Journal(run) as journal, following(run, [tracker], said, end=None):
        for step in (2, 4, 6):
            journal.append(line(step))
        wait_until(lambda: len(fake.losses()) == 3 if fake.runs else False)
        wait_until(lambda: json.loads((run / "trackers.json").read_text())[tracker]["training"] == 6)
    # Killed after step 6, with a checkpoint at step 4: steps 5 and 6 are computed again.
    with Journal(run, 4) as journal, following(run, [tracker], said):
        assert [one["step"] for one in journal.lines] == [0, 2, 4, 4]
        journal.append(evaluation(4))
        journal.append(line(6))
        journal.append(line(8))
    assert fake.losses() == [(2, 0.25), (4, 0.5), (6, 0.75), (8, 1.0)]
    assert fake.losses(tag="eval/masked_lm_loss") == [(4, 2.5)]
    assert ["continuing" in one for one in said] == [False, True]


def test_a_tracker_that_joins_late_gets_everything(tracker: str, fake: Fake, run: Path) -> None:
    with Journal(run) as journal:
        for step in range(2, 400, 2):
            journal.append(line(step))
    with Journal(run, 398), following(run, [tracker], []):
        pass
    assert [step for step, _ in fake.losses()] == list(range(2, 400, 2))


def test_a_line_being_written_waits_for_its_end(tracker: str, fake: Fake, run: Path) -> None:
    text = json.dumps(line(2)).encode() + b"\n"
    with Journal(run), following(run, [tracker], []), (run / "metrics.jsonl").open("ab", buffering=0) as file:
        file.write(text[:20])
        wait_until(lambda: bool(fake.runs))
        time.sleep(0.1)
        assert fake.losses() == []
        file.write(text[20:])
    assert fake.losses() == [(2, 0.25)]


def test_a_tracker_that_fails_for_a_while(tracker: str, fake: Fake, run: Path) -> None:
    said: list[str] = []
    fake.errors = [OSError(5, "no route"), RuntimeError("böse\n500")]
    with Journal(run) as journal, following(run, [tracker], said):
        for step in (2, 4, 6):
            journal.append(line(step))
        wait_until(lambda: len(fake.losses()) == 3 if fake.runs else False)
    assert fake.losses() == [(2, 0.25), (4, 0.5), (6, 0.75)]
    warnings = [one for one in said if one.startswith("warning:")]
    assert warnings == [f"warning: {tracker} failed, and will be tried again: no route"]


@pytest.mark.parametrize("starts", [1, 2])
def test_a_tracked_run_that_could_not_be_opened_is_described_later(
    starts: int, tracker: str, fake: Fake, run: Path
) -> None:
    """By the next try, or, if all tries of a start fail, by the next start."""
    said: list[str] = []
    fake.refusals = [OSError(5, "no route")] * (1 if starts == 1 else follow.MOST_FAILURES)
    for start in range(starts):
        with Journal(run, 2 * start) as journal, following(run, [tracker], said):
            journal.append(line(2 * start + 2))
            wait_until(lambda: "not used anymore" in said[-1] or " run, " in said[-1] if said else False)
    assert fake.refusals == []
    assert [step for step, _ in fake.losses()] == [2 * start + 2 for start in range(starts)]
    (found,) = fake.runs.values()
    assert found["title"] == "läuft"
    assert found["config"]["tokens"] == "größe"
    assert [one.startswith(f"{tracker}: a new run") for one in said] == [False] * starts + [True]
    assert json.loads((run / "trackers.json").read_text())[tracker]["described"] is True
    # What is described is not described again.
    found["config"].clear()
    with Journal(run, 2 * starts), following(run, [tracker], said):
        pass
    assert "continuing" in said[-1]
    assert found["config"] == {}


def test_the_state_of_an_older_version(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not say whether the tracked run is described, which it is."""
    fake, said = Fake(), list[str]()
    fake_mlflow(monkeypatch, fake)
    fake.open("old", "a name", "a project")
    (run / "trackers.json").write_text('{"mlflow": {"run": "old", "training": 2, "evaluation": -1}}')
    with Journal(run) as journal, following(run, ["mlflow"], said):
        journal.append(line(2))
        journal.append(line(4))
    assert fake.losses() == [(4, 0.5)]
    assert fake.runs["old"]["config"] == {}
    assert "continuing" in said[0]


@pytest.mark.parametrize(
    "damaged", [b"{", b"[]", b"1", b"\xff", b'{"loss": 1}', b'{"step": null, "loss": 1}', b'{"evaluation": 1}']
)
def test_a_damaged_line_is_the_only_one_that_is_not_sent(
    damaged: bytes, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, said = Fake(), list[str]()
    fake_mlflow(monkeypatch, fake)
    lines = [json.dumps(line(2)).encode(), damaged, json.dumps(line(4)).encode()]
    with Journal(run), following(run, ["mlflow"], said), (run / "metrics.jsonl").open("ab") as file:
        file.write(b"".join(one + b"\n" for one in lines))
    assert fake.losses() == [(2, 0.25), (4, 0.5)]
    assert not any("warning" in one for one in said)


def test_a_run_of_the_user_keeps_its_parameters(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow refuses to change them."""
    fake, said = Fake(), list[str]()
    fake_mlflow(monkeypatch, fake)
    fake.open("mine", "a name", "a project", {"batch_size": "64"})
    monkeypatch.setenv("MLFLOW_RUN_ID", "mine")
    with Journal(run) as journal, following(run, ["mlflow"], said):
        journal.append(line(2))
    assert fake.losses("mine") == [(2, 0.25)]
    assert not any("warning" in one for one in said)
    assert fake.runs["mine"]["config"] == {
        "batch_size": "64",
        "tokens": "größe",
        "albert_config.hidden_size": "32",
        "run.data.instances": "809",
    }


def test_a_tracker_that_never_works(tracker: str, fake: Fake, run: Path) -> None:
    said: list[str] = []
    fake.errors = [RuntimeError("out of order")] * 1000
    with Journal(run) as journal, following(run, [tracker], said):
        journal.append(line(2))
        wait_until(lambda: len(said) == 3)
    assert "failed, and will be tried again: out of order" in said[1]
    assert "failed 10 times and is not used anymore: out of order" in said[2]
    assert len(fake.errors) == 1000 - follow.MOST_FAILURES
    # The next start sends the rest.
    fake.errors = []
    with Journal(run, 2), following(run, [tracker], said):
        pass
    assert fake.losses() == [(2, 0.25)]


def test_one_that_fails_does_not_keep_another_from_working(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = Fake(), Fake()
    fake_wandb(monkeypatch, bad)
    fake_mlflow(monkeypatch, good)
    bad.errors = [RuntimeError("out of order")] * 1000
    with Journal(run) as journal, following(run, ["wandb", "mlflow"], []):
        journal.append(line(2))
    assert good.losses() == [(2, 0.25)]


def test_a_tracker_that_is_stuck_delays_only_the_end(
    tracker: str, fake: Fake, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "END_SECONDS", 0.3)
    fake.wait = threading.Event()
    said: list[str] = []
    with Journal(run) as journal, following(run, [tracker], said):
        for step in range(2, 2000, 2):
            journal.append(line(step))  # which does not wait
        wait_until(lambda: bool(fake.runs))
    assert fake.losses() == []
    assert said[-1].startswith(f"{tracker} did not take all metrics within 0 seconds; run the same command again")
    fake.errors = [RuntimeError("out of order")]
    count = len(said)
    fake.wait.set()
    wait_until(lambda: not any(thread.name == f"albert-fast tracker {tracker}" for thread in threading.enumerate()))
    assert len(said) == count  # a thread that nobody waits for says nothing


def test_the_state_cannot_be_written(tracker: str, fake: Fake, run: Path) -> None:
    said: list[str] = []
    (run / "trackers.json").mkdir()
    with Journal(run) as journal, following(run, [tracker], said):
        journal.append(line(2))
        wait_until(lambda: any("failed" in one for one in said))
    assert all(one.startswith("warning:") or "run" in one for one in said)
    assert fake.losses() in ([], [(2, 0.25)])  # and never twice


@pytest.mark.parametrize("content", ["", "{", "[]", '{"wandb": 1}', '{"wandb": {"run": "x"}}'])
def test_a_damaged_state_starts_a_new_tracked_run(content: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    fake_wandb(monkeypatch, fake)
    (run / "trackers.json").write_text(content)
    with Journal(run) as journal, following(run, ["wandb"], []):
        journal.append(line(2))
    assert fake.losses() == [(2, 0.25)]


def test_a_tracked_run_that_is_gone_is_made_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    fake_mlflow(monkeypatch, fake)
    (run / "trackers.json").write_text('{"mlflow": {"run": "gone", "training": 4, "evaluation": 4}}')
    with Journal(run) as journal, following(run, ["mlflow"], []):
        journal.append(line(2))
    assert fake.losses() == [(2, 0.25)]
    assert json.loads((run / "trackers.json").read_text())["mlflow"]["run"] == "run0"


def test_trackio_waits_for_matplotlib(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackio drops all figures while another thread imports it, as the report does at the end."""
    figure = module(monkeypatch, "matplotlib.figure")
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    imported: list[str] = []

    def load(name: str) -> types.ModuleType:
        imported.append(name)
        return sys.modules.get(name, figure)

    fake_trackio(monkeypatch, Fake())
    monkeypatch.setattr(importlib, "import_module", load)
    checked(["trackio"], run)
    assert imported[:2] == ["matplotlib.figure", "trackio"]


def test_names(tracker: str, fake: Fake, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the options first, then of the tracker's own variables."""
    monkeypatch.setenv("WANDB_PROJECT", "of the variable")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the variable")
    with Journal(run) as journal:
        for project in ("given", None):
            (run / "trackers.json").unlink(missing_ok=True)
            with Trackers([tracker], run, project, "ein Läufer") as trackers:
                trackers.start(lambda _: None)
                trackers.finish(*ENDED, pytest.fail)
        journal.append(line(2))
    expected = "albert-fast" if tracker == "trackio" else "of the variable"
    assert [one["project"] for one in fake.runs.values()] == ["given", expected]
    assert {one["title"] for one in fake.runs.values()} == {"ein Läufer"}


# --- what is refused before a run begins ---


def checked(names: list[str], run: Path, *, resumes: bool = False) -> list[str]:
    said: list[str] = []
    Trackers(names, run).check(said.append, resumes=resumes)
    return said


def test_what_can_be_used_passes(
    tracker: str, fake: Fake, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    FAKES[tracker](monkeypatch, fake)
    assert checked([tracker, "tensorboard"], run) == []
    assert capsys.readouterr() == ("", "")
    assert fake.runs == {}


def test_a_missing_package(tracker: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, tracker, raising=False)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(TrainerError) as caught:
        checked([tracker], run, resumes=True)
    message = f"needs the Python package {tracker}, which is not installed: pip install {tracker}"
    assert str(caught.value) == f"tracker='{tracker}' {message}"
    assert caught.value.exit_code == 1


def test_a_broken_package(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "trackio.py").write_text("raise ImportError('no\\nsuch library')")
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(TrainerError, match=r"^tracker='trackio' cannot be used: ImportError: no such library$"):
        checked(["trackio"], run)


def test_who_is_not_logged_in(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        fake_wandb(monkeypatch, Fake())
        with pytest.raises(
            TrainerError, match=r"tracker='wandb' is not logged in to http://127.*: run `wandb login`, se"
        ):
            checked(["wandb"], run, resumes=True)
        monkeypatch.setenv("WANDB_API_KEY", "wrong")
        with pytest.raises(TrainerError, match="tracker='wandb' cannot log in: Failed to authenticate; run `wandb l"):
            checked(["wandb"], run, resumes=True)
        monkeypatch.setenv("WANDB_API_KEY", "right")
        assert checked(["wandb"], run) == []


def test_a_server_that_lost_the_last_lines_gets_them_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B's server is asked what it has, because a kill loses what W&B has not sent yet."""
    fake = Fake()
    fake_wandb(monkeypatch, fake)
    with Journal(run) as journal, following(run, ["wandb"], []):
        for one in (line(2), evaluation(2), line(4), evaluation(4)):
            journal.append(one)
    (found,) = fake.runs.values()
    found["summary"].update({"step": 4, "eval/step": 2})
    del found["rows"][-2:]  # with its time
    assert fake.losses(tag="eval/masked_lm_loss") == [(2, 2.5)]
    with Journal(run, 4), following(run, ["wandb"], []):
        pass
    assert fake.losses() == [(2, 0.25), (4, 0.5)]
    assert fake.losses(tag="eval/masked_lm_loss") == [(2, 2.5), (4, 2.5)]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_server_that_refuses(name: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error for a new run. For one that resumes, which may be while nobody looks, a warning."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"http://127.0.0.1:{server.getsockname()[1]}"
    for variable in ("WANDB_BASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(variable, place)
    monkeypatch.setenv("WANDB_API_KEY", "right")
    FAKES[name](monkeypatch, Fake())
    with pytest.raises(TrainerError, match=f"tracker='{name}': cannot reach {place}: Connection refused"):
        checked([name], run)
    (said,) = checked([name], run, resumes=True)
    assert said.endswith("Connection refused; training starts all the same")


def test_a_server_that_is_silent(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_mlflow(monkeypatch, Fake())
    monkeypatch.setattr(Mlflow, "remote_limit", 0.1)
    silent = threading.Event()
    monkeypatch.setattr(Mlflow, "connect", lambda *_: silent.wait(DEADLINE))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    with pytest.raises(TrainerError, match="cannot reach its server: no answer within 0 seconds"):
        checked(["mlflow"], run)
    silent.set()


def test_a_space_without_a_token(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_trackio(monkeypatch, Fake())
    module(monkeypatch, "huggingface_hub", get_token=lambda: None)
    monkeypatch.setenv("TRACKIO_SPACE_ID", "me/space")
    with pytest.raises(TrainerError, match="tracker='trackio' is not logged in to Hugging Face: run `hf auth login`"):
        checked(["trackio"], run)
