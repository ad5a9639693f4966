"""A port that somebody else has is named with its holder."""

import pytest

from remote.ports import holder_of

PYTHON = 'LISTEN 0 128 {} 0.0.0.0:* users:(("python3",pid=4711,fd=3),("python3",pid=4712,fd=3))'


@pytest.mark.parametrize(
    "local",
    ["0.0.0.0:443", "*:443", "[::]:443", "10.77.0.11:443", "10.77.0.11%eth0:443"],
)
def test_who_listens_on_the_address_or_everywhere_is_named(local: str) -> None:
    assert holder_of(PYTHON.format(local), "10.77.0.11") == "python3 (process 4711)"


@pytest.mark.parametrize("local", ["127.0.0.1:443", "[::1]:443", "10.77.0.110:443"])
def test_who_listens_elsewhere_is_in_nobodys_way(local: str) -> None:
    assert holder_of(PYTHON.format(local), "10.77.0.11") is None


def test_nobody_listens_where_nothing_is_listed() -> None:
    assert holder_of("", "10.77.0.11") is None


def test_a_listener_without_a_process_is_told_too() -> None:
    assert (
        holder_of("LISTEN 0 64 0.0.0.0:2049 0.0.0.0:*", "10.77.0.11") == "a process of the kernel"
    )
