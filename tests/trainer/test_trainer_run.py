"""A run of pretraining: what it computes, whatever it computes it with, and what it leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from trainer_runs import (
    Material,
    arguments,
    assert_same,
    checkpoint,
    evaluations,
    lines,
    losses,
    steps,
    training,
    weights,
    worst,
)

from albert_fast import RecordReader
from trainer.model import losses as reference
from trainer.model.config import PRESETS, ModelConfig
from trainer.model.model import Albert
from trainer.run import data, memory

if TYPE_CHECKING:
    from conftest import Command

pytestmark = pytest.mark.tensorflow
slow = pytest.mark.slow

BF16 = 0.05
"""Bound of the difference of two losses, in nats, over 30 steps in which the loss falls by more than ten times that."""


@pytest.fixture(scope="module")
def whole(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on records, in their own order, with held-out ones."""
    from albert_fast.cli import main

    run = tmp_path_factory.mktemp("whole") / "run"
    words = arguments(material, run, records=material.records, shuffle=False, eval_records=material.held_out)
    assert main(words) == 0
    return run


# --- what it leaves --------------------------------------------------------------------------------------------------


@slow
def test_what_a_run_leaves(whole: Path, material: Material) -> None:
    there = {path.name for path in whole.iterdir()}
    assert there == {
        "albert_config.json",
        "checkpoints",
        "metrics.jsonl",
        "pretrain.config.json",
        "report.html",
        "run.json",
        "tensorboard",
    }
    assert steps(whole) == [4, 8, 12]
    assert [step for step, *_ in training(whole)] == [2, 4, 6, 8, 10, 12]
    assert list(evaluations(whole)) == [4, 8, 12]
    for step, figures in evaluations(whole).items():
        assert figures["records"] == 436
        stored = json.loads((checkpoint(whole, step) / "evaluation.json").read_text())["evaluation"]
        assert {name: value for name, value in stored.items() if name != "seconds"} == figures
    assert json.loads((whole / "albert_config.json").read_text())["hidden_size"] == 32
    assert json.loads((whole / "run.json").read_text())["steps"] == {
        "done": 12,
        "total": 12,
        "finished": True,
        "stopped": None,
    }
    for line in lines(whole):
        if "loss" in line:
            assert line["loss"] == pytest.approx(line["masked_lm_loss"] + line["sentence_order_loss"], abs=1e-5)
            assert 0 <= line["input_wait"] <= 1
    hours = [line["hours"] for line in lines(whole) if "loss" in line]
    assert hours == sorted(hours)
    assert hours[0] > 0


@slow
def test_the_options_left_behind_are_a_configuration(whole: Path, command: Command) -> None:
    again = command("pretrain", "--config", whole / "pretrain.config.json")
    assert again.code == 0, again.err
    assert "trained for 12 steps" in again.err


@slow
def test_the_tokenizer_is_kept_with_the_model(command: Command, material: Material) -> None:
    tokenizer = Path(__file__).parents[1] / "golden" / "tokenizer" / "spiece.model"
    run = Path("run")
    words = arguments(material, run, records=material.records, tokenizer=tokenizer, num_train_steps=2)
    assert command(*words).code == 0
    for directory in (run, checkpoint(run, 2)):
        assert (directory / "spiece.model").read_bytes() == tokenizer.read_bytes()
        assert json.loads((directory / "spiece.config.json").read_text())["lower_case"] is True


# --- the data --------------------------------------------------------------------------------------------------------


@slow
def test_without_shuffle_records_come_in_the_order_of_the_files(whole: Path, material: Material) -> None:
    """The first two losses by the model as it starts: warm-up begins at rate 0, so the second meets it unchanged."""
    batches = RecordReader([str(material.records)], 8, shuffle=False).batches(0, 2)
    model = Albert(ModelConfig.from_file(material.small), seed=12345)
    found = []
    for batch in batches:
        features = {name: tf.constant(array) for name, array in batch.items()}
        sums = reference.sums(model(features), features)
        found.append(float(reference.metrics(sums, reference.totals(features)).loss))
    (_, first), *_ = [(line["step"], line["loss"]) for line in lines(whole) if "loss" in line]
    assert first == pytest.approx(np.mean(found), abs=1e-5)


def test_records_are_taken_as_they_are_told_to(material: Material) -> None:
    files = [str(material.records)]

    def rows(**how: Any) -> list[bytes]:
        source = data.from_records(files, 8, seed=3, **how).source
        return [row.tobytes() for batch in source.batches(0, 101) for row in batch["input_ids"]]

    in_order = [batch["input_ids"][0].tobytes() for batch in RecordReader(files, 1, shuffle=False).batches(0, 808)]
    assert rows() == in_order
    shuffled = rows(shuffle=True)
    assert shuffled == rows(shuffle=True)
    assert shuffled != in_order
    # 808 of the 809.
    assert len(set(shuffled) - set(in_order)) <= 1


