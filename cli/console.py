"""The two consoles: people read standard error, programs read standard output."""

from rich.console import Console

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False)
