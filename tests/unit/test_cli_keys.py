"""Keys are listed by name, and told one at a time."""

from typing import Any

import pytest
from typer.testing import CliRunner

from cli import keys
from cli.access import Outputs
from cli.commands import app
from stack.errors import InputError
from stack.load import load_site
from stack.schema import Site
from tests.unit.site_examples import example


def outputs() -> Outputs:
    found: dict[str, Any] = {
        "endpoint": "https://10.77.0.11/v1",
        "api_keys": {"me": "secret-of-me", "gone": "secret-of-gone"},
        "passwords": {"operator": "secret-of-operator"},
    }
    return Outputs.model_construct(**found)


def site() -> Site:
    return load_site(example({"edge.api_keys": ["me", "new"], "frontends.open_webui.node": "head"}))


def test_the_list_tells_where_each_is_used_and_what_the_next_up_changes() -> None:
    found = keys.of(outputs(), site())
    assert [(key.name, key.url, key.state) for key in found.api_keys] == [
        ("me", "https://10.77.0.11/v1", "in force"),
        ("new", "https://10.77.0.11/v1", "made by the next up"),
        ("gone", "https://10.77.0.11/v1", "until the next up"),
    ]
    assert [(key.name, key.url, key.state) for key in found.passwords] == [
        ("operator", "https://10.77.0.11:8445", "in force"),
        ("open-webui", "https://10.77.0.11:8443", "made by the next up"),
    ]
    assert "secret" not in found.model_dump_json()


def test_one_secret_is_told_by_its_name() -> None:
    assert keys._one("the API keys", "me", outputs().api_keys).secret == "secret-of-me"  # noqa: S105 - of no API
    with pytest.raises(InputError, match=r"mee is none of the API keys .*: did you mean me\?"):
        keys._one("the API keys", "mee", outputs().api_keys)


def test_the_command_prints_a_secret_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    made = keys.Secret(name="operator", secret="the-password")  # noqa: S106 - of nobody
    monkeypatch.setattr(keys, "password", lambda _stack, _name: made)
    done = CliRunner().invoke(app, ["keys", "--password", "operator"])
    assert done.stdout == "the-password\n"


def test_two_secrets_at_a_time_are_refused() -> None:
    done = CliRunner().invoke(app, ["keys", "me", "--password", "operator"])
    assert isinstance(done.exception, InputError)
