"""A file with exactly this content, owner and mode, replaced at once."""

import difflib
import posixpath
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.facts import FileAt, FileState
from pyinfra_deploys.operations.way_back import keep


@dataclass(frozen=True)
class Manners:
    """What is to be known of a file that goes back one day, and of one that is tried."""

    reader: str = ""
    undo: str = ""
    keep_former: bool = False
    sysctls: tuple[str, ...] = ()
    link: str = ""

    def record(self, path: str) -> str:
        records = [before.file(path, reader=self.reader, undo=self.undo)]
        if self.sysctls:
            records.append(before.sysctls(*self.sysctls))
        if self.link:
            records.append(before.link(self.link))
        return " && ".join(records)


class WriteFile(StringCommand):
    """Writes a file in one round trip: its content travels on standard input, never in argv."""

    def __init__(
        self,
        path: str,
        content: str,
        mode: str,
        present: FileState | None,
        manners: Manners,
    ) -> None:
        fresh = QuoteString(f"{path}.rackform-new")
        former = [f"{{ {keep(path)}; }} &&"] if manners.keep_former else []
        super().__init__(
            manners.record(path), "&&",
            *former, "umask 077 && mkdir -p -m 755", QuoteString(posixpath.dirname(path)),
            "&& cat >", fresh,
            "&& chown root:root", fresh,
            "&& chmod", mode, fresh,
            "&&", before.written(path, f"{path}.rackform-new"),
            "&& mv -T", fresh, QuoteString(path),
            _stdin=content,
        )  # fmt: skip
        self.path = path
        self.mode = mode
        self.content = content
        self.present = present

    @override
    def get_masked_value(self) -> str:
        return f"write {self.path} (mode {self.mode})"

    def diff(self) -> str:
        """Return the unified diff from what is there to what will be."""
        old = self.present.content.decode(errors="replace") if self.present else ""
        lines = difflib.unified_diff(
            old.splitlines(), self.content.splitlines(), self.path, self.path, lineterm=""
        )
        return "\n".join(lines)


@operation()
def write_file(  # noqa: PLR0913 - what is to be known of a file
    path: str,
    content: str,
    mode: str = "644",
    *,
    reader: str = "",
    keep_former: bool = False,
    sysctls: Sequence[str] = (),
    link: str = "",
) -> Generator[StringCommand, None, None]:
    """Put `content` at `path`, owned by root; a reader sees the old file or the new one.

    With `keep_former` the old one is kept until `way_back.disarm`. `reader`: see `before.file`.
    `sysctls` are those that the file, a script, sets; `link` is the interface that it sets up.
    """
    present = host.get_fact(FileAt, path=path)
    manners = Manners(reader, keep_former=keep_former, sysctls=tuple(sysctls), link=link)
    yield from _written(path, content, mode, present, manners)


@operation()
def edit_file(  # noqa: PLR0913 - as for `write_file`
    path: str,
    edit: Callable[[str], str],
    mode: str = "644",
    *,
    reader: str = "",
    undo: str = "",
    keep_former: bool = False,
) -> Generator[StringCommand, None, None]:
    """Put at `path` what `edit` makes of the text that is there (or of nothing).

    What it returns for its own result has to be that result.
    """
    present = host.get_fact(FileAt, path=path)
    text = present.content.decode(errors="surrogateescape") if present else ""
    manners = Manners(reader, undo, keep_former)
    yield from _written(path, edit(text), mode, present, manners)


def _written(
    path: str, content: str, mode: str, present: FileState | None, manners: Manners
) -> Generator[StringCommand, None, None]:
    text = content if content.endswith("\n") else f"{content}\n"
    if (
        present is None
        or present.kind != "file"
        or present.content != text.encode(errors="surrogateescape")
    ):
        yield WriteFile(path, text, mode, present, manners)
        return
    record = manners.record(path)
    if (present.owner, present.group) != ("root", "root"):
        yield Recorded(StringCommand("chown", "root:root", QuoteString(path)), record)
    if present.mode != mode:
        yield Recorded(StringCommand("chmod", mode, QuoteString(path)), record)