# --- how it is computed ----------------------------------------------------------------------------------------------


@slow
def test_micro_batches_equal_one_batch(whole: Path, material: Material, command: Command) -> None:
    words = arguments(material, Path("run"), records=material.records, shuffle=False, micro_batch_size=2)
    assert command(*words).code == 0
    apart = float(np.abs(losses(Path("run")) - losses(whole)).max())
    most, name = worst(weights(Path("run")), weights(whole))
    print(f"losses differ by {apart:.2g} at most, weights by {most:.2g} of their norm ({name})")
    assert apart < 1e-5
    assert most < 1e-5, name


@slow
def test_another_micro_batch_is_told_on_the_way(material: Material, command: Command) -> None:
    words = arguments(material, Path("run"), num_train_steps=3)
    assert command(*words, "--max-hours", 1e-9).code == 0
    again = command(*words, "--micro-batch-size", 4)
    assert again.code == 0
    (told,) = [line for line in again.err.splitlines() if "warning" in line]
    assert "--micro-batch-size was 8 and is now 4" in told
    assert steps(Path("run")) == [1, 3]


@slow
def test_a_run_of_months_says_so_first(material: Material, command: Command) -> None:
    words = arguments(material, Path("run"), batch_size=1024, num_train_steps=10**9, max_hours=1e-9)
    found = command(*words)
    assert found.code == 0, found.err
    fit, told = [line for line in found.err.splitlines() if "warning" in line]
    assert fit == (
        "albert-fast: warning: --learning-rate 0.00176 does not fit --batch-size 1024: by the square-root rule for "
        "LAMB, --learning-rate 0.00088 does"
    )
    assert re.search(
        r"warning: no GPU found; on this CPU the run would take about \d+ (?:days|years)\. Try --model tiny, ", told
    )
    # The limit of hours lets one step be done.
    assert steps(Path("run")) == [1]


