"""Commands that read from and write to a server on this machine, against the same commands on local files.

Two servers take part. One does nothing but copy bytes; what a command loses against local files is then the command's
own work. The other is SeaweedFS, which the tests use. It takes the same two cores, so its own work is shown beside.
"""

import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from common import MIB, Row, launch_fresh, say
from corpus import Corpus

HELPERS = Path(__file__).parents[1] / "tests" / "helpers"
TICKS = os.sysconf("SC_CLK_TCK")
MORE_MEMORY = 64 * MIB
"""What a command may take more than on local files."""


class Server(NamedTuple):
    """A running server."""

    name: str
    pid: int
    environment: dict[str, str]

    def cpu(self) -> float:
        """Return the seconds of CPU time that it took."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def plain_server(directory: Path) -> Iterator[Server]:
    """Run the server that only copies bytes."""
    command = [sys.executable, str(Path(__file__).with_name("plain_store.py")), str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        try:
            yield Server("a server that only copies bytes", process.pid, {**keys, **endpoint})
        finally:
            process.kill()


@contextmanager
def seaweed() -> Iterator[Server | None]:
    """Run SeaweedFS, or return None where it is not installed."""
    sys.path.insert(0, str(HELPERS))
    object_store = importlib.import_module("object_store")

    if object_store.program() is None:
        yield None
        return
    with object_store.ObjectServer(memory="4GiB") as server:
        server.bucket("bench")
        yield Server("SeaweedFS", server.pid, server.environment())


def commands(root: str, corpus: Path, model: Path) -> dict[str, list[str]]:
    """Return the commands that are timed, in order; each reads what the one before wrote."""
    text = f"{root}/corpus.txt"
    return {
        "prepare-text": ["prepare-text", str(corpus), "--output", text, "--language", "en"],
        "tokenize": ["tokenize", text, "--tokenizer", str(model), "--output-dir", f"{root}/store"],
        "make-records": ["make-records", text, "--tokenizer", str(model), "--output-dir", f"{root}/records"],
    }


def remote_rows(model: Path, corpus: Corpus, directory: Path, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """Return a row for each command and server: the rate, and the memory."""
    directory.mkdir(parents=True)
    rows: list[Row] = []
    figures: dict[str, Any] = {}
    with plain_server(directory / "server") as plain, seaweed() as weed:
        for server in filter(None, (plain, weed)):
            found = measure(server, model, corpus, directory, rounds)
            figures[server.name] = found
            rows += [row(name, server, found[name]) for name in found]
    return rows, {"remote": figures}


def measure(server: Server, model: Path, corpus: Corpus, directory: Path, rounds: int) -> dict[str, list[Any]]:
    """Run every command on local files and through the server, in turn."""
    bucket, log = "s3://bench", directory / "log"
    environment = {**server.environment, "ALBERT_FAST_CACHE": str(directory / "cache")}
    upload = "from pathlib import Path; import sys; from albert_fast._native import remote_upload as send; "
    upload += "send(Path(sys.argv[1]), sys.argv[2])"
    raw = f"{bucket}/raw.txt"
    subprocess.run([sys.executable, "-c", upload, str(corpus.path), raw], env={**os.environ, **environment}, check=True)
    found: dict[str, list[Any]] = {}
    for index in range(rounds):
        local, remote = commands(str(directory / "local"), corpus.path, model), commands(bucket, Path(raw), model)
        remote["prepare-text"][1] = raw
        for name in local:
            pair = []
            for words in (local[name], remote[name]):
                before = server.cpu()
                spent = launch_fresh([sys.executable, "-m", "albert_fast", *words, "--overwrite"], log, environment)
                pair.append({**spent, "server": server.cpu() - before})
            found.setdefault(name, []).append(pair)
        say(
            f"{server.name}, round {index + 1}: "
            + json.dumps({name: [round(one["wall"], 2) for one in found[name][-1]] for name in found})
        )
    return found


def row(name: str, server: Server, pairs: list[Any]) -> Row:
    """Return the row of a command."""
    ratios = [local["wall"] / remote["wall"] for local, remote in pairs]
    own = statistics.median(remote["cpu"] - local["cpu"] for local, remote in pairs)
    theirs = statistics.median(remote["server"] for _, remote in pairs)
    more = statistics.median(remote["peak"] - local["peak"] for local, remote in pairs)
    ratio = statistics.median(ratios)
    low, high = min(ratios), max(ratios)
    local = statistics.median(local["wall"] for local, _ in pairs)
    return Row(
        f"{name} from and to {server.name}",
        f"{ratio:.2f}x ({low:.2f} to {high:.2f}); {own:+.1f} s of CPU time, and {theirs:.1f} s of the server's; "
        f"{more / MIB:+.0f} MiB of memory",
        f"0.8x, at most {MORE_MEMORY // MIB} MiB more",
        "",
        ratio >= 0.8 and more <= MORE_MEMORY,
        None,
        f"the same command on local files, {local:.1f} s",
    )
