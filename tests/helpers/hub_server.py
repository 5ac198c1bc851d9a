"""A small Hugging Face Hub on loopback: the part of its interface that lists and reads datasets.

It answers as the Hub does to huggingface_hub, whose names these are: `HfApi.list_repo_tree`, `hf_hub_url` and
`hf_raise_for_status`. A client is given its address as HF_ENDPOINT.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlencode

from loopback import Body, Fault, Loopback, Reply, Request
from web_server import served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

TOKEN = "hf_tests"
"""The token of someone who may read every repository."""
STRANGER = "hf_stranger"
"""The token of someone who may read none that is private or gated."""
LARGE = 1000
"""Files of this many bytes are in large file storage, which other servers than the Hub itself hand out."""


class Commit(NamedTuple):
    """The files of a repository at one time."""

    oid: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """A dataset."""

    name: str
    """OWNER/NAME."""
    private: bool = False
    gated: bool = False
    revisions: dict[str, Commit] = field(default_factory=dict)
    """By branch, by tag and by the hash of the commit."""


class RefusalError(Exception):
    """An error of the Hub; `code` is in X-Error-Code, and some have none."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def git_oid(body: bytes) -> str:
    """The hash by which git knows a file."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def pointer(body: bytes) -> bytes:
    """What git keeps of a file in large file storage."""
    digest = hashlib.sha256(body).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(body)}\n".encode()


def entries(commit: Commit, directory: str, *, recursive: bool) -> list[dict[str, object]]:
    """What is in a directory, as the tree interface lists it: directories first, and their own before them."""
    inside = f"{directory}/" if directory else ""
    names = sorted(path for path in commit.files if path.startswith(inside))
    found: dict[str, dict[str, object]] = {}
    for path in names:
        parts = path.removeprefix(inside).split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            folder = inside + "/".join(parts[:depth])
            oid = hashlib.sha1(f"tree {commit.oid} {folder}".encode()).hexdigest()
            found.setdefault(folder, {"type": "directory", "oid": oid, "size": 0, "path": folder})
    for path in names:
        if recursive or "/" not in path.removeprefix(inside):
            found[path] = file_entry(path, commit.files[path])
    return list(found.values())


def file_entry(path: str, body: bytes) -> dict[str, object]:
    if len(body) < LARGE:
        return {"type": "file", "oid": git_oid(body), "size": len(body), "path": path}
    stored = pointer(body)
    lfs = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": len(stored)}
    return {"type": "file", "oid": git_oid(stored), "size": len(body), "lfs": lfs, "path": path}


class Cdn(Loopback):
    """Where the Hub sends who reads a large file, with an address that is signed and that expires."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.signature = 1
        """Addresses with another one have expired."""

    def sign(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        self.files[digest] = body
        return f"{self.endpoint}/xet-bridge-us/{digest}?{urlencode({'Expires': 0, 'Signature': self.signature})}"

    def answer(self, request: Request, fault: Fault, body: Body) -> Reply:
        found = self.files.get(request.path.rpartition("/")[2])
        if found is None or request.query.get("Signature") != str(self.signature):
            return Reply(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")
        # It has an ETag of its own, which looks like the Hub's and is not.
        etag = f'"{hashlib.sha256(b"cdn" + found).hexdigest()}"'
        return served(request, found, etag) if fault.ranges else Reply(200, {"ETag": etag}, found)


class HubServer(Loopback):
    """The Hub; `cdn` is the server on another port that has the large files."""

    def __init__(self) -> None:
        super().__init__()
        self.cdn = Cdn()
        self.repositories: dict[str, Repository] = {}
        self.page = 1000
        """Entries of a tree that one answer has at most."""
        self.direct = False
        """Whether small files are sent at once; the Hub redirects to a cache of its own, with a relative address."""

    def __enter__(self) -> Self:
        self.cdn.__enter__()
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.cdn.__exit__()

    def environment(self, token: str | None = None) -> dict[str, str]:
        """What a client finds the Hub and its token by."""
        return {"HF_ENDPOINT": self.endpoint, **({"HF_TOKEN": token} if token else {})}

    def commit(self, name: str, files: Mapping[str, bytes], *, revision: str = "main") -> str:
        """Makes `files` the revision of a repository, which is created, and returns the hash of the commit."""
        repository = self.repositories.setdefault(name, Repository(name))
        number = len(repository.revisions)
        oid = hashlib.sha1(json.dumps([name, number, sorted(files)]).encode()).hexdigest()
        repository.revisions[revision] = repository.revisions[oid] = Commit(oid, dict(files))
        return oid

    def expire(self) -> None:
        """Lets every address of the CDN that was handed out expire."""
        self.cdn.signature += 1

    def answer(self, request: Request, fault: Fault, body: Body) -> Reply:
        # A revision may have slashes, which are %2F then. In paths either form is right.
        target = body.target.partition("?")[0]
        routes: dict[str, Callable[..., Reply]] = {
            r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)/?(.*)": self._tree,
            r"/api/datasets/([^/]+/[^/]+)(?:/revision/([^/]+))?": self._info,
            r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)": self._resolve,
            r"/api/resolve-cache/datasets/([^/]+/[^/]+)/([^/]+)/(.+)": self._cached,
        }
        for pattern, route in routes.items():
            if found := re.fullmatch(pattern, target):
                try:
                    return route(request, *(unquote(one) for one in found.groups("")))
                except RefusalError as refusal:
                    return refused(refusal, api=target.startswith("/api/"))
        return Reply(404, {"Content-Type": "text/plain"}, b"Not Found")

    def _repository(self, request: Request, name: str, *, reading: bool) -> Repository:
        """The repository, where the one who asks may see it, and read its files if that is what is asked for."""
        found = self.repositories.get(name)
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if found and not found.private and not (found.gated and reading):
            return found
        if sent and sent not in {TOKEN, STRANGER}:
            raise RefusalError(401, None, "Invalid credentials in Authorization header")
        if found and sent == TOKEN:
            return found
        if found and not found.private:
            restricted = f"Access to dataset {name} is restricted"
            if sent:
                raise RefusalError(403, "GatedRepo", f"{restricted} and you are not in the authorized list.")
            raise RefusalError(401, "GatedRepo", f"{restricted}. You must have access to it and be authenticated.")
        # Without a token, nobody learns whether it is there.
        if not sent:
            raise RefusalError(401, None, "Invalid username or password.")
        raise RefusalError(404, "RepoNotFound", "Repository not found")

    def _commit(self, repository: Repository, revision: str) -> Commit:
        if revision not in repository.revisions:
            raise RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository.revisions[revision]

    def _tree(self, request: Request, name: str, revision: str, directory: str) -> Reply:
        commit = self._commit(self._repository(request, name, reading=False), revision)
        recursive = request.query.get("recursive", "") in {"true", "True", "1"}
        found = entries(commit, directory.rstrip("/"), recursive=recursive)
        if not found:
            raise RefusalError(404, "EntryNotFound", f"{directory} does not exist on {revision}")
        limit = min(self.page, int(request.query.get("limit", self.page)))
        cursor = request.query.get("cursor")
        start = int(base64.b64decode(cursor).decode().partition(":")[2]) if cursor else 0
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if start + limit < len(found):
            cursor = base64.b64encode(f"cursor:{start + limit}".encode()).decode()
            query = urlencode({"recursive": str(recursive).lower(), "limit": limit, "cursor": cursor})
            at = "/".join(quote(part, safe="") for part in [*name.split("/"), "tree", revision, directory] if part)
            headers["Link"] = f'<http://{request.headers["host"]}/api/datasets/{at}?{query}>; rel="next"'
        return Reply(200, headers, json.dumps(found[start : start + limit]).encode())

    def _info(self, request: Request, name: str, revision: str) -> Reply:
        revision = revision or "main"
        repository = self._repository(request, name, reading=False)
        commit = self._commit(repository, revision)
        gated = "auto" if repository.gated else False
        files = [{"rfilename": path} for path in sorted(commit.files)]
        found = {"id": name, "sha": commit.oid, "private": repository.private, "gated": gated, "siblings": files}
        return Reply(200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(found).encode())

    def _file(self, request: Request, name: str, revision: str, path: str) -> tuple[Commit, bytes]:
        commit = self._commit(self._repository(request, name, reading=True), revision)
        if path not in commit.files:
            raise RefusalError(404, "EntryNotFound", "Entry not found")
        return commit, commit.files[path]

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Reply:
        commit, body = self._file(request, name, revision, path)
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if len(body) >= LARGE:
            to = self.cdn.sign(body)
            digest = hashlib.sha256(body).hexdigest()
            linked = {"X-Linked-Size": str(len(body)), "X-Linked-Etag": f'"{digest}"', "X-Xet-Hash": digest[::-1]}
            text = f"Found. Redirecting to {to}".encode()
            return Reply(302, {**headers, **linked, "Location": to, "Cache-Control": "no-store"}, text)
        etag = f'"{git_oid(body)}"'
        if self.direct:
            return served(request, body, etag, headers)
        to = f"/api/resolve-cache/datasets/{name}/{commit.oid}/{quote(path)}?{urlencode({'etag': etag})}"
        linked = {"X-Linked-Size": str(len(body)), "X-Linked-Etag": etag}
        text = f"Temporary Redirect. Redirecting to {to}".encode()
        return Reply(307, {**headers, **linked, "Location": to}, text)

    def _cached(self, request: Request, name: str, revision: str, path: str) -> Reply:
        commit, body = self._file(request, name, revision, path)
        return served(request, body, f'"{git_oid(body)}"', {"X-Repo-Commit": commit.oid})


def refused(refusal: RefusalError, *, api: bool) -> Reply:
    headers = {"X-Error-Message": refusal.message}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Authentication required"'
    kind, text = ("application/json", json.dumps({"error": refusal.message})) if api else ("text/plain", str(refusal))
    return Reply(refusal.status, {**headers, "Content-Type": f"{kind}; charset=utf-8"}, text.encode())
