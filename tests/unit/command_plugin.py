"""A black-box client of `pulumi-resource-command`, ours or the official one, over its gRPC."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

import grpc
import pytest
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from stack.paths import state_dir

Json: TypeAlias = "bool | float | str | Sequence[Json] | Mapping[str, Json] | None"
Props: TypeAlias = "dict[str, Json]"

UNKNOWN = rpc.UNKNOWN
SIGNATURE = rpc._special_sig_key
TIMEOUT_S = 30


def binary() -> Path:
    """Return the plugin to test: RACKFORM_COMMAND_PLUGIN, else the installed, else the built."""
    if named := os.environ.get("RACKFORM_COMMAND_PLUGIN"):
        return Path(named)
    name = "pulumi-resource-command"
    home = Path(os.environ.get("PULUMI_HOME") or state_dir() / "pulumi-home")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    engines = Path(os.environ.get("RACKFORM_ENGINE") or cache / "rackform" / "engine")
    built = sorted(engines.glob(f"command-*/bin/{name}"), key=lambda p: p.stat().st_mtime)
    for found in [home / "plugins" / "resource-command-v1.2.1" / name, *reversed(built)]:
        if found.exists():
            return found
    pytest.skip("no command plugin is built: run ./rackform env")


def secret(value: Json) -> Json:
    return {SIGNATURE: rpc._special_secret_sig, "value": value}


def text_asset(text: str) -> Json:
    return {SIGNATURE: rpc._special_asset_sig, "text": text}


def file_asset(path: Path) -> Json:
    return {SIGNATURE: rpc._special_asset_sig, "path": str(path)}


def file_archive(path: str) -> Json:
    return {SIGNATURE: rpc._special_archive_sig, "path": path}


def is_secret(value: Json) -> bool:
    return isinstance(value, Mapping) and value.get(SIGNATURE) == rpc._special_secret_sig


def is_unknown(value: Json) -> bool:
    """Tell whether a value of a preview is not known yet, however it is marked."""
    return value == UNKNOWN or (
        isinstance(value, Mapping)
        and value.get(SIGNATURE) == rpc._special_output_value_sig
        and "value" not in value
    )


def struct(props: Mapping[str, Json]) -> struct_pb2.Struct:
    return json_format.ParseDict(dict(props), struct_pb2.Struct())


def props(message: struct_pb2.Struct) -> Props:
    return cast("Props", json_format.MessageToDict(message))


class Engine(engine_pb2_grpc.EngineServicer):
    """The part of the engine that a plugin talks to: it takes log messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def Log(  # noqa: N802 (gRPC's name)
        self, request: engine_pb2.LogRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        del context
        self.messages.append(request.message)
        return empty_pb2.Empty()


@dataclass(frozen=True)
class Diff:
    changed: bool
    names: frozenset[str]
    replaced: frozenset[str]


@dataclass
class Resource:
    """One resource as the engine keeps it: checked inputs, identifier and state."""

    plugin: "Plugin"
    token: str
    name: str = "it"
    inputs: Props = field(default_factory=dict)
    state: Props = field(default_factory=dict)
    id: str = ""

    @property
    def urn(self) -> str:
        return f"urn:pulumi:test::project::{self.token}::{self.name}"

    def check(self, inputs: Mapping[str, Json]) -> tuple[Props, list[str]]:
        answer = self.plugin.stub.Check(
            provider_pb2.CheckRequest(urn=self.urn, olds=struct(self.inputs), news=struct(inputs)),
            timeout=TIMEOUT_S,
        )
        return props(answer.inputs), [f.reason for f in answer.failures]

    def create(self, inputs: Mapping[str, Json], *, preview: bool = False) -> Props:
        self.inputs, failures = self.check(inputs)
        assert not failures
        answer = self.plugin.stub.Create(
            provider_pb2.CreateRequest(
                urn=self.urn, properties=struct(self.inputs), preview=preview
            ),
            timeout=TIMEOUT_S,
        )
        self.id, self.state = answer.id, props(answer.properties)
        return self.state

    def diff(self, inputs: Mapping[str, Json]) -> Diff:
        news, failures = self.check(inputs)
        assert not failures
        answer = self.plugin.stub.Diff(
            provider_pb2.DiffRequest(
                id=self.id,
                urn=self.urn,
                olds=struct(self.state),
                old_inputs=struct(self.inputs),
                news=struct(news),
            ),
            timeout=TIMEOUT_S,
        )
        return Diff(
            changed=answer.changes == provider_pb2.DiffResponse.DIFF_SOME,
            names=frozenset(answer.detailedDiff if answer.hasDetailedDiff else ()),
            replaced=frozenset(answer.replaces),
        )

    def update(self, inputs: Mapping[str, Json], *, preview: bool = False) -> Props:
        news, failures = self.check(inputs)
        assert not failures
        answer = self.plugin.stub.Update(
            provider_pb2.UpdateRequest(
                id=self.id,
                urn=self.urn,
                olds=struct(self.state),
                old_inputs=struct(self.inputs),
                news=struct(news),
                preview=preview,
            ),
            timeout=TIMEOUT_S,
        )
        if not preview:
            self.inputs, self.state = news, props(answer.properties)
        return props(answer.properties)

    def delete(self) -> None:
        self.plugin.stub.Delete(
            provider_pb2.DeleteRequest(
                id=self.id,
                urn=self.urn,
                properties=struct(self.state),
                old_inputs=struct(self.inputs),
            ),
            timeout=TIMEOUT_S,
        )


@dataclass(frozen=True)
class Plugin:
    stub: provider_pb2_grpc.ResourceProviderStub
    engine: Engine

    def resource(self, token: str, name: str = "it") -> Resource:
        return Resource(self, token, name)

    def invoke(self, token: str, args: Mapping[str, Json]) -> tuple[Props, list[str]]:
        answer = self.stub.Invoke(
            provider_pb2.InvokeRequest(tok=token, args=struct(args)), timeout=TIMEOUT_S
        )
        return props(getattr(answer, "return")), [f.reason for f in answer.failures]


@contextmanager
def running() -> Iterator[Plugin]:
    """Start the plugin as the engine does, and end it."""
    engine = Engine()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    environment = {k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK"}
    process = subprocess.Popen(
        [binary(), f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            stub.Configure(
                provider_pb2.ConfigureRequest(
                    args=struct({}), acceptSecrets=True, acceptResources=True, sends_old_inputs=True
                ),
                timeout=TIMEOUT_S,
            )
            yield Plugin(stub, engine)
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        server.stop(None)
