"""Checkpoints: what is written is read, what is damaged is told, and what is killed leaves nothing half."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from trainer.errors import TrainerError
from trainer.model import checkpoints
from trainer.model.config import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.tensorflow

CONFIG = ModelConfig(50, 12, 4, 3, 20, embedding_size=8)
DATA = "variables.data-00000-of-00001"
FILES = (DATA, "variables.index", "albert_config.json", "checkpoint.json", "spiece.model")
ROOT = Path(__file__).parents[2]


def make(value: float) -> dict[str, tf.Variable]:
    """Two variables of a model and their slots, each of its own values."""
    names = [name + slot for name in ("bert/words", "cls/output_bias") for slot in ("", "/adam_m", "/adam_v")]
    return {name: tf.Variable(tf.fill([5, index + 1], float(value + index))) for index, name in enumerate(names)}


def write(directory: Path, step: int, value: float | None = None, **changes: Any) -> checkpoints.Checkpoint:
    arguments: dict[str, Any] = {
        "seed": 7,
        "config": CONFIG,
        "facts": {"records": ["a", 1.5], "hours": 0.25},
        "files": {"spiece.model": b"pieces"},
    }
    return checkpoints.write(directory, make(step if value is None else value), step=step, **(arguments | changes))


def value_of(checkpoint: checkpoints.Checkpoint) -> float:
    variables = make(-1)
    checkpoints.load(checkpoint, variables)
    for index, variable in enumerate(variables.values()):
        assert np.array_equal(variable, np.full([5, index + 1], variables["bert/words"][0, 0] + index, np.float32))
    return float(variables["bert/words"][0, 0])


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def fail(message: str) -> None:
    """As a `warn` that must not be called."""
    raise AssertionError(message)


def flip(path: Path, position: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


# --- written and read ------------------------------------------------------------------------------------------------


def test_written_is_read(tmp_path: Path) -> None:
    directory = tmp_path / "run" / "checkpoints"
    written = write(directory, 500)
    assert written.path == directory / "step-00000500"
    assert names_in(directory) == ["step-00000500"]
    assert names_in(written.path) == sorted(FILES)
    assert written == checkpoints.read(written.path)
    assert (written.step, written.seed, written.config) == (500, 7, CONFIG)
    assert written.facts == {"records": ["a", 1.5], "hours": 0.25}
    assert written.evaluation is None
    assert (written.path / "spiece.model").read_bytes() == b"pieces"
    assert value_of(written) == 500
    for path in (written.path, directory, directory.parent):
        assert checkpoints.find(path, fail) == written


def test_plain_tensorflow_reads_it(tmp_path: Path) -> None:
    written = write(tmp_path, 3)
    step, seed, variables = tf.Variable(0, dtype=tf.int64), tf.Variable(0, dtype=tf.int64), make(-1)
    stored = tf.train.Checkpoint(step=step, seed=seed, variables=variables)
    stored.read(str(written.path / "variables")).assert_consumed()
    assert (int(step), int(seed)) == (3, 7)
    assert float(variables["cls/output_bias/adam_v"][0, 0]) == 8


def test_values_are_kept_to_the_bit(tmp_path: Path) -> None:
    values = np.array([0.1, -0.0, np.nan, np.inf, 1e-45], np.float32)
    written = checkpoints.write(tmp_path, {"a.b/c.S/d": tf.Variable(values)}, step=0, seed=-(2**60), config=CONFIG)
    variable = tf.Variable(tf.zeros(5))
    checkpoints.load(written, {"a.b/c.S/d": variable})
    assert variable.numpy().tobytes() == values.tobytes()
    assert (written.seed, written.facts) == (-(2**60), {})


def test_model_only(tmp_path: Path) -> None:
    written = write(tmp_path, 4)
    variables = {name: variable for name, variable in make(-1).items() if "adam" not in name}
    checkpoints.load(written, variables, model_only=True)
    assert float(variables["cls/output_bias"][0, 0]) == 7
    values = checkpoints.model_values(written)
    assert list(values) == ["bert/words", "cls/output_bias"]
    assert values["bert/words"].dtype == np.float32
    with pytest.raises(TrainerError, match="also holds bert/words/adam_m, bert/words/adam_v, cls/output_bias/adam_m "):
        checkpoints.load(written, variables)


def test_other_models_are_refused_and_nothing_is_assigned(tmp_path: Path) -> None:
    written = write(tmp_path, 4)
    more = make(-1) | {"bert/more": tf.Variable([1.0])}
    wide = make(-1) | {"cls/output_bias": tf.Variable(tf.zeros([5, 9]))}
    kind = make(-1) | {"cls/output_bias": tf.Variable(tf.zeros([5, 4], tf.float64))}
    for variables, message in (
        (more, "is of another model or optimizer: it lacks bert/more"),
        (wide, r"cls/output_bias must be float32 \[5, 9\], got float32 \[5, 4\]"),
        (kind, r"cls/output_bias must be float64 \[5, 4\], got float32 \[5, 4\]"),
    ):
        with pytest.raises(TrainerError, match=message):
            checkpoints.load(written, variables)
        assert float(variables["bert/words"][0, 0]) == -1


def test_arguments_are_checked(tmp_path: Path) -> None:
    for name in ("checkpoint.json", "evaluation.json", "variables.index", "a/b", "../a", ".hidden"):
        with pytest.raises(ValueError, match="cannot hold a file named"):
            write(tmp_path, 1, files={name: b""})
    with pytest.raises(ValueError, match="step must be at least 0, got -1"):
        write(tmp_path, -1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        write(tmp_path, 1, facts={"path": tmp_path})
    with (
        tf.distribute.OneDeviceStrategy("CPU:0").scope(),
        pytest.raises(RuntimeError, match=r"outside of strategy\.sc"),
    ):
        write(tmp_path, 1)
    assert names_in(tmp_path) == []
    # JSON makes these keys strings, which sort otherwise than the numbers.
    facts: dict[Any, Any] = {9: 1, 10: (1, 2)}
    assert write(tmp_path, 1, facts=facts).facts == {"9": 1, "10": [1, 2]}


# --- the same step again ---------------------------------------------------------------------------------------------


def test_same_checkpoint_stays(tmp_path: Path) -> None:
    first = checkpoints.set_evaluation(write(tmp_path, 5), {"masked_lm_accuracy": 0.5})
    again = write(tmp_path, 5, facts={"hours": 9})
    assert again == first == checkpoints.read(first.path)
    assert names_in(tmp_path) == ["step-00000005"]


@pytest.mark.parametrize("change", [{"value": 9}, {"seed": 8}, {"config": replace(CONFIG, hidden_act="relu")}])
def test_other_checkpoint_of_the_step_replaces_it(change: dict[str, Any], tmp_path: Path) -> None:
    first = checkpoints.set_evaluation(write(tmp_path, 5), {"masked_lm_accuracy": 0.5})
    again = write(tmp_path, 5, **change)
    assert again == checkpoints.read(first.path) != first
    assert again.evaluation is None
    assert value_of(again) == change.get("value", 5)
    assert names_in(tmp_path) == ["step-00000005"]


@pytest.mark.parametrize("file", FILES)
def test_damaged_checkpoint_of_the_step_is_replaced(file: str, tmp_path: Path) -> None:
    first = write(tmp_path, 5)
    cut(first.path / file)
    assert write(tmp_path, 5) == first == checkpoints.read(first.path)
    assert names_in(tmp_path) == ["step-00000005"]


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
@pytest.mark.parametrize("file", FILES)
def test_damage_is_told_and_the_one_before_is_taken(file: str, damage: Callable[[Path], None], tmp_path: Path) -> None:
    before, newest = write(tmp_path, 1), write(tmp_path, 2)
    damage(newest.path / file)
    with pytest.raises(TrainerError, match=rf"^checkpoint {newest.path} is damaged \(.*{file}[^\n]*\)$"):
        checkpoints.read(newest.path)
    with pytest.raises(TrainerError, match="is damaged"):
        checkpoints.find(newest.path, fail)
    warnings: list[str] = []
    assert checkpoints.newest(tmp_path, warnings.append) == before
    (warning,) = warnings
    assert re.fullmatch(rf"checkpoint {newest.path} is damaged \(.*{file}.*\): resuming from step-00000001", warning)


def test_every_byte_of_the_description_counts(tmp_path: Path) -> None:
    path = write(tmp_path, 1).path / "checkpoint.json"
    data = path.read_bytes()
    for position in range(len(data) - 1):
        flip(path, position)
        with pytest.raises(checkpoints.DamagedError):
            checkpoints.read(path.parent)
        path.write_bytes(data)


def test_all_damaged_is_an_error_and_none_is_not(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "nowhere", fail) is None
    (tmp_path / ".step-00000009.tmp").mkdir()
    (tmp_path / "step-1").mkdir()
    assert checkpoints.newest(tmp_path, fail) is None
    for step in (1, 2):
        cut(write(tmp_path, step).path / DATA)
    message = (
        rf"^every checkpoint in {tmp_path} is damaged \(the newest: .*step-00000002 .*{DATA} must have [\d,]+ bytes"
    )
    with pytest.raises(TrainerError, match=message):
        checkpoints.newest(tmp_path, fail)


def test_renamed_checkpoints(tmp_path: Path) -> None:
    written = write(tmp_path, 1)
    shutil.copytree(written.path, tmp_path / "mine")
    assert value_of(checkpoints.find(tmp_path / "mine", fail)) == 1
    written.path.rename(tmp_path / "step-00000002")
    with pytest.raises(TrainerError, match="it holds step 1"):
        checkpoints.read(tmp_path / "step-00000002")


def test_other_format_version_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    monkeypatch.setattr(checkpoints, "FORMAT_VERSION", 2)
    write_path = tmp_path / "step-00000002"
    shutil.copytree(tmp_path / "step-00000001", write_path)
    with pytest.raises(TrainerError, match="has format version 1, and this version of albert-fast reads only 2"):
        checkpoints.newest(tmp_path, fail)


def test_find_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path, "holds no checkpoint; it must be the output directory of a run, or one of its checkpoints"),
        (tmp_path / "file", "is not a directory"),
        (tmp_path / "nowhere", "does not exist"),
    ):
        with pytest.raises(TrainerError, match=f"^{path} {message}"):
            checkpoints.find(path, fail)


def test_damage_that_digests_do_not_know_is_told_by_load(tmp_path: Path) -> None:
    written = write(tmp_path, 1)
    flip(written.path / DATA, 60)
    with pytest.raises(checkpoints.DamagedError, match=r"^[^\n]*is damaged \([^\n]*\)$"):
        checkpoints.load(written, make(-1))


# --- evaluations and pruning -----------------------------------------------------------------------------------------


def test_evaluation_belongs_to_its_checkpoint(tmp_path: Path) -> None:
    written = write(tmp_path, 1)
    for accuracy in (0.5, 0.25):
        evaluated = checkpoints.set_evaluation(written, {"masked_lm_accuracy": np.float32(accuracy), "records": 3})
        assert evaluated.evaluation == {"masked_lm_accuracy": accuracy, "records": 3}
        assert checkpoints.read(written.path) == evaluated
    assert names_in(written.path) == sorted([*FILES, "evaluation.json"])
    other = write(tmp_path, 2)
    shutil.copy(written.path / "evaluation.json", other.path)
    assert checkpoints.read(other.path).evaluation is None
    flip(written.path / "evaluation.json", 40)
    assert checkpoints.read(written.path) == written


def steps_in(directory: Path) -> list[int]:
    return [checkpoints.step_of(path) for path in checkpoints.listing(directory)]


def test_prune_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    accuracies = {1: 0.1, 2: 0.7, 3: 0.7, 4: float("nan"), 5: None, 6: 0.2}
    for step, accuracy in accuracies.items():
        written = write(tmp_path, step)
        if accuracy is not None:
            checkpoints.set_evaluation(written, {"masked_lm_accuracy": accuracy})
    assert checkpoints.prune(tmp_path, 10) == []
    assert [path.name[-1] for path in checkpoints.prune(tmp_path, 2)] == ["1", "2", "4"]
    assert steps_in(tmp_path) == [6, 5, 3]
    checkpoints.prune(tmp_path, 1)
    assert steps_in(tmp_path) == [6, 3]
    checkpoints.set_evaluation(checkpoints.read(tmp_path / "step-00000006"), {"masked_lm_accuracy": 0.8})
    checkpoints.prune(tmp_path, 1)
    assert steps_in(tmp_path) == [6]
    assert checkpoints.prune(tmp_path / "nowhere", 1) == []
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        checkpoints.prune(tmp_path, 0)


def test_prune_removes_what_killed_processes_left_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, 1)
    for name in (".step-00000002.tmp", ".step-00000003.old", ".mine", "step-notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    assert checkpoints.prune(tmp_path, 1) == []
    assert names_in(tmp_path) == [".mine", "step-00000001", "step-notes"]


def test_damaged_ones_do_not_push_whole_ones_out(tmp_path: Path) -> None:
    for step in range(1, 6):
        write(tmp_path, step)
    for step in (2, 5):
        cut(tmp_path / f"step-0000000{step}" / DATA)
    checkpoints.prune(tmp_path, 2)
    assert steps_in(tmp_path) == [5, 4, 3]
    warnings: list[str] = []
    found = checkpoints.newest(tmp_path, warnings.append)
    assert found is not None
    assert found.step == 4
    assert len(warnings) == 1


# --- what keeps a checkpoint from being written ----------------------------------------------------------------------


def test_leftover_temporary_is_replaced(tmp_path: Path) -> None:
    half = tmp_path / ".step-00000002.tmp"
    half.mkdir()
    (half / "foreign").write_bytes(b"half")
    assert names_in(write(tmp_path, 2).path) == sorted(FILES)
    assert names_in(tmp_path) == ["step-00000002"]


def no_space(*_: Any) -> None:
    raise OSError(28, "No space left on device", "somewhere")


def no_space_in_tensorflow(*_: Any) -> None:
    raise tf.errors.ResourceExhaustedError(None, None, "variables.data; No space left on device\n  at line")


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "place", [(tf.train.Checkpoint, "write"), (os, "fsync"), (Path, "write_bytes"), (Path, "rename")]
)
@pytest.mark.parametrize("fault", [no_space, no_space_in_tensorflow, interrupt])
@pytest.mark.parametrize("there", ["none", "damaged", "other"])
def test_a_fault_leaves_everything_as_it_was(
    place: tuple[Any, str], fault: Callable[..., None], there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(tmp_path, 1)
    if there != "none":
        write(tmp_path, 2, 9)
    if there == "damaged":
        cut(tmp_path / "step-00000002" / DATA)
    contents = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(*place, fault)
        if fault is interrupt:
            with pytest.raises(KeyboardInterrupt):
                write(tmp_path, 2)
        else:
            with pytest.raises(
                TrainerError, match=r"^cannot write the .*step-00000002: [^\n]*No space left on device$"
            ):
                write(tmp_path, 2)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == contents
    assert names_in(tmp_path) == sorted({path.parent.name for path in contents})
    assert checkpoints.read(before.path) == before
    assert value_of(write(tmp_path, 2)) == 2


@pytest.mark.parametrize("fault", [no_space, interrupt])
def test_a_fault_between_two_renames_brings_the_other_checkpoint_back(
    fault: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(tmp_path, 2, 9)
    rename = Path.rename

    def rename_but_not_the_new(path: Path, target: Path) -> Path:
        if path.suffix == ".tmp":
            fault()
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename_but_not_the_new)
        with pytest.raises(KeyboardInterrupt if fault is interrupt else TrainerError):
            write(tmp_path, 2)
    assert names_in(tmp_path) == ["step-00000002"]
    assert checkpoints.read(before.path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(TrainerError, match=r"cannot write the checkpoint .*Permission denied"):
            write(tmp_path, 1)
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(
        TrainerError, match=r"^cannot write the checkpoint .*checkpoints: (File exists|Not a directory)"
    ):
        write(tmp_path / "checkpoints", 1)


def test_evaluation_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = checkpoints.set_evaluation(write(tmp_path, 1), {"masked_lm_accuracy": 0.5})
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(TrainerError, match=r"cannot write .*evaluation.json: No space left on device"):
            checkpoints.set_evaluation(evaluated, {"masked_lm_accuracy": 0.75})
    assert checkpoints.read(evaluated.path) == evaluated
    assert names_in(evaluated.path) == sorted([*FILES, "evaluation.json"])


# --- killed ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: from here on no call changes anything."""


