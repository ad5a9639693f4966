"""What holds for every tier of tests."""

import signal


def pytest_configure() -> None:
    """Let SIGINT work in what the tests start, which a shell ignores in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
