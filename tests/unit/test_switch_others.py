"""What others have open on a switch, where one network OS has a way of its own."""

import pytest

from fabric import changes, cumulus_text, onyx_text, sonic_text
from fabric.changes import Running
from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch, PortState, Roce, RoceState
from lab.switch_cli.server import Terminal
from remote.errors import RackformError
from tests.unit.switch_cases import CASES, declared
from tests.unit.switch_twin import System, Twin

USERS = """\
USERNAME     FULL NAME               LINE    HOST              IDLE
admin        System Administrator    pts/0   172.22.237.174    0d0h34m4s
admin        System Administrator    pts/1   172.30.0.127      1d3h30m49s
monitor      System Monitor          ttyS0                     0d0h0m3s
admin        System Administrator    pts/3   172.22.237.174    0d0h0m0s
"""


def typed(terminal: Terminal, *lines: str) -> list[str]:
    return [printed for line in lines for printed in terminal.run(line)]


def on(system: System) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("daemon", [system], indirect=True)


@on("eos")
def test_a_session_that_is_committed_after_ours_takes_it_back_which_is_found_and_repaired(
    twin: Twin,
) -> None:
    wanted = declared(CASES["eos"])
    colleague = twin.login("colleague", "vty99")
    typed(colleague, "enable", "configure session evening", "interface Ethernet3", "mtu 3000")
    with open_switch("eos", twin.connection) as switch:
        switch.apply(wanted, 60)
        assert "+   mtu 3000" in "\n".join(typed(colleague, "show session-config diffs"))
        assert typed(colleague, "commit") == []
        assert twin.ports.links["Ethernet3"].mtu_bytes == 3000
        assert "  + mtu 9000" in switch.look(wanted).pending
        switch.apply(wanted, 60)
        assert switch.look(wanted).pending == []
    assert twin.ports.links["Ethernet3"].mtu_bytes == 3000


@on("eos")
def test_a_switch_that_takes_no_more_sessions_names_those_that_are_open(twin: Twin) -> None:
    for number in range(5):
        terminal = twin.login(f"user{number}", f"vty{90 + number}")
        typed(terminal, "enable", f"configure session s{number}")
    terminal.hang_up()
    with open_switch("eos", twin.connection) as switch:
        with pytest.raises(RackformError) as refused:
            switch.apply(declared(CASES["eos"]), 60)
        assert str(refused.value).startswith(
            "switch tor1 has s0 (of user0 on vty90), s1 (of user1 on vty91), s2 (of user2 on "
            "vty92), s3 (of user3 on vty93), s4 open and takes no more than 5 configuration "
            "sessions: commit one there or end it"
        )
        twin.type("enable", "configure session s4 abort")
        switch.apply(declared(CASES["eos"]), 60)
    assert sorted(name for name in twin.switch.sessions if name[0] == "s") == [
        "s0",
        "s1",
        "s2",
        "s3",
    ]


@on("sonic")
def test_a_checkpoint_of_somebody_else_stays_and_a_stale_one_of_ours_goes(twin: Twin) -> None:
    twin.type("sudo config checkpoint before-night", "sudo config checkpoint rackform-stale")
    with open_switch("sonic", twin.connection) as switch:
        assert switch.look(declared(CASES["sonic"])).under_way == []
        switch.apply(declared(CASES["sonic"]), 60)
    assert twin.switch.checkpoints() == ["before-night"]


@on("sonic")
def test_a_reload_that_is_confirmed_brings_back_what_was_saved(twin: Twin) -> None:
    wanted = declared(CASES["sonic"])
    with open_switch("sonic", twin.connection) as switch:
        switch.apply(wanted, 60)
        twin.ports.set_mtu("Ethernet0", 1500)
        colleague = twin.login("colleague", "vty99")
        typed(colleague, "sudo config reload")
        assert colleague.prompt.endswith("? [y/N]: ")
        assert typed(twin.login("other", "vty98"), "sudo config reload") == [
            "Failed to acquire lock on /etc/sonic/reload.lock"
        ]
        assert typed(colleague, "y") == ["Released lock on /etc/sonic/reload.lock"]
        assert switch.look(wanted).pending == []


@on("onyx")
def test_a_colleague_who_has_logged_out_of_onyx_is_not_named_any_more(twin: Twin) -> None:
    colleague = twin.login("colleague", "vty99", "10.77.0.9")
    with open_switch("onyx", twin.connection) as switch:
        (named,) = switch.look(declared(CASES["onyx"])).under_way
        assert (named.blocks, "colleague logged in on pts/99" in named.sentence) == (False, True)
        colleague.hang_up()
        assert switch.look(declared(CASES["onyx"])).under_way == []


