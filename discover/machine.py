"""A machine from the sections that it answered. Pure."""

import json
import re
from collections.abc import Iterable, Mapping

from discover import cards
from discover import gpus as smi
from discover.model import Disk, Docker, Machine, Nic
from fabric import lldp
from fabric.protocol import Neighbour

_INFINIBAND = "32"  # ARPHRD_INFINIBAND, linux/if_arp.h
_PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_KIB = 1024
_SECURE_BOOT = {"SecureBoot enabled": True, "SecureBoot disabled": False}


def machine(address: str, told: Mapping[str, str], *, now: float | None = None) -> Machine:
    """Return what is found of a machine; `now` is the controller's clock when it answered."""
    system, cpu = _pairs(told.get("os", ""), "="), _pairs(told.get("cpu", ""), ":")
    release = told.get("uname", "").split()
    driver, cuda = smi.versions(told.get("smi", ""))
    sudo = told.get("sudo", "").splitlines()
    memory_kib = re.search(r"\d+", told.get("memory", ""))
    return Machine(
        address=address,
        hostname=told.get("hostname", "").partition(".")[0] or address,
        machine_id=told.get("machine-id", ""),
        os_id=system.get("ID", ""),
        os_version=system.get("VERSION_ID", ""),
        os_name=system.get("PRETTY_NAME", ""),
        kernel=release[1] if len(release) > 1 else "",
        architecture=release[2] if len(release) > 2 else "",  # noqa: PLR2004 - uname -srm
        cpu=cpu.get("Model name", ""),
        cpus=_whole(cpu.get("CPU(s)")) or 0,
        sockets=_whole(cpu.get("Socket(s)")) or 1,
        numa_nodes=_whole(cpu.get("NUMA node(s)")) or 1,
        memory_gib=round(int(memory_kib[0]) / _KIB**2, 1) if memory_kib else 0.0,
        root_writable="ro" not in told.get("root", "").split(","),
        user=told.get("user", ""),
        may_sudo=sudo[-1:] == ["yes"],
        sudo_said=" ".join(sudo),
        clock_off_s=_clock_off(told.get("clock", ""), now),
        secure_boot=_SECURE_BOOT.get(told.get("secure-boot", "").partition("\n")[0]),
        driver=driver or _driver(told.get("driver", "")),
        cuda=cuda,
        open_modules="Open Kernel Module" in told["driver"] if told.get("driver") else None,
        nouveau="nouveau" in told.get("modules", "").split(),
        run_file_driver=bool(told.get("run-file")),
        held=tuple(told.get("held", "").split()),
        packages=_packages(told.get("packages", "")),
        gpus=smi.gpus(told.get("smi", "")),
        pci_gpus=cards.pci_gpus(told.get("cards", "")),
        other_gpus=cards.others(told.get("cards", "")),
        topology=smi.topology(told.get("topology", "")),
        nics=tuple(_nics(told)),
        disks=tuple(_disks(told.get("disks", ""))),
        acs_on=_whole(told.get("acs")) or 0,
        power_supplies=tuple(told.get("power", "").splitlines()),
        default_route=_default_route(told.get("route", "")),
        docker=_docker(told.get("docker", "")),
        ufw=bool(told.get("ufw")),
    )


def _pairs(text: str, sign: str) -> dict[str, str]:
    found = (line.partition(sign) for line in text.splitlines() if sign in line)
    return {key.strip(): value.strip().strip('"') for key, _, value in found}


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d+", text.strip()) else None


def _clock_off(text: str, now: float | None) -> float:
    try:
        return 0.0 if now is None else round(float(text) - now, 1)
    except ValueError:
        return 0.0


def _driver(text: str) -> str | None:
    found = re.search(r"\b(\d{3}\.\d+(?:\.\d+)?)\b", text)
    return found and found[1]


def _packages(text: str) -> dict[str, str]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2].startswith(("ii", "hi"))}  # noqa: PLR2004 - name, version, state


