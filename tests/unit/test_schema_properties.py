"""Properties of the schema that hold for any value: addresses, near misses, no traceback."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st

from stack.hints import nearest
from stack.load import SiteError, load_site
from stack.model import Model
from stack.reference import json_schema
from stack.schema import Fabric, Node, Site, Switch
from stack.settings import Settings
from tests.unit.site_examples import example, only_error

MODELS: tuple[type[Settings], ...] = (Site, Node, Switch, Model, Fabric)
SETTINGS = [(model, name) for model in MODELS for name in model.model_fields]
LETTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyz_")

subnets = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(2**24, 2**32 - 1),
    st.integers(8, 28),
).filter(lambda subnet: not subnet.overlaps(IPv4Network("10.77.0.0/24")))


def _on_fabric(subnet: IPv4Network, *hosts: IPv4Address) -> dict[str, object]:
    names = ("head", "w1", "w2")
    placed = {f"nodes.{n}.fabric_address": str(h) for n, h in zip(names, hosts, strict=True)}
    return example({"fabric.subnet": str(subnet), **placed})


@given(subnets, st.data())
@settings(max_examples=60)
def test_any_three_machines_of_any_subnet_are_taken(
    subnet: IPv4Network, data: st.DataObject
) -> None:
    numbers = st.integers(1, subnet.num_addresses - 2)
    hosts = data.draw(st.lists(numbers, min_size=3, max_size=3, unique=True))
    assert load_site(_on_fabric(subnet, *(subnet[host] for host in hosts)))


@given(subnets, st.integers(0, 2**32 - 1).map(IPv4Address))
@settings(max_examples=60)
def test_an_address_is_refused_exactly_where_it_is_no_machines(
    subnet: IPv4Network, address: IPv4Address
) -> None:
    others = [host for host in (subnet[1], subnet[2], subnet[3]) if host != address]
    site = _on_fabric(subnet, address, *others[:2])
    if subnet[0] < address < subnet[-1]:
        assert load_site(site).nodes["head"].fabric_address == address
    else:
        assert only_error(site).startswith(f"nodes.head.fabric_address = {address}, but ")


def _near_misses(name: str) -> st.SearchStrategy[str]:
    places = st.integers(0, len(name) - 1)
    dropped = places.map(lambda at: name[:at] + name[at + 1 :])
    added = st.builds(lambda at, letter: name[:at] + letter + name[at:], places, LETTERS)
    changed = st.builds(lambda at, letter: name[:at] + letter + name[at + 1 :], places, LETTERS)
    swapped = places.map(lambda at: name[:at] + name[at : at + 2][::-1] + name[at + 2 :])
    cased = st.sampled_from([name.upper(), name.title(), name.replace("_", "-")])
    return st.one_of(dropped, added, changed, swapped, cased)


def one_letter_apart(typed: str, other: str) -> bool:
    """Say whether a letter added, dropped or changed makes one of the other: nodels, nodes."""
    short, long = sorted((typed, other), key=len)
    same = next(
        (i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short)
    )
    if len(short) == len(long):
        return short[same + 1 :] == long[same + 1 :]
    return len(long) - len(short) == 1 and short[same:] == long[same + 1 :]


@given(st.data())
@settings(max_examples=50)
def test_a_near_miss_of_a_setting_is_always_answered_with_that_setting(data: st.DataObject) -> None:
    model, name = data.draw(st.sampled_from([pair for pair in SETTINGS if len(pair[1]) > 3]))
    typed = data.draw(_near_misses(name))
    answered = nearest(typed, list(model.model_fields))
    assert answered == name or one_letter_apart(typed, answered or "")


@given(st.data())
@settings(max_examples=50)
def test_a_near_miss_of_a_short_setting_is_answered_with_some_setting(data: st.DataObject) -> None:
    model, name = data.draw(st.sampled_from([pair for pair in SETTINGS if len(pair[1]) <= 3]))
    typed = data.draw(_near_misses(name).filter(lambda typed: len(typed) > 1))
    assert nearest(typed, list(model.model_fields)) in model.model_fields


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
PATHS = [
    *Site.model_fields,
    *(f"nodes.w1.{name}" for name in Node.model_fields),
    *(f"switches.tor1.{name}" for name in Switch.model_fields),
    *(f"models.chat.{name}" for name in Model.model_fields),
    *(f"fabric.{name}" for name in Fabric.model_fields),
]


@given(json_values)
@settings(max_examples=100)
def test_any_value_is_a_site_or_refused_in_words(raw: object) -> None:
    _load_or_refuse(raw)


@given(st.sampled_from(PATHS), json_values)
@settings(max_examples=100)
def test_any_value_of_any_setting_is_taken_or_refused_in_words(path: str, value: object) -> None:
    _load_or_refuse(example({path: value}))


def _load_or_refuse(raw: object) -> None:
    try:
        site = load_site(raw)
    except SiteError as error:
        refused = error
    else:
        assert load_site(site.model_dump(mode="json")) == site
        return
    lines = str(refused).splitlines()
    assert len(lines) == len(refused.errors) + 1 > 1


def test_the_schema_for_editors_is_the_same_each_time() -> None:
    assert json_schema() == json_schema()