def test_the_login_that_asks_is_told_from_others_of_the_same_name() -> None:
    logins = onyx_text.logins(USERS)
    assert [login.line for login in logins] == ["pts/0", "pts/1", "ttyS0", "pts/3"]
    assert logins[2] == onyx_text.Login("monitor", "ttyS0", "", "0d0h0m3s")
    assert onyx_text.mine(logins, "admin", "172.22.237.174") is logins[3]
    assert onyx_text.mine(logins, "admin", "10.0.0.1") is None


def test_a_revision_tells_its_user_and_date_by_its_name_in_older_nvue() -> None:
    shown = {
        "changeset/kim/2022-08-01_07.51.40_HN1G": {"state": "pending"},
        "7": {
            "state": "confirm",
            "message": "night",
            "last-apply": {"user": "kim", "apply-date": "2024-04-26 16:06:14"},
        },
        "startup": {"state": "applied"},
    }
    old, new, startup = cumulus_text.revisions(shown)
    assert (old.user, old.since, old.state) == ("kim", "2022-08-01_07.51.40", "pending")
    assert new.told == "7 (of kim, since 2024-04-26 16:06:14, night)"
    assert startup.told == "startup (no message)"


def test_the_lock_s_record_is_read_and_its_process_worded() -> None:
    assert sonic_text.lock_owner("reload, pid 4242\n") == "4242"
    assert sonic_text.lock_owner("") is None
    row = "pts/1    Thu Nov  6 15:12:33 2026 /usr/bin/python3 /usr/local/bin/config reload\n"
    assert sonic_text.process(row) == (
        "'/usr/bin/python3 /usr/local/bin/config reload' on pts/1 since Thu Nov  6 15:12:33 2026"
    )


def port(mtu_bytes: int) -> PortState:
    return PortState(mtu_bytes=mtu_bytes, description="", enabled=True, connected=True)


def test_what_is_declared_never_counts_as_somebody_else_s_unsaved_line() -> None:
    desired = DesiredSwitch(ports={"a": DesiredPort(mtu_bytes=9000, roce=Roce())})
    startup = Running(ports={"a": port(1500), "b": port(1500)}, lldp=False, rest=[("", "vlan 7")])
    runs = Running(
        ports={"a": port(9000), "b": port(4200)},
        lldp=True,
        roce={"a": RoceState(pfc=frozenset({3, 4}))},
        rest=[("b", "switchport access vlan 20")],
    )
    assert changes.unsaved(runs, startup, desired) == [
        "- b: mtu 1500, enabled",
        "- vlan 7",
        "+ b: mtu 4200, enabled",
        "+ a: PFC on priority 4",
        "+ b: switchport access vlan 20",
    ]
    assert changes.left_alone(runs, desired) == [
        "a: PFC on priority 4",
        "b: switchport access vlan 20",
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("username kim secret sha512 $6$abc", "username kim secret (hidden)"),
        ("username kim password 7 $6$abc", "username kim password (hidden)"),
        ("snmp-server community s3cret ro", "snmp-server community (hidden)"),
        ("SNMP_COMMUNITY|s3cret: TYPE RO", "SNMP_COMMUNITY (hidden)"),
        (
            "TACPLUS|global: auth_type pap, passkey s3cret",
            "TACPLUS|global: auth_type pap, passkey (hidden)",
        ),
        (
            "system aaa user kim hashed-password s3cret",
            "system aaa user kim hashed-password (hidden)",
        ),
        ("radius-server host 10.0.0.1 key 7 s3cret", "radius-server host 10.0.0.1 key (hidden)"),
        ("Ethernet1: switchport access vlan 20", "Ethernet1: switchport access vlan 20"),
        ("VLAN|Vlan20: vlanid 20", "VLAN|Vlan20: vlanid 20"),
    ],
)
def test_no_secret_of_a_switch_is_listed(line: str, told: str) -> None:
    assert changes.without_secrets(line) == told


def test_a_password_that_was_changed_and_not_saved_is_seen_without_being_shown() -> None:
    old, new = (
        Running(ports={}, lldp=True, rest=[("", f"username kim secret {text}")])
        for text in ("one", "two")
    )
    found = changes.unsaved(new, old, DesiredSwitch(ports={}))
    assert found == ["- username kim secret (hidden)", "+ username kim secret (hidden)"]
    assert changes.left_alone(new, DesiredSwitch(ports={})) == ["username kim secret (hidden)"]
