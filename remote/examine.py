"""What has to hold on a host before anything is changed there: one question, judged in sentences.

Pure but for `ask`: pyinfra's own connection and OpenSSH's put the same question.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from remote import ssh
from remote.connection import Connection

CLOCK_LIMIT_S = 60.0
"""TLS certificates and tokens are valid from the second of their making, by the maker's clock."""

SCRIPT = r"""
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin
echo "clock $(date +%s.%N)"
{
echo "machine $(cat /etc/machine-id)"
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
echo "root $(awk '$2 == "/" { now = $4 } END { print now }' /proc/mounts)"
} 2>/dev/null
if [ "$(id -u)" = 0 ]; then said=yes; else said=$(sudo -n true 2>&1) && said=yes; fi
echo "sudo $said" | tr '\n' ' '
exit 0
"""


@dataclass(frozen=True)
class Examined:
    """What a host told; empty or None where it told nothing.

    Attributes:
        machine_id: /etc/machine-id: a clone's is its original's until it is made anew.
        boot_id: of this very boot, by the kernel; two hosts never share it.
        root_options: how `/` is mounted: `rw,relatime`.
        sudo: `yes`, or what sudo said instead.
        clock_off_s: how far its clock is ahead of this machine's.
        uncertain_s: how much of that the question's own time may be.

    """

    machine_id: str = ""
    boot_id: str = ""
    root_options: str = ""
    sudo: str = "yes"
    clock_off_s: float | None = None
    uncertain_s: float = 0.0

    @property
    def identity(self) -> str:
        """What no other running machine has; empty where it isn't known."""
        return f"{self.machine_id} {self.boot_id}" if self.machine_id and self.boot_id else ""


def ask(connection: Connection) -> Examined:
    """Return what a host tells by OpenSSH.

    Raises:
        Unreachable: no connection, another host key, or a refused login.

    """
    ssh.run(connection, ["true"])  # the connection's own time is no part of the answer's
    before = time.time()
    done = ssh.run(connection, SCRIPT, check=False)
    return read(done.stdout, before, time.time())


def read(text: str, before: float, after: float) -> Examined:
    """Return what a host answered to SCRIPT between two moments of this machine's clock."""
    pairs = (line.partition(" ") for line in text.splitlines())
    told = {key: value.strip() for key, _, value in pairs}
    try:
        off = float(told.get("clock", "")) - (before + after) / 2
    except ValueError:
        off = None
    return Examined(
        machine_id=told.get("machine", ""),
        boot_id=told.get("boot", ""),
        root_options=told.get("root", ""),
        sudo=told.get("sudo", "yes"),
        clock_off_s=off,
        uncertain_s=(after - before) / 2,
    )


def refusals(connection: Connection, found: Examined, *, clock: bool = True) -> Iterator[str]:
    """Yield why nothing may be changed on a host; `clock`: its time matters for that."""
    if found.sudo != "yes":
        yield f"{connection.name}: {sudo_refused(connection.user, found.sudo)}"
    if is_read_only(found.root_options):
        yield f"{connection.name}: {READ_ONLY}"
    off = found.clock_off_s
    if clock and off is not None and abs(off) - found.uncertain_s >= CLOCK_LIMIT_S:
        yield f"{connection.name}: {clock_off(off)}"


READ_ONLY = (
    "its root is mounted read-only, so nothing can be changed there: see 'dmesg' for why, mend the "
    "disk or /etc/fstab, then 'mount -o remount,rw /'"
)


def is_read_only(options: str) -> bool:
    return "ro" in options.split(",")


def sudo_refused(user: str, said: str) -> str:
    """Return the sentence for a user who doesn't become root, by what sudo said."""
    if "not found" in said:
        return f"user {user} has no sudo there: install it, or set ssh.user to root"
    if "password" in said or not said:
        why = f"sudo asks user {user} for a password, and nobody is there to type it"
    else:
        why = f"sudo doesn't let user {user} become root ({said.removeprefix('sudo: ')})"
    return (
        f"{why}: write '{user} ALL=(ALL) NOPASSWD: ALL' there by 'visudo -f /etc/sudoers.d/{user}',"
        " or set ssh.user to root"
    )


def clock_off(off_s: float) -> str:
    """Return the sentence for a clock that is too far from this machine's."""
    way = "ahead of" if off_s > 0 else "behind"
    return (
        f"its clock is {abs(off_s):.0f} s {way} this machine's, and {CLOCK_LIMIT_S:.0f} s is too "
        "much for certificates, tokens and logs: see which of the two is right, then set the other "
        "with 'timedatectl set-ntp true' or 'date -s'"
    )


def one_machine(one: Connection, other: Connection) -> str:
    """Return the sentence for two nodes of the site that are the same machine."""
    return (
        f"nodes {one.name} ({one.address}) and {other.name} ({other.address}) are one machine, by "
        "its machine-id and its boot: give each the address of a machine of its own (a node gets "
        "another name by an 'up' without it, then one with its new name)"
    )
