"""The shape of the program: imports point one way, files are small, every test is collected."""

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

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


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


class Read(NamedTuple):
    """What is asked of a file, read once for all that ask."""

    imports: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def _read(path: Path) -> Read:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))))
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
    return Read(
        imports=tuple(module for node in nodes for module in _imported(node)),
        tests=tuple(name for name in functions if name.startswith("test_")),
    )


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        yield module
        yield from (f"{module}.{alias.name}" for alias in node.names)


def _imports(path: Path) -> tuple[str, ...]:
    return _read(path).imports


def _tops(path: Path) -> set[str]:
    return {_top(module) for module in _imports(path)}


def _expect_none(paths: Iterable[Path], of: Callable[[Path], Iterable[str]]) -> None:
    """Fail where a file does what it may not; every such file is named, with all that it does."""
    offenders = {_name(path): wrong for path in paths if (wrong := sorted(of(path)))}
    assert not offenders, "\n".join(f"{name}: {wrong}" for name, wrong in offenders.items())


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


def _relative(path: Path) -> Iterator[str]:
    return (module for module in _imports(path) if module.startswith("."))


def test_imports_are_absolute() -> None:
    _expect_none([*_sources(*sorted(OURS)), ROOT / "__main__.py"], of=_relative)


def test_a_plain_package_knows_nothing_of_pulumi_nor_of_the_program() -> None:
    foreign = {"pulumi", "pulumi_command"} | PROGRAM
    _expect_none(_sources(*sorted(PLAIN)), of=lambda path: _tops(path) & foreign)


def test_a_component_imports_of_the_provider_only_the_inputs() -> None:
    inputs = ROOT / "provider" / "inputs.py"

    def wrong(path: Path) -> Iterator[str]:
        for module in _imports(path):
            foreign = _top(module) == "provider" and _file_of(module) not in {None, inputs}
            if foreign or _top(module) == "cli":
                yield module

    _expect_none(_sources("components"), of=wrong)


def test_a_component_opens_no_connection_nor_does_what_it_imports() -> None:
    def wrong(path: Path) -> Iterator[str]:
        for file in _reached(path):
            if _name(file) not in BEHIND_A_FRONT:
                yield from (f"{_name(file)}: {top}" for top in _tops(file) & OPENS_CONNECTIONS)

    _expect_none(_sources("components"), of=wrong)


def test_the_provider_does_not_know_what_is_declared() -> None:
    declaring = {"components", "planner", "cli"}
    _expect_none(_sources("provider"), of=lambda path: _tops(path) & declaring)


def test_the_planner_knows_only_the_site() -> None:
    others = OURS - {"planner", "stack"}
    _expect_none(_sources("planner"), of=lambda path: _tops(path) & others)


def test_the_program_is_at_most_twenty_lines_and_imports_what_it_may() -> None:
    program = ROOT / "__main__.py"
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 20
    assert _tops(program) & OURS <= {"components", "stack", "planner"}


def _is_collected(path: Path) -> bool:
    return path.name.startswith("test_")


def test_a_file_with_tests_has_a_name_that_pytest_collects() -> None:
    _expect_none(
        _sources("tests"), of=lambda path: () if _is_collected(path) else _read(path).tests
    )


def test_a_file_that_pytest_collects_has_tests() -> None:
    empty = [_name(p) for p in _sources("tests") if _is_collected(p) and not _read(p).tests]
    assert empty == []
