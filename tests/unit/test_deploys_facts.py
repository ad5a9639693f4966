"""What the machines say, read: outputs as a Debian 12 host prints them."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from pyinfra_deploys.operations.facts import (
    Bounds,
    FileAt,
    FileState,
    InstalledPackages,
    LimitBounds,
    Links,
    LinkState,
    Sysctls,
    Timezone,
    Unit,
    UnitState,
)


@given(st.binary())
def test_any_content_of_a_file_is_read_back(content: bytes) -> None:
    coded = base64.encodebytes(content).decode().splitlines()
    kind = "regular file" if content else "regular empty file"
    state = FileAt().process([f"{kind}|644|root|root", *coded])
    assert state == FileState("file", "644", "root", "root", content)


def test_a_link_is_not_taken_for_a_file() -> None:
    state = FileAt().process(["symbolic link|777|root|root", "YQo="])
    assert state is not None
    assert state.kind == "symbolic link"


def test_only_installed_packages_count() -> None:
    output = ["jq installed", "tree not-installed", "vim config-files"]
    assert InstalledPackages().process(output) == {"jq"}


def test_tabs_in_a_parameter_are_read_as_blanks() -> None:
    assert Sysctls().process(["net.ipv4.tcp_rmem=4096\t131072\t6291456"]) == {
        "net.ipv4.tcp_rmem": "4096 131072 6291456"
    }


def test_a_unit_that_is_not_there_is_nothing() -> None:
    output = [
        "LoadState=not-found",
        "ActiveState=inactive",
        "UnitFileState=",
        "NeedDaemonReload=no",
    ]
    assert Unit().process(output) == UnitState(
        loaded=False, active=False, enabled=False, stale=False
    )


def test_a_running_unit_is_read() -> None:
    output = [
        "LoadState=loaded",
        "ActiveState=active",
        "UnitFileState=enabled",
        "NeedDaemonReload=yes",
    ]
    assert Unit().process(output) == UnitState(loaded=True, active=True, enabled=True, stale=True)


def test_links_are_read_with_and_without_an_address() -> None:
    output = [
        '[{"ifname":"mgmt0","mtu":1500,"flags":["UP"],"addr_info":[',
        '{"family":"inet","local":"10.77.0.11","prefixlen":24,"scope":"global"},',
        '{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},',
        '{"ifname":"fab0","mtu":9000,"flags":[],"addr_info":[]}]',
    ]
    assert Links().process(output) == {
        "mgmt0": LinkState(1500, up=True, addresses=("10.77.0.11/24",)),
        "fab0": LinkState(9000, up=False, addresses=()),
    }


def test_a_containers_limits_are_bounds() -> None:
    output = [
        "Max open files            20000                20000                files     ",
        "Max locked memory         8388608              8388608              bytes     ",
        "CapBnd:\t000001fffeffffff",
    ]
    assert LimitBounds().process(output) == Bounds(
        may_raise=False, nofile=20000, memlock_bytes=8388608
    )


def test_a_machines_limits_may_be_raised() -> None:
    output = [
        "Max open files            1024                 524288               files     ",
        "Max locked memory         unlimited            unlimited            bytes     ",
        "CapBnd:\t000001ffffffffff",
    ]
    assert LimitBounds().process(output) == Bounds(
        may_raise=True, nofile=524288, memlock_bytes=None
    )


def test_the_time_zone_is_what_localtime_points_at() -> None:
    assert Timezone().process(["/usr/share/zoneinfo/Europe/Berlin"]) == "Europe/Berlin"
    assert Timezone().process(["../usr/share/zoneinfo/Etc/UTC"]) == "Etc/UTC"


def test_values_are_quoted_for_the_hosts_shell() -> None:
    assert "'a b'" in FileAt().command(path="a b")
    assert "'; rm'" in InstalledPackages().command(names=["; rm"])
    assert "'$(x)'" in Sysctls().command(keys=["$(x)"])
    assert "'a;b'" in Unit().command(unit="a;b")