@pytest.mark.parametrize("there", ["none", "damaged"])
def test_killed_at_any_call_leaves_nothing_half(there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every point at which the process could stop, one after another; also while an old checkpoint is removed."""
    calls = ("fsync", "rename", "mkdir", "unlink", "rmdir")
    originals = {name: getattr(os, name) for name in calls} | {"write": tf.train.Checkpoint.write}
    left = 0

    def until_killed(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return originals[name](*arguments, **options)

        return call

    for limit in range(200):
        directory = tmp_path / str(limit)
        for step in (1, 2):
            write(directory, step)
        if there == "damaged":
            write(directory, 3, 9)
            cut(directory / "step-00000003" / DATA)
        left = limit
        with monkeypatch.context() as patched:
            for name in calls:
                patched.setattr(os, name, until_killed(name))
            patched.setattr(tf.train.Checkpoint, "write", until_killed("write"))
            try:
                write(directory, 3)
                checkpoints.prune(directory, 1)
            except Killed:
                done = False
            else:
                done = True
        warnings: list[str] = []
        found = checkpoints.newest(directory, warnings.append)
        assert found is not None
        assert value_of(found) == found.step in (2, 3)
        for path in checkpoints.listing(directory):
            if not (there == "damaged" and path.name.endswith("3")):
                checkpoints.read(path)
        write(directory, 3)
        checkpoints.prune(directory, 1)
        assert names_in(directory) == ["step-00000003"]
        if done:
            assert limit > 15
            return
    pytest.fail("it never ended")


WRITER = """
import sys
from pathlib import Path
import tensorflow as tf
from trainer.model import checkpoints
from trainer.model.config import ModelConfig

directory, config = Path(sys.argv[1]), ModelConfig(50, 12, 4, 3, 20, embedding_size=8)
found = checkpoints.newest(directory, print)
step = found.step if found else 0
variables = {f"bert/{index}": tf.Variable(tf.zeros([300, 100])) for index in range(10)}
if found:
    checkpoints.load(found, variables)
while True:
    step += 1
    for variable in variables.values():
        variable.assign_add(tf.ones([300, 100]))
    checkpoints.write(directory, variables, step=step, seed=1, config=config)
    checkpoints.prune(directory, 2)
    print(step, flush=True)
"""


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    generator = random.Random(3)
    last = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first == f"{last + 1}\n" or not last  # no warning of a damaged one
        time.sleep(generator.random() / 5)
        os.kill(process.pid, signal.SIGKILL)
        printed = [first, *process.stdout]
        process.wait()
        process.stdout.close()
        found = checkpoints.newest(tmp_path, fail)
        assert found is not None
        for path in checkpoints.listing(tmp_path):
            checkpoints.read(path)
        # What was said to be written is there, and at most one more.
        assert found.step - int(printed[-1]) in (0, 1)
        values = checkpoints.model_values(found)
        assert all((value == found.step).all() for value in values.values())
        assert len(values) == 10
        last = found.step


# --- distributed variables -------------------------------------------------------------------------------------------

DISTRIBUTED = """
import json, sys
from pathlib import Path
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from trainer.model import checkpoints
from trainer.model.config import ModelConfig

directory, config = Path(sys.argv[1]), ModelConfig(50, 12, 4, 3, 20, embedding_size=8)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    variables = {"bert/a": tf.Variable([1.0, 2.0]), "bert/a/adam_m": tf.Variable([3.0, 4.0], trainable=False)}
written = checkpoints.write(directory, variables, step=2, seed=1, config=config)
for variable in variables.values():
    variable.assign([0.0, 0.0])
checkpoints.load(written, variables)
mirrored = [[copy.numpy().tolist() for copy in variable.values] for variable in variables.values()]
devices = [copy.device[-5:] for copy in variables["bert/a"].values]
plain = {"bert/a": tf.Variable([0.0, 0.0])}
checkpoints.load(written, plain, model_only=True)

@tf.function
def step():
    strategy.run(lambda: variables["bert/a"].assign_add([1.0, 1.0]))

step()
print(json.dumps([mirrored, devices, plain["bert/a"].numpy().tolist(), variables["bert/a"].numpy().tolist()]))
"""


def test_distributed_variables(tmp_path: Path) -> None:
    # In a process of its own: TensorFlow has to be told of the devices before it is used.
    finished = subprocess.run(
        [sys.executable, "-c", DISTRIBUTED, str(tmp_path)],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    )
    mirrored, devices, plain, after = json.loads(finished.stdout.splitlines()[-1])
    assert mirrored == [[[1, 2], [1, 2]], [[3, 4], [3, 4]]]
    assert devices == ["CPU:0", "CPU:1"]
    assert plain == [1, 2]
    assert after == [2, 3]
    assert list(checkpoints.model_values(checkpoints.read(tmp_path / "step-00000002"))) == ["bert/a"]
