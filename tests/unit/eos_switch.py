"""The EOS switch of tests, without its daemon."""

from pathlib import Path

from lab.eos_cli.engine import Switch
from lab.switch_cli.core import Context
from lab.switch_cli.store import Store
from tests.unit.switch_twin import PORTS, Clock, FakePorts

CONTEXT = Context(ports=PORTS["eos"], max_mtu_bytes=9214)


def make_switch(
    folder: Path, ports: FakePorts, clock: Clock | None = None, world: str = "boot/1"
) -> Switch:
    return Switch("tor1", CONTEXT, ports, Store(folder), world, clock or Clock())
