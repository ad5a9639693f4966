"""Stands in for the DCGM exporter where there is no GPU: its names and labels, made-up values.

A program of its own, with the standard library alone: `python3 gpu_simulator.py settings.json`.
Every line says that it is simulated. A file gpu<index>.json in the folder, such as
{"DCGM_FI_DEV_GPU_TEMP": 91}, sets values of one card until it is removed.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import gethostname
from typing import Any

_ENERGY, _POWER = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_POWER_USAGE"


class Simulator:
    """The cards of one node."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._fields: list[tuple[str, str, str, float]] = settings["fields"]
        self._gpus: int = settings["gpus"]
        self._folder = Path(settings["folder"])
        self._began = time.monotonic()

    def exposition(self) -> str:
        cards = [self._card(index) for index in range(self._gpus)]
        lines = []
        for name, kind, text, _ in self._fields:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{{{_labels(i)}}} {card[name]}" for i, card in enumerate(cards)]
        return "\n".join(lines) + "\n"

    def _card(self, index: int) -> dict[str, float]:
        values = {name: value for name, _, _, value in self._fields}
        values |= self._set_by_hand(index)
        elapsed_s = time.monotonic() - self._began
        values[_ENERGY] = round(values[_POWER] * elapsed_s * 1000)
        return values

    def _set_by_hand(self, index: int) -> dict[str, float]:
        try:
            found = json.loads((self._folder / f"gpu{index}.json").read_text(encoding="utf-8"))
            return {str(name): float(value) for name, value in found.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError, OSError) as error:
            print(f"gpu{index}.json is passed over: {error}", file=sys.stderr)  # noqa: T201 - the log
            return {}


def _labels(index: int) -> str:
    labels = {
        "gpu": str(index),
        "UUID": f"GPU-SIM-{gethostname()}-{index}",
        "pci_bus_id": f"00000000:{index + 1:02X}:00.0",
        "device": f"nvidia{index}",
        "modelName": "SIMULATED",
        "Hostname": gethostname(),
        "DCGM_FI_DRIVER_VERSION": "SIMULATED",
    }
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    simulator = Simulator(settings)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = simulator.exposition().encode() if self.path == "/metrics" else b"/metrics\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            """Keep quiet: it is asked every few seconds."""

    ThreadingHTTPServer((settings["address"], settings["port"]), Handler).serve_forever()


if __name__ == "__main__":
    main()
