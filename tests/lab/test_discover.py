"""Hosts of Debian 12 and 13 that somebody owns: `discover` writes the stack that a person would.

The twin makes the machines alone. For the stack they are real (`twin: false`), reached by their own
addresses and keys. The tests share them and tell one story, in the order of the file.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from discover.hostkeys import HostKey
from lab import nodes, switch
from lab.keys import public_key
from remote import ssh
from remote.connection import Connection
from stack.load import load_site
from stack.paths import ROOT
from stack.schema import Site, TwinSystem
from tests.lab.appliance import Done, run_there
from tests.lab.two_hosts import FABRIC, Lab, claimed

pytestmark = pytest.mark.root

NAME = "test"
RECORDED = ROOT / "tests/unit/fixtures/discover"
PUT = "cat > /srv/{name}"
OWNED = r"""
set -eu
cat > /usr/local/bin/nvidia-smi <<'EOF'
#!/bin/sh
case "$*" in '-q -x') cat /srv/h200-x2-smi.xml;; 'topo -m') cat /srv/h200-x2-topology.txt;;
*) exit 1;; esac
EOF
chmod 755 /usr/local/bin/nvidia-smi
ln -s /bin/true /usr/local/bin/nvidia-container-runtime-hook
mkdir -p /srv/openntpd/DEBIAN
printf 'Package: openntpd\nVersion: 99\nArchitecture: all\nMaintainer: test\nDescription: x\n' \
  > /srv/openntpd/DEBIAN/control
dpkg-deb --root-owner-group -b /srv/openntpd >/dev/null
dpkg -i /srv/openntpd.deb >/dev/null
"""
"""Two GPUs as a recording tells them, what gives them to containers, and a time daemon: a container
can't run the deploy's.
"""

BY_HAND = """\
config:
  rackform:site:
    name: test
    management: {{subnet: 10.76.0.0/24, controller: 10.76.0.1}}
    fabric: {{subnet: 10.75.0.0/24, mtu_bytes: 9000, link: {{gbit_s: 10}}}}
    switches:
      tor:
        os: eos
        address: 10.76.0.2
        host_key: {tor}
        ports: {{Ethernet1: a.fab0, Ethernet2: b.fab0}}
    nodes:
      a:
        address: 10.76.0.11
        fabric_address: 10.75.0.11
        roles: [head, worker]
        circuit: rack
        gpus: {{model: h200, count: 2, link: nvlink4}}
        host_key: {a}
      b:
        address: 10.76.0.12
        fabric_address: 10.75.0.12
        roles: [worker]
        circuit: rack
        gpus: {{model: h200, count: 2, link: nvlink4}}
        host_key: {b}
    power: {{circuits: {{rack: {{volts: 240, amps: 40}}}}}}
    models:
      chat: {{source: "hf:Qwen/Qwen3-235B-A22B", revision: "{revision}"}}
"""
REVISION = "9216db5781bf21249d130ec9da846c4624c16137"
KINDS = ("Appliance", "SiteCredentials", "Credentials", "ClusterNode", "HostState", "FabricSwitch",
         "SwitchConfig")  # fmt: skip
TARGETS = [word for kind in KINDS for word in ("--target", f"**:{kind}::*")]
"""What a machine without a GPU can be brought to: its host's state, and its switch's."""


@dataclass(frozen=True)
class Owner:
    """Somebody with two hosts and a switch, who has a checkout."""

    lab: Lab
    hosts: dict[str, Connection]
    folder: Path

    @property
    def file(self) -> Path:
        return ROOT / "stack" / f"Pulumi.{NAME}.yaml"

    @property
    def keys(self) -> dict[str, str]:
        return {name: public_key(self.lab.twin.host_key(name)) for name in ("a", "b", "tor")}

    def shell(self, command: str) -> Done:
        """Run a command of a checkout whose state is this folder."""
        state = shlex.quote(str(self.folder))
        mine = f"export RACKFORM_STATE={state} PULUMI_BACKEND_URL=file://{state}"
        return run_there(["sh", "-c", f'eval "$(./rackform env)" && {mine} && {command}'])

    def pulumi(self, *arguments: str) -> Done:
        return self.shell(f"exec pulumi {shlex.join(arguments)} --stack {NAME} --non-interactive")

    def discover(self, output: Path, *more: str) -> Done:
        prints = [HostKey(name, key).fingerprint for name, key in self.keys.items()]
        accepted = [word for each in prints for word in ("--accept-host-key", each)]
        arguments = [
            *("10.76.0.11", "10.76.0.12", "--name", NAME, "--output", str(output)),
            *("--switch", "tor=eos@10.76.0.2", "--circuit", "rack=240x40"),
            *("--model", "hf:Qwen/Qwen3-235B-A22B", "--revision", REVISION, *accepted, *more),
        ]
        return self.shell(f"exec ./rackform discover {shlex.join(arguments)} </dev/null")

    def declare(self, text: str) -> None:
        """Make it the stack's file, but for the salt that Pulumi keeps there."""
        there = self.file.read_text().splitlines(keepends=True) if self.file.exists() else []
        salt = [line for line in there if line.startswith("encryptionsalt:")]
        self.file.write_text("".join([text, *salt]))

    def planned(self, *targets: str) -> dict[str, tuple[str, Any]]:
        """Return what a preview would do, resource → operation and inputs."""
        done = self.pulumi("preview", "--json", "--show-sames", *targets)
        assert done.status == 0, done.text
        return {
            step["urn"]: (step["op"], step["newState"].get("inputs"))
            for step in json.loads(done.out)["steps"]
            if step["op"] != "refresh"
        }


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    state = tmp_path_factory.mktemp("state")
    variants = [TwinSystem.DEBIAN_12.image_variant, TwinSystem.DEBIAN_13.image_variant]
    with claimed(state, *variants) as lab:
        switch.create(lab.twin, lab.tor)
        hosts = {spec.name: nodes.create(lab.twin, spec) for spec in lab.specs}
        for host in hosts.values():
            for name in ("h200-x2-smi.xml", "h200-x2-topology.txt"):
                ssh.run(host, PUT.format(name=name), input=(RECORDED / name).read_text())
            ssh.run(host, OWNED)
        made = Owner(lab, hosts, state)
        try:
            yield made
        finally:
            made.file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def by_hand(owner: Owner) -> str:
    return BY_HAND.format(**owner.keys, revision=REVISION)


