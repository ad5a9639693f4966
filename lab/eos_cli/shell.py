"""One terminal of the CLI: modes, prompts, and what each command does. Knows nothing of SSH."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lab.eos_cli import show, structured
from lab.eos_cli.editor import Draft, edit
from lab.eos_cli.engine import SessionState, Switch
from lab.eos_cli.grammar import Level, completions, match, seconds
from lab.eos_cli.looks import LOOKS
from lab.eos_cli.model import diff, factory, render, short
from lab.switch_cli.core import CliError
from lab.switch_cli.lldp import Table
from lab.switch_cli.matching import Command
from lab.switch_cli.ports import PortError
from lab.switch_cli.server import Done

_SESSION_SHOWN = 6  # the prompt has the first six characters of a session's name

Handler = Callable[["Shell", Command], Sequence[str]]
_HANDLERS: dict[str, Handler] = {}


def _does(*forms: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(forms, handler))
        return handler

    return register


@dataclass
class Shell:
    """The state of one terminal. `run` takes a line and returns what it prints."""

    switch: Switch
    table: Table
    user: str
    terminal: str
    enabled: bool = False
    configuring: bool = False
    session: str | None = None
    interface: str | None = None
    queue: int | None = None
    vlan: int | None = None
    closed: bool = False

    @property
    def level(self) -> Level:
        if self.queue is not None:
            return Level.QUEUE
        if self.interface is not None:
            return Level.INTERFACE
        if self.configuring:
            return Level.CONFIG
        return Level.ENABLE if self.enabled else Level.EXEC

    @property
    def prompt(self) -> str:
        hostname = self.switch.declared.hostname
        if not self.configuring:
            return f"{hostname}{'#' if self.enabled else '>'}"
        mode = "config" if self.session is None else f"config-s-{self.session[:_SESSION_SHOWN]}"
        if self.interface is not None:
            mode += f"-if-{short(self.interface)}"
        if self.queue is not None:
            mode += f"-txq-{self.queue}"
        if self.vlan is not None:
            mode += f"-vlan-{self.vlan}"
        return f"{hostname}({mode})#"

    def run(self, line: str) -> list[str]:
        """Return what a line prints; an error is a line that starts with '%'."""
        text = line.strip()
        if not text or text.startswith("!"):
            return []
        try:
            if text.endswith("?"):
                listed = completions(text[:-1], self.level, self.switch.context)
                return [f"  {entry}" for entry in listed]
            filtered = text.split()[0].lower() in {"sh", "sho", "show"}
            command_text, *pipes = re.split(r"\s\|\s*", line) if filtered else [line]
            command = match(command_text, self.level, self.switch.context)
            if pipes and pipes[0].strip() == "json":
                return self._as_json(command)
            lines = list(self._execute(command))
            for pipe in pipes:
                lines = show.piped(lines, pipe)
        except CliError as error:
            return [str(error)]
        except PortError as error:
            return [f"% Internal error: {error}"]
        return lines

    def execute(self, command: str, stdin: str) -> Done:
        """Run what was given on ssh's command line, a command a line; stop at an error."""
        _ = stdin
        self.enabled = True
        printed = ""
        for line in command.splitlines():
            output = self.run(line)
            text = "".join(f"{each}\n" for each in output)
            if output and output[0].startswith("%"):
                return Done(1, printed, text)
            printed += text
        return Done(0, printed)

    def _execute(self, command: Command) -> Sequence[str]:
        if self.configuring and self._configure(command):
            return []
        if look := LOOKS.get(command.form):
            return look(self.switch, self.table, command)
        handler = _HANDLERS.get(command.form)
        if handler is None:
            raise CliError(f"% Invalid input (at token 0: '{command.form.split()[0]}')")
        return handler(self, command)

    def _as_json(self, command: Command) -> list[str]:
        answer = structured.answer(command, self.switch, self.table)
        if answer is None:
            raise CliError("% This is an unconverted command")
        return json.dumps(answer, indent=4).splitlines()

    def _configure(self, command: Command) -> bool:
        """Make a configuration command part of the session, or of what runs; return if it was."""
        session = self.switch.sessions.get(self.session) if self.session is not None else None
        if self.session is not None and (
            session is None or session.state is not SessionState.PENDING
        ):
            lost, self.session = self.session, None
            self.leave()
            raise CliError(f"% Session {lost} does not exist")
        config = session.candidate if session else self.switch.running()
        edited = edit(Draft(config, self.interface, self.queue), command)
        if edited is None:
            return False
        if session:
            session.candidate = edited.config
        elif edited.config != config:
            self.switch.replace(edited.config)
        self.interface, self.queue, self.vlan = edited.interface, edited.queue, edited.vlan
        return True

    def hang_up(self) -> None:
        self.leave()

    def leave(self) -> None:
        if self.session is not None:
            self.switch.leave_session(self.session, self.terminal)
        self.configuring, self.session = False, None
        self.interface = self.queue = self.vlan = None


