"""What is derived from the models is in step with them, and says the same as they do."""

import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from stack.paths import ROOT
from stack.reference import generated, json_schema
from stack.schema import Site
from stack.settings import Settings
from tests.unit.site_examples import example, real


def _below(model: type[Settings]) -> Iterator[type[Settings]]:
    for each in model.__subclasses__():
        yield each
        yield from _below(each)


MODELS = sorted(
    {each for each in _below(Settings) if each.__module__.startswith("stack.")},
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_a_derived_file_is_in_step_with_the_models(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], (
        "run 'python -m stack.reference' and commit what it writes"
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_part_of_the_site_is_frozen_and_refuses_what_it_does_not_know(
    model: type[BaseModel],
) -> None:
    assert model.model_config["frozen"]
    assert model.model_config["extra"] == "forbid"


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(json_schema()))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(json_schema()))


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("stack/Pulumi.*.yaml")), ids=lambda path: path.name
)
def test_a_stack_file_names_the_schema_and_is_valid_under_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=site.schema.json\n")
    _validator().validate(yaml.safe_load(text))


@pytest.mark.parametrize("site", [example(), real()], ids=["twin", "real"])
def test_the_schema_takes_what_the_models_take(site: object) -> None:
    _validator().validate({"config": {"rackform:site": site}})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("fabric.mtu_byte", 9000),
        ("fabric.mtu_bytes", 100),
        ("fabric.mtu_bytes", "jumbo"),
        ("nodes.W1", {"address": "10.77.0.14", "fabric_address": "10.78.0.14", "roles": ["head"]}),
        ("nodes.w1.roles", ["boss"]),
        ("models.chat.pad_heads_to", 0),
        ("models.chat.parallelism", "full"),
        ("models.chat.revision", "main"),
        ("switches.tor1.ports.Ethernet1", "head"),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(path: str, value: object) -> None:
    assert not _validator().is_valid({"config": {"rackform:site": example({path: value})}})


@cache
def _program() -> str:
    folders = ("components", "planner", "cli", "edge", "frontends", "monitoring")
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    parts = [file.read_text(encoding="utf-8") for file in [*files, ROOT / "stack" / "notes.py"]]
    site = inspect.getsource(Site)
    return "\n".join([*parts, site[site.index("@property") :]])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_is_used_by_the_program_or_told_to_be_without_effect(
    model: type[BaseModel],
) -> None:
    program = _program()
    silent = [
        name for name in model.model_fields if not re.search(rf"\.{name}\b|\"{name}\"", program)
    ]
    assert silent == [], "use them, or tell in stack/notes.py that they do nothing"
