"""What schedulers know of the commands that are divided into tasks. It needs neither Slurm nor Ray."""

from __future__ import annotations

import dataclasses
import gzip
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from albert_fast import AlbertFastError, Tokenizer
from albert_fast.cli.tasked import TASKED
from albert_fast.cluster import commands
from albert_fast.cluster import ray as cluster
from albert_fast.cluster import slurm as jobs
from albert_fast.options import PrepareText, Tokenize, TrainTokenizer

from .test_ray_commands import Fake
from .text_tasks import FILES, prepare, raw_text, tokenize, train, without_manifest

if TYPE_CHECKING:
    from conftest import Command
    from remote_sites import BucketSite, LocalSite

    from .text_tasks import TextTasks

MIB = 1 << 20


def prepared(tasks: TextTasks, **more: Any) -> PrepareText:
    output = tasks.site.path("out")
    return PrepareText(inputs=(str(tasks.tokens),), output=output, shard_size=0.04, language="en", **more)


def tokenized(tasks: TextTasks, model: Path, **more: Any) -> Tokenize:
    return Tokenize(inputs=(str(tasks.tokens),), output_dir=Path(tasks.site.path("out")), tokenizer=model, **more)


@pytest.fixture
def preparing(local: LocalSite, tmp_path: Path) -> TextTasks:
    return prepare(local, tmp_path)


@pytest.fixture
def tokenizing(local: LocalSite, tmp_path: Path, text: bytes, model: Path) -> TextTasks:
    return tokenize(local, tmp_path, text, model)


@pytest.fixture
def training(local: LocalSite, tmp_path: Path, text: bytes) -> TextTasks:
    return train(local, tmp_path, text)


def trained(tasks: TextTasks, **more: Any) -> TrainTokenizer:
    output = Path(tasks.site.path("out"))
    return TrainTokenizer(inputs=(str(tasks.tokens),), output_dir=output, vocab_size=400, **more)


BESIDE = ("prepare-text.config.json", "tokenize.config.json", "train-tokenizer.config.json", ".summary.json")


def without_config(files: dict[str, bytes]) -> dict[str, bytes]:
    """What tasks write that run in a worker."""
    return {name: body for name, body in files.items() if not name.endswith(BESIDE)}


