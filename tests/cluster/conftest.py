"""The clusters that tests run on. Each is started by the first test that asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import slurm as slurm_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurm import Slurm


@pytest.fixture(scope="session")
def needs_slurm() -> None:
    """Skips where the programs of Slurm are not installed."""
    if names := slurm_server.missing():
        pytest.skip(f"needs slurm-wlm and munge: no {', '.join(names)}")


@pytest.fixture(scope="session")
def slurm(needs_slurm: None) -> Iterator[Slurm]:
    with slurm_server.Slurm() as server:
        yield server
