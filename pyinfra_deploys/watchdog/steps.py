"""The operations of `watchdog`."""

import json
from pathlib import Path

from pyinfra.api.deploy import deploy

from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.files import write_file
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.service import run_service, stop_service
from pyinfra_deploys.templating import render
from pyinfra_deploys.watchdog.settings import WatchdogSettings
from remote.host_folders import DATA, METRICS

UNIT = "rackform-watchdog.service"
PROGRAM = "/etc/rackform/watchdog.py"
SETTINGS = "/etc/rackform/watchdog.json"
_STATE = f"{DATA}/watchdog"
_HERE = Path(__file__).resolve().parent


@deploy("watchdog")
def watchdog(settings: WatchdogSettings) -> None:
    if settings.part is None:
        stop_service(name="No watchdog", unit=UNIT)
        return
    install_packages(name="Python", packages=["python3"])
    told = {
        **settings.part.model_dump(mode="json"),
        "container": settings.container,
        "metrics_file": f"{METRICS}/watchdog.prom",
        "armed_file": f"{_STATE}/armed",
        "done_file": f"{_STATE}/done",
    }
    files = [
        write_file(
            name="Watchdog's program",
            path=PROGRAM,
            content=(_HERE / "files" / "watchdog.py").read_text(encoding="utf-8"),
        ),
        write_file(
            name="Watchdog's settings", path=SETTINGS, content=json.dumps(told, indent=1) + "\n"
        ),
        write_file(
            name="Watchdog's unit",
            path=f"/etc/systemd/system/{UNIT}",
            content=render(
                "watchdog", f"{UNIT}.j2", settings,
                program=PROGRAM, settings_file=SETTINGS, metrics=METRICS,
            ),
        ),
    ]  # fmt: skip
    run_service(name="Watchdog", unit=UNIT, restart_if=changed(*files))
