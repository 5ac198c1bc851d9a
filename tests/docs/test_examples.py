"""The programs in examples/: they run from anywhere and print what they promise."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import albert_fast

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {
    "numpy_batches.py": ([], r"batch 7 again: True\n(.*\n)+.*\[MASK\].*\n"),
    "tensorflow_dataset.py": (["tensorflow"], r"step 60: loss \d\.\d+\nthe step was traced 1 time\n"),
    "torch_dataloader.py": (["torch", "transformers"], r"step 1: loss \d\.\d+\nstep 2: loss \d\.\d+\n"),
    "huggingface_trainer.py": (["torch", "transformers", "accelerate"], r"(step \d: loss \d\.\d+\n){3}"),
}
"""For each example the frameworks that it needs, and how its output ends."""


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(NEEDS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("numpy_batches.py"),
        pytest.param("tensorflow_dataset.py", marks=pytest.mark.tensorflow),
        pytest.param("torch_dataloader.py", marks=pytest.mark.torch),
        pytest.param("huggingface_trainer.py", marks=pytest.mark.torch),
    ],
)
def test_examples_run(name: str, tmp_path: Path) -> None:
    needs, ending = NEEDS[name]
    for module in needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    path = [str(Path(albert_fast.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert re.search(rf"{ending}\Z", result.stdout), result.stdout
    assert not list(tmp_path.iterdir())