def site(text: str) -> Site:
    return load_site(yaml.safe_load(text)["config"]["rackform:site"])


def test_bare_hosts_are_found_as_a_person_would_write_them(owner: Owner, by_hand: str) -> None:
    found = owner.folder / "bare.yaml"
    refused = owner.discover(found, "--fabric-subnet", "10.75.0.0/24", "--gbit-s", "10")
    assert refused.status == 2
    assert "by --cable tor.PORT=a, once for each node" in refused.err

    cables = ("--cable", "tor.Ethernet1=a", "--cable", "tor.Ethernet2=10.76.0.12")
    done = owner.discover(found, "--fabric-subnet", "10.75.0.0/24", "--gbit-s", "10", *cables)
    assert done.status == 0, done.text
    assert "2 GPU(s) joined by nvlink4" in done.err
    assert "Debian GNU/Linux 12" in found.read_text()
    assert "Debian GNU/Linux 13" in found.read_text()
    assert site(found.read_text()) == site(by_hand)


def test_hosts_of_both_debians_are_converged_side_by_side_by_one_stack(
    owner: Owner, by_hand: str
) -> None:
    owner.declare(by_hand)
    made = owner.pulumi("stack", "init")
    assert made.status == 0, made.text
    done = owner.pulumi("up", "--yes", "--skip-preview", *TARGETS)
    assert done.status == 0, done.text
    again = {urn.rpartition("::")[2]: op for urn, (op, _) in owner.planned(*TARGETS).items()}
    settled = ("a-host", "b-host", "tor-config")
    assert {name: again.get(name) for name in settled} == dict.fromkeys(settled, "same")
    for name, version in (("a", "12"), ("b", "13")):
        told = ssh.run(owner.hosts[name], ". /etc/os-release; echo $VERSION_ID").stdout
        assert told == f"{version}\n"
        assert ssh.run(owner.hosts[name], "cat /sys/class/net/fab0/mtu").stdout == "9000\n"
    ping = f"ping -c 1 -W 2 -M do -s 8972 {FABRIC['b']}"
    assert ssh.run(owner.hosts["a"], ping).returncode == 0


def test_the_discovered_stack_previews_without_change_against_the_one_by_hand(
    owner: Owner, by_hand: str
) -> None:
    """Now LLDP tells the ports and the cards tell their speed and subnet: no option does."""
    found = owner.folder / "converged.yaml"
    done = owner.discover(found)
    assert done.status == 0, done.text
    assert site(found.read_text()) == site(by_hand)
    planned = owner.planned()

    owner.declare(found.read_text())
    unchanged = owner.pulumi("preview", "--expect-no-changes", *TARGETS)
    assert unchanged.status == 0, unchanged.text
    assert owner.planned() == planned
    kinds = {urn.split("::")[-2].rpartition(":")[2] for urn in planned}
    assert {"Container", "ModelWeights", "OciImage", "ServeApplication"} <= kinds


def test_another_mtu_would_have_been_seen(owner: Owner) -> None:
    found = owner.folder / "other.yaml"
    done = owner.discover(found, "--mtu", "4200")
    assert done.status == 0, done.text
    owner.declare(found.read_text())
    changed = owner.pulumi("preview", "--expect-no-changes", *TARGETS)
    assert changed.status != 0
    assert all(name in changed.text for name in ("a-host", "b-host", "tor-config"))