class TestSizes:
    def test_inputs(self, tmp_path: Path) -> None:
        directory = tmp_path / "in"
        (directory / "more").mkdir(parents=True)
        (directory / "a.txt").write_bytes(b"a" * 10)
        (directory / "b.gz").write_bytes(gzip.compress(b"b" * 10))
        (directory / "more" / "c.txt").write_bytes(b"c" * 300)
        (directory / ".hidden").write_bytes(b"d" * 5000)
        packed = 3 * (directory / "b.gz").stat().st_size
        assert commands.inputs_size([str(directory)]) == 310 + packed
        assert commands.inputs_size([f"{directory}/*.txt", f"{directory}/b.gz"]) == 10 + packed
        assert commands.inputs_size([f"{directory}/**/*.txt"]) == 310
        assert commands.inputs_size(["-", "none", "none*"]) == 0

    def test_remote_inputs(self, remote: BucketSite) -> None:
        remote.put({"in/a.txt": b"a" * 10, "in/more/b.txt": b"b" * 200, "in/c.md": b"c" * 3000})
        for name, size in (("in", 3210), ("in/*.txt", 210), ("in/a.txt", 10), ("in/more/?.txt", 200), ("none", 0)):
            assert commands.inputs_size([remote.path(name)]) == size, name

    def test_the_number_of_tasks(
        self, preparing: TextTasks, tokenizing: TextTasks, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert commands.num_tasks(prepared(preparing), 1) == 1
        monkeypatch.setattr(commands, "inputs_size", lambda inputs: 36_000_000_001)
        assert commands.num_tasks(prepared(preparing), 1) == 11
        assert commands.num_tasks(prepared(preparing), 4) == 3
        assert commands.num_tasks(tokenized(tokenizing, model), 1) == 6
        assert commands.num_tasks(trained(tokenizing), 1) == 16

    def test_memory_and_rounds(self, preparing: TextTasks) -> None:
        known = commands.DIVIDED["prepare-text"]
        for more, memory, rounds in (
            ({}, 1536, 3),
            ({"dedup_memory": 2000}, 3024, 3),
            ({"dedup_documents": False}, 1024, 1),
            ({"dedup_near": True, "dedup_documents": False}, 1536, 4),
        ):
            chosen = prepared(preparing, **more)
            assert (known.memory(chosen, 2), known.rounds(chosen)) == (memory * MIB, rounds)

    @pytest.mark.parametrize(("sample", "rounds"), [(0, 1), (1000, 2)])
    def test_training(self, training: TextTasks, sample: int, rounds: int) -> None:
        known, chosen = commands.DIVIDED["train-tokenizer"], trained(training, input_sentence_size=sample)
        assert (known.memory(chosen, 2), known.rounds(chosen)) == (2560 * MIB, rounds)


def run_all(name: str, chosen: Any, count: int, tokenizer: Tokenizer | None = None) -> list[int]:
    """Runs the tasks in this process, in as many rounds as it takes. Returns the rounds that the output was in."""
    restored = None if tokenizer is None else tokenizer.__reduce__()[1]
    rounds = []
    while True:
        left = commands.left(chosen, count)
        rounds.append(left.round)
        values = commands.with_absolute_paths(chosen) | {"num_tasks": count, "num_threads": 1}
        found = [commands.run_task(name, values, restored, task) for task in left.tasks]
        if all(one["already_complete"] for one in found):
            return rounds


def test_prepare_text(preparing: TextTasks) -> None:
    preparing.run(preparing.arguments(out="whole"))
    wanted = without_config(preparing.files("whole"))
    assert len([name for name in wanted if name.startswith("corpus-")]) == FILES
    chosen = prepared(preparing)
    assert commands.left(chosen, 3) == commands.Left(range(3), 1)
    preparing.run(preparing.task(1, 3))
    # Some of the first round are missing, and all of the rounds that follow.
    assert commands.left(chosen, 3) == commands.Left(range(3), 1)
    preparing.run(preparing.task(0, 3))
    preparing.run(preparing.task(2, 3))
    assert commands.left(chosen, 3) == commands.Left(range(3), 2)
    for number in (0, 1, 2):
        preparing.run(preparing.task(number, 3))
    # Task 2 went on to the second round, and so task 1 to the third one.
    left = commands.left(chosen, 3)
    assert (left.round, [*left.tasks]) == (3, [0])
    assert run_all("prepare-text", chosen, 3) == [3, 3]
    assert without_config(preparing.files()) == wanted
    left = commands.left(chosen, 3)
    assert (left.round, [*left.tasks]) == (3, [0])


def test_prepare_text_of_one_portion(preparing: TextTasks) -> None:
    """What there is only one of has no number in messages."""
    chosen = dataclasses.replace(prepared(preparing, dedup_near=True), shard_size=1000)
    values = commands.with_absolute_paths(chosen) | {"num_tasks": 2, "num_threads": 1}
    # Task 1 does the portion, and joins the near-duplicates.
    rounds = []
    for task in (0, 1, 0, 1):
        commands.run_task("prepare-text", values, None, task)
        rounds.append(commands.left(chosen, 2).round)
    assert rounds == [1, 2, 3, 4]
    chosen = dataclasses.replace(chosen, dedup_near=False, dedup_documents=False, output=f"{chosen.output}-once")
    values = commands.with_absolute_paths(chosen) | {"num_tasks": 2, "num_threads": 1}
    commands.run_task("prepare-text", values, None, 0)
    left = commands.left(chosen, 2)
    assert (left.round, [*left.tasks]) == (1, [1])


def test_prepare_text_without_rounds(preparing: TextTasks) -> None:
    chosen = prepared(preparing, dedup_documents=False)
    preparing.run(preparing.task(1, 3, "--no-dedup-documents"))
    left = commands.left(chosen, 3)
    assert (left.round, [*left.tasks]) == (1, [0, 2])


def test_tokenize(tokenizing: TextTasks, model: Path) -> None:
    tokenizing.run(tokenizing.arguments(out="whole"))
    chosen = tokenized(tokenizing, model)
    assert run_all("tokenize", chosen, 3, Tokenizer.from_file(model)) == [1, 1]
    assert without_config(tokenizing.files()) == without_config(tokenizing.files("whole"))
    for other in (None, str(model)):
        with pytest.raises(AlbertFastError, match=r"^tokenize needs a tokenizer; open it") as caught:
            commands.run_task("tokenize", {**chosen.as_dict(), "num_tasks": 1, "tokenizer": other}, None, 0)
        assert commands.concerns_all(caught.value)


def test_the_tokenizer_of_another_store(tokenizing: TextTasks, tokens: Path, model: Path) -> None:
    tokenizing.run(tokenizing.arguments(out="whole"))
    run_all("tokenize", tokenized(tokenizing, tokens), 2)
    assert without_config(tokenizing.files()) == without_config(tokenizing.files("whole"))


def test_train_tokenizer(training: TextTasks) -> None:
    training.run(training.arguments(out="whole"))
    chosen = trained(training)
    assert commands.left(chosen, 3) == commands.Left(range(3), 1)
    # The text is one portion, so the task that has it does both rounds.
    assert run_all("train-tokenizer", chosen, 3) == [1, 2]
    assert without_manifest(without_config(training.files())) == without_config(training.files("whole"))
    assert commands.finish(chosen, 3)["made"].already_complete


def test_paths_and_patterns_of_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw_text(tmp_path / "raw")
    (tmp_path / "patterns").write_text("^This is document [0-9]\\. ")
    given: dict[str, Any] = {"inputs": ("raw/*.jsonl",), "output": "out", "shard_size": 0.04, "dedup_documents": False}
    chosen = PrepareText(**given, boilerplate=Path("patterns"), eval_fraction=0.1, eval_output="held")
    values = commands.with_absolute_paths(chosen)
    assert (values["output"], values["eval_output"]) == (f"{tmp_path}/out", f"{tmp_path}/held")
    assert (values["inputs"], values["boilerplate"]) == ([f"{tmp_path}/raw/*.jsonl"], f"{tmp_path}/patterns")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert commands.run_task("prepare-text", values | {"num_tasks": 1}, None, 0)["runs"] == 1
    corpus = b"".join(path.read_bytes() for path in (tmp_path / "out").glob("corpus-*"))
    assert re.search(rb"This is document [0-9]{2}\.", corpus)
    assert not re.search(rb"This is document [0-9]\.", corpus)
    assert [*(tmp_path / "held").glob("corpus-*")]


@pytest.mark.parametrize("scheduler", ["slurm", "ray"])
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("prepare-text IN --output out", "with --num-tasks, --shard-size is required, because tasks divide the"),
        ("prepare-text IN --output out --shard-size 1 --overwrite", "with --num-tasks, --overwrite is not possible"),
        ("prepare-text IN --output out --shard-size 1 --dedup-lines", "with --num-tasks, --dedup-lines is not possibl"),
        ("prepare-text IN --output out --shard-size 1 --num-shards 3", "with --num-tasks, --num-shards is not possibl"),
        (
            "prepare-text - --output out --shard-size 1",
            "with --num-tasks, standard input is not possible, because",
        ),
        ("tokenize IN --output-dir out", "pass --tokenizer spiece.model, or --vocab-file vocab.txt"),
        ("tokenize IN --output-dir out --tokenizer MODEL --overwrite", "with --num-tasks, --overwrite is not possible"),
        ("tokenize IN - --output-dir out --tokenizer MODEL", "with --num-tasks, standard input is not possible"),
        ("train-tokenizer IN --output-dir out --overwrite", "with --num-tasks, --overwrite is not possible, because"),
        ("train-tokenizer - --output-dir out", "with --num-tasks, standard input is not possible, because"),
        (
            "train-tokenizer IN --output-dir out --engine sentencepiece",
            "with --num-tasks, --engine sentencepiece is not possible, because the library cannot divide",
        ),
    ],
)
def test_refusals(scheduler: str, words: str, error: str, corpus: Path, model: Path, command: Command) -> None:
    given = words.replace("IN", str(corpus)).replace("MODEL", str(model)).split()
    done = command(scheduler, *given, "--num-tasks", 3)
    assert (done.code, done.error[: len(error)]) == (2, error)
    assert not Path("out").exists()


