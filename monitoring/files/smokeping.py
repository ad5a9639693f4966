"""Runs smokeping_prober, whose large pings fill the fabric's MTU as the host itself declares it.

A program of its own, with the standard library alone: `python3 smokeping.py settings.json`. The MTU
is no part of the container, so that another MTU changes hosts and switches, and no container.
"""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

_HEADERS_BYTES = 28
"""Of IPv4 and ICMP: a ping's size counts without them."""
_POLL_S = 3.0


def declared(metrics: str) -> int:
    """Return the MTU that the host's deploy left among the host's metrics, in bytes."""
    found = re.search(r"^rackform_fabric_mtu_bytes\{[^}]*\} (\d+)$", metrics, re.MULTILINE)
    if not found:
        raise ValueError("the host declares no MTU of the fabric: run 'up', which writes it")
    return int(found[1])


def config(groups: list[dict[str, Any]], mtu: int) -> str:
    """Return the prober's configuration; a group without a size gets what fills the MTU."""
    sized = [{"size": mtu - _HEADERS_BYTES, **group} for group in groups]
    return json.dumps({"targets": sized})  # JSON is YAML


def main(settings_file: str) -> int:
    """Run the prober, and again whenever another MTU is declared; return its exit status."""
    settings = json.loads(Path(settings_file).read_text(encoding="utf-8"))
    metrics, file = Path(settings["metrics"]), Path(settings["config"])
    child: subprocess.Popen[bytes] | None = None

    def end(_signal: int, _frame: FrameType | None) -> None:
        if child is not None:
            child.terminate()
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        text = metrics.read_text(encoding="utf-8")
        file.write_text(config(settings["groups"], declared(text)), encoding="utf-8")
        child = subprocess.Popen(settings["command"])
        while child.poll() is None and metrics.read_text(encoding="utf-8") == text:
            time.sleep(_POLL_S)
        if child.poll() is not None:
            return child.returncode
        child.terminate()
        child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
