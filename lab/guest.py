"""What makes a base image a host of the twin: put into the host's overlay, not into the image.

The image stays an ordinary host. Only what comes from running it under nspawn on a shared kernel is
here, and what a machine is given when it is installed: its name, its keys, who may log in.
"""

import hashlib
import json
import re
import shlex
from pathlib import Path

from lab.nspawn import open_files_limit
from lab.spec import NodeSpec

FILES = Path(__file__).resolve().parent / "files"
LIBRARY = "usr/local/lib/rackform-twin"
HOST_SYSCTLS = Path("/proc/sys/net/core")

MASKED = [
    "console-getty.service",
    "container-getty@.service",
    "getty.target",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-modules-load.service",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
]
"""Units for hardware, consoles and a way out that a host of the twin has not."""

DOCKER_FLAGS = [
    "--storage-driver=overlay2",
    "--iptables=false",
    "--ip6tables=false",
    "--bridge=none",
    "--ip-forward=false",
    "--ip-masq=false",
]
"""As flags, so that `docker_engine` writes the same daemon.json on any host: dockerd refuses a key
that stands in both places."""

SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 100
MaxSessions 100
"""


def write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Write a file of the guest, replacing a link rather than following it out of `root`."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    if not target.exists() or target.read_text(encoding="utf-8", errors="replace") != text:
        target.touch(mode=mode)
        target.chmod(mode)
        target.write_text(text, encoding="utf-8")
    target.chmod(mode)


def link(root: Path, path: str, target: str) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.exists():
        place.unlink()
    place.symlink_to(target)


def limits(open_files: int) -> str:
    """Return the drop-in for services that ask for more than a twin may give.

    Without CAP_SYS_RESOURCE nobody may raise a hard limit or lower an OOM score.
    """
    return f"[Service]\nLimitNOFILE={open_files}\nLimitNPROC=\nLimitCORE=\nOOMScoreAdjust=0\n"


def exec_start(unit: str) -> str | None:
    """Return what a unit file starts."""
    found = re.findall(r"^ExecStart=(\S.*)$", unit, re.MULTILINE)
    return found[-1] if found else None


def docker_drop_in(unit: str, debian: str = "") -> str | None:
    """Return the drop-in that adds the twin's flags to what the image's docker.service starts.

    Docker Engine of Debian 12 lowers its own OOM score unless it is told not to; later ones no
    longer do, and refuse the flag.
    """
    command = exec_start(unit)
    if command is None:
        return None
    flags = [*DOCKER_FLAGS, *(["--oom-score-adjust=0"] if debian.startswith("12") else [])]
    return f"[Service]\nExecStart=\nExecStart={command} {shlex.join(flags)}\n"


def machine_id(site: str, name: str, host_key: str) -> str:
    return hashlib.sha256(f"rackform twin {site} {name} {host_key}".encode()).hexdigest()[:32]


def prepare(root: Path, spec: NodeSpec, private_host_key: str, public_host_key: str) -> None:
    """Make the mounted overlay a host, before it boots; changes nothing when repeated."""
    write(root, "etc/hostname", f"{spec.name}\n")
    write(root, "etc/machine-id", machine_id(spec.site, spec.name, public_host_key) + "\n", 0o444)
    if not (root / "etc/hosts").exists():
        write(root, "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n::1 localhost\n")
    write(root, "etc/rackform/twin.json", json.dumps({"gpus": spec.gpus}) + "\n")
    _access(root, spec, private_host_key, public_host_key)
    _units(root)
    _docker(root)
    _sysctls(root)


def _access(root: Path, spec: NodeSpec, private_host_key: str, public_host_key: str) -> None:
    write(root, "etc/ssh/ssh_host_ed25519_key", private_host_key, 0o600)
    write(root, "etc/ssh/ssh_host_ed25519_key.pub", f"{public_host_key}\n")
    write(root, "etc/ssh/sshd_config.d/00-rackform-twin.conf", SSHD)
    authorize(root, spec.authorized_key)


def authorize(root: Path, authorized_key: str) -> None:
    """Let the controller's key in as root."""
    (root / "root/.ssh").mkdir(parents=True, exist_ok=True)
    (root / "root/.ssh").chmod(0o700)
    write(root, "root/.ssh/authorized_keys", f"{authorized_key.strip()}\n", 0o600)


def _units(root: Path) -> None:
    for unit in MASKED:
        link(root, f"etc/systemd/system/{unit}", "/dev/null")
    link(root, "etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
    wanted = "etc/systemd/system/multi-user.target.wants/ssh.service"
    if not (root / wanted).is_symlink():
        link(root, wanted, "/lib/systemd/system/ssh.service")


def _docker(root: Path) -> None:
    drop_in = limits(open_files_limit())
    for service in ("docker", "containerd"):
        write(root, f"etc/systemd/system/{service}.service.d/90-rackform-twin.conf", drop_in)
    version = root / "etc/debian_version"
    debian = version.read_text(encoding="ascii") if version.is_file() else ""
    for folder in ("etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system"):
        unit = root / folder / "docker.service"
        if unit.is_file() and (flags := docker_drop_in(unit.read_text(encoding="utf-8"), debian)):
            path = "etc/systemd/system/docker.service.d/91-rackform-twin-flags.conf"
            write(root, path, flags)
            break


def _sysctls(root: Path) -> None:
    write(root, f"{LIBRARY}/sysctls.sh", (FILES / "sysctls.sh").read_text(encoding="utf-8"), 0o755)
    unit = "rackform-twin-sysctls.service"
    write(root, f"etc/systemd/system/{unit}", (FILES / unit).read_text(encoding="utf-8"))
    link(root, f"etc/systemd/system/sysinit.target.wants/{unit}", f"/etc/systemd/system/{unit}")
    for key in sorted(HOST_SYSCTLS.iterdir()):
        try:
            value = key.read_text(encoding="ascii")
        except OSError:  # written only
            value = ""
        write(root, f"{LIBRARY}/net-core/{key.name}", value)
