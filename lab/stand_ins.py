"""Packages with NVIDIA's names and no driver in them: what a twin installs to rehearse a change.

Their versions, apt, dpkg, holds and the reboot are real. The stand-in driver is loaded at boot
alone, as a driver is that was installed on a host whose old one was in use: a unit then writes what
NVIDIA's module shows in /proc. `nvidia-smi` and Fabric Manager refuse to work while the loaded
version is another than their own, in NVIDIA's words.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import deb, guest
from lab.spec import StandInDriver

FILES = Path(__file__).resolve().parent / "files" / "stand-in-driver"
REPOSITORY = "srv/rackform-stand-ins"
SOURCE = "etc/apt/sources.list.d/rackform-stand-ins.list"
OWN_VERSION = "usr/lib/rackform-stand-in"
FABRIC_MANAGER = "nvidia-fabricmanager"

DRIVER_FILES: dict[str, deb.File | deb.Link] = {
    "usr/bin/nvidia-smi": deb.File((FILES / "nvidia-smi").read_bytes(), 0o755),
    "usr/sbin/stand-in-load": deb.File((FILES / "stand-in-load").read_bytes(), 0o755),
    "usr/lib/systemd/system/stand-in-driver.service": deb.File(
        (FILES / "stand-in-driver.service").read_bytes()
    ),
    "usr/lib/systemd/system/sysinit.target.wants/stand-in-driver.service": deb.Link(
        "../stand-in-driver.service"
    ),
}
MANAGER_FILES: dict[str, deb.File | deb.Link] = {
    "usr/bin/nv-fabricmanager": deb.File((FILES / "nv-fabricmanager").read_bytes(), 0o755),
    "usr/lib/systemd/system/nvidia-fabricmanager.service": deb.File(
        (FILES / "nvidia-fabricmanager.service").read_bytes()
    ),
}


def lay(root: Path, drivers: Sequence[StandInDriver]) -> None:
    """Make `root`'s repository of stand-ins one of these; without any, remove it.

    The host may run: apt reads the repository when it is asked to.
    """
    folder = root / REPOSITORY
    if not drivers:
        shutil.rmtree(folder, ignore_errors=True)
        (root / SOURCE).unlink(missing_ok=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    index, kept = "", {"Packages"}
    for control, files in (each for driver in drivers for each in _packages(driver)):
        content = deb.package(control, files)
        name = f"{control['Package']}_{control['Version'].replace(':', '_')}_all.deb"
        (folder / name).write_bytes(content)
        found = {
            "Filename": f"./{name}",
            "Size": str(len(content)),
            "SHA256": hashlib.sha256(content).hexdigest(),
        }
        index += deb.paragraph({**control, **found}) + "\n"
        kept.add(name)
    guest.write(root, f"{REPOSITORY}/Packages", index)
    guest.write(root, SOURCE, f"deb [trusted=yes] file:/{REPOSITORY} ./\n")
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()


def _packages(
    driver: StandInDriver,
) -> Iterator[tuple[dict[str, str], dict[str, deb.File | deb.Link]]]:
    """Yield each package's control fields and files; one of them has the driver."""
    carrier = carries(driver)
    number = deb.File(f"{driver.driver_version}\n".encode())
    for name, version in sorted(driver.packages.items()):
        control = {
            "Package": name,
            "Version": version,
            "Architecture": "all",
            "Maintainer": "Rackform",
            "Description": f"stand-in of {name} for a twin, without what its name promises",
        }
        if name == carrier:
            alone = {"Provides": "rackform-stand-in-driver"}
            files = {**DRIVER_FILES, f"{OWN_VERSION}/driver": number}
        elif name.startswith(FABRIC_MANAGER):
            alone = {"Provides": "rackform-stand-in-fabric-manager"}
            files = {**MANAGER_FILES, f"{OWN_VERSION}/fabric-manager": number}
        else:
            alone, files = {}, {f"{OWN_VERSION}/{name}": number}
        if alone:  # of another branch under another name, there may be one at a time
            alone |= {"Conflicts": alone["Provides"], "Replaces": alone["Provides"]}
        yield {**control, **alone}, files


def carries(driver: StandInDriver) -> str:
    """Return the package that has the driver: the first by name of the driver's own version."""
    names = sorted(name for name in driver.packages if not name.startswith(FABRIC_MANAGER))
    own = [name for name in names if driver.driver_version in driver.packages[name]]
    return next(iter(own or names))
