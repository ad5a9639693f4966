"""Host state of four nodes by Rackform and by Ansible, side by side in one run.

From the top of the checkout, as root, with no twin up:

    eval "$(./rackform env)" && python -m bench.converge

Prints a Markdown table with the machine's description; progress goes to standard error.
"""

import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.contenders import Ansible, Contender, Pulumi, Worker
from bench.nodes import Host, Rack, declared, rack
from pyinfra_deploys.client import HostWorker
from remote.connection import Connection
from remote.errors import RackformError

REPEATS = 3
ROWS = ["first run", "nothing to do", "one setting changed (MTU)"]


def main() -> int:
    try:
        with tempfile.TemporaryDirectory(prefix="rackform-bench-") as folder, rack() as it:
            places = Path(folder)
            contenders: list[Contender] = [
                Pulumi(places / "pulumi"),
                Worker(),
                Ansible(places / "ansible"),
            ]
            seconds = {contender.name: measure(contender, it) for contender in contenders}
    except RackformError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    sys.stdout.write(f"{table(seconds)}\n")
    return 0


def measure(contender: Contender, it: Rack) -> dict[str, float]:
    """Return the seconds of each row; every contender begins with fresh nodes."""
    connections = it.fresh()
    wide, narrow = state(connections, 9000), state(connections, 4200)
    seconds = {ROWS[0]: contender.converge(wide)}
    agree(contender, wide)
    seconds[ROWS[1]] = statistics.median(contender.converge(wide) for _ in range(REPEATS))
    seconds[ROWS[2]] = contender.converge(narrow)
    agree(contender, narrow)
    sys.stderr.write(f"bench: {contender.name}: {seconds}\n")
    return seconds


def state(connections: Mapping[str, Connection], mtu_bytes: int) -> dict[str, Host]:
    return {
        name: Host(connection, declared(number, mtu_bytes))
        for number, (name, connection) in enumerate(sorted(connections.items()), start=1)
    }


def agree(contender: Contender, hosts: Mapping[str, Host]) -> None:
    """Raise unless the hosts are in the very state that every contender is to reach."""
    with HostWorker() as worker, ThreadPoolExecutor(len(hosts)) as pool:
        plans = pool.map(lambda h: worker.plan(h.connection, h.deploys), hosts.values())
        left = [f"{o.deploy}: {o.name}" for plan in plans for o in plan]
    if left:
        raise RackformError(f"{contender.name} left undone: {', '.join(left)}")


def table(seconds: Mapping[str, Mapping[str, float]]) -> str:
    """Return the results as Markdown, with what they were measured on."""
    names = list(seconds)
    lines = [
        f"Four nodes, seconds (nothing to do: median of {REPEATS}). {machine()}",
        "",
        f"| | {' | '.join(names)} | Ansible ÷ {names[0]} |",
        f"|---|{'---:|' * (len(names) + 1)}",
    ]
    for row in ROWS:
        values = [seconds[name][row] for name in names]
        times = " | ".join(f"{value:.1f}" for value in values)
        lines.append(f"| {row} | {times} | {values[-1] / values[0]:.1f} |")
    return "\n".join(lines)


def machine() -> str:
    """Return processor, cores, memory, kernel and how busy the machine is."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.split(":")[1].strip() for line in info if line.startswith("model name")), "?"
    )
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[2]
    return (
        f"{model}, {os.cpu_count()} cores, {gib:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}; load over the last 15 minutes {load:.1f}."
    )


if __name__ == "__main__":
    sys.exit(main())
