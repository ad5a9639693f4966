"""Asks each model for real tokens again and again, and tells how that went.

A program of its own, with the standard library alone: `python3 token_probe.py settings.json`. A
health check that says 200 proves a process, not an engine. After a failure it asks again soon, so
that an outage is known to be one within two tries.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_AGAIN_S = 5
_TOKENS = 4
_ERRORS = ("refused", "timeout", "http", "empty", "broken")
_HELP = {
    "token_probe_success": "1: the last try brought tokens.",
    "token_probe_failures_in_a_row": "Tries since the last that brought tokens.",
    "token_probe_health": "1: the health check says 200.",
    "token_probe_seconds_to_first_token": "Of the last try that brought tokens.",
    "token_probe_seconds_per_token": "After the first token, of the same try.",
    "token_probe_last_error": "1: how the last try failed; all 0 when it did not.",
    "token_probe_tries_total": "Tries so far.",
}


class NoTokensError(Exception):
    """A try brought no tokens; its text is one of _ERRORS."""


def ask(api: str, model: str, timeout_s: float) -> tuple[float, float]:
    """Stream a tiny completion; return seconds to the first token, and for each after it."""
    body = {
        "model": model, "messages": [{"role": "user", "content": "Count: 1 2 3"}],
        "max_tokens": _TOKENS, "temperature": 0, "stream": True,
    }  # fmt: skip
    request = urllib.request.Request(  # noqa: S310 - the settings' own address
        f"{api}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    began = time.monotonic()
    try:
        times = _token_times(request, began + timeout_s)
    except urllib.error.HTTPError:
        raise NoTokensError("http") from None
    except TimeoutError:
        raise NoTokensError("timeout") from None
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        raise NoTokensError("timeout" if late else "refused") from None
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError):
        raise NoTokensError("broken") from None
    if not times:
        raise NoTokensError("empty")
    return times[0] - began, (times[-1] - times[0]) / max(1, len(times) - 1)


def _token_times(request: urllib.request.Request, until: float) -> list[float]:
    times = []
    with urllib.request.urlopen(request, timeout=until - time.monotonic()) as answer:  # noqa: S310
        for line in answer:
            if _has_text(line):
                times.append(time.monotonic())
            if time.monotonic() > until:
                raise TimeoutError
    return times


def _has_text(line: bytes) -> bool:
    data = line.removeprefix(b"data:").strip()
    if not line.startswith(b"data:") or data == b"[DONE]":
        return False
    choices = json.loads(data)["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


def healthy(api: str, timeout_s: float) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/-/healthz", timeout=timeout_s) as answer:  # noqa: S310
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (OSError, HTTPException, ValueError):
        return False


@dataclass
class Probe:
    """One model, asked in a thread of its own."""

    api: str
    model: str
    timeout_s: float
    _samples: dict[tuple[str, str], float] = field(default_factory=dict)
    """(metric, further labels) → value"""
    _failures: int = 0
    _tries: int = 0

    def once(self) -> bool:
        """Try once and note what came of it."""
        failed = ""
        samples = dict(self._samples)
        try:
            first, each = ask(self.api, self.model, self.timeout_s)
            samples["token_probe_seconds_to_first_token", ""] = first
            samples["token_probe_seconds_per_token", ""] = each
        except NoTokensError as error:
            failed = str(error)
        self._failures = self._failures + 1 if failed else 0
        self._tries += 1
        for kind in _ERRORS:
            samples["token_probe_last_error", f',error="{kind}"'] = kind == failed
        samples["token_probe_health", ""] = healthy(self.api, self.timeout_s)
        samples["token_probe_success", ""] = not failed
        samples["token_probe_failures_in_a_row", ""] = self._failures
        samples["token_probe_tries_total", ""] = self._tries
        self._samples = samples  # at once: a scrape sees all of a try or nothing of it
        return not failed

    def samples(self) -> dict[tuple[str, str], float]:
        """Return (metric, labels) → value."""
        return {
            (name, f'model="{self.model}"{more}'): value
            for (name, more), value in self._samples.items()
        }

    def forever(self, interval_s: float) -> None:
        while True:
            succeeded = self.once()
            time.sleep(interval_s if succeeded else _AGAIN_S)


def exposition(probes: list[Probe]) -> str:
    samples = [sample for probe in probes for sample in probe.samples().items()]
    lines = []
    for name, text in _HELP.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{n}{{{labels}}} {float(v)}" for (n, labels), v in samples if n == name]
    return "\n".join(lines) + "\n"


def main() -> None:
    settings: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    probes = [Probe(settings["api"], model, settings["timeout_s"]) for model in settings["models"]]
    for probe in probes:
        asking = threading.Thread(target=probe.forever, args=[settings["interval_s"]], daemon=True)
        asking.start()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition(probes).encode()
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
