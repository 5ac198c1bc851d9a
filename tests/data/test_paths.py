"""Paths as objects, remote ones too. No test here asks a server."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import pytest

from albert_fast.options.base import Stage, option
from albert_fast.paths import RemotePath, as_path, is_remote

ADDRESS = "s3://bucket/a/b.txt"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (ADDRESS, ADDRESS),
        ("s3:/bucket/a/b.txt", ADDRESS),
        (Path(ADDRESS), ADDRESS),
        (as_path(ADDRESS), ADDRESS),
        ("gs://bucket", "gs://bucket"),
        ("hf://datasets/owner/name@main/data/", "hf://datasets/owner/name@main/data"),
        ("https://me:word@host/a/b.txt?signature=abc", "https://host/a/b.txt"),
    ],
)
def test_remote_paths_keep_their_address(given: str | Path, wanted: str) -> None:
    path = as_path(given)
    assert type(path) is RemotePath
    assert is_remote(path)
    assert is_remote(given)
    assert (str(path), os.fspath(path), path.as_posix()) == (wanted, wanted, wanted)


@pytest.mark.parametrize("given", ["a/b", "/a/b", "a:b", "c:/a", "s4://bucket/a"])
def test_other_paths_are_local(given: str) -> None:
    assert type(as_path(given)) is type(Path())
    assert as_path(given) == Path(given)
    assert not is_remote(given)


def test_what_is_made_of_a_remote_path_is_remote() -> None:
    path = as_path(ADDRESS)
    for made, wanted in (
        (path.parent, "s3://bucket/a"),
        (path.parent / "c", "s3://bucket/a/c"),
        (path.joinpath("c", "d"), "s3://bucket/a/b.txt/c/d"),
        (path.with_name("c"), "s3://bucket/a/c"),
        (path.with_suffix(".md"), "s3://bucket/a/b.md"),
        (path.absolute(), ADDRESS),
        (path.resolve(), ADDRESS),
        (copy.copy(path), ADDRESS),
        (pickle.loads(pickle.dumps(path)), ADDRESS),
    ):
        assert type(made) is RemotePath
        assert str(made) == wanted
        assert made == as_path(wanted)
        assert hash(made) == hash(as_path(wanted))
    assert (path.name, path.stem, path.suffix) == ("b.txt", "b", ".txt")
    assert [str(each) for each in path.parents][:2] == ["s3://bucket/a", "s3://bucket"]
    assert str(path.parents[-1]) == "."


def test_options_keep_remote_paths() -> None:
    import dataclasses

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Some(Stage):
        one: Path | None = option(None, "A path.")
        many: tuple[str, ...] = option((), "Paths as text.")

    secret = "https://host/a?signature=abc"
    chosen = Some.pick({"one": ADDRESS, "many": [secret, "b"]})
    assert type(chosen.one) is RemotePath
    assert chosen.as_dict() == {"one": ADDRESS, "many": ["https://host/a", "b"]}
