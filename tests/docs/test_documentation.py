"""README, docs/ and docstrings: what they tell the reader to type exists and runs."""

from __future__ import annotations

import doctest
import gzip
import inspect
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import raw_text
import typer.main
from adapters import framework

import albert_fast
from albert_fast import InstanceStream, Tokenizer, TokenStore, _native, tokenize
from albert_fast.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Command

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
TRAINING = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
CORPUS = (ROOT / "docs" / "corpus.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SLURM = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
CLUSTER = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
RAY = (ROOT / "docs" / "ray.md").read_text(encoding="utf-8")
PAGES = [README, PAGE, TRAINING, CORPUS, RECIPES, TUTORIAL, CLUSTER, SLURM, RAY]
WRAPPERS = {"slurm", "ray"}
"""Commands whose argument is another command, whose options are among theirs."""
COMMANDS = [
    "prepare-text",
    "train-tokenizer",
    "tokenize",
    "make-records",
    "finish",
    "slurm",
    "ray",
    "inspect-records",
    "pretrain",
    "evaluate",
    "report",
    "export",
    "import-checkpoint",
    "fill-mask",
    "demo",
]


def fences(text: str) -> list[tuple[str, str]]:
    """The language and the content of each code block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def blocks(language: str, text: str = README) -> list[str]:
    return [content for found, content in fences(text) if found == language]


def command_lines() -> Iterator[list[str]]:
    """Every line of a code block that runs `albert-fast`, and every `albert-fast ...` within the text."""
    for block in [block for text in PAGES for block in blocks("", text)]:
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0].startswith("TF_CONFIG="):
                del words[0]
            if words and words[0].endswith("albert-fast"):
                yield words[1:]
    prose = re.sub(r"^```.*?^```$", "", "".join(PAGES), flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"`albert-fast ([^`]*)`", prose):
        yield shlex.split(line)


def flags_of(name: str) -> set[str]:
    root: Any = typer.main.get_command(app)
    found = root.get_command(None, name)
    return {flag for parameter in found.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def test_there_are_commands_to_check() -> None:
    assert len(list(command_lines())) >= 4


@pytest.mark.parametrize("words", list(command_lines()), ids=" ".join)
def test_command_lines_parse(words: list[str], command: Command) -> None:
    name = words[0]
    if name == "COMMAND":
        return
    assert name in COMMANDS
    options = flags_of(name) | {"--help"} | (flags_of(words[1]) if name in WRAPPERS and len(words) > 1 else set())
    for word in words[1:]:
        if word.startswith("--"):
            assert word.split("=")[0] in options, f"{name} has no {word}"
    # A word that is unknown, or lacks its value, is a usage error (2) even before --help is looked at.
    assert command(*(word.replace("DIR", "dir") for word in words), "--help").code == 0


def test_every_option_named_exists() -> None:
    known = set().union(*(flags_of(name) for name in COMMANDS)) | {"--help", "--version"}
    for option in re.findall(r"`(--[a-z][a-z0-9-]*)", README + CORPUS):
        assert option in known, option


def test_every_command_is_in_the_table(command: Command) -> None:
    table = README.split("| command | what it does |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `([a-z-]+)", table, re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)
    listed = command("--help").out
    assert all(name in listed for name in COMMANDS)


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    typed = "\n".join([*blocks(""), *re.findall(r"`(make [a-z]+)`", README)])
    named = set(re.findall(r"^make ([a-z-]+)$", typed, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_python_of_the_readme(tmp_path: Path, model: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "spiece.model").write_bytes(model.read_bytes())
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "part-a.txt").write_bytes(corpus.read_bytes())
    examples = blocks("python")
    assert examples
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)


class Block(NamedTuple):
    """A code block of docs/python.md."""

    language: str
    code: str

    @property
    def frameworks(self) -> list[str]:
        """The frameworks that it imports."""
        imports = r"^(?:import|from) (?:albert_fast\.)?(tf|tensorflow|torch|transformers|accelerate)\b"
        found = re.findall(imports, self.code, re.MULTILINE)
        return ["tensorflow" if name == "tf" else name for name in found]

    def run(self, names: dict[str, Any]) -> None:
        """Runs it in the working directory."""
        if self.language == "python":
            exec(compile(self.code, "docs/python.md", "exec"), names)
            return
        for line in self.code.splitlines():
            name, *words = shlex.split(line)
            if name == "pip":
                continue
            start = {"python": [], "albert-fast": ["-m", "albert_fast"]}[name]
            subprocess.run([sys.executable, *start, *words], check=True, timeout=120)


PAGE_BLOCKS = [Block(*found) for found in fences(PAGE)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[int]]:
    """The directory of docs/python.md, its names, and the numbers of the blocks that have been run."""
    return tmp_path_factory.mktemp("page"), {}, []


# A Trainer pins memory for an accelerator that may not be there.
@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")
@pytest.mark.parametrize("number", range(len(PAGE_BLOCKS)), ids=lambda number: PAGE_BLOCKS[number].code.split("\n")[0])
def test_blocks_of_the_python_page(
    number: int, page: tuple[Path, dict[str, Any], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, names, done = page
    monkeypatch.chdir(directory)
    block = PAGE_BLOCKS[number]
    if block.frameworks:
        # A Trainer needs accelerate.
        needed = [*block.frameworks, *(["accelerate"] if "transformers" in block.frameworks else [])]
        framework(f"albert_fast.{'tf' if 'tensorflow' in needed else 'torch'}", *needed)
    # Blocks follow from those before them, whichever tests are selected; those of frameworks from no other framework.
    for before in range(number):
        if before not in done and not PAGE_BLOCKS[before].frameworks:
            done.append(before)
            PAGE_BLOCKS[before].run(names)
    if number not in done:
        done.append(number)
        block.run(names)


def test_the_python_page_names_what_exists() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    links = re.findall(r"^- \[(.*)\]\(#(.*)\)$", PAGE, re.MULTILINE)
    assert [title for title, _ in links] == titles
    assert [anchor for _, anchor in links] == [title.lower().replace(" ", "-") for title in titles]
    named = re.findall(r"`(examples/[a-z_]+\.py)`", PAGE)
    assert len(named) == 3
    assert all((ROOT / name).is_file() for name in named)
    assert "(docs/python.md)" in README


def test_the_corpus_page_names_its_parts() -> None:
    titles = re.findall(r"^## (.*)$", CORPUS, re.MULTILINE)
    links = re.findall(r"^- \[(.*)\]\(#(.*)\)$", CORPUS, re.MULTILINE)
    assert links == [(title, title.lower().replace(" ", "-")) for title in titles]
    assert "(docs/corpus.md)" in README


def test_the_corpus_page_runs(command: Command, corpus: Path) -> None:
    documents = [[line.split(" | ") for line in text.split("\n")] for text in corpus.read_text().strip().split("\n\n")]
    dump = Path("dewiki-latest-pages-articles-multistream.xml.bz2")
    dump.write_bytes(raw_text.multistream(documents))
    for name in ("texts", "dataset", "extracted"):
        Path(name).mkdir()
    Path("texts/one.txt").write_text(raw_text.plain(documents[0]))
    Path("dataset/rows.parquet").write_bytes((ROOT / "tests" / "golden" / "raw" / "rows.parquet").read_bytes())
    Path("extracted/wiki_00").write_text(raw_text.wikiextractor(documents))
    Path("reviews.csv").write_text(
        "id,review\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(["One is.", "Two."]))
    )
    Path("books.txt").write_text("*****\n".join(raw_text.plain(document) for document in documents))
    Path("news.txt").write_text(corpus.read_text())
    rows = [{"article": {"body": "\n".join(raw_text.paragraphs(document))}} for document in documents]
    Path("articles.jsonl.gz").write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))
    names: dict[str, Any] = {}
    for language, code in fences(CORPUS):
        if language == "python":
            exec(compile(code, "docs/corpus.md", "exec"), names)
        for line in code.replace("\\\n", " ").splitlines() if language == "" else ():
            name, *words = shlex.split(line)
            if name == "albert-fast" and "hf://" not in line:  # which needs the network
                # The corpus here is small: of a hundred documents one in two hundred would be none.
                small = {"30000": "500", "0.005": "0.05"}
                done = command(*(small.get(word, word) for word in words))
                assert done.code == 0, f"{line}\n{done.err}"
    assert names["result"]["eval_documents"] > 0
    assert Path("tokenizer/spiece.model").exists()


def test_the_table_of_arrays_is_true(store: TokenStore) -> None:
    rows = re.findall(r"^\| `(\w+)` \| \[B, (\w)\] \| (\w+) \|", PAGE, re.MULTILINE)
    stream = InstanceStream(store, 3, 32)
    sizes = {"S": stream.max_seq_length, "P": stream.max_predictions, "1": 1}
    batch: dict[str, Any] = dict(stream.batch(0))
    assert {name: ((3, sizes[size]), dtype) for name, size, dtype in rows} == {
        name: (array.shape, array.dtype.name) for name, array in batch.items()
    }


@pytest.fixture
def store(tmp_path: Path, model: Path, corpus: Path) -> TokenStore:
    tokenize([corpus], tmp_path / "store", Tokenizer.from_file(model))
    return TokenStore(tmp_path / "store")


ADAPTERS = {"albert_fast.tf": "tensorflow", "albert_fast.torch": "torch", "albert_fast._torch_collator": "torch"}
MODULES = [
    "albert_fast",
    *(
        info.name
        for info in pkgutil.walk_packages(albert_fast.__path__, "albert_fast.")
        if not info.name.endswith("__main__")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str) -> None:
    module = framework(name, *filter(None, [ADAPTERS.get(name)]))
    assert doctest.testmod(module).failed == 0


def test_there_is_an_example() -> None:
    assert doctest.testmod(albert_fast).attempted >= 2


def test_compiled_names_explain_themselves() -> None:
    for name in _native.__all__:
        value = getattr(_native, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(value), name
        if inspect.isclass(value) and value.__module__ == "albert_fast._native" and not issubclass(value, Exception):
            for member in vars(value):
                assert member.startswith("_") or getattr(value, member).__doc__, f"{name}.{member}"
