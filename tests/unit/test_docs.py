"""What the documentation tells people to run and to read is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from cli.commands import app
from stack.paths import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_COMMAND = typer.main.get_command(app)


def _asked(text: str) -> Iterator[list[str]]:
    """Yield the words of every `./rackform …`, up to the end of its line or its quotation."""
    for found in re.findall(r"\./rackform ([a-z][^`'\n#;|>()]*)", text):
        yield re.sub(r"[\[\],:.]+(?= |$)|\[|\]", " ", found).split()


def _options(command: str) -> set[str]:
    (found,) = [each for name, each in _COMMAND.commands.items() if name == command]  # type: ignore[attr-defined]
    return {flag for option in found.params for flag in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_is_known_with_its_options(page: Path) -> None:
    known = set(_COMMAND.commands)  # type: ignore[attr-defined]
    for command, *words in _asked(page.read_text(encoding="utf-8")):
        assert command in known | {"env", "test"}, command
        if command in {"ssh", "test", "env"}:  # what follows is another program's
            continue
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= _options(command), f"{command}: {options}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_that_a_page_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert "://" in link or (page.parent / link).exists(), link
