"""Every command with inputs and outputs in every place: what it writes is what it writes locally, byte for byte."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from remote_sites import RECORDS, BucketSite, LocalSite, Site, comparable

import albert_fast
from albert_fast import AlbertFastError, Tokenizer
from albert_fast.paths import RemotePath, as_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Command

COMMANDS = {
    "prepare-text": "prepare-text {in}/raw.jsonl --language de --output {out}.txt",
    "prepare-text-gzip": "prepare-text {in}/raw.jsonl --language de --output {out}/corpus.txt.gz",
    "prepare-text-shards": "prepare-text {in}/raw.jsonl --language de --output {out} --num-shards 3 --compression zstd",
    "prepare-text-held-out": (
        "prepare-text {in}/raw.jsonl --language de --output {out}/a/corpus.txt --eval-fraction 0.3 --dedup-lines "
        "--boilerplate {in}/boilerplate.txt"
    ),
    "train-tokenizer": "train-tokenizer {in}/text.txt --vocab-size 400 --output-dir {out}",
    "train-tokenizer-extend": (
        "train-tokenizer {in}/text.txt --extend {in}/spiece.model --vocab-size 2040 --output-dir {out}"
    ),
    "tokenize": "tokenize {in}/text.txt --tokenizer {in}/spiece.model --output-dir {out}",
    "tokenize-vocabulary": "tokenize {in}/text.txt --vocab-file {in}/vocab.txt --output-dir {out}",
    "make-records": (
        f"make-records {{in}}/text.txt {{in}}/more.txt --tokenizer {{in}}/spiece.model --output-dir {{out}} {RECORDS} "
        "--num-shards 3"
    ),
    "make-records-gzip": (
        f"make-records {{in}}/text.txt --tokenizer {{in}}/spiece.model --output-dir {{out}} {RECORDS} "
        "--compression gzip --keep-store"
    ),
    "make-records-reference": (
        f"make-records {{in}}/text.txt --tokenizer {{in}}/spiece.model --output-dir {{out}} {RECORDS} --rng reference "
        "--num-shards 2"
    ),
    "make-records-config": "make-records {in}/text.txt --config {in}/options.yaml --output-dir {out}",
}
PLACES = [
    ("s3", "local"),
    ("local", "s3"),
    ("s3", "s3"),
    ("http", "local"),
    ("http", "s3"),
    ("hf", "local"),
    ("hf", "s3"),
]


@pytest.fixture(scope="session")
def inputs(text: bytes, raw: bytes, model: Path) -> dict[str, bytes]:
    """The inputs of `COMMANDS`, in the directory `in`."""
    documents = text.split(b"\n\n")
    options = "max_seq_length: 32\nmax_predictions_per_seq: 5\nnum_shards: 2\ndupe_factor: 1\ntokenizer: "
    return {
        "in/text.txt": text,
        "in/more.txt": b"\n\n".join(documents[:7]) + b"\n\n",
        "in/raw.jsonl": raw,
        "in/spiece.model": model.read_bytes(),
        "in/vocab.txt": (model.parent / "wordpiece.txt").read_bytes(),
        "in/boilerplate.txt": b"^Mea \n",
        "in/options.yaml": options.encode() + str(model).encode() + b"\n",
    }


@pytest.fixture(scope="session")
def expected(
    inputs: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[LocalSite, dict[str, bytes]]]:
    """What a command writes if everything is local."""
    made: dict[str, tuple[LocalSite, dict[str, bytes]]] = {}

    def run(name: str) -> tuple[LocalSite, dict[str, bytes]]:
        if name not in made:
            place = LocalSite(tmp_path_factory.mktemp(name))
            place.put(inputs)
            assert albert_fast.cli.main(words(name, place, place)) == 0
            made[name] = place, outputs(place)
        return made[name]

    return run


def words(name: str, inputs: Site, output: Site) -> list[str]:
    at = {"in": inputs.path("in"), "out": output.path("out")}
    return COMMANDS[name].format(**at).split()


def outputs(site: Site) -> dict[str, bytes]:
    return {name: body for name, body in site.files().items() if not name.startswith("in/")}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("site", "output"), PLACES, indirect=["site"])
def test_outputs_are_those_of_local_files(
    site: Site,
    output: str,
    name: str,
    inputs: dict[str, bytes],
    expected: Callable[[str], tuple[LocalSite, dict[str, bytes]]],
    command: Command,
    request: pytest.FixtureRequest,
) -> None:
    to: Site = request.getfixturevalue({"local": "local", "s3": "remote"}[output])
    site.put(inputs)
    result = command(*words(name, site, to))
    assert result.code == 0, result.err
    place, files = expected(name)
    found = comparable(outputs(to), [site, to])
    wanted = comparable(files, [place])
    assert sorted(found) == sorted(wanted)
    assert [one for one in found if found[one] != wanted[one]] == []
    assert to.path("out") in result.err
    if isinstance(to, BucketSite):
        assert to.store.uploads(to.bucket) == ()


def test_a_store_in_a_bucket_becomes_records(
    remote: BucketSite, local: LocalSite, text: bytes, model: Path, command: Command
) -> None:
    local.put({"text.txt": text})
    assert (
        command("tokenize", local.path("text.txt"), "--tokenizer", model, "--output-dir", remote.path("store")).code
        == 0
    )
    assert (
        command("tokenize", local.path("text.txt"), "--tokenizer", model, "--output-dir", local.path("store")).code == 0
    )
    for source, to in itertools.product([remote, local], repeat=2):
        name = f"of-{type(source).__name__}"
        words = ["make-records", source.path("store"), "--output-dir", to.path(name), *RECORDS.split()]
        result = command(*words)
        assert result.code == 0, result.err
        again = command(*words)
        assert again.code == 0, again.err
        assert "already complete" in again.err
    wanted = comparable(local.files("of-LocalSite"), [local])
    for to, name in [(local, "of-BucketSite"), (remote, "of-LocalSite"), (remote, "of-BucketSite")]:
        found = {
            path: body.replace(b"of-BucketSite", b"of-LocalSite")
            for path, body in comparable(to.files(name), [local, remote]).items()
        }
        assert found == wanted
    refused = command("tokenize", remote.path("store"), "--tokenizer", model, "--output-dir", remote.path("other"))
    assert refused.code == 1
    assert refused.error.startswith(f"{remote.path('store')} is a token store, not text") or refused.error.startswith(
        f"{remote.path('store')}: this is a token store, not text"
    )


@pytest.mark.parametrize("site", ["s3", "http", "hf"], indirect=True)
def test_records_are_inspected(site: Site, local: LocalSite, text: bytes, model: Path, command: Command) -> None:
    local.put({"text.txt": text})
    shards = ["--num-shards", "2", "--compression", "gzip"]
    made = command(
        "make-records",
        local.path("text.txt"),
        "--tokenizer",
        model,
        "--output-dir",
        local.path("records"),
        *RECORDS.split(),
        *shards,
    )
    assert made.code == 0
    files = local.files("records")
    site.put({f"records/{name}": body for name, body in files.items()} | {"spiece.model": model.read_bytes()})
    names = [f"records/{name}" for name in sorted(files) if "tfrecord" in name]
    if site.lists:
        names += ["records", "records/*00001*"]
    for name in names:
        local_name = name
        wanted = command("inspect-records", local.path(local_name), "--tokenizer", model, "-n", 2)
        found = command("inspect-records", site.path(name), "--tokenizer", site.path("spiece.model"), "-n", 2)
        assert (found.code, wanted.code) == (0, 0), found.err
        assert found.out.replace(site.root, "") == wanted.out.replace(local.root, "")
        assert "records" in found.out + found.err


@pytest.mark.parametrize("site", ["s3", "hf"], indirect=True)
def test_a_tokenizer_is_a_directory(site: Site, local: LocalSite, text: bytes, command: Command) -> None:
    local.put({"text.txt": text})
    assert (
        command(
            "train-tokenizer",
            local.path("text.txt"),
            "--vocab-size",
            400,
            "--keep-accents",
            "--output-dir",
            local.path("tok"),
        ).code
        == 0
    )
    site.put({f"tok/{name}": body for name, body in local.files("tok").items()})
    for at, out in [(local, "local"), (site, "site")]:
        result = command(
            "tokenize", local.path("text.txt"), "--tokenizer", at.path("tok"), "--output-dir", local.path(out)
        )
        assert result.code == 0, result.err
        assert "warning" not in result.err
    found, wanted = (comparable(local.files(out), [local, site]) for out in ("site", "local"))
    name = "tokenize.config.json"
    # The text rules that are next to the model are known too.
    assert json.loads(found[name])["tokenize"]["keep_accents"] is True
    assert found | {name: b""} == wanted | {name: b""}


class TestPython:
    """The functions take strings and paths."""

    KINDS: tuple[Callable[[str], Any], ...] = (str, as_path, Path)

    @pytest.fixture
    def place(self, remote: BucketSite, inputs: dict[str, bytes]) -> BucketSite:
        remote.put(inputs)
        return remote

    @pytest.mark.parametrize("kind", KINDS)
    def test_functions(
        self, place: BucketSite, kind: Callable[[str], Any], local: LocalSite, model: Path, inputs: dict[str, bytes]
    ) -> None:
        local.put(inputs)
        tokenizer = Tokenizer.from_file(kind(place.path("in/spiece.model")))
        assert tokenizer.digest == Tokenizer.from_file(model).digest
        prepared = albert_fast.prepare_text(
            kind(place.path("in/raw.jsonl")), kind(place.path("c/corpus.txt.gz")), language="de"
        )
        assert prepared["outputs"] == [place.path("c/corpus.txt.gz")]
        stored = albert_fast.tokenize(kind(place.path("c/corpus.txt.gz")), kind(place.path("store")), tokenizer)
        made = albert_fast.make_records(
            kind(place.path("store")),
            kind(place.path("records")),
            tokenizer,
            max_seq_length=64,
            max_predictions_per_seq=10,
        )
        assert made.store == as_path(place.path("store"))
        assert [str(path) for path in made.shards] == [place.path("records/records-00000-of-00001.tfrecord")]
        assert all(isinstance(path, RemotePath) for path in made.shards)
        del stored
        here = local.path
        albert_fast.prepare_text(here("in/raw.jsonl"), here("c/corpus.txt.gz"), language="de")
        albert_fast.tokenize(here("c/corpus.txt.gz"), here("store"), tokenizer)
        albert_fast.make_records(
            here("store"), here("records"), tokenizer, max_seq_length=64, max_predictions_per_seq=10
        )
        found, wanted = (comparable(outputs(one), [one]) for one in (place, local))
        assert found == wanted

    @pytest.mark.parametrize("kind", KINDS)
    def test_paths_that_are_refused(self, place: BucketSite, kind: Callable[[str], Any], model: Path) -> None:
        missing = place.path("in/none.model")
        with pytest.raises(AlbertFastError) as caught:
            Tokenizer.from_file(kind(missing))
        assert (caught.value.kind, str(caught.value.path)) == ("io", missing)
        assert str(caught.value).startswith(f"cannot read {missing}: ")
        with pytest.raises(AlbertFastError) as caught:
            albert_fast.tokenize(kind(place.path("none.txt")), kind(place.path("store")), Tokenizer.from_file(model))
        assert (caught.value.kind, str(caught.value.path)) == ("input", place.path("none.txt"))

    def test_a_remote_path_is_as_a_path(self, place: BucketSite) -> None:
        directory = as_path(place.path("in"))
        assert isinstance(directory, RemotePath)
        assert str(directory / "text.txt") == place.path("in/text.txt")
        assert (directory.is_dir(), directory.is_file(), directory.exists()) == (True, False, True)
        file = directory / "vocab.txt"
        assert (file.is_dir(), file.is_file(), file.exists()) == (False, True, True)
        assert not (directory / "none").exists()
        assert sorted(path.name for path in directory.iterdir()) == sorted(
            name
            for name in (
                "text.txt",
                "more.txt",
                "raw.jsonl",
                "spiece.model",
                "vocab.txt",
                "boilerplate.txt",
                "options.yaml",
            )
        )
        assert sorted(path.name for path in directory.glob("*.txt")) == [
            "boilerplate.txt",
            "more.txt",
            "text.txt",
            "vocab.txt",
        ]
        assert [path.name for path in directory.parent.iterdir()] == ["in"]
        assert file.read_bytes() == place.store.get(place.bucket, "in/vocab.txt")
        assert file.read_text(encoding="utf-8") == file.read_bytes().decode()
        with file.open(encoding="utf-8") as opened:
            assert opened.readline() == file.read_text(encoding="utf-8").splitlines()[0] + "\n"
        with pytest.raises(FileNotFoundError):
            (directory / "none").read_bytes()
        with pytest.raises(OSError, match="remote files are written whole"):
            file.open("w")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("export --checkpoint s3://bucket/run --output-dir out", "--checkpoint"),
        ("export --checkpoint run --output-dir s3://bucket/out", "--output-dir"),
        ("import-checkpoint s3://bucket/albert --output-dir out", "SOURCE"),
        ("import-checkpoint albert_base --output-dir S3://bucket/out", "--output-dir"),
        ("fill-mask s3://bucket/run [MASK]", "MODEL_DIR"),
        ("demo --output-dir s3://bucket/demo", "--output-dir"),
    ],
)
def test_what_must_be_local(
    words: str, flag: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written into a local directory of that name."""
    monkeypatch.chdir(tmp_path)
    found = command(*words.split())
    assert found.code == 2, found
    assert f"{flag} must be a local path, got s3://bucket/" in found.err
    assert not list(tmp_path.iterdir())
