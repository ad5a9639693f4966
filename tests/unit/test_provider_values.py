from hypothesis import given
from hypothesis import strategies as st
from pulumi.provider.experimental.property_value import PropertyValue

from provider.paths import ChangeKind, differences, notation
from provider.values import (
    UNKNOWN,
    Plain,
    has_unknown,
    plain,
    secret_keys,
    secret_texts,
    wire,
    wire_map,
)

TEXTS = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS | st.just(UNKNOWN)
VALUES: st.SearchStrategy[Plain] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=4)


@given(VALUES)
def test_values_come_back_from_the_wire_as_they_went(value: Plain) -> None:
    assert plain(PropertyValue.unmarshal(wire(value).marshal())) == value


@given(VALUES)
def test_a_value_that_is_known_does_not_differ_from_itself(value: Plain) -> None:
    assert bool(list(differences(value, value))) == has_unknown(value)


@given(FIELDS, FIELDS)
def test_values_that_differ_name_at_least_one_path(
    old: dict[str, Plain], new: dict[str, Plain]
) -> None:
    assert bool(list(differences(old, new))) == (old != new or has_unknown(new))


def test_whole_numbers_are_integers_again() -> None:
    assert repr(plain(PropertyValue(9000.0))) == "9000"
    assert repr(plain(PropertyValue(0.5))) == "0.5"


def test_paths_are_written_as_pulumi_writes_them() -> None:
    assert notation(("ports", "Ethernet1", "mtu_bytes")) == "ports.Ethernet1.mtu_bytes"
    assert notation(("command", 2)) == "command[2]"
    assert notation(("files", "/etc/a.conf", "mode")) == 'files["/etc/a.conf"].mode'


def test_lists_differ_by_place_and_length() -> None:
    changes = [(str(c), c.kind) for c in differences({"a": [1, 2, 3]}, {"a": [1, 5]})]
    assert changes == [("a[1]", ChangeKind.UPDATE), ("a[2]", ChangeKind.DELETE)]


def test_secrets_are_found_at_any_depth() -> None:
    inner = PropertyValue({"password": PropertyValue("s3cret-1", is_secret=True)})
    outer = PropertyValue({"a": PropertyValue([PropertyValue("s3cret-2")])}, is_secret=True)
    values = {"registry": inner, "tokens": outer, "name": PropertyValue("w1")}
    assert secret_keys(values) == {"registry", "tokens"}
    assert secret_texts(values) == {"s3cret-1", "s3cret-2"}


def test_only_the_named_keys_become_secrets() -> None:
    made = wire_map({"key": "k", "certificate": "c"}, {"key"})
    assert made["key"].is_secret
    assert not made["certificate"].is_secret
