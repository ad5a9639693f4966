"""Start Open WebUI inside its container, with its secrets from files and not from its environment.

open_webui_start.py serve HOST PORT: serves; every file under /run/secrets is a variable.
open_webui_start.py ready HOST PORT: exits 0 once it answers from its database.
"""

import http.client
import importlib
import os
import sys
from pathlib import Path

SECRETS = Path("/run/secrets")
READY = "/ready"
TIMEOUT_S = 5


def take_secrets(folder: Path) -> None:
    """Put the secrets where Open WebUI reads them: its own memory, which `docker inspect` lacks."""
    for file in sorted(folder.iterdir()):
        os.environ[file.name] = file.read_text(encoding="utf-8").strip()


def serve(host: str, port: str) -> None:
    take_secrets(SECRETS)
    importlib.import_module("open_webui").app(["serve", "--host", host, "--port", port])


def ready(host: str, port: str) -> bool:
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", READY)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False


def main(arguments: list[str]) -> None:
    action, host, port = arguments
    if action == "ready":
        sys.exit(0 if ready(host, port) else 1)
    serve(host, port)


if __name__ == "__main__":
    main(sys.argv[1:])
