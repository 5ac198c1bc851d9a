"""`albert-fast slurm`: what it prints and refuses everywhere, and what its jobs do where Slurm is installed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from slurm import DEADLINE, Slurm, program
from slurm_scripts import STOPS, Script, executable, until

from albert_fast import AlbertFastError
from albert_fast.cli.tasked import TASKED
from albert_fast.cluster import slurm as jobs
from albert_fast.cluster.slurm_tasks import TASK_ID, Program, Work
from albert_fast.options import options_of
from albert_fast.options.cluster import Slurm as SlurmOptions

from .conftest import OPTIONS, Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conftest import Command, Result
    from remote_sites import LocalSite

LONG = OPTIONS.replace("--dupe-factor 3", "--dupe-factor 1000 --compression gzip")
"""Options of records whose tasks take long enough to be stopped while they work."""


def work(directory: Path, words: tuple[str, ...], **more: Any) -> Work:
    """What jobs do that run any program."""
    usual: dict[str, Any] = {
        "name": "work",
        "task": Program(words, 1, "100M"),
        "finish": Program(("touch", "finished"), 1, "100M"),
        "num_tasks": 3,
        "tasks": "0-2",
        "rounds": 1,
        "options": (),
        "max_running": None,
        "max_requeues": 3,
        "logs": directory / "logs",
        "directory": directory,
    }
    return Work(**usual | more)


def directives(script: str) -> list[str]:
    """The options of sbatch in a script."""
    lines = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]
    return [word.removeprefix("--") for line in lines for word in shlex.split(line)]


@pytest.fixture
def my_tokens(tokens: Path, command: Command) -> str:
    """The token store, by a name relative to the working directory, which is `command`'s."""
    Path("my tokens").symlink_to(tokens)
    return "my tokens"