@_does("enable")
def _enable(shell: Shell, _: Command) -> Sequence[str]:
    shell.enabled = True
    return []


@_does("disable")
def _disable(shell: Shell, _: Command) -> Sequence[str]:
    shell.leave()
    shell.enabled = False
    return []


@_does("exit")
def _exit(shell: Shell, _: Command) -> Sequence[str]:
    if shell.queue is not None:
        shell.queue = None
    elif shell.interface is not None or shell.vlan is not None:
        shell.interface = shell.vlan = None
    elif shell.configuring:
        shell.leave()
    else:
        shell.closed = True
    return []


@_does("quit", "logout")
def _logout(shell: Shell, _: Command) -> Sequence[str]:
    shell.closed = True
    return []


@_does("end")
def _end(shell: Shell, _: Command) -> Sequence[str]:
    shell.leave()
    return []


@_does("terminal length <count>")
def _length(_: Shell, command: Command) -> Sequence[str]:
    count = int(command.arguments["count"])
    return [f"Pagination set to {count} lines." if count else "Pagination disabled."]


@_does("terminal width <count>")
def _width(_: Shell, command: Command) -> Sequence[str]:
    return [f"Width set to {command.arguments['count']} columns."]


@_does("configure", "configure terminal")
def _terminal(shell: Shell, _: Command) -> Sequence[str]:
    shell.leave()
    shell.configuring = True
    return []


@_does("configure session", "configure session <name>")
def _session(shell: Shell, command: Command) -> Sequence[str]:
    name = command.arguments.get("name")
    if name is None:
        number = 1
        while f"sess-{number}" in shell.switch.sessions:
            number += 1
        name = f"sess-{number}"
    shell.switch.open_session(name, shell.user, shell.terminal)
    shell.leave()
    shell.configuring, shell.session = True, name
    return []


def _named(shell: Shell, command: Command) -> str:
    name = command.arguments.get("name") or shell.session
    if name is None:
        raise CliError("% Not in a configuration session")
    return name


@_does(
    "commit",
    "commit timer <timer>",
    "configure session <name> commit",
    "configure session <name> commit timer <timer>",
)
def _commit(shell: Shell, command: Command) -> Sequence[str]:
    timer = command.arguments.get("timer")
    shell.switch.commit(_named(shell, command), seconds(timer) if timer else None)
    shell.leave()
    return []


@_does("abort", "configure session <name> abort", "no configure session <name>")
def _abort(shell: Shell, command: Command) -> Sequence[str]:
    if command.form == "abort" and shell.session is None:
        shell.leave()
        return []
    shell.switch.abort(_named(shell, command))
    shell.leave()
    return []


@_does("rollback clean-config")
def _clean(shell: Shell, command: Command) -> Sequence[str]:
    session = shell.switch.sessions[_named(shell, command)]
    clean = factory(session.candidate.hostname, list(shell.switch.context.ports))
    session.candidate = replace(clean, hostname="localhost")
    shell.interface = shell.queue = shell.vlan = None
    return []


@_does("show session-config", "show session-config named <name>")
def _show_session(shell: Shell, command: Command) -> Sequence[str]:
    name = _named(shell, command)
    session = shell.switch.sessions.get(name)
    if session is None:
        raise CliError(f"% Session {name} does not exist")
    return show.running_config(session.candidate, f"show session-configuration named {name}")


@_does("show session-config diffs", "show session-config named <name> diffs")
def _show_diffs(shell: Shell, command: Command) -> Sequence[str]:
    name = _named(shell, command)
    session = shell.switch.sessions.get(name)
    if session is None:
        raise CliError(f"% Session {name} does not exist")
    return diff(shell.switch.running(), session.candidate, name)


@_does("write", "write memory", "copy running-config startup-config")
def _write(shell: Shell, _: Command) -> Sequence[str]:
    shell.switch.save()
    return ["Copy completed successfully."]


def _flash_name(command: Command) -> str:
    return command.arguments["file"].removeprefix("flash:").lstrip("/")


@_does("copy running-config <file>", "copy startup-config <file>")
def _copy(shell: Shell, command: Command) -> Sequence[str]:
    store = shell.switch.store
    text: str | None = "\n".join(render(shell.switch.running())) + "\n"
    if command.form.startswith("copy startup-config"):
        text = store.startup()
    if text is None:
        raise CliError("% Error copying startup-config: No such file or directory")
    store.save_flash(_flash_name(command), text)
    return ["Copy completed successfully."]


@_does("configure replace <file>")
def _replace(shell: Shell, command: Command) -> Sequence[str]:
    text = shell.switch.store.flash(_flash_name(command))
    if text is None:
        raise CliError(f"% Error reading {command.arguments['file']}: No such file or directory")
    shell.switch.replace(shell.switch.parse(text))
    return []


@_does("show privilege")
def _show_privilege(shell: Shell, _: Command) -> Sequence[str]:
    return [f"Current privilege level is {15 if shell.enabled else 1}"]
