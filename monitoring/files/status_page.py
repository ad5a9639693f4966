"""Shows people which part of the appliance works and which does not, and why, as one static page.

Asks Prometheus every few seconds and answers everybody from what it noted then, so that no number
of visitors loads Prometheus. Standard library only: it runs in the image of the exporters.
"""

import base64
import hashlib
import html
import json
import logging
import math
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

REFRESH_S = 10
STALE_S = 60
"""Age from which on a page tells that nothing new comes."""
_ANSWER_S = 5
_LONGEST = 4_000_000
_REASONS = 8
"""Reasons of one subsystem that are shown; the others are counted."""

_log = logging.getLogger("status-page")
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class UnreachableError(Exception):
    """Prometheus gave no answer; the text says why."""


class Series(NamedTuple):
    labels: dict[str, str]
    value: float


@dataclass
class Subsystem:
    """What is known of one part: `works` is None where nothing is known."""

    name: str
    works: bool | None
    reasons: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)


@dataclass
class State:
    site: str
    as_of: str
    works: bool | None
    said: str
    subsystems: list[Subsystem]


def ask(prometheus: str, path: str, **arguments: str) -> Any:
    """Return `data` of an answer of Prometheus' API.

    Raises:
        UnreachableError: it did not answer, or not as Prometheus does.

    """
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
    try:
        with _direct.open(url, timeout=_ANSWER_S) as answer:
            document = json.loads(answer.read(_LONGEST))
        if document["status"] == "success":
            return document["data"]
        said = str(document.get("error"))
    except urllib.error.HTTPError as error:
        said = f"it answers {error.code}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = str(getattr(error, "reason", None) or error or type(error).__name__)
    raise UnreachableError(said)


def series(prometheus: str, expression: str) -> list[Series]:
    found = ask(prometheus, "query", query=expression)
    try:
        read = [Series(dict(each["metric"]), float(each["value"][1])) for each in found["result"]]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnreachableError(f"its answer can't be read: {error}") from None
    return [each for each in read if not math.isnan(each.value)]


def judge(prometheus: str, asked: dict[str, Any]) -> Subsystem:
    """Look at one subsystem: any fault is a reason, and so is a part of which nothing is known."""
    present = series(prometheus, asked["present"]["expr"])
    label = asked["present"]["label"]
    known = {each.labels.get(label, "") for each in present}
    reasons = [f"{name}: {asked['silent']}" for name in asked["expected"] if name not in known]
    if not asked["expected"] and not known:
        reasons.append(asked["silent"])
    for fault in asked["faults"]:
        found = series(prometheus, fault["expr"])
        reasons += [words(fault, each) for each in sorted(found, key=lambda each: str(each.labels))]
    facts = [
        words(fact, each) for fact in asked["facts"] for each in series(prometheus, fact["expr"])
    ]
    return Subsystem(asked["name"], not reasons, reasons, facts)


