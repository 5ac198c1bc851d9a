"""Memory: what XLA assigns is what is estimated, and a step holds one micro-batch at a time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("tensorflow")

from trainer_runs import ROOT

from trainer.model.config import PRESETS
from trainer.run import memory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

NARROW = replace(PRESETS["base"], num_hidden_layers=2, vocab_size=3000)

COMPILE = """
import json, sys
import tensorflow as tf
from trainer.model import losses
from trainer.model.config import ModelConfig
from trainer.model.model import Albert
from trainer.run.step import make_gradient

config, rows, length, predictions, how = json.loads(sys.argv[1])
shapes = {"input_ids": length, "input_mask": length, "segment_ids": length, "masked_lm_positions": predictions}
features = {name: tf.zeros([rows, size], tf.int32) for name, size in shapes.items()}
features["masked_lm_ids"] = tf.zeros([rows, predictions], tf.int32)
features["masked_lm_weights"] = tf.ones([rows, predictions])
features["next_sentence_labels"] = tf.zeros([rows, 1], tf.int32)
model = Albert(ModelConfig.from_mapping(config), **how)
compiled = make_gradient(model).experimental_get_compiler_ir(features, losses.totals(features), tf.constant([1, 2]))
compiled(stage="optimized_hlo")
"""

STEPS = """
import json, resource, sys
import numpy as np
from trainer.run import hardware, packing
from trainer.model.config import ModelConfig
from trainer.run.feed import Packer
from trainer.model.model import Albert
from trainer.model.optimizers import Lamb
from trainer.model.schedule import Schedule
from trainer.run.step import Replica, Step

config, micro, count, length, predictions = json.loads(sys.argv[1])
rows = micro * count
batch = {
    "input_ids": np.ones((rows, length), np.int32),
    "input_mask": np.ones((rows, length), np.int32),
    "segment_ids": np.zeros((rows, length), np.int32),
    "masked_lm_positions": np.tile(np.arange(predictions, dtype=np.int32), (rows, 1)),
    "masked_lm_ids": np.ones((rows, predictions), np.int32),
    "masked_lm_weights": np.ones((rows, predictions), np.float32),
    "next_sentence_labels": np.zeros((rows, 1), np.int32),
}
model = Albert(ModelConfig.from_mapping(config))
step = Step([Replica(model, Lamb(model.named_variables))], Schedule())
pack = Packer(packing.full(length, predictions, micro), model.config, hardware.one())
for number in range(3):
    work = pack(batch)
    assert len(work.parts[0]) == count
    float(step(work, number).gradient_norm)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(program: str, arguments: Any, **environment: str) -> str:
    found = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)], capture_output=True, text=True, env=found, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("config", "rows", "length", "how"),
    [
        (NARROW, 4, 128, {}),
        (replace(NARROW, num_hidden_layers=4), 8, 128, {"recompute": True}),
        (replace(PRESETS["tiny"], hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1), 16, 128, {}),
    ],
    ids=["base", "recompute", "tiny with dropout"],
)
def test_the_estimate_is_what_xla_assigns(config: Any, rows: int, length: int, how: Any, tmp_path: Path) -> None:
    flags = f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*gradient.*"
    run(COMPILE, (json.loads(config.to_json()), rows, length, 19, how), XLA_FLAGS=flags)
    [text] = [path.read_text() for path in tmp_path.glob("*buffer-assignment.txt")]
    [assigned] = [int(found[1]) for found in re.finditer(r"size (\d+), preallocated-temp", text)]
    assert memory.temporary(config, rows, length, 19, "float32", **how) == pytest.approx(assigned, rel=0.1)


def test_a_step_holds_one_micro_batch() -> None:
    """Two at a time would take 240 MB more of some 1,500."""
    config = json.loads(PRESETS["tiny"].to_json())
    one, three = (int(run(STEPS, (config, 32, count, 128, 19))) * 1024 for count in (1, 3))
    assert memory.temporary(PRESETS["tiny"], 32, 128, 19, "float32") > 240e6
    assert three < 1.05 * one


def test_recomputation_and_fused_attention_take_less() -> None:
    large = PRESETS["large"]
    plain, recomputed, fused = (
        memory.temporary(large, 64, 512, 77, "bf16", **how) for how in ({}, {"recompute": True}, {"attention": "cudnn"})
    )
    assert recomputed < plain / 8
    assert fused < 0.75 * plain


def test_the_micro_batch_that_fits() -> None:
    base = PRESETS["base"]

    def fitting(share: int, gigabytes: float | None, **how: Any) -> int:
        room = None if gigabytes is None else int(gigabytes * 1e9)
        return memory.fitting_micro_batch(base, share, 512, 77, "bf16", room, 65_536, **how)

    assert fitting(4096, None) == 128
    assert fitting(100, None) == 100
    assert fitting(4096, 24) == 64
    assert fitting(4096, 24, recompute=True) == 128
    assert fitting(7, 0.5) == 1
