"""The plugin's process: serves the adapter to the engine whose address is the first argument.

Stdout carries the port and nothing else, as the engine expects.

Beside the process that does the work, the engine starts one only to ask whether the provider's
configuration is right. There is none: that process says so and never imports Pulumi's SDK.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from provider.own_log import keep_log
from provider.version import VERSION

if TYPE_CHECKING:
    from provider.adapter import AnyResource, Resources

MODULES = {
    "rackform:index:Credentials": "credentials",
    "rackform:index:LabSwitch": "lab_switch",
    "rackform:index:LabNode": "lab_node",
    "rackform:index:SwitchConfig": "switch_config",
    "rackform:index:HostState": "host_state",
    "rackform:index:OciImage": "oci_image",
    "rackform:index:ImagePull": "image_pull",
    "rackform:index:ModelWeights": "model_weights",
    "rackform:index:Container": "container",
    "rackform:index:ServeApplication": "serve_application",
}
_THREADS = 64  # a thread waits, mostly; the engine sends at most its own --parallel at a time
_LEFT_OUT = frozenset({"Handshake", "CheckConfig", "DiffConfig"})
"""Calls that a provider without a configuration may leave unimplemented."""
_PLUGIN_INFO = b"\n" + bytes([len(VERSION)]) + VERSION.encode()
"""The message PluginInfo, whose first field is the version, as it goes over the wire."""
_OPTIONS = [
    ("grpc.max_receive_message_length", 400 << 20),
    ("grpc.server_max_unrequested_time_in_server", 1800),
]
"""Those of the SDK's own server: the engine sends large values, and waits while imports block."""


def resource_maker(module: str) -> "Callable[[], AnyResource]":
    """Return a maker that imports the resource's module when one is first asked for."""

    def make() -> "AnyResource":
        resource: AnyResource = import_module(f"provider.{module}").RESOURCE()
        return resource

    return make


class Late(grpc.GenericRpcHandler):  # type: ignore[misc] # gRPC publishes no types
    """The provider's service, imported and made when it is first asked for work."""

    def __init__(
        self, engine_address: str, resources: "Resources", ahead: Callable[[], object]
    ) -> None:
        self._engine_address = engine_address
        self._resources = resources
        self._ahead = ahead
        self._service: list[Any] = []

    def service(self, handler_call_details: Any) -> Any:
        call = handler_call_details.method.rpartition("/")[2]
        if call in _LEFT_OUT or (call == "Cancel" and not self._service):
            return None
        if call == "GetPluginInfo":
            return grpc.unary_unary_rpc_method_handler(_plugin_info)
        if not self._service:
            self._ahead()
            from provider import servicer  # noqa: PLC0415 - the heavy import that is put off

            servicer.add(self, self._engine_address, self._resources)
        found = (handler.service(handler_call_details) for handler in self._service)
        return next((method for method in found if method), None)

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Take the handlers that the generated code would give to a server."""
        self._service.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Leave out what newer generated code adds for speed; it gives the generic ones too."""


async def _plugin_info(_request: bytes, _context: object) -> bytes:
    return _PLUGIN_INFO


def start_host_worker() -> None:
    """Let pyinfra be imported beside Pulumi's SDK, by the process that will do its work."""
    from pyinfra_deploys.client import shared  # noqa: PLC0415 - not for the one that only answers

    shared()


async def serve(engine_address: str, resources: "Resources", ahead: Callable[[], object]) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((Late(engine_address, resources, ahead),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdout = sys.stderr
    await server.wait_for_termination()


def main(resources: "Resources | None" = None) -> None:
    """Serve `resources` (all of Rackform's own by default) until the engine ends the process."""
    keep_log()
    addresses = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if not addresses:
        sys.exit("pulumi-resource-rackform is started by Pulumi, with the engine's address")
    ahead: Callable[[], object] = start_host_worker if resources is None else dict
    makers = {token: resource_maker(module) for token, module in MODULES.items()}
    # The engine interrupts its plugins when it is done with them: nothing is waited for then.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    asyncio.run(serve(addresses[0], resources or makers, ahead))


if __name__ == "__main__":
    main()
