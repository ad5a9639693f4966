"""What holds for every tier of tests."""

import signal

from hypothesis import HealthCheck, settings

# A busy machine is no failure: nothing here is timed. What runs often runs few examples each time.
settings.register_profile(
    "rackform", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("rackform")


def pytest_configure() -> None:
    """Let SIGINT work in what the tests start, which a shell ignores in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