def alerts(prometheus: str, name: str) -> Subsystem:
    """Return what fires, by the sentences that the alerts themselves carry."""
    try:
        firing = [each for each in ask(prometheus, "alerts")["alerts"] if each["state"] == "firing"]
        reasons = sorted(
            {
                str(each["annotations"].get("summary") or each["labels"]["alertname"])
                for each in firing
                if each["labels"].get("severity") != "info"
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreachableError(f"its alerts can't be read: {error}") from None
    return Subsystem(name, not reasons, reasons, [] if reasons else ["no alert is firing"])


def words(template: dict[str, Any], found: Series) -> str:
    """Fill `{value}` and the names of labels into a sentence."""
    known = {**found.labels, "value": shown(found.value, template["unit"])}
    return re.sub(r"{(\w+)}", lambda name: known.get(name[1], name[0]), template["words"])


def shown(value: float, unit: str) -> str:
    """Return a number as people read it."""
    if unit == "percentunit":
        return f"{value * 100:.3g}\u00a0%"
    if unit == "s":
        return _time(value)
    ending = {"celsius": "°C", "watt": "W", "suffix: bytes": "bytes"}.get(unit)
    number = f"{value:.10g}" if value.is_integer() else f"{value:.3g}"
    return f"{number}\u00a0{ending}" if ending else number


def _time(seconds: float) -> str:
    long = [(86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")]
    short = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")]
    fitting = [step for step in long if abs(seconds) >= 2 * step[0]]
    fitting += [step for step in short if abs(seconds) >= step[0]]
    size, unit = fitting[0] if fitting else (1.0, "s")
    return f"{seconds / size:.3g}\u00a0{unit}"


def look(config: dict[str, Any]) -> State:
    """Ask for everything once."""
    prometheus, now = config["prometheus"], datetime.now(UTC).isoformat(timespec="seconds")
    try:
        found = [judge(prometheus, asked) for asked in config["subsystems"]]
        found.append(alerts(prometheus, config["alerts"]))
    except UnreachableError as error:
        said = f"Prometheus can't be asked ({error}): nothing is known"
        names = [*(asked["name"] for asked in config["subsystems"]), config["alerts"]]
        return State(config["site"], now, None, said, [Subsystem(name, None) for name in names])
    bad = [each.name for each in found if not each.works]
    said = f"Needs attention: {', '.join(bad)}" if bad else "Everything works"
    return State(config["site"], now, not bad, said, found)


_MARKS = {
    True: ("good", "✓", "works"),
    False: ("bad", "✕", "needs attention"),
    None: ("unknown", "?", "not known"),
}


def page(state: State, style: str) -> str:
    """Return the page; every text in it is escaped."""
    colour, _, _ = _MARKS[state.works]
    title = html.escape(f"{state.site}: {state.said}")
    cards = "\n".join(
        _card(each) for each in sorted(state.subsystems, key=lambda each: each.works is True)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="{REFRESH_S}">
<title>{title}</title>
<style>{style}</style>
</head>
<body class="{colour}">
<header>
<p class="site">{html.escape(state.site)}</p>
<h1>{html.escape(state.said)}</h1>
<p class="as-of">as of <time datetime="{html.escape(state.as_of)}">{_clock(state.as_of)}</time></p>
</header>
<main>
{cards}
</main>
</body>
</html>
"""


def _clock(as_of: str) -> str:
    return html.escape(as_of.replace("T", " ").replace("+00:00", " UTC"))


def _card(subsystem: Subsystem) -> str:
    colour, mark, said = _MARKS[subsystem.works]
    reasons, more = subsystem.reasons[:_REASONS], len(subsystem.reasons) - _REASONS
    told = [f'<li class="reason">{html.escape(reason)}</li>' for reason in reasons]
    if more > 0:
        told.append(f'<li class="reason">and {more} more</li>')
    told += [f"<li>{html.escape(fact)}</li>" for fact in subsystem.facts[:_REASONS]]
    lines = f"\n<ul>{''.join(told)}</ul>" if told else ""
    return (
        f'<section class="{colour}">\n<h2><span class="mark" aria-hidden="true">{mark}</span>'
        f'{html.escape(subsystem.name)} <span class="said">{said}</span></h2>{lines}\n</section>'
    )


class Noted:
    """The last look, as the bytes that are served."""

    def __init__(self, config: dict[str, Any], style: str) -> None:
        self._config, self._style = config, style
        self._html = self._json = b""
        self._looked = 0.0
        self.look()

    def look(self) -> None:
        self._keep(look(self._config))
        self._looked = time.monotonic()

    def keep_looking(self) -> None:
        while True:
            time.sleep(REFRESH_S)
            self.look()

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Return content type and content of a path; None where there is nothing."""
        age = time.monotonic() - self._looked
        if age > STALE_S:
            said = f"Nothing was looked at for {age:.0f} s: nothing is known"
            self._keep(State(self._config["site"], "", None, said, []))
        paths = {
            "/": ("text/html; charset=utf-8", self._html),
            "/status": ("text/html; charset=utf-8", self._html),
            "/status.json": ("application/json", self._json),
            "/status/status.json": ("application/json", self._json),
        }
        return paths.get(urllib.parse.urlsplit(path).path.removesuffix("/") or "/")

    def _keep(self, state: State) -> None:
        self._html = page(state, self._style).encode()
        self._json = json.dumps(asdict(state), ensure_ascii=False).encode()


def policy(style: str) -> str:
    """Return the policy that lets a browser use this style, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"


def handler(noted: Noted, style: str) -> type[BaseHTTPRequestHandler]:
    allowed = policy(style)

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, timeout = "status-page", "", 10

        def do_GET(self) -> None:
            kind, content = noted.answer(self.path) or ("text/plain", b"there is no such page\n")
            found = HTTPStatus.NOT_FOUND if kind == "text/plain" else HTTPStatus.OK
            self.send_response(found)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", allowed)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 - as http.server names it

        def log_message(self, *_: object) -> None:
            """Visitors are not logged."""

    return Handler


def main(config_file: Path, style_file: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    config = json.loads(config_file.read_text(encoding="utf-8"))
    style = style_file.read_text(encoding="utf-8")
    noted = Noted(config, style)
    address, port = config["listen"]
    with ThreadingHTTPServer((address, port), handler(noted, style)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _log.info("listens on %s:%s", *server.server_address[:2])
        noted.keep_looking()  # were it to fail, the program ends and is started again


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
