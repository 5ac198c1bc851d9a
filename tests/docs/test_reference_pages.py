"""The documentation site, and what its reference pages say."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from albert_fast import RecordReader, Tokenizer, TokenStore, tokenize
from albert_fast.cli.build import stage_of
from albert_fast.cli.commands import COMMANDS
from albert_fast.options import options_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Command

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "tools"))
import reference  # noqa: E402


def page(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")


def fences(text: str, language: str) -> list[str]:
    """The contents of the code blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [content for name, content in found if name == language]


@pytest.mark.parametrize("name", reference.pages())
def test_the_pages_of_the_commands_are_current(name: str) -> None:
    path = DOCS / "reference" / name
    assert path.read_text(encoding="utf-8") == reference.pages()[name], "run python tools/reference.py"


def test_every_page_written_before_is_of_a_command() -> None:
    written = {path.name for path in (DOCS / "reference").glob("*.md") if path.read_text().startswith(reference.NOTE)}
    assert written == reference.pages().keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_option_and_an_example_that_parses(command: Command, name: str) -> None:
    text = page(name)
    rows = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    for option in options_of(stage_of(COMMANDS[name])).values():
        if not option.argument:
            flag = option.flag.removeprefix("--")
            assert any(re.search(rf"(^|[\s\]-]){flag}(\s|$|,)", row) for row in rows), flag
    example = " ".join(fences(text, "")[0].replace("\\\n", " ").split())
    assert example.startswith(f"albert-fast {name} ")
    assert command(*example.split()[1:], "--help").code == 0


def entries(nav: Any) -> Iterator[str]:
    """The pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from entries(item)


def test_the_navigation_has_every_page_once() -> None:
    nav = [*entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])]
    found = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(nav) == sorted(found), "add the page to the navigation in mkdocs.yml"


@pytest.mark.parametrize("number", range(2))
def test_configurations_are_read(command: Command, number: int) -> None:
    code = fences(page("configuration"), "yaml")[number]
    Path("albert.yaml").write_text(code, encoding="utf-8")
    for name in COMMANDS:
        assert command(name, "--config", "albert.yaml", "--help").code == 0
    # A key that nothing has is refused even before --help is looked at, so the above says something.
    Path("wrong.yaml").write_text(f"{code}\nno_such_option: 1\n", encoding="utf-8")
    assert command("pretrain", "--config", "wrong.yaml", "--help").code == 2


def test_the_project_of_the_configuration_page_runs(command: Command, corpus: Path) -> None:
    code = fences(page("configuration"), "yaml")[0]
    small = yaml.safe_load(code)
    raw = small["prepare-text"]["inputs"] = ["raw.txt"]
    small["prepare-text"] |= {"documents": "blank-line", "eval_fraction": 0.05, "language": "de"}
    small["train-tokenizer"]["vocab_size"] = 500
    small["num_threads"] = 2
    Path(raw[0]).write_bytes(corpus.read_bytes())
    Path("albert.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    lines = fences(page("configuration"), "")[1].splitlines()
    assert len(lines) == 6
    for line in lines[:4]:
        done = command(*line.split()[1:])
        assert done.code == 0, done.err
    assert Path("store/meta.json").is_file()
    assert Path("held-out/dataset.json").is_file()
    # What was written repeats the command.
    assert command("tokenize", "--config", "store/tokenize.config.json", "--help").code == 0


def test_a_part_is_read_as_the_formats_page_says(tmp_path: Path, model: Path, corpus: Path) -> None:
    names: dict[str, Any] = {}
    (code,) = fences(page("formats"), "python")
    exec(compile(code, "formats.md", "exec"), names)
    tokenize([corpus], tmp_path / "store", Tokenizer.from_file(model))
    wanted = [np.asarray(sentence).tolist() for sentence in TokenStore(tmp_path / "store").document(0)]
    assert names["first_document"](tmp_path / "store" / "part-00000.tokens") == wanted


@pytest.mark.parametrize(
    ("title", "written"),
    [
        ("Corpus", "prepared.txt.prepare-text.summary.json"),
        ("Token store", "store/meta.json"),
        ("Records", "records/dataset.json"),
    ],
    ids=["corpus", "store", "records"],
)
def test_the_formats_page_has_every_key(command: Command, model: Path, corpus: Path, title: str, written: str) -> None:
    common = [corpus, "--tokenizer", model]
    assert command("prepare-text", corpus, "--output", "prepared.txt", "--documents", "blank-line").code == 0
    assert command("tokenize", *common, "--output-dir", "store").code == 0
    assert command("make-records", *common, "--output-dir", "records").code == 0
    section = page("formats").split(f"\n## {title}\n")[1].split("\n## ")[0]
    first_column = " ".join(re.findall(r"^\| (.*?) \|", section, re.MULTILINE))
    documented = set(re.findall(r"`(\w+)`", first_column))
    assert yaml.safe_load(Path(written).read_text(encoding="utf-8")).keys() <= documented


def test_an_index_is_laid_out_as_the_formats_page_says(command: Command, model: Path, corpus: Path) -> None:
    assert command("make-records", corpus, "--tokenizer", model, "--output-dir", "records").code == 0
    reader = RecordReader("records", batch_size=1, index_dir="index")
    (records,) = Path("records").glob("*.tfrecord")
    (index,) = Path("index").iterdir()
    assert re.fullmatch(rf"\.{re.escape(records.name)}-[0-9a-f]{{16}}\.index", index.name)
    data = index.read_bytes()
    fields = struct.unpack("<8sIIQqQ16s8s", data[:64])
    changed = records.stat().st_mtime_ns // 1_000_000
    assert fields[:6] == (b"ALBINDEX", 1, 0, records.stat().st_size, changed, len(reader))
    assert fields[7] == bytes(8)
    starts = np.frombuffer(data[64:], "<u8").tolist()
    assert len(starts) == len(reader) + 1
    assert starts[0] == 0
    assert starts[-1] == records.stat().st_size
    # A frame begins with the length of its message, and has 16 bytes besides.
    (length,) = struct.unpack("<Q", records.read_bytes()[:8])
    assert starts[1] == length + 16


def test_exit_codes_are_true(command: Command) -> None:
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", page("exit-codes"), re.MULTILINE)]
    assert codes == [0, 1, 2, 130, 141]
    assert command("prepare-text", "--help").code == 0
    assert command("prepare-text", "missing.txt", "--output", "corpus.txt").code == 1
    assert command("prepare-text", "missing.txt", "--output", "corpus.txt", "--samples", "many").code == 2


def test_variables_of_the_environment_are_in_the_code() -> None:
    named = re.findall(r"^\| `([A-Z_]+)` \|", page("exit-codes"), re.MULTILINE)
    assert len(named) >= 7
    sources = [path for part in ("albert_fast", "trainer") for path in (ROOT / part).rglob("*.py")]
    sources += (ROOT / "rust" / "core" / "src").rglob("*.rs")
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    # These two are read by standard libraries.
    for name in set(named) - {"COLUMNS", "TMPDIR"}:
        assert f'"{name}"' in code, name


def test_every_link_of_the_site_leads_somewhere(tmp_path: Path) -> None:
    pytest.importorskip("zensical")
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    program = Path(sys.executable).with_name("zensical")
    done = subprocess.run([program, "build", "--strict"], check=False, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, re.sub(r"\x1b\[[0-9;]*m", "", done.stderr)
    assert (tmp_path / "build" / "site" / "reference" / "pretrain" / "index.html").is_file()