@slow
def test_a_gpu_is_expected_to_reach_what_was_computed(
    material: Material, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.run import hardware

    name = "NVIDIA H100 80GB HBM3"
    pretended = hardware.one()._replace(kind="GPU", name=name, bf16=True, peak_tflops=989.4)
    monkeypatch.setattr(hardware, "find", lambda agreed: pretended)
    found = command(*arguments(material, Path("run"), num_train_steps=2))
    assert found.code == 0, found.err
    assert f"on {name}, at 25% of its peak (not measured yet), the run takes less than a minute" in found.err
    assert f"on {name} in bf16: a step needs about " in found.err
    (line, *_) = [line for line in lines(Path("run")) if "loss" in line]
    # The first of the two steps compiled: the second alone tells the speed.
    assert line["steps"] == 2
    assert line["compile_seconds"] > 0
    assert line["mfu"] == pytest.approx(line["tflops"] / 989.4)
    real = line["tokens_per_second"] / line["sequences_per_second"]
    assert 8 < real < 64
    assert 0 <= line["padding"] < 1
    run = json.loads(Path("run/run.json").read_text())["training"]
    assert run["widths"]
    assert 0 <= run["expected_padding"] < 1


@slow
def test_bf16_follows_float32(material: Material, command: Command) -> None:
    for precision in ("float32", "bf16"):
        words = arguments(
            material,
            Path(precision),
            precision=precision,
            num_train_steps=30,
            learning_rate=0.02,
            log_steps=1,
            save_checkpoints_steps=30,
        )
        assert command(*words).code == 0
    left, right = losses(Path("float32")), losses(Path("bf16"))
    print(f"losses from {left[0]:.3f} to {left[-1]:.3f}, differ by {np.abs(left - right).max():.3g} at most")
    assert left[0] - left[-1] > 10 * BF16
    assert 0 < np.abs(left - right).max() < BF16


@slow
def test_a_loss_that_is_not_finite_ends_the_run(material: Material, command: Command) -> None:
    run = Path("run")
    words = arguments(material, run, optimizer="adamw", num_train_steps=40, save_checkpoints_steps=1, log_steps=1)
    refused = command(*words, "--learning-rate", 1e30, "--num-warmup-steps", 0)
    assert refused.code == 1
    (told,) = [line for line in refused.err.splitlines() if "error" in line]
    assert refused.err.endswith(told + "\n")
    last = steps(run)[-1]
    assert f"step {last + 1} is not finite: masked-LM loss" in told
    assert f"on batch {last} with --random-seed 12345. It updated no weight" in told
    assert f"the last good checkpoint is {checkpoint(run, last)}. Try a lower --learning-rate, " in told
    assert told.endswith(f"--output-dir, and --init-checkpoint {checkpoint(run, last)} to start from its weights")
    for step in steps(run):
        assert all(np.isfinite(value).all() for value in weights(run, step).values()), step
    assert [step for step, *_ in training(run)] == list(range(1, last + 1))
    assert json.loads((run / "run.json").read_text())["steps"]["stopped"] == "an error"
    # The same command meets the same step, and says the same.
    again = command(*words, "--learning-rate", 1e30, "--num-warmup-steps", 0)
    assert again.code == 1
    assert again.err.splitlines()[-1] == told


def test_a_full_disk_is_not_taken_for_a_full_memory() -> None:
    from trainer.errors import TrainerError
    from trainer.run import hardware
    from trainer.run.loop import device_errors

    def fail(message: str) -> None:
        with device_errors("in step 1", hardware.one(), "with micro-batches of 8; pass a smaller `micro_batch_size`"):
            raise tf.errors.ResourceExhaustedError(None, None, message)

    with pytest.raises(TrainerError, match=r"^cannot write a compiled program in step 1; free disk space") as raised:
        fail("/run/compiled/albert-fast__1__2__XLA_GPU_JIT.pb.tmp; No space left on device")
    assert raised.value.kind == "io"
    with pytest.raises(TrainerError, match=r"^out of memory on .* in step 1, with micro-batches of 8; pass a smaller"):
        fail("Out of memory while trying to allocate 9 bytes")


# --- before the first step -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig.from_mapping({"vocab_size": 100, "hidden_size": 32, "num_attention_heads": 4, **changes})
        for changes in (
            {"num_hidden_layers": 3, "intermediate_size": 64, "embedding_size": 16},
            {"num_hidden_layers": 3, "intermediate_size": 40, "embedding_size": 32, "max_position_embeddings": 7},
            {"num_hidden_layers": 4, "intermediate_size": 64, "num_hidden_groups": 2, "inner_group_num": 2},
            {"num_hidden_layers": 2, "intermediate_size": 8, "num_hidden_groups": 2, "type_vocab_size": 5},
        )
    ]
    + [PRESETS["tiny"]],
)
def test_the_number_of_weights_is_that_of_the_model(config: ModelConfig) -> None:
    made = sum(int(np.prod(variable.shape)) for variable in Albert(config).named_variables.values())
    assert memory.parameters(config) == made


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 NVL", 835.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA A10", 125.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA H20", None),
    ],
)
def test_the_peak_is_that_of_the_very_device(name: str, peak: float | None) -> None:
    from trainer.run.hardware import peak_of

    assert peak_of(name) == peak


def test_too_large_for_the_device(material: Material, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.run import hardware

    monkeypatch.setattr(hardware, "_memory", lambda: 6_000_000)
    refused = command(*arguments(material, Path("run")))
    assert refused.code == 1
    assert "a step needs about" in refused.error
    assert "use a smaller model or shorter instances, or pass --micro-batch-size" in refused.error
    assert not (Path("run") / "pretrain.config.json").exists()
    # It is an estimate: who asks for a size gets it.
    changes = {"batch_size": 64, "micro_batch_size": 64, "num_train_steps": 1, "num_warmup_steps": 0}
    tried = command(*arguments(material, Path("run"), **changes))
    assert tried.code == 0, tried.err
    assert "warning: a step needs about" in tried.err
    assert "micro-batches of 64 x 64 tokens" in tried.err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"micro_batch_size": 3}, "--batch-size must be a multiple of --micro-batch-size (3), got 8"),
        ({"micro_batch_size": 16}, "--batch-size must be a multiple of --micro-batch-size (16), got 8"),
    ],
)
def test_sizes_that_do_not_divide(changes: dict[str, Any], told: str, material: Material, command: Command) -> None:
    refused = command(*arguments(material, Path("run"), **changes))
    assert refused.code == 2
    assert refused.error == told
    assert not (Path("run") / "checkpoints").exists()


@slow
def test_the_same_command_gives_the_same_bits(whole: Path, material: Material, command: Command) -> None:
    words = arguments(
        material, Path("run"), records=material.records, shuffle=False, log_steps=5, save_checkpoints_steps=7
    )
    assert command(*words).code == 0
    assert steps(Path("run")) == [7, 12]
    assert_same(weights(Path("run")), weights(whole))
