import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components import resources
from components.resources import Container, Credentials, HostState, RackformResource, plain
from provider import inputs, server
from remote.connection import Connection
from remote.container_spec import HostFile

KINDS: dict[str, type[RackformResource]] = {
    kind.__name__: kind for kind in RackformResource.__subclasses__()
}
OWN_NAMES = {"LabSwitch": "switch_name", "LabNode": "node_name", "Container": "container_name"}


class Engine(mocks.Mocks):
    def __init__(self) -> None:
        self.inputs: dict[str, dict[str, Any]] = {}
        self.types: dict[str, str] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.inputs[args.name], self.types[args.name] = args.inputs, args.typ
        made = {"revision": "r1", "pending": [], "certificates": {}, "tokens": {"redis": "made"}}
        return f"{args.name}-id", {**args.inputs, **made}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(args.token)


@pytest.fixture
def engine() -> Iterator[Engine]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # pulumi's mocks want one before the test's own runs
    made = Engine()
    mocks.set_mocks(made)
    yield made
    loop.close()
    asyncio.set_event_loop(None)


@pytest.mark.parametrize("kind", sorted(inputs.RESOURCES))
def test_every_kind_of_resource_has_its_class_and_its_module(kind: str) -> None:
    assert kind in KINDS
    assert f"rackform:index:{kind}" in server.MODULES
    assert set(KINDS) == set(inputs.RESOURCES)


@pytest.mark.parametrize("kind", sorted(inputs.RESOURCES))
def test_every_input_is_a_keyword_of_the_constructor(kind: str) -> None:
    arguments = set(inspect.signature(KINDS[kind].__init__).parameters)
    expected = set(inputs.RESOURCES[kind].model_fields)
    if kind in OWN_NAMES:
        expected = expected - {"name"} | {OWN_NAMES[kind]}
    assert arguments == {"self", "name", *expected, "opts"}


@pytest.mark.parametrize("kind", sorted(inputs.RESOURCES))
def test_every_required_input_is_a_required_keyword(kind: str) -> None:
    parameters = inspect.signature(KINDS[kind].__init__).parameters
    for name, field in inputs.RESOURCES[kind].model_fields.items():
        argument = OWN_NAMES[kind] if name == "name" else name
        assert (parameters[argument].default is inspect.Parameter.empty) == field.is_required()


@pytest.mark.parametrize("kind", sorted(inputs.RESOURCES))
def test_every_annotated_output_is_one_that_the_provider_returns(kind: str) -> None:
    returned = set(
        server.resource_maker(server.MODULES[f"rackform:index:{kind}"])().outputs.model_fields
    )
    annotated = {*KINDS[kind].__annotations__, *RackformResource.__annotations__}
    assert annotated == returned


@pytest.mark.parametrize("kind", sorted(inputs.RESOURCES))
def test_the_provider_checks_the_inputs_that_are_declared(kind: str) -> None:
    made = server.resource_maker(server.MODULES[f"rackform:index:{kind}"])()
    assert made.inputs is inputs.RESOURCES[kind]


def test_models_and_paths_become_plain_values() -> None:
    connection = Connection(
        name="w1", address="10.0.0.1", private_key_file=Path("/k"), host_key="ssh-ed25519 A"
    )
    assert plain({"nodes": [connection], "file": HostFile(content="x")}) == {
        "nodes": [
            {
                "name": "w1",
                "address": "10.0.0.1",
                "port": 22,
                "user": "root",
                "private_key_file": "/k",
                "host_key": "ssh-ed25519 A",
            }
        ],
        "file": {"content": "x", "mode": 0o400},
    }


@pulumi.runtime.test  # type: ignore[untyped-decorator] # pulumi gives it no type
def test_what_is_declared_reaches_the_provider_and_nothing_else(engine: Engine) -> Any:
    host = HostState("w1-host", connection={"name": "w1"}, deploys={"base": {}}, sources={})

    def check(revision: str) -> None:
        assert revision == "r1"
        assert engine.types["w1-host"] == "rackform:index:HostState"
        assert engine.inputs["w1-host"] == {
            "connection": {"name": "w1"},
            "deploys": {"base": {}},
            "sources": {},
        }

    return host.revision.apply(check)


@pulumi.runtime.test  # type: ignore[untyped-decorator] # pulumi gives it no type
def test_a_resource_with_a_name_of_its_own_sends_it_as_name(engine: Engine) -> Any:
    made = Container(
        "head-registry",
        connection={},
        container_name="registry",
        image="registry@sha256:0",
        image_id="sha256:0",
        command=[],
    )
    return made.revision.apply(lambda _: _same(engine.inputs["head-registry"]["name"], "registry"))


@pulumi.runtime.test  # type: ignore[untyped-decorator] # pulumi gives it no type
def test_tokens_are_outputs_by_the_name_of_their_input(engine: Engine) -> Any:
    _ = engine
    made = Credentials("site", site="lab", certificates={}, tokens=["redis"])
    return made.tokens.apply(lambda tokens: _same(list(tokens), ["redis"]))


def _same(found: object, expected: object) -> None:
    assert found == expected


def test_every_resource_has_a_docstring() -> None:
    assert all(kind.__doc__ for kind in KINDS.values())
    assert resources.__doc__
