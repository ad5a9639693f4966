"""Lines of the switch's CLI: matched, shortened, refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.eos_cli.grammar import Level, completions, forms, match
from lab.switch_cli.core import CliError, Context

CONTEXT = Context(ports=("Ethernet1", "Ethernet2"), max_mtu_bytes=9214)


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("show run", "show running-config"),
        ("sh int status", "show interfaces status"),
        ("conf t", "configure terminal"),
        ("wr", "write"),
        ("copy run start", "copy running-config startup-config"),
        ("sh conf ses det", "show configuration sessions detail"),
        ("show session-config named x diffs", "show session-config named <name> diffs"),
        ("configure session x commit timer 00:02:00", None),
    ],
)
def test_keywords_may_be_shortened_while_they_are_unique(line: str, form: str | None) -> None:
    command = match(line, Level.ENABLE, CONTEXT)
    assert command.form == (form or "configure session <name> commit timer <timer>")


@pytest.mark.parametrize("typed", ["Ethernet1", "ethernet1", "Ethernet 1", "et1", "Et 1", "e1"])
def test_an_interface_has_many_spellings(typed: str) -> None:
    assert match(f"interface {typed}", Level.CONFIG, CONTEXT).arguments == {
        "interface": "Ethernet1"
    }
    command = match(f"show interfaces {typed} status", Level.EXEC, CONTEXT)
    assert command.form == "show interfaces <interface> status"


def test_the_ports_of_a_line_card_have_slashes_in_their_names() -> None:
    context = Context(ports=("Ethernet49/1",), max_mtu_bytes=9214)
    assert match("interface et49/1", Level.CONFIG, context).arguments["interface"] == "Ethernet49/1"


@pytest.mark.parametrize(
    ("line", "level", "told"),
    [
        ("wrong command", Level.ENABLE, "% Invalid input (at token 0: 'wrong')"),
        ("show bogus", Level.ENABLE, "% Invalid input (at token 1: 'bogus')"),
        ("interface Ethernet9", Level.CONFIG, "% Invalid input (at token 1: 'Ethernet9')"),
        ("mtu 9215", Level.INTERFACE, "% Invalid input (at token 1: '9215')"),
        ("mtu 67", Level.INTERFACE, "% Invalid input (at token 1: '67')"),
        ("mtu 9000 9000", Level.INTERFACE, "% Invalid input (at token 2: '9000')"),
        ("mtu", Level.INTERFACE, "% Incomplete command"),
        ("commit timer 00:00:00", Level.CONFIG, "% Invalid input (at token 2: '00:00:00')"),
        ("co", Level.CONFIG, "% Ambiguous command (at token 0: 'co')"),
        ("show running-config", Level.EXEC, "% Invalid input (privileged mode required)"),
        ("mtu 9000", Level.CONFIG, "% Invalid input (at token 0: 'mtu')"),
    ],
)
def test_a_refused_line_is_told_in_eos_words(line: str, level: Level, told: str) -> None:
    with pytest.raises(CliError) as caught:
        match(line, level, CONTEXT)
    assert str(caught.value) == told


@given(st.integers())
def test_an_mtu_is_taken_exactly_within_the_switch_s_range(mtu: int) -> None:
    try:
        taken = match(f"mtu {mtu}", Level.INTERFACE, CONTEXT).arguments["mtu"] == str(mtu)
    except CliError:
        taken = False
    assert taken == (68 <= mtu <= 9214)


@given(st.text(max_size=60), st.sampled_from(list(Level)))
def test_any_text_is_either_a_command_or_an_error_in_eos_words(text: str, level: Level) -> None:
    if not text.split():
        return
    try:
        answer = match(text, level, CONTEXT).form
    except CliError as error:
        answer = str(error)
    assert answer in forms(level) or answer.startswith("% ")


@given(st.sampled_from(forms(Level.INTERFACE)))
def test_every_command_of_the_table_can_be_typed(form: str) -> None:
    examples = {
        "<interface>": "Ethernet2",
        "<mtu>": "9000",
        "<vlan>": "20",
        "<priority>": "3",
        "<queue>": "3",
        "<count>": "0",
        "<timer>": "00:02:00",
        "<file>": "flash:x",
        "<name>": "x",
        "<line>": "some words",
    }
    line = " ".join(examples.get(word, word) for word in form.split())
    assert match(line, Level.INTERFACE, CONTEXT).form == form


def test_a_question_mark_lists_what_may_follow() -> None:
    assert completions("show interfaces", Level.EXEC, CONTEXT) == [
        "<cr>",
        "<interface>",
        "description",
        "status",
    ]
