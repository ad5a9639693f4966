"""The `rackform` command: `./rackform` makes the environment, then runs this."""

import errno
import signal
import sys

import typer
from rich.markup import escape
from typer.exceptions import TyperException

from cli import commands
from cli.console import err
from remote.errors import RackformError
from stack.errors import InputError

_FAILED, _BAD_INPUT = 1, 2
_INTERRUPTED = 128 + signal.SIGINT


def main() -> int:
    """Run one command: 0 when it did its work, 1 when that failed, 2 when the input was wrong."""
    try:
        status = typer.main.get_command(commands.app)(prog_name="rackform", standalone_mode=False)
    except InputError as error:
        err.print(f"[red]error:[/] {escape(str(error))}")
        return _BAD_INPUT
    except RackformError as error:
        err.print(f"[red]error:[/] {escape(str(error))}")
        return _FAILED
    except TyperException as error:
        err.print(f"[red]error:[/] {escape(error.format_message())}")
        return _BAD_INPUT
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f" of {error.filename}" if error.filename else ""
        err.print(f"[red]error:[/] the disk{where} is full: free some, then run the same again")
        return _FAILED
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted: what was done is kept; run the same command again to go on")
        return _INTERRUPTED
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
