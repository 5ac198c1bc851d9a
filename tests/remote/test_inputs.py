"""Inputs in buckets, on the web and on the Hub: which objects an argument names, their names, and their formats."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import parquet_file
import pytest
from remote_sites import BucketSite, LocalSite, Site, comparable, digest

from albert_fast import AlbertFastError, Tokenizer, prepare_text, tokenize

if TYPE_CHECKING:
    from conftest import Command
    from web_server import WebServer

NAMES = ("a.txt", "b c.txt", "ü–日.txt", "x#y.txt", "50%.txt", "50%25.txt", "p+q.txt", "e=mc&2.txt", "sub/deep/d.txt")
"""Names that a URL, a glob or a shell could take for something else."""
TREE = {name: f"This is the text of file number {number}.\n\n".encode() for number, name in enumerate(NAMES)}
OTHER = {
    ".hidden.txt": b"Hidden.\n",
    ".git/config.txt": b"Hidden too.\n",
    "corpus.txt.prepare-text.summary.json": b"{}",
    "prepare-text.config.json": b"{}",
    "empty.txt": b"",
}
"""Files that a directory has and whose text is not in a corpus."""
LISTING = ["s3", "hf"]


def corpus_of(names: list[str]) -> str:
    return "".join(TREE[name].decode() for name in names)


def prepared(site: Site, local: LocalSite, *names: str) -> str:
    """What prepare-text makes of these inputs."""
    prepare_text([site.path(name) for name in names], local.path("out.txt"), language="en", overwrite=True)
    return (local.directory / "out.txt").read_text(encoding="utf-8")


class TestWhichObjects:
    @pytest.fixture(autouse=True)
    def _tree(self, request: pytest.FixtureRequest) -> None:
        if "site" in request.fixturenames:
            site: Site = request.getfixturevalue("site")
            site.put({f"in/{name}": body for name, body in {**TREE, **OTHER}.items()} | {"in.txt": b"Outside.\n"})

    @pytest.mark.parametrize("site", ["local", "s3", "http", "hf"], indirect=True)
    @pytest.mark.parametrize("name", NAMES)
    def test_names(self, site: Site, local: LocalSite, name: str) -> None:
        assert prepared(site, local, f"in/{name}") == TREE[name].decode()

    @pytest.mark.parametrize("site", ["local", *LISTING], indirect=True)
    @pytest.mark.parametrize("directory", ["in", "in/"])
    def test_a_directory_is_all_of_its_files(self, site: Site, local: LocalSite, directory: str) -> None:
        assert prepared(site, local, directory) == corpus_of(sorted(NAMES))

    @pytest.mark.parametrize("site", ["local", *LISTING], indirect=True)
    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("in/*.txt", sorted(set(NAMES) - {"sub/deep/d.txt"})),
            ("in/**/*.txt", sorted(NAMES)),
            ("in/?.txt", ["a.txt"]),
            ("in/???.txt", sorted(["50%.txt", "b c.txt", "p+q.txt", "x#y.txt", "ü–日.txt"])),
            ("in/[ab]*.txt", ["a.txt", "b c.txt"]),
            ("in/su?", ["sub/deep/d.txt"]),
            ("i*/[!a-z]*", sorted(["50%.txt", "50%25.txt", "ü–日.txt"])),
            ("*/*/deep/*", ["sub/deep/d.txt"]),
        ],
    )
    def test_patterns(self, site: Site, local: LocalSite, pattern: str, names: list[str]) -> None:
        assert prepared(site, local, pattern) == corpus_of(names)

    @pytest.mark.parametrize("site", LISTING, indirect=True)
    def test_two_stars_at_the_end(self, site: Site, local: LocalSite) -> None:
        """A bucket has no directories, so they match every object; of local files, those in directories."""
        assert prepared(site, local, "in/**") == corpus_of(sorted(NAMES))

    @pytest.mark.parametrize("site", ["local", *LISTING], indirect=True)
    def test_several_inputs_are_read_in_order(self, site: Site, local: LocalSite) -> None:
        assert prepared(site, local, "in/p+q.txt", "in/sub", "in/a*") == corpus_of(
            ["p+q.txt", "sub/deep/d.txt", "a.txt"]
        )

    @pytest.mark.parametrize("site", LISTING, indirect=True)
    def test_local_and_remote_inputs_together(self, site: Site, local: LocalSite) -> None:
        local.put({"here.txt": b"This one is here.\n\n"})
        output = local.path("out.txt")
        prepare_text([site.path("in/a.txt"), local.path("here.txt"), site.path("in/sub")], output, language="en")
        assert Path(output).read_text() == corpus_of(["a.txt"]) + "This one is here.\n\n" + corpus_of(
            ["sub/deep/d.txt"]
        )

    @pytest.mark.parametrize("site", LISTING, indirect=True)
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("none.txt", "no such object, and no objects below it"),
            ("in/none/", "no such object, and no objects below it"),
            ("in/sub/de", "no such object, and no objects below it"),
            ("in/*.gz", "the pattern matches no object"),
            ("none/**", "the pattern matches no object"),
            ("in/.git", None),
            ("in/[", "not a glob pattern"),
        ],
    )
    def test_what_names_nothing(self, site: Site, local: LocalSite, name: str, reason: str | None) -> None:
        if reason is None:
            # A hidden directory that is named is read.
            prepare_text(site.path(name), local.path("out.txt"), language="en")
            return
        with pytest.raises(AlbertFastError) as caught:
            prepare_text(site.path(name), local.path("out.txt"), language="en")
        assert (caught.value.kind, str(caught.value.path)) == ("input", site.path(name).rstrip("/"))
        assert str(caught.value).startswith(f"{site.path(name)}: {reason}")
        assert not (local.directory / "out.txt").exists()

    def test_a_bucket_is_a_directory(self, remote: BucketSite, local: LocalSite) -> None:
        remote.put({"b/x.txt": b"Second.\n", "a.txt": b"First.\n", ".c.txt": b"Hidden.\n"})
        for name in ("", "**/*.txt"):
            assert prepared(remote, local, name) == "First.\n\nSecond.\n\n"
        prepare_text(remote.root.rstrip("/"), local.path("other.txt"), language="en")
        assert (local.directory / "other.txt").read_text() == "First.\n\nSecond.\n\n"

    def test_an_empty_bucket_and_none(self, remote: BucketSite, local: LocalSite) -> None:
        with pytest.raises(AlbertFastError, match="the directory contains no files"):
            prepare_text(remote.root, local.path("out.txt"))
        with pytest.raises(AlbertFastError, match=r"^cannot read s3://no-such-bucket/a: no such bucket$"):
            prepare_text("s3://no-such-bucket/a", local.path("out.txt"))

    def test_the_web_has_no_directories(self, web: WebServer, local: LocalSite) -> None:
        web.files["in/a.txt"] = b"a"
        with pytest.raises(AlbertFastError, match="no such file on the server"):
            prepare_text(f"{web.endpoint}/in", local.path("out.txt"))

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("s3://", "the name of the bucket is missing"),
            ("hf://models/owner/name/a.txt", "the path must be hf://datasets/OWNER/NAME"),
            ("hf://datasets/owner", "the path must be hf://datasets/OWNER/NAME"),
            ("ftp://me:secret@host/a.txt", "ftp://host/a.txt: the path must be local or begin with s3://"),
        ],
    )
    def test_what_is_no_address(self, path: str, reason: str, local: LocalSite) -> None:
        with pytest.raises(AlbertFastError) as caught:
            prepare_text(path, local.path("out.txt"))
        assert caught.value.kind == "input"
        assert reason in str(caught.value)
        assert "secret" not in str(caught.value)

    def test_a_path_of_pathlib_has_one_slash(self, remote: BucketSite, local: LocalSite) -> None:
        remote.put({"a/b.txt": b"A text.\n"})
        prepare_text(Path(remote.path("a/b.txt")), local.path("out.txt"), language="en")
        assert (local.directory / "out.txt").read_text() == "A text.\n\n"


@pytest.fixture(scope="module")
def large() -> bytes:
    """A corpus of 3 MB, of several requests, that does not compress well."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    lines = (" ".join(rng.choices(words, k=12)).capitalize() + "." for _ in range(40_000))
    return "".join(line + ("\n\n" if number % 10 == 9 else "\n") for number, line in enumerate(lines)).encode()


