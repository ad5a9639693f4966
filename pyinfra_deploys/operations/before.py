"""What was there before the first change: kept on the host, written before the change is made.

A record is one small file under `/var/lib/rackform/before/entries`, named by what it is about; a
file's content is kept once under `content`, named by its sha256. Only root reads them. A record
that exists is never written again, so that it tells of the machine as it was found.
"""

import hashlib
import shlex
from collections.abc import Sequence

from pyinfra.api.command import StringCommand
from typing_extensions import override

from remote import host_folders

BEFORE = f"{host_folders.DATA}/before"
BOOT_IMAGE = "boot image"
"""A file's reader: what is read before the root file system is there."""

_HEAD = """
umask 077; LC_ALL=C; b=$0
keep() {
  mkdir -p -m 755 "$(dirname "$b")"; mkdir -p -m 700 "$b" "$b/entries" "$b/content" "$b/written"
  last=$(cat "$b/entries/"* 2>/dev/null | sed -n 's/^order=//p' | sort -n | tail -n 1)
  printf 'order=%s\\nkind=%s\\ntarget=%s\\n%s\\n' "$((${last:-0} + 1))" "$2" "$3" "$4" > "$b/new-$1"
  sync "$b/new-$1"; mv -T "$b/new-$1" "$b/entries/$1"
}
"""
_LOOP = """
while [ $# -gt 0 ]; do [ -e "$b/entries/$1" ] || record "$@"; shift WIDTH; done
"""
_RECORDS = {
    "file": """
record() {
  made=; folder=$(dirname "$2")
  while [ ! -e "$folder" ]; do made=$folder; folder=$(dirname "$folder"); done
  more="made=$made
reader=$3
undo=$4"
  if [ -L "$2" ]; then was="was=link
link=$(readlink "$2")"
  elif [ -f "$2" ]; then
    sum=$(sha256sum < "$2" | cut -d' ' -f1)
    was="was=file
$(stat --printf 'mode=%a\\nowner=%u\\ngroup=%g' "$2")
content=$sum"
    mkdir -p -m 700 "$b/content"
    cp "$2" "$b/content/new-$sum"; sync "$b/content/new-$sum"
    mv -T "$b/content/new-$sum" "$b/content/$sum"
  else was=was=absent; fi
  keep "$1" file "$2" "$was
$more"
}
""",
    "unit": """
record() {
  keep "$1" unit "$2" "$(systemctl show -p LoadState,ActiveState,UnitFileState "$2" || true)"
}
""",
    "package": """
record() {
  state='was=${db:Status-Status}\\nversion=${Version}\\nwant=${db:Status-Want}'
  keep "$1" package "$2" "$(dpkg-query -W -f "$state" "$2" 2>/dev/null || echo was=absent)"
}
""",
    "sysctl": """
record() {
  file=/proc/sys/$(echo "$2" | tr ./ /.)
  if [ -r "$file" ]; then keep "$1" sysctl "$2" "value=$(cat "$file")"; fi
}
""",
    "link": """
record() {
  now=$3; up=no; was=absent; mtu=; addresses=
  if [ -e "/sys/class/net/$now" ]; then
    was=link; mtu=$(cat "/sys/class/net/$now/mtu")
    if ip -o link show dev "$now" up | grep -q .; then up=yes; fi
    addresses=$(ip -4 -o addr show dev "$now" scope global |
      sed -n 's/.* inet \\([^ ]*\\) .*/\\1/p')
  fi
  keep "$1" link "$2" "was=$was
name=$now
mtu=$mtu
up=$up
addresses=$(echo $addresses)"
}
""",
    "table": """
record() {
  if nft list table $2 >/dev/null 2>&1; then was=present; else was=absent; fi
  keep "$1" table "$2" "was=$was"
}
""",
}


def identity(kind: str, target: str) -> str:
    """Return the name of the record about `target`."""
    return hashlib.sha256(f"{kind} {target}".encode()).hexdigest()[:16]


def _record(kind: str, *rows: Sequence[str]) -> str:
    """Return shell that records each row (a target and what else is to be known of it)."""
    if not rows:
        return "true"
    words = [word for row in rows for word in (identity(kind, row[0]), *row)]
    loop = _LOOP.replace("WIDTH", str(len(rows[0]) + 1))
    script = shlex.quote(_HEAD + _RECORDS[kind] + loop)
    return f"sh -euc {script} {shlex.join([BEFORE, *words])} </dev/null"


def file(path: str, *, reader: str = "", undo: str = "") -> str:
    """Record a file, a link, or that nothing is there.

    `reader` is the unit that reads it when it starts, or `boot image`. With `undo` our own marks
    are taken out of the file, rather than the former content put back (`operations.marks`).
    """
    return _record("file", (path, reader, undo))


def units(*names: str) -> str:
    return _record("unit", *((name,) for name in names))


def packages(*names: str) -> str:
    return _record("package", *((name,) for name in names))


def sysctls(*keys: str) -> str:
    return _record("sysctl", *((key,) for key in keys))


def link(interface: str, now: str = "") -> str:
    """Record an interface with its addresses and its MTU, and the name `now` it has until then."""
    return _record("link", (interface, now or interface))


def table(name: str) -> str:
    return _record("table", (name,))


def written(path: str, fresh: str) -> str:
    """Return shell that notes what is about to be written, so that a change by hand shows later."""
    note = shlex.quote(f"{BEFORE}/written/{identity('file', path)}")
    return f"sha256sum < {shlex.quote(fresh)} | cut -d' ' -f1 > {note}"


class Recorded(StringCommand):
    """A command that runs after what it changes was recorded; people are told of the command."""

    def __init__(self, command: StringCommand, *records: str) -> None:
        before = " && ".join(record for record in records if record != "true")
        super().__init__(
            *([f"{before} && {{"] if before else []),
            *command.bits,
            *(["; }"] if before else []),
            **command.connector_arguments,
        )
        self.command = command

    @override
    def get_masked_value(self) -> str:
        return self.command.get_masked_value()