class TestWithoutSlurm:
    """What needs no Slurm."""

    @pytest.fixture(autouse=True)
    def no_slurm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jobs, "_run", None)

    def test_dry_run(self, my_tokens: str, command: Command) -> None:
        words = ["--num-tasks", 5, "--output-dir", "it's", "--ngram=2", "--sbatch-option", "partition=cpu"]
        done = command("slurm", "make-records", my_tokens, *words, "--dry-run", "--sbatch-option", "comment=a b")
        assert (done.code, done.err) == (0, "")
        logs = Path.cwd() / "it's" / ".slurm"
        assert not logs.parent.exists(), "nothing is written"
        task, finish = re.findall(r"<<'END'\n(.*?)\nEND\n", done.out, re.DOTALL)
        python = [sys.executable, "-m", "albert_fast"]
        both = ["requeue", "open-mode=append", f"chdir={Path.cwd()}", "partition=cpu", "comment=a b", "mem=2048M"]
        assert sorted(directives(task)) == sorted(
            [
                *both,
                "job-name=albert-fast-make-records",
                "array=0-4",
                "signal=B:USR1@120",
                "cpus-per-task=4",
                f"output={logs}/%A_%a.log",
            ]
        )
        assert sorted(directives(finish)) == sorted(
            [*both, "job-name=albert-fast-make-records-finish", "cpus-per-task=1", f"output={logs}/finish-%j.log"]
        )
        (line,) = [line for line in task.splitlines() if line.startswith(sys.executable)]
        given = [my_tokens, "--num-tasks", "5", "--output-dir", "it's", "--ngram=2"]
        task_id = ["--task-id", "$SLURM_ARRAY_TASK_ID"]
        assert shlex.split(line) == [*python, "make-records", *task_id, "--num-threads", "4", *given, "&"]
        assert ' --task-id "$SLURM_ARRAY_TASK_ID" ' in line
        assert shlex.split(finish.splitlines()[-1]) == ["exec", *python, "finish", "--num-tasks", "5", "--", "it's"]
        assert done.out.splitlines()[0] == f"mkdir -p {shlex.quote(str(logs))}"
        quoted = [shlex.quote(f"{logs}/make-records{end}.sh") for end in ("", "-finish")]
        assert done.out.splitlines()[-2:] == [
            f"job=$(sbatch --parsable {quoted[0]})",
            f'sbatch --parsable "--dependency=afterany:${{job%%;*}}" {quoted[1]}',
        ]

    def script(self, command: Command, *words: object) -> list[str]:
        done = command("slurm", "make-records", *words, "--dry-run")
        assert done.code == 0, done.err
        return directives(re.findall(r"<<'END'\n(.*?)\nEND\n", done.out, re.DOTALL)[0])

    def test_sizes(self, my_tokens: str, command: Command) -> None:
        usual = [my_tokens, "--output-dir", "out", "--num-tasks", 64]
        for words, cpus, memory in (
            ([], 4, "2048M"),
            (["--num-threads", 8], 8, "3072M"),
            (["--num-threads", 8, "--cpus-per-task", 2], 2, "3072M"),
            (["--cpus-per-task", 2], 2, "1536M"),
            (["--mem", "7G"], 4, "7G"),
        ):
            found = self.script(command, *usual, *words)
            assert {f"cpus-per-task={cpus}", f"mem={memory}", "array=0-63"} <= {*found}, words
        found = self.script(command, *usual, "--sbatch-option", "--mem-per-cpu=1G", "--max-running", 10)
        assert [one for one in found if one.startswith("mem")] == ["mem-per-cpu=1G"]
        assert "array=0-63%10" in found
        assert "array=3,7-9" in self.script(command, *usual, "--tasks", "3, 7-9")

    def test_options_of_slurm_can_be_anywhere(self, my_tokens: str, command: Command) -> None:
        """The configuration is for both, and what follows -- belongs to the command."""
        config = Path("config.yaml")
        config.write_text("num_tasks: 3\nslurm:\n  sbatch_option: [account=me, nice]\n  mem: 9G\ndupe-factor: 5\n")
        words = ["slurm", "--dry-run", "--cpus-per-task=2", "make-records", "--config", config, "--mem", "8G"]
        done = command(*words, "--output-dir", "out", "--", my_tokens)
        assert done.code == 0, done.err
        (line,) = [line for line in done.out.splitlines() if line.startswith(sys.executable)]
        assert line.endswith(f" --num-threads 2 --config config.yaml --output-dir out -- {shlex.quote(my_tokens)} &")
        assert {"account=me", "nice", "mem=8G", "array=0-2", "cpus-per-task=2"} <= {*directives(done.out)}

    def test_remote_output(self, my_tokens: str, command: Command) -> None:
        usual = [my_tokens, "--output-dir", "s3://bucket/out", "--num-tasks", 2]
        assert f"output={Path.cwd()}/slurm-logs/%A_%a.log" in self.script(command, *usual)
        assert f"output={Path.cwd()}/10%%/%A_%a.log" in self.script(command, *usual, "--log-dir", "10%")
        done = command("slurm", "make-records", *usual, "--log-dir", "s3://bucket/logs")
        assert (done.code, done.error) == (2, "--log-dir must be a directory on disk, got s3://bucket/logs")

    @pytest.mark.parametrize(
        ("flags", "error"),
        [
            ("--task-id 3", "--task-id is different for each task, and must not be given here; remove it"),
            ("--dupe-factor 0", "--dupe-factor must be a whole number from 1 to 100000, got 0"),
            ("--dup-factor 0", "unknown option --dup-factor; did you mean --dupe-factor?"),
            ("--sbatch-options a=b", "unknown option --sbatch-options; did you mean --sbatch-option?"),
            ("--overwrite", "with --num-tasks, --overwrite is not possible, because each task would remove"),
            ("more", "more is not a token store, but my tokens is; pass only token stores"),
            ("--rng reference --ngram 2 --single-segment drop", "--rng reference has --single-segment random"),
            ("--tasks 3", "--tasks must be numbers of tasks from 0 to 2, as in 3,7-9, got '3'"),
            ("--tasks 2-1", "--tasks must be numbers of tasks from 0 to 2"),
            ("--tasks 1,", "--tasks must be numbers of tasks from 0 to 2"),
            ("--tasks=", "--tasks must be numbers of tasks from 0 to 2"),
            ("--dry-run --wait", "--wait has no effect with --dry-run; remove one"),
            ("--mem 1G --sbatch-option mem-per-cpu=1G", "--mem and the memory in --sbatch-option exclude each other"),
            ("--sbatch-option array=0-3", "--sbatch-option must not set --array: pass --num-tasks, and --tasks to run"),
            ("--sbatch-option --dep=afterok:1", "--sbatch-option must not set --dependency: the jobs of a command"),
            ("--sbatch-option parsable", "--sbatch-option must not set --parsable"),
            ("--sbatch-option sig=INT", "--sbatch-option must not set --signal"),
            ("--sbatch-option open-mode=truncate", "--sbatch-option must not set --open-mode"),
            ("--sbatch-option wrap=true", "--sbatch-option must not set --wrap"),
            ("--sbatch-option mem=1G", "--sbatch-option must not set --mem: pass --mem"),
            ("--sbatch-option -p", "--sbatch-option must be the long name of an option of sbatch, with its value"),
            ("--sbatch-option partition:cpu", "--sbatch-option must be the long name of an option of sbatch"),
        ],
    )
    def test_refusals(self, my_tokens: str, command: Command, flags: str, error: str) -> None:
        done = command("slurm", "make-records", my_tokens, "--output-dir", "out", "--num-tasks", 3, *flags.split())
        assert done.code == 2
        assert done.error.startswith(error)
        assert not Path("out").exists()

    def test_what_is_no_command(self, command: Command) -> None:
        assert command("slurm").error == "COMMAND is required (see `albert-fast slurm --help`)"
        known = "prepare-text, train-tokenizer, tokenize, make-records, pretrain"
        error = f"fill-mask cannot run on a cluster; the commands that can are {known}"
        assert command("slurm", "fill-mask", "run").error == error
        assert command("slurm", "--num-tasks", 3, "make-records").error.startswith("--num-tasks: the command must come")
        done = command("slurm", "make-records", "--help")
        assert (done.code, done.out.startswith("Run a command on a Slurm cluster. prepare-text, ")) == (0, True)

    def test_no_sbatch(self, my_tokens: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(Path.cwd()))
        done = command("slurm", "make-records", my_tokens, "--output-dir", "out", "--num-tasks", 3)
        text = "sbatch is not installed here; run this where jobs are submitted, or pass --dry-run to see the jobs"
        assert (done.code, done.error) == (1, text)
        assert not Path("out").exists()

    def test_options_of_slurm_are_none_of_the_commands(self) -> None:
        """Otherwise the command could not have them."""
        for name in TASKED:
            assert options_of(SlurmOptions).keys() & options_of(TASKED[name].stage).keys() <= {"config", "dry_run"}

    def test_commands_of_several_rounds(self, tmp_path: Path) -> None:
        lines = jobs.dry_run(work(tmp_path, ("true",), rounds=3, tasks="1", max_running=2).jobs()).splitlines()[-4:]
        later = f'"--dependency=afterok:${{job%%;*}}" --kill-on-invalid-dep=yes --array=0-2%2 {tmp_path}/logs/work.sh)'
        assert lines == [
            f"job=$(sbatch --parsable {tmp_path}/logs/work.sh)",
            f"job=$(sbatch --parsable {later}",
            f"job=$(sbatch --parsable {later}",
            f'sbatch --parsable "--dependency=afterany:${{job%%;*}}" {tmp_path}/logs/work-finish.sh',
        ]