@pytest.fixture(scope="module")
def packed(large: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("packed")
    (directory / "a.txt").write_bytes(large)
    settings: dict[str, Any] = {"documents": "blank-line", "language": "en", "sentences": False, "repair": False}
    prepare_text(directory / "a.txt", directory / "a.txt.zst", **settings)
    half = large.index(b"\n\n", len(large) // 2) + 2
    return {
        "a.txt": large,
        "a.txt.gz": gzip.compress(large[:half], 1) + gzip.compress(large[half:], 1),
        "a.txt.bz2": bz2.compress(large[:half]) + bz2.compress(large[half:]),
        "a.txt.xz": lzma.compress(large, preset=0),
        "a.txt.zst": (directory / "a.txt.zst").read_bytes(),
    }


class TestFormats:
    @pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
    @pytest.mark.parametrize("site", ["s3", "http", "hf"], indirect=True)
    def test_compressed_text(
        self, site: Site, local: LocalSite, packed: dict[str, bytes], suffix: str, model: Path, large: bytes
    ) -> None:
        name = f"a.txt{suffix}"
        site.put({name: packed[name]})
        output = local.path("out.txt")
        prepare_text(site.path(name), output, documents="blank-line", language="en", sentences=False, repair=False)
        assert digest(Path(output).read_bytes()) == digest(large)

    @pytest.mark.parametrize("site", ["s3", "http"], indirect=True)
    def test_tokens_of_compressed_text(
        self, site: Site, local: LocalSite, packed: dict[str, bytes], model: Path
    ) -> None:
        tokenizer = Tokenizer.from_file(model)
        local.put({"a.txt": packed["a.txt"]})
        tokenize(local.path("a.txt"), local.path("plain"), tokenizer)
        wanted = local.files("plain")["part-00000.tokens"]
        for name, body in packed.items():
            site.put({name: body})
            tokenize(site.path(name), local.path(f"of-{name}"), tokenizer)
            assert digest(local.files(f"of-{name}")["part-00000.tokens"]) == digest(wanted)

    @pytest.mark.parametrize("damage", ["truncated", "damaged", "followed by other data"])
    def test_damaged_data_is_named(
        self, remote: BucketSite, local: LocalSite, packed: dict[str, bytes], damage: str
    ) -> None:
        body = packed["a.txt.gz"]
        body = {"truncated": body[:-100_000], "damaged": body[:500_000] + b"x" * 99 + body[500_099:]}.get(
            damage, body + b"junk"
        )
        for site in (remote, local):
            site.put({"a.txt.gz": body})
        messages = []
        for site in (remote, local):
            with pytest.raises(AlbertFastError) as caught:
                prepare_text(site.path("a.txt.gz"), local.path("out.txt"), language="en")
            assert (caught.value.kind, str(caught.value.path)) == ("data", site.path("a.txt.gz"))
            messages.append(str(caught.value).replace(site.root, ""))
        assert messages[0] == messages[1]
        assert not (local.directory / "out.txt").exists()

    @pytest.mark.parametrize("site", ["s3", "http", "hf"], indirect=True)
    @pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet", "arrow", "wide.parquet"])
    def test_data_of_the_hub(self, site: Site, local: LocalSite, kind: str, large: bytes) -> None:
        texts = [one.replace("\n", " ") for one in large.decode().split("\n\n")[:-1]]
        golden = Path(__file__).parents[1] / "golden" / "raw"
        lines = "".join(json.dumps({"id": number, "body": text}) + "\n" for number, text in enumerate(texts)).encode()
        if kind == "wide.parquet":
            # Most of the file is a column that need not be read.
            body = parquet_file.write({"junk": [text * 3 for text in texts], "body": texts}, rows=500)
        elif kind.startswith("jsonl"):
            body = gzip.compress(lines, 1) if kind == "jsonl.gz" else lines
        else:
            body = (golden / f"rows.{kind}").read_bytes()
        names = [f"data/train-{number}.{kind}" for number in range(2)]
        for place in (site, local):
            place.put(dict.fromkeys(names, body))
        field = "text" if kind in {"parquet", "arrow"} else "body"
        for place, output in ((site, "site.txt"), (local, "local.txt")):
            inputs = [place.path("data")] if place.lists else [place.path(name) for name in names]
            made = prepare_text(inputs, local.path(output), language="en", text_field=field, dedup_documents=False)
            assert made["documents"] == (6 if field == "text" else 2 * len(texts))
        found = local.files()
        assert digest(found["site.txt"]) == digest(found["local.txt"])

    def test_a_column_is_read_without_the_others(self, web: WebServer, local: LocalSite) -> None:
        texts = [f"This is text number {number}." for number in range(1000)]
        wide = {"junk": ["x" * 50_000] * 1000, "text": texts}
        web.files["a.parquet"] = body = parquet_file.write(wide, rows=500)
        made = prepare_text(web.url("a.parquet"), local.path("out.txt"), language="en")
        assert made["documents"] == 1000
        read = 0
        for request in web.seen("GET"):
            assert request.range is not None
            start, end = request.range.removeprefix("bytes=").split("-")
            read += int(end) - int(start) + 1
        assert read < len(body) / 2


@pytest.mark.parametrize("site", LISTING, indirect=True)
def test_datasets_of_the_hub_have_a_card(site: Site, local: LocalSite, raw: bytes, command: Command) -> None:
    files = {
        "README.md": b"---\nlicense: mit\n---\n# A dataset\n",
        ".gitattributes": b"* -text\n",
        "data/train.jsonl": raw,
    }
    for place in (site, local):
        place.put({f"set/{name}": body for name, body in files.items()})
    results = [
        command("prepare-text", place.path("set"), "--language", "de", "--output", local.path(f"{index}.txt"))
        for index, place in enumerate((site, local))
    ]
    assert [result.code for result in results] == [0, 0], results[0].err
    found = comparable(local.files(), [site, local])
    assert found["0.txt"] == found["1.txt"]
    for output in ("README.md", "README"):
        assert (output in results[0].err) == (output in results[1].err)
