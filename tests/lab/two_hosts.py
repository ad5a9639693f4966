"""A twin of two small hosts and a switch, for tests that need no stack."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from images import builder
from lab import login, network, nodes, switch
from lab import twin as twins
from lab.keys import controller_key
from lab.layout import Twin
from lab.spec import NodeSpec, SwitchSpec
from remote.errors import RackformError
from stack.paths import ROOT, store_dir

FABRIC = {"a": "10.75.0.11", "b": "10.75.0.12"}
RAIL = {"a": "10.74.0.11", "b": "10.74.0.12"}
NETWORKD = """\
[Match]
Name=fab0
[Link]
MTUBytes=9000
[Network]
Address={address}/24
LinkLocalAddressing=no
"""


class Lab:
    """Two small hosts on one switch, by one link each or, with `rails`, by two."""

    def __init__(self, state: Path, *variants: str, rails: bool = False) -> None:
        self.rails = rails
        self.twin = Twin(state, store_dir())
        self.key = controller_key(state / "test")
        first, *rest = variants or ("default",)
        self.base_digests = {
            name: builder.build("node", variant, store_dir(), print).digest
            for name, variant in zip(FABRIC, [first, *(rest or [first])], strict=True)
        }

    def node(self, name: str, last: int, *ports: str) -> NodeSpec:
        return NodeSpec(
            site="test",
            name=name,
            base_digest=self.base_digests[name],
            address=f"10.76.0.{last}/24",
            cables={f"fab{number}": f"tor.{port}" for number, port in enumerate(ports)},
            memory_gib=1,
            gpus=2,
            authorized_key=self.key.public,
            private_key_file=self.key.private_file,
        )

    @property
    def specs(self) -> list[NodeSpec]:
        second = {"a": ["Ethernet3"], "b": ["Ethernet4"]} if self.rails else {"a": [], "b": []}
        return [
            self.node("a", 11, "Ethernet1", *second["a"]),
            self.node("b", 12, "Ethernet2", *second["b"]),
        ]

    @property
    def tor(self) -> SwitchSpec:
        return SwitchSpec(
            site="test",
            name="tor",
            os="eos",
            address="10.76.0.2/24",
            ports=["Ethernet1", "Ethernet2", "Ethernet3", "Ethernet4"],
            max_mtu_bytes=9214,
            authorized_key=self.key.public,
            private_key_file=self.key.private_file,
        )

    def up(self) -> None:
        with ThreadPoolExecutor(3) as pool:
            jobs = [pool.submit(nodes.create, self.twin, spec) for spec in self.specs]
            jobs.append(pool.submit(switch.create, self.twin, self.tor))
            for job in jobs:
                job.result()

    def ssh(self, name: str, command: str) -> str:
        found = nodes.read(self.twin, name)
        assert found
        return login.run(found.connection, self.twin.node(name), command).strip()

    def fabric(self, name: str) -> None:
        """Do what the product's own deploy does: a networkd file, and networkd enabled."""
        text = NETWORKD.format(address=FABRIC[name])
        self.ssh(
            name,
            f"mkdir -p /etc/systemd/network && printf '{text}' > /etc/systemd/network/fab0.network"
            " && systemctl enable --now systemd-networkd && networkctl reload",
        )

    def port_mtu(self, device: str, mtu: int) -> None:
        network.batch([f"link set {device} mtu {mtu}"], name="tor", purpose="set an MTU")

    def ping(self, size: int, address: str = FABRIC["b"]) -> bool:
        """Say whether an unfragmented packet of this size comes back from the other host."""
        command = f"ping -c 2 -i 0.2 -W 1 -M do -s {size - 28} {address}"
        try:
            self.ssh("a", command)
        except RackformError:
            return False
        return True


@contextlib.contextmanager
def claimed(state: Path, *variants: str, rails: bool = False) -> Iterator[Lab]:
    """Give the twin to the block, then remove it; skip the tests where another one is there.

    Args:
        state: where it is kept.
        variants: of the node image: of both hosts, or of the one and the other.
        rails: each host has a second link.

    """
    made = Lab(state, *variants, rails=rails)
    try:
        twins.claim(made.twin, ROOT)
    except RackformError as error:
        pytest.skip(str(error))
    try:
        yield made
    finally:
        twins.down(made.twin, keep_images=False)
