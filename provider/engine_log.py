"""Messages to the engine, which shows them under the resource that they are about."""

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

REDACTED = "[secret]"
_SHORTEST_SECRET = 6  # shorter texts stand in ordinary words, and no secret of ours is as short


class Log(Protocol):
    def send(
        self,
        severity: "engine_pb2.LogSeverity.ValueType",
        message: str,
        urn: str,
        *,
        ephemeral: bool = False,
    ) -> None: ...


class EngineLog:
    """The engine's `Log` call. A message that can't be sent is kept in the provider's own log."""

    def __init__(self, address: str) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def send(
        self,
        severity: "engine_pb2.LogSeverity.ValueType",
        message: str,
        urn: str,
        *,
        ephemeral: bool = False,
    ) -> None:
        request = engine_pb2.LogRequest(
            severity=severity, message=message, urn=urn, ephemeral=ephemeral
        )
        try:
            self._stub.Log(request, timeout=5)
        except grpc.RpcError:
            logging.getLogger(__name__).warning("not shown under %s: %s", urn, message)


def redact(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, REDACTED)
    return text


@dataclass(frozen=True)
class EngineContext:
    """`provider.resource.Context` over the engine's log; secrets of the resource never pass."""

    log: Log
    urn: str
    secrets: Collection[str] = ()
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]

    @property
    def stack(self) -> str:
        return self.urn.removeprefix("urn:pulumi:").partition("::")[0]

    def info(self, message: str) -> None:
        self._send(engine_pb2.INFO, message)

    def warn(self, message: str) -> None:
        self._send(engine_pb2.WARNING, message)

    def progress(self, message: str) -> None:
        self._send(engine_pb2.INFO, message, ephemeral=True)

    def cancelled(self) -> bool:
        return self.stop.is_set()

    def _send(
        self, severity: "engine_pb2.LogSeverity.ValueType", message: str, *, ephemeral: bool = False
    ) -> None:
        text = redact(message, self.secrets)
        self.log.send(severity, text, self.urn, ephemeral=ephemeral)
