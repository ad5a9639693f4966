"""A host that was rebooted is compared with what it was declared to be, until it is."""

import json
import time
from collections.abc import Callable, Iterator

from remote import boot, ssh
from remote.connection import Connection
from remote.errors import RackformError
from stack.steps import Return

SETTLE_S = 300
"""Docker starts its containers one by one, and a driver takes its time with eight GPUs."""
POLL_S = 3.0

LOOK = """\
root=; [ "$(id -u)" = 0 ] || root='sudo -n'
sed -n 's/.*Module.* \\([0-9]\\{3\\}\\.[0-9.]*\\) .*/module \\1/p' \\
  /proc/driver/nvidia/version 2>/dev/null
nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | sed 's/^/gpu /'
systemctl is-active -q nvidia-fabricmanager.service 2>/dev/null && echo fabric-manager
$root docker ps --format 'container {{.Names}}' 2>/dev/null
printf 'link '; ip -j -4 addr show 2>/dev/null | tr -d '\\n'; echo
"""


def wait(order: Return, progress: Callable[[str], None]) -> str:
    """Return in a sentence what the node runs, once it is back and as declared.

    Raises:
        RackformError: it did not come back, or it came back as something else.

    """
    node = order.node
    if not order.ends_boot:
        return f"{node.name} needed no reboot"
    now = boot.wait_for_another(node, order.ends_boot, progress)
    deadline = time.monotonic() + SETTLE_S
    said = ""
    while wrong := list(differences(order, _look(node))):
        if time.monotonic() > deadline:
            raise RackformError(
                f"{node.name} was rebooted, but {'; '.join(wrong)}: mend that there, then run up "
                "again"
            )
        if wrong[0] != said:
            progress(f"{node.name} is back, but {wrong[0]}")
            said = wrong[0]
        time.sleep(POLL_S)
    return f"{node.name} runs driver {order.driver_version} since boot {now}"


def differences(order: Return, seen: list[str]) -> Iterator[str]:
    """Yield what is not as declared in what a host told; in words that name the remedy."""
    told = [line.partition(" ")[::2] for line in seen]

    def named(kind: str) -> list[str]:
        return [rest.strip() for word, rest in told if word == kind]

    module = next(iter(named("module")), "no driver")
    gpus = named("gpu")
    if module != order.driver_version:
        yield (
            f"{module} is loaded where {order.driver_version} is declared (see 'dkms status' and "
            "'journalctl -k -b')"
        )
    elif set(gpus) != {order.driver_version} or len(gpus) < order.gpus:
        versions = ", ".join(sorted(set(gpus))) or "nothing"
        yield (
            f"nvidia-smi shows {len(gpus)} GPUs by {versions} where {order.gpus} by "
            f"{order.driver_version} are declared"
        )
    if order.fabric_manager and not named("fabric-manager"):
        yield "Fabric Manager does not run (see 'journalctl -u nvidia-fabricmanager')"
    links = {order.interface: order.fabric_address, **order.rails}
    for interface, address in links.items():
        yield from _link(order, interface, address, next(iter(named("link")), ""))
    if gone := [name for name in order.containers if name not in named("container")]:
        yield f"{', '.join(gone)} ran before and {'does' if len(gone) == 1 else 'do'} not now"


def _link(order: Return, interface: str, address: str, told: str) -> Iterator[str]:
    links = {each.get("ifname"): each for each in json.loads(told or "[]")}
    link = links.get(interface)
    if link is None:
        yield f"{interface} has no address (see 'networkctl status {interface}')"
        return
    addresses = {each.get("local") for each in link.get("addr_info", [])}
    if address not in addresses:
        yield f"{interface} has not the address {address}"
    elif link.get("mtu") != order.mtu_bytes or link.get("operstate") == "DOWN":
        yield (
            f"{interface} is {link.get('operstate')} with an MTU of {link.get('mtu')} where "
            f"{order.mtu_bytes} is declared"
        )


def _look(node: Connection) -> list[str]:
    try:
        return ssh.run(node, LOOK, timeout_s=90, check=False).stdout.splitlines()
    except RackformError:
        ssh.forget(node)
        return []