def test_what_only_a_configuration_can_ask_for(corpus: Path, command: Command) -> None:
    """--dry-run of the command line is that of slurm."""
    Path("config.yaml").write_text("prepare-text: {dry_run: true}\n")
    words = ["prepare-text", corpus, "--output", "out", "--shard-size", 1, "--num-tasks", 3]
    done = command("slurm", *words, "--config", "config.yaml")
    assert (done.code, "with --num-tasks, --dry-run is not possible, because" in done.error) == (2, True)
    done = command("ray", *words, "--dry-run")
    assert (done.code, "with --num-tasks, --dry-run is not possible, because" in done.error) == (2, True)
    done = command("slurm", "prepare-text", "none.txt", *words[2:])
    assert (done.code, done.error) == (1, "none.txt: no such file or directory")


class TestDryRun:
    """What `slurm` submits."""

    def jobs(self, command: Command, *words: object) -> tuple[list[str], list[str]]:
        """The scripts of tasks and of the last job, and the commands that submit."""
        done = command("slurm", *words, "--dry-run")
        assert done.code == 0, done.err
        assert not Path("out").exists()
        return re.findall(r"<<'END'\n(.*?)\nEND\n", done.out, re.DOTALL), [
            line for line in done.out.splitlines() if "sbatch --parsable" in line
        ]

    @pytest.fixture(autouse=True)
    def no_slurm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jobs, "_run", None)

    @pytest.mark.parametrize(
        ("flags", "rounds", "memory"), [([], 3, 2048), (["--no-dedup-documents"], 1, 1536), (["--dedup-near"], 4, 2048)]
    )
    def test_prepare_text(self, corpus: Path, command: Command, flags: list[str], rounds: int, memory: int) -> None:
        words = ["prepare-text", corpus, "--output", "out", "--shard-size", 256, "--num-tasks", 8, *flags]
        (task, finish), submits = self.jobs(command, *words)
        assert len(submits) == rounds + 1
        assert [("afterok" in line, "afterany" in line) for line in submits] == [
            (False, False),
            *[(True, False)] * (rounds - 1),
            (False, True),
        ]
        assert {f"#SBATCH --mem={memory}M", "#SBATCH --array=0-7"} <= {*task.splitlines()}
        # The corpus must not have other files in its directory.
        assert f"#SBATCH --output={Path.cwd()}/slurm-logs/%A_%a.log" in task.splitlines()
        (line,) = [line for line in task.splitlines() if line.startswith(sys.executable)]
        assert shlex.split(line)[3:8] == ["prepare-text", "--task-id", "$SLURM_ARRAY_TASK_ID", "--num-threads", "4"]
        assert finish.splitlines()[-1].endswith(" -m albert_fast finish --num-tasks 8 -- out")

    def test_tokenize(self, corpus: Path, model: Path, command: Command) -> None:
        words = ["tokenize", corpus, "--output-dir", "out", "--tokenizer", model, "--num-tasks", 2]
        (task, finish), submits = self.jobs(command, *words, "--cpus-per-task", 2)
        assert len(submits) == 2
        assert {"#SBATCH --mem=1024M", "#SBATCH --array=0-1"} <= {*task.splitlines()}
        assert f"#SBATCH --output={Path.cwd()}/out/.slurm/%A_%a.log" in task.splitlines()
        assert finish.splitlines()[-1].endswith(" -m albert_fast finish --num-tasks 2 -- out")

    @pytest.mark.parametrize(("flags", "rounds"), [([], 2), (["--input-sentence-size", 0], 1)])
    def test_train_tokenizer(self, corpus: Path, command: Command, flags: list[object], rounds: int) -> None:
        words = ["train-tokenizer", corpus, "--output-dir", "out", "--num-tasks", 8, *flags]
        (task, finish), submits = self.jobs(command, *words)
        assert len(submits) == rounds + 1
        assert {"#SBATCH --mem=3072M", "#SBATCH --array=0-7"} <= {*task.splitlines()}
        assert f"#SBATCH --output={Path.cwd()}/out/.slurm/%A_%a.log" in task.splitlines()
        # Finishing may mean to train.
        assert "#SBATCH --mem=3072M" in finish.splitlines()
        assert finish.splitlines()[-1].endswith(" -m albert_fast finish --num-tasks 8 -- out")

    def test_logs_in_the_corpus(self, corpus: Path, command: Command) -> None:
        words = ["prepare-text", corpus, "--output", "out", "--shard-size", 256, "--num-tasks", 8]
        done = command("slurm", *words, "--log-dir", "out/logs", "--dry-run")
        assert (done.code, done.error[:55]) == (2, "--log-dir must not be in the output of prepare-text, wh")
        (task, _), _ = self.jobs(command, *words, "--log-dir", "out-logs")
        assert f"#SBATCH --output={Path.cwd()}/out-logs/%A_%a.log" in task.splitlines()