def _docker(text: str) -> Docker | None:
    values = dict(line.partition(" ")[::2] for line in text.splitlines())
    if not values.get("version") and "snap" not in values:
        return None
    return Docker(
        version=values.get("version", ""),
        containers=_whole(values.get("containers")) or 0,
        snap="snap" in values,
    )


def _holders(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        name, _, holder = line.partition(" ")
        found[name] = (*found.get(name, ()), holder)
    return found


def _records(text: str) -> list[dict[str, object]]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _default_route(text: str) -> str | None:
    return next((str(route["dev"]) for route in _records(text) if "dev" in route), None)


def _nics(told: Mapping[str, str]) -> Iterable[Nic]:
    behind = {}
    for line in told.get("nics", "").splitlines():
        values = dict(word.partition("=")[::2] for word in line.split())
        behind[values.get("name", "")] = values
    pairs = (line.partition(" ") for line in told.get("rdma", "").splitlines())
    rdma = {net: name for name, _, net in pairs}
    heard = lldp.neighbours(told.get("lldp", "")) or _networkctl(told.get("lldp", ""))
    holders = _holders(told.get("holders", ""))
    for record in _records(told.get("addresses", "")):
        name = str(record.get("ifname"))
        if name in behind:
            nic = _nic(record, behind[name], rdma.get(name), heard.get(name))
            yield nic.model_copy(update={"set_up_by": holders.get(name, ())})


def _networkctl(text: str) -> dict[str, list[Neighbour]]:
    """Read `networkctl lldp` by its heading: the order of columns differs between versions."""
    lines = text.splitlines()
    head = next((line for line in lines if line.startswith("LINK ")), None)
    if head is None:
        return {}
    starts = [found.start() for found in re.finditer(r"\S+", head)]
    names = head.split()
    found: dict[str, list[Neighbour]] = {}
    for line in lines[lines.index(head) + 1 :]:
        ends = [*starts[1:], None]
        cells = {n: line[a:b].strip() for n, a, b in zip(names, starts, ends, strict=True)}
        if not cells["LINK"]:
            break  # the count of neighbours stands below an empty line
        heard = Neighbour(
            system_name=cells.get("SYSTEM-NAME", ""), port_id=cells.get("PORT-ID", "")
        )
        found.setdefault(cells["LINK"], []).append(heard)
    return found


def _nic(
    record: Mapping[str, object],
    behind: Mapping[str, str],
    rdma: str | None,
    heard: list[Neighbour] | None,
) -> Nic:
    flags, addresses = record.get("flags"), record.get("addr_info")
    speed, pci = _whole(behind.get("speed")), behind.get("pci", "")
    numa = _whole(behind.get("numa"))
    return Nic(
        name=str(record["ifname"]),
        mac=str(record.get("address", "")),
        mtu_bytes=_whole(str(record.get("mtu"))) or 0,
        up="LOWER_UP" in flags if isinstance(flags, list) else False,
        speed_mbit_s=speed if speed and speed > 0 else None,
        pci=pci if _PCI.fullmatch(pci) else None,
        driver=behind.get("driver") or None,
        numa=numa if numa is not None and numa >= 0 else None,
        addresses=tuple(
            f"{each['local']}/{each['prefixlen']}"
            for each in (addresses if isinstance(addresses, list) else ())
            if isinstance(each, dict) and each.get("family") == "inet"
        ),
        rdma=rdma,
        neighbour=f"{heard[0].system_name} {heard[0].port_id}" if heard else None,
        pcie_width=_whole(behind.get("width")),
        pcie_width_max=_whole(behind.get("width_max")),
        infiniband=behind.get("type") == _INFINIBAND,
    )


def _disks(text: str) -> Iterable[Disk]:
    try:
        devices = json.loads(text or "{}")
    except ValueError:
        return
    for device in devices.get("blockdevices", []) if isinstance(devices, dict) else []:
        if device.get("type") == "disk" and int(device.get("size") or 0):
            yield Disk(
                name=str(device["name"]),
                size_bytes=int(device["size"]),
                rotating=bool(device.get("rota")),
                model=str(device.get("model") or "").strip(),
            )