def task_script(directory: Path, body: str, **more: Any) -> Script:
    """The script of a task, which runs a program of the lines `body`."""
    return Script(directory, work(directory, ("body", TASK_ID)).jobs()[0].text, "body", body, **more)


class TestScript:
    """The script of a task, without Slurm."""

    @pytest.mark.parametrize(
        ("body", "code", "again"),
        [
            ('[ "$1" = 2 ]', 0, False),
            ("exit 1", 1, False),
            ("exit 2", 2, False),
            ("exit 75", 75, True),
            ("exit 130", 130, True),
            ("kill -KILL $$", 137, True),
        ],
    )
    def test_a_program_that_ends(self, tmp_path: Path, body: str, code: int, again: bool) -> None:
        script = task_script(tmp_path, body)
        assert script.end() == (code, ["requeue 7_2"] if again else [])
        assert (tmp_path / "waited").exists() == again, "until Slurm ends it"

    def test_at_the_time_limit(self, tmp_path: Path) -> None:
        script = task_script(tmp_path, STOPS, restarts=2)
        script.signal(signal.SIGUSR1)
        assert script.end() == (130, ["requeue 7_2"])
        assert script.said == "albert-fast: the task was stopped (exit code 130), and will run again\n"

    def test_a_program_that_completes_at_the_time_limit(self, tmp_path: Path) -> None:
        script = task_script(tmp_path, STOPS.replace("exit 130", "exit 0"))
        script.signal(signal.SIGUSR1)
        assert script.end() == (0, [])

    def test_too_many_restarts(self, tmp_path: Path) -> None:
        script = task_script(tmp_path, "exit 130", restarts=3)
        assert script.end() == (130, [])
        assert script.said == "albert-fast: the task was stopped (exit code 130), and has run again too often\n"

    def test_cancelled(self, tmp_path: Path) -> None:
        """Slurm sends TERM to the script and to the program."""
        script = task_script(tmp_path, STOPS.replace("touch", "echo $$ > pid; touch"))
        script.signal(signal.SIGTERM)
        time.sleep(0.2)
        assert script.process.poll() is None, "the script passes no signal on"
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        assert script.end() == (130, [])

    def test_a_requeue_that_slurm_refuses(self, tmp_path: Path) -> None:
        script = task_script(tmp_path, "exit 75", scontrol="false")
        assert script.end() == (75, ["requeue 7_2"])
        assert not (tmp_path / "waited").exists()


