"""The shape of the program: imports point one way, files are small, every test is collected."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from stack.paths import ROOT

PLAIN = frozenset(
    {
        "planner",
        "commission",
        "discover",
        "doctor",
        "edge",
        "fabric",
        "frontends",
        "images",
        "pyinfra_deploys",
        "lab",
        "monitoring",
        "remote",
        "models",
        "serving",
        "stack",
    }
)
"""Packages that know nothing of Pulumi."""
PROGRAM = frozenset({"components", "provider", "cli", "__main__"})
OURS = PLAIN | PROGRAM | {"engine", "tests", "bench"}

OPENS_CONNECTIONS = frozenset(
    {"asyncssh", "docker", "httpx", "netmiko", "paramiko", "pyinfra", "requests", "socket"}
)

BEHIND_A_FRONT = frozenset({"images/builder/upload.py", "images/builder/snapshots.py"})
"""Reached because `images.builder` is one front for all it does; no component calls them."""


def _sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "__pycache__" not in path.parts]


def _ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _imports(path: Path) -> tuple[str, ...]:
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file_of(module: str) -> Path | None:
    """Return the file of a module of ours."""
    path = ROOT.joinpath(*module.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if _top(module) in OURS and file.is_file()), None)


def _reached(start: Path) -> dict[Path, tuple[str, ...]]:
    """Return every file of ours that importing `start` runs, with the imports of each."""
    reached: dict[Path, tuple[str, ...]] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached[path] = _imports(path)
            waiting += [file for module in reached[path] if (file := _file_of(module))]
    return reached


def _top(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("path", _sources(*sorted(PLAIN)), ids=_ids)
def test_a_plain_package_knows_nothing_of_pulumi_nor_of_the_program(path: Path) -> None:
    tops = {_top(module) for module in _imports(path)}
    assert not tops & {"pulumi", "pulumi_command"}
    assert not tops & PROGRAM


@pytest.mark.parametrize("path", _sources("components"), ids=_ids)
def test_a_component_imports_of_the_provider_only_the_inputs(path: Path) -> None:
    provider = {_file_of(module) for module in _imports(path) if _top(module) == "provider"}
    assert provider - {None} <= {ROOT / "provider" / "inputs.py"}
    assert "cli" not in {_top(module) for module in _imports(path)}


@pytest.mark.parametrize("path", _sources("components"), ids=_ids)
def test_a_component_opens_no_connection_nor_does_what_it_imports(path: Path) -> None:
    reached = _reached(path)
    assert {
        _ids(file): sorted(opening)
        for file, modules in reached.items()
        if (opening := {_top(module) for module in modules} & OPENS_CONNECTIONS)
        and _ids(file) not in BEHIND_A_FRONT
    } == {}


@pytest.mark.parametrize("path", _sources("provider"), ids=_ids)
def test_the_provider_does_not_know_what_is_declared(path: Path) -> None:
    assert not {_top(module) for module in _imports(path)} & {"components", "planner", "cli"}


@pytest.mark.parametrize("path", _sources("planner"), ids=_ids)
def test_the_planner_knows_only_the_site(path: Path) -> None:
    ours = {_top(module) for module in _imports(path)} & OURS
    assert ours <= {"planner", "stack"}


def test_the_program_is_at_most_twenty_lines_and_imports_what_it_may() -> None:
    program = ROOT / "__main__.py"
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 20
    ours = {_top(module) for module in _imports(program)} & OURS
    assert ours <= {"components", "stack", "planner"}


@pytest.mark.parametrize("path", _sources("tests"), ids=_ids)
def test_a_file_with_tests_has_a_name_that_pytest_collects(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if any(function.name.startswith("test_") for function in functions):
        assert path.name.startswith("test_")


@pytest.mark.parametrize("path", _sources("tests"), ids=_ids)
def test_a_file_that_pytest_collects_has_tests(path: Path) -> None:
    if path.name.startswith("test_"):
        assert "def test_" in path.read_text(encoding="utf-8")
