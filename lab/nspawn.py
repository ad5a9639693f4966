"""The command line with which a host of the twin boots, and the links' behaviour with its power."""

import resource
from collections.abc import Iterable
from pathlib import Path

from lab.network import FRESH_MTU_BYTES, MANAGEMENT, namespace
from lab.shell import ENVIRONMENT

CAPABILITIES = Path("/proc/self/status")

NEVER = {"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_MODULE"}
"""Not for a twin: limits above this machine's own, its clock, its kernel's modules."""

ORDER = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]  # include/uapi/linux/capability.h, by number

# API_VFS_WRITABLE=network: /proc/sys/net can be written, and /sys can't, so that networkd waits for
# no udev. UNIFIED_HIERARCHY=1: the guest has cgroup v2 on any machine.
NSPAWN_ENVIRONMENT = {
    **ENVIRONMENT,
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
}


def missing_capabilities(bounding: int) -> list[str]:
    """Return the capabilities that a bounding set (as a bit mask) lacks."""
    return [f"CAP_{name}" for bit, name in enumerate(ORDER) if not bounding >> bit & 1]


def bounding_set() -> int:
    for line in CAPABILITIES.read_text(encoding="ascii").splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def open_files_limit() -> int:
    """Return how many files a process of this machine may open at most."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def bind(source: Path, target: str) -> str:
    """Return a bind mount option; nspawn separates with colons, so they are escaped."""
    escaped = str(source).replace("\\", "\\\\").replace(":", "\\:")
    return f"--bind={escaped}:{target}"


def argv(name: str, folder: Path, missing: Iterable[str]) -> list[str]:
    """Return the command that boots the host whose things are in `folder`.

    Args:
        name: the host's name in the site.
        folder: holds root/ (the mounted overlay), docker/ and containerd/.
        missing: capabilities that this machine itself has not.

    """
    dropped = sorted(NEVER | set(missing))
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={folder / 'root'}",
        f"--machine={namespace(name)}",
        f"--hostname={name}",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--console=pipe",
        "--settings=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--capability=all",
        f"--drop-capability={','.join(dropped)}",
        # Docker Engine: overlay mounts, keyrings for its containers, BPF for their devices.
        "--system-call-filter=@known keyctl add_key request_key bpf",
        bind(folder / "docker", "/var/lib/docker"),
        bind(folder / "containerd", "/var/lib/containerd"),
    ]


def power_on_commands() -> list[list[str]]:
    """Return what happens to the links, inside the namespace, when the host gets power."""
    return [["ip", "link", "set", MANAGEMENT, "up"]]


def power_off_commands(interfaces: Iterable[str]) -> list[list[str]]:
    """Return what happens to the links when the host loses power or reboots.

    The kernel would keep answering for a dead host's addresses otherwise.
    """
    return [
        ["ip", "link", "set", MANAGEMENT, "down"],
        *(
            command
            for name in interfaces
            for command in (
                ["ip", "addr", "flush", "dev", name],
                ["ip", "link", "set", name, "down", "mtu", str(FRESH_MTU_BYTES)],
            )
        ),
    ]
