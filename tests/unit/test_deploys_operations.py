"""Each operation: facts and arguments in, exact commands out."""

from typing import Any

import pytest
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.context import ctx_host

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.facts import (
    Bounds,
    FileAt,
    FileState,
    InstalledPackages,
    Links,
    LinkState,
    Sysctls,
    Unit,
    UnitState,
)
from pyinfra_deploys.operations.files import WriteFile, write_file
from pyinfra_deploys.operations.limits import within
from pyinfra_deploys.operations.link import apply_link
from pyinfra_deploys.operations.packages import INSTALL, REFRESH, REPAIR, install_packages
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.operations.sysctl import set_sysctls

RUNNING = UnitState(loaded=True, active=True, enabled=True, stale=False)
LINK = {
    "interface": "fab0",
    "address": "10.78.0.11/24",
    "mtu_bytes": 9000,
    "management_address": "10.77.0.11",
}


class RecordedHost:
    """Answers each fact with what was recorded."""

    def __init__(self, facts: dict[type, object]) -> None:
        self.facts = facts

    def get_fact(self, fact: type, **_: object) -> object:
        return self.facts[fact]

    def noop(self, _: str) -> None: ...


def commands(operation: Any, facts: dict[type, object], **arguments: object) -> list[StringCommand]:
    with ctx_host.use(RecordedHost(facts)):
        return list(operation._inner(**arguments))


def told(operation: Any, facts: dict[type, object], **arguments: object) -> list[str]:
    return [str(command) for command in commands(operation, facts, **arguments)]


def test_a_file_that_is_as_declared_needs_no_command() -> None:
    state = FileState("file", "644", "root", "root", b"a\n")
    assert told(write_file, {FileAt: state}, path="/etc/x", content="a\n") == []


@pytest.mark.parametrize(
    "present",
    [
        None,
        FileState("file", "644", "root", "root", b"other\n"),
        FileState("symbolic link", "777", "root", "root", b""),
    ],
)
def test_an_absent_or_different_file_is_replaced_whole(present: FileState | None) -> None:
    (command,) = commands(write_file, {FileAt: present}, path="/etc/a b", content="a")
    assert isinstance(command, WriteFile)
    fresh = "'/etc/a b.rackform-new'"
    assert command.get_raw_value() == (
        f"{before.file('/etc/a b')} && umask 077 && mkdir -p -m 755 /etc && cat > {fresh} "
        f"&& chown root:root {fresh} && chmod 644 {fresh} "
        f"&& {before.written('/etc/a b', '/etc/a b.rackform-new')} "
        f"&& mv -T {fresh} '/etc/a b'"
    )
    assert command.connector_arguments["_stdin"] == "a\n"
    assert "+a" in command.diff()


def test_what_a_file_holds_is_not_in_the_command_line() -> None:
    (command,) = commands(write_file, {FileAt: None}, path="/etc/x", content="s3cr3t")
    assert "s3cr3t" not in command.get_raw_value()


def test_only_the_wrong_mode_or_owner_of_a_file_is_mended() -> None:
    state = FileState("file", "600", "nobody", "root", b"a\n")
    assert told(write_file, {FileAt: state}, path="/etc/x", content="a\n") == [
        "chown root:root /etc/x",
        "chmod 644 /etc/x",
    ]


def test_only_missing_packages_are_installed() -> None:
    facts: dict[type, object] = {InstalledPackages: {"jq"}}
    assert told(install_packages, facts, packages=["jq"]) == []
    assert told(install_packages, facts, packages=["tree", "jq"]) == [
        str(REPAIR),
        str(REFRESH),
        f"{INSTALL} --no-remove tree",
    ]


def test_only_parameters_that_differ_are_set() -> None:
    facts: dict[type, object] = {Sysctls: {"net.ipv4.tcp_rmem": "1 2 3", "vm.swappiness": "60"}}
    values = {"net.ipv4.tcp_rmem": "1  2\t3", "vm.swappiness": "10"}
    assert told(set_sysctls, facts, values=values) == ["sysctl -q -w vm.swappiness=10"]