class Jobs:
    """Jobs that the command submits."""

    def __init__(self, slurm: Slurm, tasks: Tasks, command: Command) -> None:
        self.slurm, self.tasks, self.command = slurm, tasks, command
        self.arrays: list[str] = []
        self.finish = ""

    def run(self, count: int, *more: object, **settings: str) -> Result:
        return self.command("slurm", *self.tasks.arguments("--num-tasks", count, *more, **settings))

    def submit(self, count: int, *more: object, **settings: str) -> None:
        done = self.run(count, *more, **settings)
        assert done.code == 0, done.err
        line = done.err.splitlines()[0]
        ends = r"\(.*\) and job (\d+), which completes the output"
        found = re.fullmatch(rf"albert-fast: submitted jobs? ([\d, ]+) {ends}", line)
        assert found, line
        self.arrays, self.finish = found[1].split(", "), found[2]
        assert done.out == f"{self.finish}\n"

    @property
    def array(self) -> str:
        return self.arrays[0]

    def states(self) -> dict[str, str]:
        """The states of the tasks when the last job has ended, and of that."""
        last = self.slurm.wait(self.finish, seconds=4 * DEADLINE)
        found = {name.partition("_")[2]: state for name, state in self.slurm.states(self.array).items()}
        return found | {"finish": last[self.finish]}

    def log(self, name: str) -> str:
        (directory,) = [
            one for one in (Path(self.tasks.site.path("out"), ".slurm"), Path("slurm-logs")) if one.is_dir()
        ]
        return (directory / f"{name}.log").read_text(encoding="utf-8")

    def files(self) -> dict[str, bytes]:
        """The files of the records."""
        return {name: body for name, body in self.tasks.files().items() if not name.startswith(".slurm/")}


@pytest.fixture
def submitted(clients: Slurm, tasks: Tasks, command: Command) -> Jobs:
    return Jobs(clients, tasks, command)


@pytest.fixture
def local_jobs(clients: Slurm, local: LocalSite, tokens: Path, tmp_path: Path, command: Command) -> Jobs:
    return Jobs(clients, Tasks(local, tokens, tmp_path), command)


@pytest.fixture
def long_jobs(local_jobs: Jobs) -> Jobs:
    """Two tasks that take long, when both work."""
    local_jobs.tasks.run(local_jobs.tasks.arguments("--num-threads", 1, out="whole", options=LONG))
    local_jobs.submit(2, "--num-threads", 1, options=LONG)
    until(lambda: all(local_jobs.tasks.has(f"records-{first:05}-of-00012.tfrecord.gz") for first in (0, 6)))
    return local_jobs


def test_the_bytes_are_those_of_one_command(submitted: Jobs, wanted: Mapping[str, bytes]) -> None:
    submitted.submit(4, "--max-running", 2, "--sbatch-option", "comment=it's 100%")
    assert submitted.states() == {**{str(i): "COMPLETED" for i in range(4)}, "finish": "COMPLETED"}
    found = submitted.files()
    # A task has its number of threads from `slurm`.
    config = "make-records.config.json"
    assert {name: body for name, body in found.items() if name != config} == {
        name: body for name, body in wanted.items() if name != config
    }
    assert found[config].replace(b'"num_threads": 4', b'"num_threads": null') == wanted[config]
    assert "these records are already complete" in submitted.log(f"finish-{submitted.finish}")
    assert "task 3 of 4: " in submitted.log(f"{submitted.array}_3")
    shown = submitted.slurm.show(submitted.array)[f"{submitted.array}_0"]
    assert (shown["NumCPUs"], shown["MinMemoryNode"], shown["Requeue"]) == ("4", "2G", "1")


