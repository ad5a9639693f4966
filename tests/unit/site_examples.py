"""A small valid site, and ways to break it: shared by the tests of the schema and the plan."""

import base64
import copy
from collections.abc import Mapping

import pytest

from stack.load import SiteError, load_site

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA256 = "0123456789abcdef" * 4


def host_key(name: str) -> str:
    """Return a key of the right shape for a machine, as the templates have them."""
    text = f"example key of {name}: replace".encode().ljust(32, b".")
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + text
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


HOST_KEY = host_key("n1")

_SITE = {
    "name": "example",
    "twin": True,
    "fabric": {"subnet": "10.78.0.0/24", "mtu_bytes": 9000},
    "switches": {
        "tor1": {
            "os": "eos",
            "address": "10.77.0.2",
            "ports": {"Ethernet1": "head.fab0", "Ethernet2": "w1.fab0", "Ethernet3": "w2.fab0"},
        }
    },
    "nodes": {
        "head": {"address": "10.77.0.11", "fabric_address": "10.78.0.11", "roles": ["head"]},
        "w1": {
            "address": "10.77.0.12",
            "fabric_address": "10.78.0.12",
            "roles": ["worker"],
            "gpus": {"count": 2},
        },
        "w2": {
            "address": "10.77.0.13",
            "fabric_address": "10.78.0.13",
            "roles": ["worker"],
            "gpus": {"count": 2},
        },
    },
    "models": {"chat": {"source": "hf:org/name", "revision": COMMIT}},
}

_REMOVE = object()


def example(
    changes: Mapping[str, object] | None = None, *, without: tuple[str, ...] = ()
) -> dict[str, object]:
    """Return the example with settings changed, given as dotted path → value."""
    site: dict[str, object] = copy.deepcopy(_SITE)
    for path, value in [*(changes or {}).items(), *((path, _REMOVE) for path in without)]:
        holder = site
        *steps, last = path.split(".")
        for step in steps:
            inner = holder.setdefault(step, {})
            assert isinstance(inner, dict)
            holder = inner
        if value is _REMOVE:
            del holder[last]
        else:
            holder[last] = value
    return site


def real(
    changes: Mapping[str, object] | None = None, *, without: tuple[str, ...] = ()
) -> dict[str, object]:
    """Return the example as a site of real machines, changed likewise."""
    keys = {f"nodes.{name}.host_key": host_key(name) for name in ("head", "w1", "w2")}
    gpus = {f"nodes.{name}.gpus.model": "rtx-4090" for name in ("w1", "w2")}
    fixed = {"twin": False, "switches.tor1.host_key": host_key("tor1"), **keys, **gpus}
    return example({**fixed, **(changes or {})}, without=without)


def errors_of(raw: object) -> list[str]:
    """Return the sentences with which a site is refused."""
    with pytest.raises(SiteError) as refused:
        load_site(raw)
    return [str(error) for error in refused.value.errors]


def only_error(raw: object) -> str:
    """Return the one sentence with which a site is refused."""
    errors = errors_of(raw)
    assert len(errors) == 1, errors
    return errors[0]
