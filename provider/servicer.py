"""Pulumi's provider service: the SDK's servicer over the adapter."""

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2_grpc

from provider.adapter import OLD_INPUTS, Adapter, Resources
from provider.engine_log import EngineLog
from provider.own_log import log_file
from provider.version import VERSION
from remote.errors import RackformError


class Servicer(ProviderServicer):
    """The SDK's servicer, with errors told as sentences and the old inputs passed on."""

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return await _told(super().Check, request, context)

    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return await _told(super().Diff, request, context)

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return await _told(super().Create, request, context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return await _told(super().Read, request, context)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return await _told(super().Update, request, context)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return await _told(super().Delete, request, context)


async def _told(
    call: Callable[[Any, Any], Awaitable[Message]],
    request: Any,
    context: "grpc.aio.ServicerContext[Message, Message]",
) -> Message:
    if "old_inputs" in request.DESCRIPTOR.fields_by_name:
        OLD_INPUTS.set(PropertyValue.unmarshal_map(request.old_inputs))
    try:
        return await call(request, context)
    except RackformError as error:
        sentence = str(error)
    except Exception:
        logging.getLogger(__name__).exception("the adapter failed on %s", request.urn)
        sentence = f"Rackform's provider failed: the details are at the end of {log_file()}"
    await context.abort(grpc.StatusCode.UNKNOWN, sentence)
    raise AssertionError


def add(server: Any, engine_address: str, resources: Resources) -> None:
    """Add the service to whatever takes handlers as gRPC's server does."""
    adapter = Adapter(EngineLog(engine_address), resources)
    servicer = Servicer(sys.argv[1:], VERSION, adapter, engine_address)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
