"""A change of the network that goes back by itself unless the host is reached again after it.

`write_file(…, keep_former=True)` keeps what a file was; `arm` starts a timer on the host that puts
files, addresses and MTU back; `disarm` ends it. Both are commands over the one connection: if the
change has cut that off, `disarm` never comes.
"""

import posixpath
import shlex
from collections.abc import Mapping, Sequence

from pyinfra_deploys.operations.facts import LinkState
from pyinfra_deploys.operations.holders import NETWORK_MANAGER, is_network_managers
from pyinfra_deploys.operations.script import Script

SECONDS = 60
UNIT = "rackform-way-back"
FORMER = "/run/rackform/former"
_SCRIPT = "/run/rackform/way-back.sh"


def keep(path: str) -> str:
    """Return shell that keeps a file as it is, or that it isn't there; the oldest wins."""
    kept = posixpath.join(FORMER, posixpath.basename(path))
    at, former, absent = (shlex.quote(each) for each in (path, kept, f"{kept}.absent"))
    return (
        f"mkdir -p {FORMER} && if [ ! -e {former} ] && [ ! -e {absent} ]; then"
        f" if [ -e {at} ]; then cp -a {at} {former}; else : > {absent}; fi; fi"
    )


def _restore(path: str) -> str:
    kept = posixpath.join(FORMER, posixpath.basename(path))
    at, former, absent = (shlex.quote(each) for each in (path, kept, f"{kept}.absent"))
    return (
        f"if [ -e {former} ]; then cp -a {former} {at}; elif [ -e {absent} ]; then rm -f {at}; fi"
    )


def arm(former: Mapping[str, LinkState], files: Sequence[str]) -> Script:
    """Return what puts these interfaces back after `SECONDS` unless `disarm` comes before."""
    names = {interface: shlex.quote(interface) for interface in former}
    reload = [f"systemctl reload {NETWORK_MANAGER}"]
    lines = [
        *(_restore(path) for path in files),
        *(reload if any(map(is_network_managers, files)) else []),
        "systemctl start systemd-networkd",
        "networkctl reload",
        *(f"networkctl reconfigure {name}" for name in names.values()),
        "sleep 2",
    ]
    for interface, name in names.items():
        link = former[interface]
        if link.mtu_bytes:
            lines.append(f"ip link set dev {name} mtu {link.mtu_bytes}")
        lines += [f"ip addr replace {shlex.quote(each)} dev {name}" for each in link.addresses]
    lines += [f"rm -rf {FORMER}", "logger -t rackform 'the network went back to what it was'"]
    content = shlex.quote("\n".join(lines) + "\n")
    return Script(
        f"go back to the present network in {SECONDS} s unless the host is reached again",
        f"mkdir -p /run/rackform && printf %s {content} > {_SCRIPT} &&",
        f"{{ systemctl stop {UNIT}.timer {UNIT}.service 2>/dev/null || true; }} &&",
        f"systemd-run -q --unit={UNIT} --on-active={SECONDS} --timer-property=AccuracySec=1s",
        f"sh {_SCRIPT}",
    )


def disarm() -> Script:
    return Script(
        "the host is reached again: keep the new network",
        f"systemctl stop {UNIT}.timer && rm -rf {FORMER}",
    )
