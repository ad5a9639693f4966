"""What holds for every tier of tests."""

import signal


def pytest_configure() -> None:
    """Let SIGINT work in what the tests start: a shell's background ignores it, and so its heirs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
