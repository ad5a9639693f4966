"""Four fresh hosts behind a switch for the benchmark, and what is declared of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import JsonValue

from images import builder
from lab import nodes, switch, twin
from lab.keys import controller_key
from lab.layout import Twin
from lab.spec import NodeSpec, SwitchSpec
from remote import ssh
from remote.connection import Connection
from stack.paths import ROOT, state_dir, store_dir

COUNT = 4
NAMES = [f"bench{number}" for number in range(1, COUNT + 1)]
SITE, SWITCH = "bench", "benchsw"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nbm90IGEgcmVhbCBvbmU=\n-----END CERTIFICATE-----\n"

Deploys = dict[str, dict[str, JsonValue]]


@dataclass(frozen=True)
class Host:
    connection: Connection
    deploys: Deploys


def declared(number: int, mtu_bytes: int) -> Deploys:
    """Return the settings of one node; the limits are such that every machine can give them."""
    names: dict[str, JsonValue] = {f"10.77.0.{50 + n}": [f"bench{n}"] for n in range(1, COUNT + 1)}
    return {
        "base": {"hosts": names, "time_sync": False, "nofile": 4096, "memlock": 4096},
        "fabric_link": {
            "interface": "fab0",
            "address": f"10.78.0.{50 + number}/24",
            "mtu_bytes": mtu_bytes,
            "management_address": f"10.77.0.{50 + number}",
        },
        "firewall": {"fabric_interface": "fab0", "open_tcp": [22, 5000]},
        "nccl_env": {"socket_interface": "fab0"},
        "docker_engine": {"registry": "10.77.0.51:5000", "ca_certificate": CERTIFICATE},
    }


class Rack:
    """The nodes of the benchmark; `fresh` gives them anew, as if just installed."""

    def __init__(self, place: Twin, digest: str) -> None:
        self.place = place
        self.digest = digest
        self.key = controller_key(place.state)

    def fresh(self) -> dict[str, Connection]:
        with ThreadPoolExecutor(COUNT) as pool:
            made = list(pool.map(self._fresh, range(1, COUNT + 1)))
        return {connection.name: connection for connection in made}

    def _fresh(self, number: int) -> Connection:
        name = NAMES[number - 1]
        nodes.delete(self.place, name)
        connection = nodes.create(
            self.place,
            NodeSpec(
                site=SITE,
                name=name,
                base_digest=self.digest,
                address=f"10.77.0.{50 + number}/24",
                cables={"fab0": f"{SWITCH}.Ethernet{number}"},
                memory_gib=1,
                gpus=0,
                authorized_key=self.key.public,
                private_key_file=self.key.private_file,
            ),
        )
        ssh.forget(connection)
        # A machine that has just been installed has ended its boot.
        ssh.run(connection, "systemctl is-system-running --wait || true", timeout_s=60)
        return connection


@contextmanager
def rack() -> Iterator[Rack]:
    """Yield the benchmark's rack on a machine without a twin; remove it afterwards."""
    place = Twin(state_dir() / "bench", store_dir())
    twin.claim(place, ROOT)
    try:
        digest = builder.build("node", "default", store_dir(), lambda _: None).digest
        it = Rack(place, digest)
        switch.create(
            place,
            SwitchSpec(
                site=SITE,
                name=SWITCH,
                os="eos",
                address="10.77.0.50/24",
                ports=[f"Ethernet{number}" for number in range(1, COUNT + 1)],
                max_mtu_bytes=9214,
                authorized_key=it.key.public,
                private_key_file=it.key.private_file,
            ),
        )
        yield it
    finally:
        twin.down(place, keep_images=False)
