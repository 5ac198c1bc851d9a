"""Ports on loopback for servers that start later."""

from __future__ import annotations

import random
import socket

RANGE = range(11000, 32000)
"""Below those that Linux gives to clients and to servers that ask for any: nobody else takes one meanwhile."""


def is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("", port))
        except OSError:
            return False
        return True


def free_ports(count: int, among: range = RANGE, also: int = 0) -> list[int]:
    """Different ports that are free, and so are those that are `also` above them."""
    numbers = random.SystemRandom().sample(among, min(len(among), 200 * count))
    free = [port for port in numbers if is_free(port) and is_free(port + also)]
    assert len(free) >= count, f"only {len(free)} of {len(numbers)} ports are free"
    return free[:count]
