"""NVIDIA's packages on a host of the twin: stand-ins of their names, apt and dpkg are real."""

import pytest
from pydantic import JsonValue

from pyinfra_deploys.client import HostWorker
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError

pytestmark = pytest.mark.root

Deploys = dict[str, dict[str, JsonValue]]
VERSIONS = ("570.86.15-1", "580.159.04-1")
LAY = """
set -eu
mkdir -p /etc/apt/off /srv/nvidia && cd /srv/nvidia
mv /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/off 2>/dev/null || true
echo 'deb [trusted=yes] file:/srv/nvidia ./' > /etc/apt/sources.list.d/stand-in.list
: > Packages
for version in {versions}; do
  tree=tree-$version; mkdir -p $tree/DEBIAN
  printf 'Package: nvidia-open\\nVersion: %s\\n' $version > $tree/DEBIAN/control
  printf 'Architecture: all\\nMaintainer: test\\nDescription: x\\n' >> $tree/DEBIAN/control
  dpkg-deb -b $tree nvidia-open_$version.deb >/dev/null
  cat $tree/DEBIAN/control >> Packages
  printf 'Filename: ./nvidia-open_%s.deb\\nSize: %s\\nSHA256: %s\\n\\n' $version \
    $(stat -c %s nvidia-open_$version.deb) $(sha256sum nvidia-open_$version.deb | cut -d' ' -f1) \
    >> Packages
done
"""


@pytest.fixture(scope="module")
def host(host: Connection) -> Connection:
    """Lay the stand-ins into the host."""
    ssh.run(host, LAY.format(versions=" ".join(VERSIONS)))
    return host


def driver(version: str, **more: JsonValue) -> dict[str, dict[str, JsonValue]]:
    number = version.partition("-")[0]
    return {
        "nvidia_driver": {
            "packages": {"nvidia-open": version},
            "driver_version": number,
            "cdi": False,
            **more,
        }
    }


def installed(host: Connection) -> tuple[str, str]:
    ask = "dpkg-query -W -f '${Version}' nvidia-open; echo; apt-mark showhold"
    version, _, held = ssh.run(host, ask).stdout.strip().partition("\n")
    return version, held


def names(
    host: Connection, worker: HostWorker, deploys: dict[str, dict[str, JsonValue]]
) -> list[str]:
    return [operation.name for operation in worker.plan(host, deploys)]


def test_the_driver_is_installed_held_upgraded_and_never_goes_back_unasked(
    host: Connection, worker: HostWorker
) -> None:
    old, new = VERSIONS
    assert "NVIDIA's packages" in names(host, worker, driver(old))
    worker.apply(host, driver(old))
    assert installed(host) == (old, "nvidia-open")
    due = worker.plan(host, driver(old))
    told = [line for operation in due for line in operation.commands]
    assert any("THIS HOST HAS TO BE REBOOTED: no driver is loaded" in line for line in told)
    assert "NVIDIA's packages" not in [operation.name for operation in due]

    worker.apply(host, driver(new))
    assert installed(host) == (new, "nvidia-open")

    with pytest.raises(RackformError, match="newer than declared: nvidia-open 580"):
        worker.apply(host, driver(old))
    assert installed(host) == (new, "nvidia-open")
    worker.apply(host, driver(old, allow_downgrade=True))
    assert installed(host) == (old, "nvidia-open")


def test_leftovers_of_a_run_file_are_refused_before_anything_changes(
    host: Connection, worker: HostWorker
) -> None:
    worker.apply(host, driver(VERSIONS[0], allow_downgrade=True))
    ssh.run(host, "touch /usr/bin/nvidia-uninstall")
    try:
        with pytest.raises(RackformError, match=r"came from a \.run file"):
            worker.apply(host, driver(VERSIONS[1]))
        assert installed(host) == (VERSIONS[0], "nvidia-open")
    finally:
        ssh.run(host, "rm /usr/bin/nvidia-uninstall")
