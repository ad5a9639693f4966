"""The provider's own log file: what its process has to say beside the engine's display."""

import logging
from pathlib import Path

from stack.paths import state_dir


def log_file() -> Path:
    return state_dir() / "log" / "provider.log"


def keep_log() -> None:
    """Send this process's log records to the provider's own log file, which only its user reads."""
    path = log_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    logging.basicConfig(
        filename=path,
        level=logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    # The engine tries calls that the SDK leaves out; gRPC would log a traceback for each.
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
