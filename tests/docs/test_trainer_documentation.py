"""docs/huggingface.md: its command lines exist, and all of it runs, one block after the other."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tensorflow")

import hugging_face

from albert_fast.cli.commands import COMMANDS

if TYPE_CHECKING:
    from conftest import Command

pytestmark = pytest.mark.tensorflow

PAGE = (Path(__file__).parents[2] / "docs" / "huggingface.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_titles_and_options_exist(command: Command) -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert re.findall(r"^- \[(.*)\]\(#", PAGE, re.MULTILINE) == titles
    anchors = re.findall(r"^- \[.*\]\(#(.*)\)$", PAGE, re.MULTILINE)
    assert anchors == [title.lower().replace(" ", "-").replace(",", "") for title in titles]
    helps = [command(name, "--help").out for name in COMMANDS]
    # A switch is shown once, for both of its forms.
    helps += [text.replace("--[no-]", form) for text in helps for form in ("--", "--no-")]
    for option in re.findall(r"`(--[a-z][a-z0-9-]*)", PAGE):
        assert any(re.search(rf"{option}\b", text) for text in helps), option


@pytest.mark.slow
def test_the_page_runs(command: Command, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("corpus.txt").write_bytes(corpus.read_bytes())
    ran = []
    for language, code in BLOCKS:
        if language == "python":
            python(code)
            continue
        for line in code.splitlines():
            name, *words = shlex.split(line)
            if name in {"pip", "hf"}:
                continue
            assert name == "albert-fast"
            if "my-classifier" in words and hugging_face.python() is None:
                continue  # the Python block before it makes that directory
            if words[0] == "evaluate":
                words = evaluated(command, words)
            done = command(*words)
            assert done.code == 0, f"{line}\n{done.err}"
            ran.append(words[0])
    assert set(ran) >= {"export", "import-checkpoint", "fill-mask", "pretrain", "evaluate"}
    assert Path("my-albert-further/model.safetensors").read_bytes() != Path("my-albert/model.safetensors").read_bytes()


def evaluated(command: Command, words: list[str]) -> list[str]:
    """The words of `evaluate` with records of the page's own tokenizer."""
    made = command("make-records", "corpus.txt", "--tokenizer", "start/spiece.model", "--output-dir", "records")
    assert made.code == 0, made.err
    return ["records" if word == "RECORDS" else word for word in words]


def python(code: str) -> None:
    """Runs a block where PyTorch and transformers are."""
    if hugging_face.python() is None:
        return
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [hugging_face.python() or "", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"loss (\d\.\d+) at first, (\d\.\d+) at last", done.stdout)
    if "classifier" in code:
        assert found
        assert float(found[2]) < 0.7 * float(found[1])