@pytest.mark.slow
def test_a_node_that_fails(long_jobs: Jobs) -> None:
    long_jobs.slurm.fail_node()
    assert long_jobs.states() == {"0": "COMPLETED", "1": "COMPLETED", "finish": "COMPLETED"}
    assert {one["Restarts"] for one in long_jobs.slurm.show(long_jobs.array).values()} == {"1"}
    assert long_jobs.files() == long_jobs.tasks.files("whole")


@pytest.mark.slow
def test_a_task_that_slurm_warns_of_its_time_limit(long_jobs: Jobs) -> None:
    """It stops, runs again and resumes, and the last job waits for that."""
    made = long_jobs.tasks.files()
    long_jobs.slurm.run("scancel", "--signal=USR1", "--batch", f"{long_jobs.array}_1")
    assert long_jobs.states() == {"0": "COMPLETED", "1": "COMPLETED", "finish": "COMPLETED"}
    found = long_jobs.slurm.show(long_jobs.array)
    assert [found[f"{long_jobs.array}_{i}"]["Restarts"] for i in range(2)] == ["0", "1"]
    log = long_jobs.log(f"{long_jobs.array}_1")
    assert re.search(r"stopped; \d of 6 shards are complete; run the same command again to resume", log)
    assert "albert-fast: the task was stopped (exit code 130), and will run again\n" in log
    assert "task 1 of 2: shards 6 to 11 of 12 are complete" in log
    assert long_jobs.files() == long_jobs.tasks.files("whole")
    kept = [name for name in made if name.startswith("records-")]
    assert kept
    assert all(made[name] == long_jobs.files()[name] for name in kept)


@pytest.mark.slow
@pytest.mark.skipif("ALBERT_FAST_TIME_LIMIT" not in os.environ, reason="takes minutes; set ALBERT_FAST_TIME_LIMIT=1")
def test_a_time_limit(local_jobs: Jobs) -> None:
    """Slurm looks at limits twice a minute, and warns of one of a minute at once."""
    longer = LONG.replace("1000", "8000")
    local_jobs.submit(1, "--num-threads", 1, "--sbatch-option", "time=1", "--max-requeues", 100, options=longer)
    assert local_jobs.slurm.wait(local_jobs.finish, seconds=30 * 60) == {local_jobs.finish: "COMPLETED"}
    assert local_jobs.states() == {"0": "COMPLETED", "finish": "COMPLETED"}
    (found,) = local_jobs.slurm.show(local_jobs.array).values()
    assert int(found["Restarts"]) >= 1
    assert "albert-fast: stopped" in local_jobs.log(f"{local_jobs.array}_0")


