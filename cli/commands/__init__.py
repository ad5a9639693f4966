"""Every command and its options; the work is in the modules of `cli` that they import.

`--help` lists the commands in the order of these imports.
"""

from cli.commands import running

# isort: split
from cli.commands import machines

# isort: split
from cli.commands import artifacts

# isort: split
from cli.commands.application import app

__all__ = ["app", "artifacts", "machines", "running"]
