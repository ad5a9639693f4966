"""A file with exactly this content, owner and mode, replaced at once."""

import difflib
import posixpath
from collections.abc import Generator

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override

from pyinfra_deploys.operations.facts import FileAt, FileState
from pyinfra_deploys.operations.way_back import keep


class WriteFile(StringCommand):
    """Writes a file in one round trip: its content travels on standard input, never in argv."""

    def __init__(
        self,
        path: str,
        content: str,
        mode: str,
        present: FileState | None,
        *,
        keep_former: bool = False,
    ) -> None:
        fresh = QuoteString(f"{path}.rackform-new")
        former = [f"{{ {keep(path)}; }} &&"] if keep_former else []
        super().__init__(
            *former, "umask 077; mkdir -p -m 755", QuoteString(posixpath.dirname(path)),
            "&& cat >", fresh,
            "&& chown root:root", fresh,
            "&& chmod", mode, fresh,
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
def write_file(
    path: str, content: str, mode: str = "644", *, keep_former: bool = False
) -> Generator[StringCommand, None, None]:
    """Put `content` at `path`, owned by root; a reader sees the old file or the new one.

    With `keep_former` the old one is kept until `way_back.disarm`.
    """
    text = content if content.endswith("\n") else f"{content}\n"
    present = host.get_fact(FileAt, path=path)
    if present is None or present.kind != "file" or present.content != text.encode():
        yield WriteFile(path, text, mode, present, keep_former=keep_former)
        return
    if (present.owner, present.group) != ("root", "root"):
        yield StringCommand("chown", "root:root", QuoteString(path))
    if present.mode != mode:
        yield StringCommand("chmod", mode, QuoteString(path))
