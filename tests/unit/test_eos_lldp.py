"""LLDP frames and the table of neighbours."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.switch_cli.lldp import Table, frame, parse

MAC = bytes.fromhex("001c7312b056")
names = st.from_regex(r"[a-z0-9][a-z0-9 .-]{0,60}[a-z0-9]", fullmatch=True)


@settings(max_examples=25)
@given(st.binary(min_size=6, max_size=6), names, names, names, st.integers(0, 65535))
def test_a_frame_tells_what_was_put_into_it(
    mac: bytes, port: str, name: str, about: str, ttl: int
) -> None:
    told = parse(frame(mac, port, name, about, ttl))
    assert told is not None
    assert told.chassis_id.replace(".", "") == mac.hex()
    assert (told.port_id, told.system_name, told.system_description) == (port, name, about)
    assert told.ttl_s == ttl


@given(st.binary(max_size=200), st.sampled_from([b"", bytes(12) + b"\x88\xcc"]))
def test_no_frame_off_the_wire_can_break_the_reader(raw: bytes, header: bytes) -> None:
    told = parse(header + raw)
    if told:
        text = told.system_name + told.port_id + told.system_description
        assert text.isprintable()


def test_a_neighbour_is_forgotten_when_its_time_is_over_or_it_says_goodbye() -> None:
    now = [0.0]
    table = Table(clock=lambda: now[0])
    alive, goodbye = (parse(frame(MAC, "fab0", "w1", "Linux", ttl)) for ttl in (120, 0))
    assert alive
    assert goodbye
    table.heard("Ethernet1", alive)
    now[0] = 119
    assert [n.announcement.system_name for n in table.neighbours("Ethernet1")] == ["w1"]
    now[0] = 121
    assert table.neighbours("Ethernet1") == []
    assert table.age_outs == 1
    table.heard("Ethernet1", alive)
    table.heard("Ethernet1", goodbye)
    assert table.neighbours("Ethernet1") == []


def test_a_neighbour_heard_again_is_still_one_neighbour_and_keeps_its_first_moment() -> None:
    now = [5.0]
    table = Table(clock=lambda: now[0])
    told = parse(frame(MAC, "fab0", "w1", "Linux", 120))
    assert told
    for moment in (5.0, 35.0, 65.0):
        now[0] = moment
        table.heard("Ethernet2", told)
    [neighbour] = table.neighbours("Ethernet2")
    assert (neighbour.first_seen, neighbour.last_seen) == (5.0, 65.0)
