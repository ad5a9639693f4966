"""Logs in to a machine of the stack with its pinned host key."""

import os
from typing import NoReturn

from cli.machines import machine
from remote.ssh import write_ssh_files
from stack.paths import stack_dir


def login(stack: str, node: str, command: list[str]) -> NoReturn:
    """Become the ssh client: its exit status is this command's.

    Raises:
        InputError: the stack has no such machine.

    """
    config = write_ssh_files(stack_dir(stack), [machine(stack, node)])
    os.execvp("ssh", ["ssh", "-F", str(config), node, *command])  # noqa: S606 - ssh is the command
