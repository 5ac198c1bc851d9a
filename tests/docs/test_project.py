"""What GitHub, citations and packages say agrees with the Makefile, Cargo.toml and pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


def targets(script: str) -> set[str]:
    """The make targets that a shell script runs."""
    lines = re.findall(r"^\s*make ([a-z0-9=\s-]+?)$", script, re.MULTILINE)
    return {word for line in lines for word in line.split() if not word.startswith("-")}


def test_the_workflows_run_what_ci_runs() -> None:
    needed = targets(read(".ci/run"))
    assert {"lint", "test"} <= needed
    run = {target for path in WORKFLOWS for step in steps(path) for target in targets(step.get("run", ""))}
    # rust-build only compiles ahead what `make test` runs.
    assert needed - {"rust-build"} <= run


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_make_targets_that_exist(path: Path) -> None:
    defined = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for step in steps(path):
        assert targets(step.get("run", "")) <= defined


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit(path: Path) -> None:
    used = re.findall(r"uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_can_only_read_unless_a_job_says_otherwise(path: Path) -> None:
    assert load(path)["permissions"] == {"contents": "read"}


def test_the_oldest_versions_are_tested() -> None:
    ci = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    rust = re.search(r'rust-version = "([\d.]+)"', read("Cargo.toml"))
    python = re.search(r'requires-python = ">=([\d.]+)"', read("pyproject.toml"))
    assert rust
    assert python
    assert any(f"cargo +{rust[1]} check" in step.get("run", "") for step in ci["oldest-rust"]["steps"])
    assert python[1] in ci["test"]["strategy"]["matrix"]["python"]


def test_the_citation_names_this_version() -> None:
    version = re.search(r'^version = "([\d.]+)"', read("Cargo.toml"), re.MULTILINE)
    citation = load(ROOT / "CITATION.cff")
    assert version
    assert citation["version"] == version[1]
    assert f'license = "{citation["license"]}"' in read("pyproject.toml")


def test_contributing_names_targets_that_exist() -> None:
    page = read("CONTRIBUTING.md")
    named = set(re.findall(r"`make ([a-z-]+)`", page)) | targets(re.sub(r" +#.*$", "", page, flags=re.MULTILINE))
    assert {"build", "docs", "lint", "test"} <= named <= set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def test_files_of_the_tests_that_are_named_exist() -> None:
    text = read("CONTRIBUTING.md") + "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    named = set(re.findall(r"\btests/[\w/]+\.py", text))
    assert "install_smoke.py" in {Path(name).name for name in named}
    assert all((ROOT / name).is_file() for name in named)


def test_contributing_names_directories_that_exist() -> None:
    rows = re.findall(r"^\| `([\w./]+)` \| (.*) \|$", read("CONTRIBUTING.md"), re.MULTILINE)
    assert len(rows) > 12
    for name, text in rows:
        place = ROOT / name
        assert place.exists(), name
        assert place.is_dir() == name.endswith("/"), name
        for part in re.findall(r"`(\w+/)`", text):
            assert (place / part).is_dir(), f"{name}{part}"