class InProcess(Fake):
    """`albert_fast.cluster.ray.run` without Ray: it runs the tasks one after the other."""

    def __call__(self, options: Any, **given: Any) -> cluster.Done:
        self.given = given
        name = commands.command_of(options)
        tokenizer = given["tokenizer"]
        restored = None if tokenizer is None else tokenizer.__reduce__()[1]
        values = commands.with_absolute_paths(options) | {"num_tasks": 3, "num_threads": 1}
        left = commands.left(options, 3)
        counts: dict[str, int] = {}
        for _ in range(left.round, commands.divided(options).rounds(options) + 1):
            for task in left.tasks:
                for key, value in commands.run_task(name, values, restored, task).items():
                    counts[key] = counts.get(key, 0) + value
        done = {"num_tasks": 3, "tasks": len(left.tasks), "counts": counts, "found": commands.finish(options, 3)}
        return cluster.Done(**{**self.done, **done})


@pytest.mark.parametrize("name", ["prepare-text", "train-tokenizer", "tokenize"])
def test_what_ray_writes_and_says(
    name: str, request: pytest.FixtureRequest, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures = {"prepare-text": "preparing", "train-tokenizer": "training", "tokenize": "tokenizing"}
    tasks: TextTasks = request.getfixturevalue(fixtures[name])
    tasks.run(tasks.arguments(out="whole"))
    fake = InProcess()
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(cluster, "library", lambda: None)
    monkeypatch.setattr(cluster, "run", fake)
    done = command("ray", *tasks.arguments("--num-tasks", 3))
    assert done.code == 0, done.err
    assert without_manifest(tasks.files()) == tasks.files("whole")
    end = {
        "prepare-text": f"{FILES} files in {tasks.site.path('out')}",
        "train-tokenizer": " lines",
        "tokenize": " tokens",
    }[name]
    assert any(line.endswith(end) for line in done.err.splitlines()), done.err
    assert "already complete" not in done.err
    assert (fake.given["tokenizer"] is None) == (name != "tokenize")
    done = command("ray", *tasks.arguments("--num-tasks", 3))
    assert (done.code, "is already complete" in done.err) == (0, True)
    assert without_manifest(tasks.files()) == tasks.files("whole")


def test_every_command_has_a_row() -> None:
    assert [*TASKED] == ["prepare-text", "train-tokenizer", "tokenize", "make-records"]
    for name, tasked in TASKED.items():
        assert tasked.stage.__name__ == name.title().replace("-", "")
