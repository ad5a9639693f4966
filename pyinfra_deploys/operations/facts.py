"""What the operations compare with: each fact is one round trip and never fails on a bare host."""

import base64
import binascii
import json
import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase
from typing_extensions import override


@dataclass(frozen=True)
class FileState:
    kind: str
    mode: str
    owner: str
    group: str
    content: bytes


class FileAt(FactBase[FileState | None]):
    """The file at a path with its content (for small files), or None where there is none."""

    @override
    def command(self, path: str) -> str:
        p = shlex.quote(path)
        return (
            f"if [ -e {p} ] || [ -L {p} ]; then stat -c '%F|%a|%U|%G' {p};"
            f" if [ -f {p} ]; then base64 {p}; fi; fi"
        )

    @override
    def process(self, output: list[str]) -> FileState | None:
        kind, mode, owner, group = output[0].split("|")
        try:
            content = base64.b64decode("".join(output[1:]))
        except binascii.Error:
            content = b""
        return FileState(
            "file" if kind.startswith("regular") else kind, mode, owner, group, content
        )


class Names(FactBase[set[str]]):
    """What a command prints, a name a line."""

    @staticmethod
    @override
    def default() -> set[str]:
        return set()

    @override
    def process(self, output: list[str]) -> set[str]:
        return {name for line in output if (name := line.strip())}


class InstalledPackages(FactBase[set[str]]):
    """Those of the named Debian packages that are installed."""

    @override
    def command(self, names: list[str]) -> str:
        wanted = " ".join(shlex.quote(name) for name in names)
        return (
            f"dpkg-query -W -f '${{Package}} ${{db:Status-Status}}\\n' {wanted} 2>/dev/null || true"
        )

    @staticmethod
    @override
    def default() -> set[str]:
        return set()

    @override
    def process(self, output: list[str]) -> set[str]:
        pairs = (line.split() for line in output)
        return {pair[0] for pair in pairs if len(pair) == 2 and pair[1] == "installed"}  # noqa: PLR2004 - name and status


class Programs(Names):
    """Those of the named programs that root finds."""

    @override
    def command(self, names: list[str]) -> str:
        wanted = " ".join(shlex.quote(name) for name in names)
        return f"for p in {wanted}; do command -v $p >/dev/null && echo $p; done; true"


class Sysctls(FactBase[dict[str, str]]):
    """The present values of kernel parameters, white space normalised; absent ones are left out."""

    @override
    def command(self, keys: list[str]) -> str:
        wanted = " ".join(shlex.quote(key) for key in keys)
        return (
            f'for k in {wanted}; do f=/proc/sys/$(echo "$k" | tr ./ /.);'
            ' if [ -r "$f" ]; then echo "$k=$(cat "$f")"; fi; done'
        )

    @staticmethod
    @override
    def default() -> dict[str, str]:
        return {}

    @override
    def process(self, output: list[str]) -> dict[str, str]:
        pairs = (line.split("=", 1) for line in output if "=" in line)
        return {key: " ".join(value.split()) for key, value in pairs}


@dataclass(frozen=True)
class UnitState:
    loaded: bool
    active: bool
    enabled: bool
    stale: bool


class Unit(FactBase[UnitState]):
    """A systemd unit; one that isn't there is neither loaded, active nor enabled."""

    @override
    def command(self, unit: str) -> str:
        return (
            "systemctl show -p LoadState,ActiveState,UnitFileState,NeedDaemonReload"
            f" {shlex.quote(unit)} 2>/dev/null || true"
        )

    @staticmethod
    @override
    def default() -> UnitState:
        return UnitState(loaded=False, active=False, enabled=False, stale=False)

    @override
    def process(self, output: list[str]) -> UnitState:
        values = dict(line.split("=", 1) for line in output if "=" in line)
        return UnitState(
            loaded=values.get("LoadState") == "loaded",
            active=values.get("ActiveState") in {"active", "reloading"},
            enabled=values.get("UnitFileState") in {"enabled", "static", "alias", "indirect"},
            stale=values.get("NeedDaemonReload") == "yes",
        )


@dataclass(frozen=True)
class LinkState:
    mtu_bytes: int
    up: bool
    addresses: tuple[str, ...]


class Links(FactBase[dict[str, LinkState]]):
    """Every interface with its MTU and its global IPv4 addresses (address/prefix)."""

    @override
    def command(self) -> str:
        return "ip -j addr show 2>/dev/null || true"

    @staticmethod
    @override
    def default() -> dict[str, LinkState]:
        return {}

    @override
    def process(self, output: list[str]) -> dict[str, LinkState]:
        return {
            entry["ifname"]: LinkState(
                mtu_bytes=entry["mtu"],
                up="UP" in entry["flags"],
                addresses=tuple(
                    f"{a['local']}/{a['prefixlen']}"
                    for a in entry["addr_info"]
                    if a["family"] == "inet" and a["scope"] == "global"
                ),
            )
            for entry in json.loads("".join(output))
            if "ifname" in entry
        }


@dataclass(frozen=True)
class Bounds:
    """What limits this machine may give: below `hard` always, above it with the capability."""

    may_raise: bool
    nofile: int | None
    memlock_bytes: int | None


class LimitBounds(FactBase[Bounds]):
    """The hard limits of process 1 and whether root may raise them (a container's root may not)."""

    CAP_SYS_RESOURCE = 24

    @override
    def command(self) -> str:
        wanted = "-e '^Max open files' -e '^Max locked memory' -e '^CapBnd'"
        return f"grep -h {wanted} /proc/1/limits /proc/1/status"

    @override
    def process(self, output: list[str]) -> Bounds:
        nofile = memlock = None
        may_raise = True
        for line in output:
            words = line.split()
            if line.startswith("CapBnd"):
                may_raise = bool(int(words[1], 16) >> self.CAP_SYS_RESOURCE & 1)
            elif words[-2] != "unlimited":
                if "open files" in line:
                    nofile = int(words[-2])
                else:
                    memlock = int(words[-2])
        return Bounds(may_raise, nofile, memlock)


class Timezone(FactBase[str | None]):
    @override
    def command(self) -> str:
        return "readlink /etc/localtime || true"

    @override
    def process(self, output: list[str]) -> str | None:
        return output[0].split("zoneinfo/")[-1] if output else None
