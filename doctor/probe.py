"""What a node is asked beside `discover`'s questions, and its answer read. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence

from discover.probe import sections
from doctor.model import Interface, NodeFacts, Ping, Room
from remote import host_folders
from stack.schema import FABRIC

HEADERS_BYTES = 28
"""IPv4 and ICMP, around the payload of a ping."""
SMALL_BYTES = 56
PATHS = ("/", "/var/lib/docker", host_folders.DATA, host_folders.MODELS)
_GCS_TIMEOUT_S = 3

_SCRIPT = r"""
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin
s() { printf '\n@@rackform %s\n' "$1"; }
{
s addresses; ip -j address
s speeds; for d in /sys/class/net/*; do echo "$(basename "$d") $(cat "$d/speed")"; done
s nccl; [ -r /etc/nccl.conf ] && { echo '# there'; cat /etc/nccl.conf; }
s rdma; ls /sys/class/infiniband
s files; ls -d /dev/nvidia* /dev/infiniband/*
s rooms; for p in @PATHS@; do [ -d "$p" ] || continue
  df -B1 --output=source,target,size,avail,itotal,iavail "$p" | tail -n 1; done
s head; @HEAD@
} 2>/dev/null
exit 0
"""

_PINGS = r"""
p() { ping -q -c "$1" -i 0.2 -W 1 -M do -s "$2" "$3" >/dev/null 2>&1; }
one() {
  small=0 large=0 low=@SMALL@ high=@LARGE@
  p 3 @SMALL@ "$2" && small=1
  [ $small = 0 ] || { p 3 @LARGE@ "$2" && large=1; }
  if [ $small = 1 ] && [ $large = 0 ]; then
    while [ $((high - low)) -gt 1 ]; do
      middle=$(((low + high) / 2))
      if p 1 $middle "$2"; then low=$middle; else high=$middle; fi
    done
  fi
  echo "$1 $small $large $low"
}
@CALLS@
wait
"""


def script(head_address: str | None) -> str:
    """Return what a node is asked; `head_address` is host/port of Ray's store, as bash has it."""
    head = "echo not asked"
    if head_address:
        connect = f"timeout {_GCS_TIMEOUT_S} bash -c ': < /dev/tcp/{head_address}'"
        head = f"{connect} && echo reached || echo not reached"
    return _SCRIPT.replace("@PATHS@", " ".join(PATHS)).replace("@HEAD@", head)


def ping_script(targets: Mapping[str, str], mtu_bytes: int) -> str:
    """Return what asks each target (node, or node/rail → address), all at once.

    The largest size that passes is sought only where small packets pass and the declared don't.
    """
    calls = "\n".join(f"one {name} {address} &" for name, address in targets.items())
    return (
        _PINGS.replace("@SMALL@", str(SMALL_BYTES))
        .replace("@LARGE@", str(mtu_bytes - HEADERS_BYTES))
        .replace("@CALLS@", calls)
    )


def pings(source: str, text: str) -> Iterator[Ping]:
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and all(word.isdigit() for word in words[1:]):  # noqa: PLR2004 - name, small, large, low
            small, large = words[1] == "1", words[2] == "1"
            passes = int(words[3]) + HEADERS_BYTES if small and not large else None
            target, _, rail = words[0].partition("/")
            yield Ping(
                source=source, target=target, network=rail or FABRIC,
                small=small, large=large, passes_bytes=passes,
            )  # fmt: skip


def facts(text: str) -> NodeFacts:
    """Return what a node answered to `script`; what it did not answer is left out."""
    told = sections(text)
    conf = told.get("nccl", "")
    return NodeFacts(
        interfaces=_interfaces(told.get("addresses", ""), told.get("speeds", "")),
        nccl=dict(_settings(conf)) if conf else None,
        rdma_devices=tuple(told.get("rdma", "").split()),
        device_files=tuple(told.get("files", "").split()),
        rooms=tuple(_rooms(told.get("rooms", ""))),
        reaches_head={"reached": True, "not reached": False}.get(told.get("head", "")),
    )


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Read nccl.conf as NCCL does: NAME=VALUE a line, # begins a comment."""
    for line in text.splitlines():
        name, sign, value = line.partition("#")[0].partition("=")
        if sign:
            yield name.strip(), value.strip()


def _interfaces(addresses: str, speeds: str) -> dict[str, Interface]:
    rates = dict(line.split() for line in speeds.splitlines() if len(line.split()) == 2)  # noqa: PLR2004 - name, Mbit/s
    try:
        records = json.loads(addresses or "[]")
    except ValueError:
        return {}
    found = {}
    for record in records if isinstance(records, list) else []:
        if not isinstance(record, dict) or "ifname" not in record:
            continue
        name, rate = str(record["ifname"]), rates.get(str(record["ifname"]), "")
        found[name] = Interface(
            mtu_bytes=int(record.get("mtu", 0)),
            up="LOWER_UP" in record.get("flags", []),
            addresses=tuple(_inet(record.get("addr_info", []))),
            speed_mbit_s=int(rate) if rate.isdigit() and int(rate) else None,
        )
    return found


def _inet(entries: Sequence[Mapping[str, object]]) -> Iterator[str]:
    for entry in entries:
        if entry.get("family") == "inet" and "local" in entry:
            yield str(entry["local"])


def _rooms(text: str) -> Iterator[Room]:
    """Read df: each file system once, by the first of the paths that is on it."""
    seen: set[tuple[str, str]] = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) != 6 or not words[2].isdigit() or not words[3].isdigit():  # noqa: PLR2004 - as df is asked
            continue
        source, path, size, free, inodes, left = words
        if (source, size) in seen:
            continue
        seen.add((source, size))
        share = int(left) / int(inodes) if inodes.isdigit() and int(inodes) else 1.0
        yield Room(path=path, size_bytes=int(size), free_bytes=int(free), free_inodes_share=share)