@pytest.mark.parametrize(
    ("state", "restart", "expected"),
    [
        (RUNNING, False, []),
        (RUNNING, True, ["systemctl restart d.service"]),
        (
            UnitState(loaded=False, active=False, enabled=False, stale=False),
            True,
            [
                "systemctl enable -q d.service",
                "systemctl reset-failed d.service 2>/dev/null; systemctl start d.service",
            ],
        ),
        (
            UnitState(loaded=True, active=True, enabled=True, stale=True),
            False,
            ["systemctl daemon-reload"],
        ),
    ],
)
def test_a_service_gets_just_what_it_lacks(
    state: UnitState,
    restart: bool,  # noqa: FBT001 - a parameter of the table
    expected: list[str],
) -> None:
    assert (
        told(run_service, {Unit: state}, unit="d.service", restart_if=lambda: restart) == expected
    )


def link(mtu_bytes: int = 9000, *addresses: str, up: bool = True) -> dict[type, object]:
    return {Links: {"fab0": LinkState(mtu_bytes, up, addresses or ("10.78.0.11/24",))}}


SETTLED = "wait until fab0 has 10.78.0.11/24 and MTU 9000"
ARMED = "go back to the present network in 60 s unless the host is reached again"
KEPT = "the host is reached again: keep the new network"


def test_a_link_as_declared_is_left_alone() -> None:
    assert told(apply_link, link(), **LINK) == []


def test_a_wrong_mtu_is_set_without_dropping_the_address() -> None:
    assert told(apply_link, link(1500), **LINK) == [
        ARMED,
        "ip link set dev fab0 mtu 9000",
        SETTLED,
        KEPT,
    ]


def test_a_link_that_is_down_is_reconfigured() -> None:
    assert told(apply_link, link(up=False), **LINK) == [
        ARMED,
        "networkctl reconfigure fab0",
        SETTLED,
        KEPT,
    ]


def test_an_address_too_many_is_removed_and_the_other_stays() -> None:
    assert told(apply_link, link(9000, "10.78.0.11/24", "10.78.0.99/24"), **LINK) == [
        "ip addr del 10.78.0.99/24 dev fab0 2>/dev/null || true"
    ]


def test_a_changed_file_is_read_before_the_link_is_mended() -> None:
    assert told(apply_link, link(1500), reload_if=lambda: True, **LINK) == [
        ARMED,
        "networkctl reload",
        "ip link set dev fab0 mtu 9000",
        SETTLED,
        KEPT,
    ]


def test_an_interface_that_is_not_there_yet_does_not_break_the_dry_run() -> None:
    assert told(apply_link, {Links: {}}, **LINK)[1] == "networkctl reconfigure fab0"


def test_the_interface_with_the_management_address_is_never_touched() -> None:
    with pytest.raises(OperationError, match=r"fab0 has the management address 10\.77\.0\.11"):
        told(apply_link, link(1500, "10.77.0.11/24"), **LINK)


class Meta:
    def __init__(self, *, complete: bool, will: bool, did: bool) -> None:
        self.will_change = will
        self.is_complete = lambda: complete
        self.did_change = lambda: did


@pytest.mark.parametrize(
    ("complete", "will", "did", "expected"),
    [(False, True, False, True), (True, True, False, False), (True, False, True, True)],
)
def test_a_condition_asks_what_happened_or_else_what_would(
    complete: bool,  # noqa: FBT001 - parameters of the table
    will: bool,  # noqa: FBT001
    did: bool,  # noqa: FBT001
    expected: bool,  # noqa: FBT001
) -> None:
    meta: Any = Meta(complete=complete, will=will, did=did)
    assert changed(meta)() is expected


def test_limits_are_lowered_where_root_may_not_raise_them() -> None:
    bounds = Bounds(may_raise=False, nofile=20000, memlock_bytes=8 << 20)
    assert within(bounds, 1 << 20, "unlimited") == {"nofile": 20000, "memlock": 8192}
    free = Bounds(may_raise=True, nofile=20000, memlock_bytes=8 << 20)
    assert within(free, 1 << 20, "unlimited") == {"nofile": 1 << 20, "memlock": "unlimited"}