def test_a_task_that_fails_and_is_run_again(local_jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs run the interpreter that submits them. Here, it fails for a task."""
    local_jobs.tasks.run(local_jobs.tasks.arguments("--num-threads", 4, out="whole"))
    script = f'[ "$4 $5" != "--task-id 2" ] || [ -e {tmp_path}/repaired ] || exit 1\nexec {sys.executable} "$@"'
    executable(tmp_path / "bin" / "python", script)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    local_jobs.submit(6)
    states = {str(i): "FAILED" if i == 2 else "COMPLETED" for i in range(6)}
    assert local_jobs.states() == states | {"finish": "FAILED"}
    out = local_jobs.tasks.site.path("out")
    said = f"{out}: shards 4-5 of 12 are missing; run task 2 of 6 again (Slurm: --array=2)"
    assert local_jobs.log(f"finish-{local_jobs.finish}") == f"albert-fast: error: {said}\n"
    (tmp_path / "repaired").touch()
    local_jobs.submit(6, "--tasks", "2")
    assert local_jobs.states() == {"2": "COMPLETED", "finish": "COMPLETED"}
    assert local_jobs.files() == local_jobs.tasks.files("whole")


@pytest.mark.slow
def test_cancelling(long_jobs: Jobs) -> None:
    """The jobs end, keep what is complete and do not come back."""
    long_jobs.slurm.run("scancel", long_jobs.array, long_jobs.finish)
    assert {*long_jobs.slurm.wait(long_jobs.array).values()} == {"CANCELLED"}
    assert long_jobs.states() == {"0": "CANCELLED", "1": "CANCELLED", "finish": "CANCELLED"}
    assert all("stopped; " in long_jobs.log(f"{long_jobs.array}_{i}") for i in range(2))
    assert "will run again" not in long_jobs.log(f"{long_jobs.array}_0")
    done = long_jobs.command("finish", long_jobs.tasks.site.path("out"), "--num-tasks", 2)
    assert (done.code, "run tasks 0-1 of 2 again" in done.error) == (1, True)
    assert not list(Path(long_jobs.tasks.site.path("out")).glob(".*.tmp"))


def test_waiting(local_jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("albert_fast.cli.slurm.EVERY", 0.2)
    done = local_jobs.run(3, "--tasks", "0,2", "--wait")
    assert done.code == 1
    *_, states, error = done.err.splitlines()
    assert states == "albert-fast: jobs: 2 completed"
    ends = "shards 4-7 of 12 are missing; run task 1 of 3 again (Slurm: --array=1)"
    last = f"the last job, {done.out.strip()}, has ended: failed; {local_jobs.tasks.site.path('out')}: {ends}"
    assert error == f"albert-fast: error: {last}"
    assert "of the 3 tasks of make-records, 0,2" in done.err
    done = local_jobs.run(3, "--tasks", "1", "--wait")
    assert done.code == 0
    assert "these records are already complete" in done.err.splitlines()[-1]


def test_who_stops_waiting_stops_no_jobs(local_jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("albert_fast.cli.slurm.time", SimpleNamespace(sleep=stopped))
    done = local_jobs.run(2, "--wait", "--sbatch-option", "begin=now+1hour")
    array, finish = str(int(done.out) - 1), done.out.strip()
    text = f"albert-fast: stopped; the jobs continue; to cancel them, run scancel {array} {finish}"
    assert (done.code, done.err.splitlines()[-1]) == (130, text)
    assert {*local_jobs.slurm.states(array).values()} == {"PENDING"}
    local_jobs.slurm.run("scancel", array, finish)
    assert {*local_jobs.slurm.wait(array).values()} == {"CANCELLED"}


def test_what_a_dry_run_prints_is_a_script(local_jobs: Jobs) -> None:
    done = local_jobs.run(2, "--dry-run", out="it's 1%")
    ran = subprocess.run(["bash", "-e"], input=done.out, text=True, capture_output=True, check=True)
    finish = ran.stdout.strip()
    assert local_jobs.slurm.wait(finish) == {finish: "COMPLETED"}
    assert Path(local_jobs.tasks.site.path("it's 1%"), ".slurm", f"finish-{finish}.log").exists()


def queued(slurm: Slurm) -> str:
    """The jobs that have not ended."""
    return slurm.run("squeue", "--noheader", "--format=%i %T %r").strip()


def test_nothing_stays_if_the_last_job_is_refused(
    local_jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""
    case "$*" in
        *finish*) echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1;;
        *) exec {program("sbatch")} "$@" | tee -a {tmp_path}/submitted;;
    esac
    """
    executable(tmp_path / "bin" / "sbatch", script)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    done = local_jobs.run(3, "--sbatch-option", "begin=now+1hour")
    assert (done.code, done.error) == (1, "Slurm refused sbatch: QOSMaxSubmitJobPerUserLimit")
    (job,) = (tmp_path / "submitted").read_text().split()
    assert {*local_jobs.slurm.wait(job).values()} == {"CANCELLED"}
    assert not Path(local_jobs.tasks.site.path("out")).exists()


def test_what_slurm_refuses(local_jobs: Jobs) -> None:
    done = local_jobs.run(3, "--sbatch-option", "partition=none")
    assert (done.code, done.error.startswith("Slurm refused sbatch: invalid partition specified: none")) == (1, True)
    done = local_jobs.run(1002)
    text = "--num-tasks must be at most 1,001 on this cluster, whose MaxArraySize this is, got 1002; pass fewer tasks"
    assert (done.code, done.error) == (2, text)
    assert not Path(local_jobs.tasks.site.path("out")).exists()
    assert queued(local_jobs.slurm) == ""


ROUND = """
echo "$(cat count.$1 2>/dev/null)+" > count.$1
n=$(tr -d "\n" < count.$1 | wc -c)
echo "$n $1" >> order
[ "$n $1" != "$FAILS" ]
"""
"""A program that notes the number of its round, and fails in one of them."""


class TestRounds:
    """Commands whose tasks run several times."""

    def submit(self, directory: Path, fails: str, **more: Any) -> jobs.Submitted:
        executable(directory / "round", f"FAILS='{fails}'\n{ROUND}")
        return work(directory, (str(directory / "round"), TASK_ID), rounds=3, **more).submit()

    def order(self, directory: Path) -> list[list[str]]:
        """The tasks of each round, in the order of the rounds."""
        lines = [line.split() for line in (directory / "order").read_text().splitlines()]
        assert [line[0] for line in lines] == sorted(line[0] for line in lines), "one round after the other"
        return [sorted(task for number, task in lines if number == str(one)) for one in (1, 2, 3)]

    def test_one_after_the_other(self, clients: Slurm, tmp_path: Path) -> None:
        found = self.submit(tmp_path, "none")
        assert len(found.jobs) == 4
        assert clients.wait(found.last, seconds=2 * DEADLINE) == {found.last: "COMPLETED"}
        assert self.order(tmp_path) == [["0", "1", "2"]] * 3
        assert (tmp_path / "finished").exists()

    def test_a_task_that_fails_ends_the_rounds(self, clients: Slurm, tmp_path: Path) -> None:
        """The last job still says what is missing."""
        found = self.submit(tmp_path, "2 1")
        assert clients.wait(found.last, seconds=2 * DEADLINE) == {found.last: "COMPLETED"}
        assert self.order(tmp_path) == [["0", "1", "2"]] * 2 + [[]]
        assert {*clients.states(found.jobs[2]).values()} == {"CANCELLED"}
        assert {*clients.states(found.jobs[1]).values()} == {"COMPLETED", "FAILED"}

    def test_some_tasks_run_again(self, clients: Slurm, tmp_path: Path) -> None:
        """The rounds that follow are of all tasks, because they have not been run."""
        found = self.submit(tmp_path, "none", tasks="1")
        assert clients.wait(found.last, seconds=2 * DEADLINE) == {found.last: "COMPLETED"}
        assert [len(clients.states(array)) for array in found.jobs[:-1]] == [1, 3, 3]


class TestWatch:
    """Progress, when Slurm forgets jobs or does not answer."""

    @pytest.fixture
    def says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
        return lambda script: executable(tmp_path / "bin" / "squeue", script)

    def test_states(self, says: Callable[[str], None], tmp_path: Path) -> None:
        watch = jobs.Watch(jobs.Submitted(("7", "8"), "far"))
        says(f"echo \"$@\" > {tmp_path}/args; printf '7_0|COMPLETED\\n7_1|OUT_OF_MEMORY\\n7_2|PENDING\\n8|PENDING\\n'")
        watch.ask()
        assert (tmp_path / "args").read_text().startswith("--clusters=far --noheader --array --states=all --jobs=7,8 ")
        assert watch.described() == "1 completed, 1 out of memory, 1 pending"
        assert watch.end is None
        says("printf '7_2|RUNNING\\n8|PENDING\\n'")
        watch.ask()
        assert watch.described() == "1 completed, 1 out of memory, 1 running"
        says("printf '8|COMPLETED\\n'")
        watch.ask()
        assert watch.described() == "1 completed, 1 out of memory, 1 unknown"
        assert [watch.end] == ["COMPLETED"]

    def test_forgotten(self, says: Callable[[str], None]) -> None:
        watch = jobs.Watch(jobs.Submitted(("7", "8"), None))
        says("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
        watch.ask()
        assert [watch.described(), watch.end] == ["", "UNKNOWN"]

    def test_no_answer(self, says: Callable[[str], None]) -> None:
        watch = jobs.Watch(jobs.Submitted(("7", "8"), None))
        says("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
        for _ in range(jobs.PATIENCE - 1):
            watch.ask()
        with pytest.raises(AlbertFastError, match=r"^Slurm does not answer: .*Unable to contact slurm controller"):
            watch.ask()
