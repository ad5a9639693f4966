"""A terminal of a switch that is a Linux machine: a shell that knows few commands, each exactly."""

import shlex
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from lab.switch_cli.core import CliError
from lab.switch_cli.ports import PortError
from lab.switch_cli.server import Done

NOT_FOUND = 127
_LONGEST_FILE = 1_000_000


@dataclass
class LinuxTerminal(ABC):
    """One login. `files` are those of the switch's /tmp, which all logins share."""

    user: str
    files: dict[str, str]
    closed: bool = field(default=False, init=False)
    prompt_form: ClassVar[str] = "{user}@{host}:~$ "

    @property
    @abstractmethod
    def host(self) -> str: ...

    @abstractmethod
    def answer(self, words: list[str], *, root: bool) -> Done:
        """Do what a command says.

        Raises:
            CliError: it is refused; what the switch prints on standard error.

        """

    @property
    def prompt(self) -> str:
        return self.prompt_form.format(user=self.user, host=self.host)

    def run(self, line: str) -> list[str]:
        if line.strip() in {"exit", "logout"}:
            self.closed = True
            return []
        done = self.execute(line, "")
        return (done.stdout + done.stderr).splitlines()

    def execute(self, command: str, stdin: str) -> Done:
        try:
            words = shlex.split(command)
        except ValueError as error:
            return Done(2, "", f"-bash: {error}\n")
        if not words:
            return Done(0)
        root = words[0] == "sudo"
        try:
            return self._file(words, stdin) or self.answer(words[root:], root=root)
        except CliError as error:
            return Done(1, "", f"{error}\n")
        except PortError as error:
            return Done(1, "", f"internal error: {error}\n")

    def hang_up(self) -> None:
        """Hear that the connection is gone, whoever ended it."""
        self.closed = True

    def _file(self, words: list[str], stdin: str) -> Done | None:
        match words:
            case ["true"]:
                return Done(0)
            case ["hostname"]:
                return Done(0, f"{self.host}\n")
            case ["tee", path] if path.startswith("/tmp/"):  # noqa: S108 - the twin's own, in memory
                self.files[path] = stdin[:_LONGEST_FILE]
                return Done(0, stdin)
            case ["rm", "-f", path] if path.startswith("/tmp/"):  # noqa: S108
                self.files.pop(path, None)
                return Done(0)
            case ["cat", path] if path in self.files:
                return Done(0, self.files[path])
            case _:
                return None

    @staticmethod
    def unknown(words: list[str]) -> Done:
        return Done(NOT_FOUND, "", f"-bash: {words[0] if words else ''}: command not found\n")
