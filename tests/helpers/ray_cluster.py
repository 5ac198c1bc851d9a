"""A Ray cluster on loopback for tests: Ray's own `Cluster`, with a head that has no CPUs.

It is in a process of its own, which this module is when it runs as a program: Ray's modules warn, and its processes
must end with the test, however that ends.

By hand, `python tests/helpers/ray_cluster.py` starts one without nodes. It reads a line of JSON for each node.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

DEADLINE = 300
"""Seconds after which a cluster that does not answer counts as failed, however busy the machine is."""
OBJECTS = 80 << 20
"""The size of a node's object store, almost the smallest that Ray takes."""
MEMORY = 4 << 30
ROOT = Path(__file__).parents[2]


def is_installed() -> bool:
    return importlib.util.find_spec("ray") is not None


class RayCluster:
    """The cluster; a context manager that starts its head and, at the end, stops all of it."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is what all nodes and their workers get in addition."""
        self._environment = {**(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", **self._environment}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._ask({"do": "head"})["address"]
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        try:
            if self._process.poll() is None:
                self._ask({"do": "stop"})
        finally:
            self._process.kill()
            self._process.communicate()

    def add(self, environment: Mapping[str, str] | None = None, **settings: Any) -> str:
        """Adds a node of one CPU and returns its id."""
        found: str = self._ask({"do": "add", "environment": {**(environment or {})}, "settings": settings})["node"]
        return found

    def remove(self, node: str, *, gracefully: bool = False) -> None:
        """Kills the processes of a node, or ends them."""
        self._ask({"do": "remove", "node": node, "gracefully": gracefully})

    def environment(self) -> dict[str, str]:
        """What a driver finds the cluster by."""
        return {"RAY_ADDRESS": self.address}

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(DEADLINE, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            while line := process.stdout.readline():
                # Ray prints as well.
                if line.startswith("{"):
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        finally:
            timer.cancel()
        raise AssertionError(f"the Ray cluster does not answer to {question}")


def main() -> None:
    """Does what the lines of standard input say, until they end."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(shutdown_at_exit=True)
    nodes: dict[str, Any] = {}
    try:
        for line in sys.stdin:
            question = json.loads(line)
            answer = {}
            if question["do"] == "head":
                cluster.add_node(num_cpus=0, object_store_memory=OBJECTS, include_dashboard=False)
                answer["address"] = cluster.address
            elif question["do"] == "add":
                settings = {"num_cpus": 1, "object_store_memory": OBJECTS, "memory": MEMORY, **question["settings"]}
                before = {**os.environ}
                os.environ |= question["environment"]
                node = cluster.add_node(**settings)
                os.environ.clear()
                os.environ |= before
                answer["node"] = node.node_id
                nodes[node.node_id] = node
            elif question["do"] == "remove":
                cluster.remove_node(nodes.pop(question["node"]), allow_graceful=question["gracefully"])
            else:
                break
            print(json.dumps(answer), flush=True)
    finally:
        cluster.shutdown()
        print("{}", flush=True)


if __name__ == "__main__":
    main()
