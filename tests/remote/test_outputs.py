"""Outputs in a bucket: what is refused, replaced, kept and resumed is as with local outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fault_proxy import FaultProxy
from loopback import s3_error
from remote_sites import RECORDS, BucketSite, LocalSite, Site

from albert_fast import AlbertFastError, Tokenizer, make_records, prepare_text, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Command

LENGTHS: dict[str, Any] = {"max_seq_length": 64, "max_predictions_per_seq": 10}
PLACES = ["local", "s3"]
INSIDE = "this output is inside the input"
COMMANDS = {
    "prepare-text": ("prepare-text {in}/raw.jsonl --language de --output {out}/corpus.txt", "--dedup-lines"),
    "shards": ("prepare-text {in}/raw.jsonl --language de --output {out} --num-shards 2", "--dedup-lines"),
    "train-tokenizer": ("train-tokenizer {in}/text.txt --vocab-size 400 --output-dir {out}", "--keep-accents"),
    "tokenize": ("tokenize {in}/text.txt --tokenizer {in}/spiece.model --output-dir {out}", "--on-bad-utf8 replace"),
    "make-records": (
        f"make-records {{in}}/text.txt --tokenizer {{in}}/spiece.model --output-dir {{out}} {RECORDS} --num-shards 3",
        "--random-seed 7",
    ),
}
"""Each with an option that gives another output."""


@pytest.fixture
def place(site: Site, text: bytes, raw: bytes, model: Path) -> Site:
    site.put({"in/text.txt": text, "in/raw.jsonl": raw, "in/spiece.model": model.read_bytes()})
    return site


@pytest.fixture
def run(place: Site, command: Command) -> Callable[..., Any]:
    def run(name: str, *more: str) -> Any:
        return command(*COMMANDS[name][0].format(**{"in": place.path("in"), "out": place.path("out")}).split(), *more)

    return run


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("site", PLACES, indirect=True)
def test_an_output_that_exists(place: Site, run: Callable[..., Any], name: str) -> None:
    assert run(name).code == 0
    before = place.files("out")
    again = run(name)
    if name in {"tokenize", "make-records"}:
        assert again.code == 0
        assert "already complete" in again.err
    else:
        assert again.code == 1
        assert "--overwrite" in again.error
    assert place.files("out") == before

    other = COMMANDS[name][1].split()
    refused = run(name, *other)
    if name == "tokenize":
        # The text is valid, so the store is the same.
        assert refused.code in {0, 1}
    else:
        assert refused.code == 1
        assert refused.error.startswith(place.path("out"))
        assert "--overwrite" in refused.error
    assert place.files("out") == before

    replaced = run(name, *other, "--overwrite")
    assert replaced.code == 0, replaced.err
    after = place.files("out")
    if name != "tokenize":
        assert after != before
    assert run(name, "--overwrite").code == 0
    assert place.files("out") == before


@pytest.mark.parametrize("site", PLACES, indirect=True)
@pytest.mark.parametrize("name", ["tokenize", "make-records"])
def test_refusals_say_what_differs(place: Site, run: Callable[..., Any], name: str, text: bytes) -> None:
    assert run(name).code == 0
    place.put({"in/text.txt": text + b"One more sentence.\n\n"})
    refused = run(name)
    assert refused.code == 1
    assert refused.error.startswith(f"{place.path('out')}: made with ")
    assert ("other contents of " if name == "tokenize" else "another input") in refused.error


@pytest.mark.parametrize("site", PLACES, indirect=True)
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("prepare-text {0}/in --output {0}/in/out.txt", INSIDE),
        ("prepare-text {0}/in --output {0}/in/out --num-shards 2", INSIDE),
        ("prepare-text {0}/in/raw.jsonl --output {0}/in/raw.jsonl --overwrite", "this is both an input and an output"),
        ("prepare-text {0}/in/*.txt --output {0}/in/out.txt", INSIDE),
        ("prepare-text {0}/in/raw.jsonl --output {0}/a --eval-fraction 0.5 --eval-output {0}/a", "must be separate from"),
        ("prepare-text {0}/in/raw.jsonl --output {0}/a --eval-fraction 0.5 --eval-output {0}/a/b", "must be separate from"),
        ("train-tokenizer {0}/in/text.txt {0}/in --output-dir {0}/in/out", INSIDE),
        ("tokenize {0}/in --output-dir {0}/in/out --tokenizer {0}/in/spiece.model --input-format text", INSIDE),
        ("make-records {0}/in --output-dir {0}/in/out --tokenizer {0}/in/spiece.model --input-format text", INSIDE),
        ("tokenize {0}/in/text.txt --output-dir {0}/in --tokenizer {0}/in/spiece.model", "contains the input"),
    ],
)
def test_an_output_in_an_input_is_refused(place: Site, words: str, reason: str, command: Command) -> None:
    before = place.files()
    result = command(*words.format(place.root.rstrip("/")).split())
    assert result.code == 2, result.err
    # A warning may come first.
    assert result.err.splitlines()[-1].startswith("albert-fast: error: ")
    assert reason in result.err.splitlines()[-1]
    assert place.files() == before


def test_outputs_that_cannot_be(remote: BucketSite, text: bytes, raw: bytes, command: Command, model: Path) -> None:
    remote.put({"text.txt": text, "raw.jsonl": raw, "file": b"x", "full/other.bin": b"x"})

    def refused(*words: str) -> str:
        before = remote.files()
        result = command(*words)
        assert result.code in {1, 2}
        assert remote.files() == before
        return result.error

    for output in ("https://host/out", "hf://datasets/owner/name/out"):
        scheme = output.partition("://")[0]
        for words in (
            ("prepare-text", remote.path("raw.jsonl"), "--output", output),
            ("tokenize", remote.path("text.txt"), "--tokenizer", str(model), "--output-dir", output),
            ("make-records", remote.path("text.txt"), "--tokenizer", str(model), "--output-dir", output),
            ("train-tokenizer", remote.path("text.txt"), "--vocab-size", "400", "--output-dir", output),
        ):
            message = refused(*words)
            assert f"cannot write to {scheme}://; write to s3://, gs://, az:// or a local path" in message, words
    shards = ("prepare-text", remote.path("raw.jsonl"), "--num-shards", "2", "--output")
    assert "this is a file, and --num-shards writes a directory" in refused(*shards, remote.path("file"))
    assert "other.bin" in refused(*shards, remote.path("full"), "--overwrite")
    assert "--overwrite" in refused("prepare-text", remote.path("raw.jsonl"), "--output", remote.path("file"))
    assert "--num-shards" in refused("prepare-text", remote.path("raw.jsonl"), "--output", remote.path("new/"))
    no_bucket = refused("prepare-text", remote.path("raw.jsonl"), "--output", "s3://no-such-bucket/out.txt")
    assert "s3://no-such-bucket/out.txt: no such bucket" in no_bucket


class TestResume:
    """A run that stopped leaves shards or parts and a note for each. The next run keeps those that are as noted."""

    @pytest.fixture
    def records(self, remote: BucketSite, text: bytes, model: Path) -> Callable[..., Any]:
        remote.put({"text.txt": text})

        def make(output: str = "out", **options: Any) -> Any:
            settings = {**LENGTHS, "num_shards": 4, "num_threads": 1, **options}
            return make_records(remote.path("text.txt"), remote.path(output), Tokenizer.from_file(model), **settings)

        return make

    @pytest.fixture
    def whole(
        self, remote: BucketSite, records: Callable[..., Any], proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
    ) -> dict[str, bytes]:
        """What an unharmed run writes. In `out`, there is what a run left that was refused the last shard."""
        records("whole")
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            proxy.fault(s3_error(403, "AccessDenied"), method="PUT", path="out/records-00003", times=None)
            with pytest.raises(AlbertFastError, match=r"records-00003-of-00004.*refuses access"):
                records()
        left = remote.files("out")
        assert sum(name.startswith("records-") for name in left) == 3
        assert "dataset.json" not in left
        return remote.files("whole")

    def check(self, remote: BucketSite, records: Callable[..., Any], whole: dict[str, bytes], kept: int) -> None:
        # The server may give an object that is written again the same ETag and the same second, so its writes count.
        with FaultProxy(remote.store) as counting, pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", counting.endpoint)
            made = records()
            written = [one.path for one in counting.seen("PUT", "out/records-")]
        assert len(written) == 4 - kept
        assert made.described["resumed_shards"] == kept
        assert remote.files("out") == whole
        assert remote.store.uploads(remote.bucket) == ()

    def test_shards_that_are_there_are_kept(self, remote: BucketSite, records: Callable[..., Any], whole: dict[str, bytes]) -> None:
        self.check(remote, records, whole, 3)

    def test_a_shard_that_is_gone(self, remote: BucketSite, records: Callable[..., Any], whole: dict[str, bytes]) -> None:
        remote.store.delete(remote.bucket, "out/records-00001-of-00004.tfrecord")
        self.check(remote, records, whole, 2)

    def test_a_shard_that_is_another(self, remote: BucketSite, records: Callable[..., Any], whole: dict[str, bytes]) -> None:
        name = "records-00001-of-00004.tfrecord"
        body = bytearray(whole[name])
        body[100] ^= 1
        remote.put({f"out/{name}": bytes(body)})
        self.check(remote, records, whole, 2)

    def test_a_shard_that_is_longer(self, remote: BucketSite, records: Callable[..., Any], whole: dict[str, bytes]) -> None:
        name = "records-00002-of-00004.tfrecord"
        remote.put({f"out/{name}": whole[name] + b"x"})
        self.check(remote, records, whole, 2)

    def test_other_options_are_refused(self, remote: BucketSite, records: Callable[..., Any], whole: dict[str, bytes]) -> None:
        before = remote.files("out")
        with pytest.raises(AlbertFastError, match=r"begun with random_seed=12345, not 5") as caught:
            records(random_seed=5)
        assert caught.value.kind == "exists"
        assert remote.files("out") == before
        records(random_seed=5, overwrite=True)
        assert sorted(remote.files("out")) == sorted(whole)

    def test_a_complete_set_that_lost_a_shard(self, remote: BucketSite, records: Callable[..., Any], whole: dict[str, bytes]) -> None:
        records()
        remote.store.delete(remote.bucket, "out/records-00000-of-00004.tfrecord")
        self.check(remote, records, whole, 3)

    def test_what_is_not_ours_is_not_touched(self, remote: BucketSite, records: Callable[..., Any], whole: dict[str, bytes]) -> None:
        own = {"out/notes.md": b"Mine.\n", "out/sub/records.txt": b"Mine too.\n", "out2/dataset.json": b"{}"}
        remote.put(own)
        records(overwrite=True)
        found = remote.files()
        assert {name: found[name] for name in own} == own
        remote.put({"other/records-00000-of-00001.tfrecord": b"x"})
        with pytest.raises(AlbertFastError, match="holds records-00000-of-00001.tfrecord, but neither"):
            records("other")

    def test_parts_of_a_store(
        self, remote: BucketSite, model: Path, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, text: bytes
    ) -> None:
        """A part has 64 million tokens, so there is one here. It is kept if it is complete."""
        remote.put({"text.txt": text})
        tokenizer = Tokenizer.from_file(model)

        def make(output: str) -> None:
            tokenize(remote.path("text.txt"), remote.path(output), tokenizer)

        make("whole")
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            proxy.fault(s3_error(403, "AccessDenied"), method="PUT", path="out/meta.json", times=None)
            with pytest.raises(AlbertFastError, match=r"^cannot write s3://.*/out/meta.json: .*refuses access"):
                make("out")
            assert sorted(remote.files("out")) == ["part-00000.tokens", "tokenize.partial.json", "tokenizer-copy.model"]
            proxy.heal()
            del proxy.requests[:]
            make("out")
            assert not proxy.seen("PUT", "part-00000")
        assert remote.files("out") == remote.files("whole")


def test_a_corpus_of_several_parts(remote: BucketSite, local: LocalSite) -> None:
    """30 MB, which are sent in parts, two files at a time."""
    lines = "".join(f"This is sentence number {number} of a long text.\n\n" for number in range(700_000))
    local.put({"raw.txt": lines.encode()})
    settings: dict[str, Any] = {"language": "en", "documents": "blank-line", "dedup_documents": False}
    for site in (local, remote):
        prepare_text(local.path("raw.txt"), site.path("out/corpus.txt"), eval_fraction=0.4, **settings)
        prepare_text(local.path("raw.txt"), site.path("shards"), num_shards=3, **settings)
    found, wanted = (site.files("out") | site.files("shards") for site in (remote, local))
    assert {name: len(body) for name, body in found.items()} == {name: len(body) for name, body in wanted.items()}
    assert found == wanted
    sizes = [len(body) for name, body in found.items() if name.startswith("corpus-")]
    assert len(sizes) == 3
    assert min(sizes) > 8 << 20
    assert remote.store.uploads(remote.bucket) == ()
