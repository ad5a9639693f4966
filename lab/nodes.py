"""The twin's hosts: made, found, powered on and off, removed."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from lab import cgroups, guest, login, network, nspawn, overlay, processes, rootfs, seed, stand_ins
from lab.keys import ensure_key, public_key
from lab.layout import Twin
from lab.shell import require
from lab.spec import NodeSpec, NodeState
from lab.supervisor import Supervised
from remote.connection import Connection
from remote.errors import RackformError
from remote.private_file import write_private

SPEC = "spec.json"
OVERLAY = ("up", "work", "root", "base", "overlay.json")
GIB = 1 << 30
_SSH_ANSWERS_S = 5


def create(twin: Twin, spec: NodeSpec, *, timeout_s: float = 60) -> Connection:
    """Make the host, or make what is there of it into what `spec` says, and wait for its SSH.

    A host of another base image gets a new overlay and keeps its host key. A host that is on stays
    on unless that is needed.
    """
    require()
    with twin.locked(f"node-{spec.name}"):
        return _create(twin, spec, timeout_s)


def _create(twin: Twin, spec: NodeSpec, timeout_s: float) -> Connection:
    folder = twin.node(spec.name)
    if twin.switch(spec.name).exists():
        raise RackformError(f"'{spec.name}' is a switch of the twin already: rename the node")
    for interface in spec.cables:
        network.check_interface(interface)
    old = load(folder)
    if old is not None and (old.base_digest, old.gpus) != (spec.base_digest, spec.gpus):
        processes.cut(folder, spec.name)
        if old.base_digest != spec.base_digest:
            overlay.discard(folder, *OVERLAY)
    folder.mkdir(parents=True, exist_ok=True)
    host_key = ensure_key(twin.host_key(spec.name))
    with twin.locked("network"):
        if old is not None:
            _unplug(old, {i: p for i, p in old.cables.items() if spec.cables.get(i) != p})
        network.connect(spec.name, spec.address)
        plug(spec)
    # From here on the host is found by `read`, and an interrupted `create` is simply run again.
    write_private(folder / SPEC, spec.model_dump_json(indent=1))
    cgroups.limit_memory(spec.name, int(spec.memory_gib * GIB))
    connection = spec.connection(host_key)
    if processes.supervisor(folder) is not None:
        guest.authorize(folder / "root", spec.authorized_key)
        _lay_driver(folder / "root", spec)
        if _lets_in(connection, folder, timeout_s):
            return connection
    _boot(twin, spec, host_key)
    login.wait_login(connection, folder, timeout_s=timeout_s)
    return connection


def _lets_in(connection: Connection, folder: Path, timeout_s: float) -> bool:
    """Wait for the SSH of a host that is on; False: it was shutting down, and is off now."""
    try:
        login.wait_login(connection, folder, timeout_s=timeout_s)
    except RackformError:
        if processes.supervisor(folder) is not None:
            raise
        return False
    return True


def _boot(twin: Twin, spec: NodeSpec, host_key: str) -> None:
    folder = twin.node(spec.name)
    cgroups.kill(spec.name)
    with twin.locked("nspawn"):
        overlay.ensure_nspawn_folder()
    root = overlay.mount(folder, rootfs.base(twin, spec.base_digest))
    guest.prepare(root, spec, twin.host_key(spec.name).read_text(encoding="ascii"), host_key)
    _lay_driver(root, spec)
    for name in ("docker", "containerd"):
        (folder / name).mkdir(mode=0o710, exist_ok=True)
    seed.prefill(twin, spec.name, spec.seed_images)
    missing = nspawn.missing_capabilities(nspawn.bounding_set())
    processes.start(
        folder,
        network.namespace(spec.name),
        Supervised(
            name=spec.name,
            argv=nspawn.argv(spec.name, folder, missing),
            env=nspawn.NSPAWN_ENVIRONMENT,
            restart="reboot",
            before=nspawn.power_on_commands(),
            after=nspawn.power_off_commands(spec.cables),
        ),
    )


def _lay_driver(root: Path, spec: NodeSpec) -> None:
    stand_ins.lay(root, [spec.driver] if spec.driver else [])


def load(folder: Path) -> NodeSpec | None:
    """Return what the host in `folder` was made from; None: there is none, or it can't be read."""
    try:
        return NodeSpec.model_validate_json((folder / SPEC).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def plug(spec: NodeSpec) -> None:
    """Plug the host's cables into the switches that exist. The caller holds the network's lock."""
    for interface, end in spec.cables.items():
        switch, _, port = end.partition(".")
        network.plug(spec.name, interface, switch, port)


def _unplug(spec: NodeSpec, cables: dict[str, str]) -> None:
    for interface, end in cables.items():
        switch, _, port = end.partition(".")
        network.unplug(spec.name, interface, switch, port)


def read(twin: Twin, name: str) -> NodeState | None:
    """Return the host as it is found, without logging in; None: there is none."""
    folder = twin.node(name)
    spec = load(folder)
    if spec is None:
        return None
    on = processes.supervisor(folder) is not None
    connection = spec.connection(ensure_key(twin.host_key(name)))
    return NodeState(
        spec=spec,
        power="on" if on else "off",
        problems=tuple(_problems(spec, connection, folder) if on else ["it is powered off"]),
        connection=connection,
    )


def _problems(spec: NodeSpec, connection: Connection, folder: Path) -> list[str]:
    found = []
    if not login.banner(connection, _SSH_ANSWERS_S):
        found.append("its SSH server does not answer: it hangs, starts or shuts down")
    inside = network.links(spec.name)
    if network.MANAGEMENT not in inside:
        found.append("its management interface is gone")
    for interface, end in spec.cables.items():
        switch, _, port = end.partition(".")
        device, ports = network.port_device(port), network.links(switch)
        if not network.is_plugged(interface, inside, device, ports):
            found.append(f"{interface} is not plugged into {end}")
    if not overlay.mounts_below(folder):
        found.append("its root is not mounted")
    return found


def delete(twin: Twin, name: str) -> None:
    """Remove the host, at once and whether it is whole or not. Its host key stays."""
    require()
    with twin.locked(f"node-{name}"):
        folder = twin.node(name)
        processes.cut(folder, name)
        with twin.locked("network"):
            if spec := load(folder):
                _unplug(spec, spec.cables)
            network.disconnect(name)
        cgroups.remove(name)
        overlay.discard(folder)


def power_off(twin: Twin, name: str, *, hard: bool = False, timeout_s: float = 60) -> None:
    """Shut the host down in order, or pull its plug (`hard`)."""
    require()
    folder = twin.node(name)
    _known(twin, name)
    if hard:
        processes.cut(folder, name)
    elif not processes.stop(folder, name, timeout_s=timeout_s):
        raise RackformError(
            f"{name} did not power off within {timeout_s:.0f} s; its console says:\n"
            f"{processes.log_tail(folder)}\nPull its plug (hard=True) if it hangs"
        )


def power_on(twin: Twin, name: str, *, timeout_s: float = 60) -> Connection:
    """Give power to a host that is off and wait for its SSH."""
    return create(twin, _known(twin, name), timeout_s=timeout_s)


def wait_ssh(twin: Twin, name: str, *, timeout_s: float = 60) -> Connection:
    """Wait until the host lets the controller in: after a reboot that it was asked for."""
    spec = _known(twin, name)
    connection = spec.connection(public_key(twin.host_key(name)))
    login.wait_login(connection, twin.node(name), timeout_s=timeout_s)
    return connection


def _known(twin: Twin, name: str) -> NodeSpec:
    spec = load(twin.node(name))
    if spec is None:
        there = sorted(p.name for p in twin.nodes.glob("*")) or ["none"]
        raise RackformError(f"the twin has no host '{name}' (it has: {', '.join(there)})")
    return spec


def seed_images(twin: Twin, names: Sequence[str], digests: Sequence[str]) -> dict[str, list[str]]:
    """Give running hosts the layers of images without a pull.

    Docker Engine is down meanwhile on a host that lacks one, for about two seconds; with live
    restore its containers run on.

    Returns:
        Host → the digests that it has still to pull.

    """
    require()
    left: dict[str, list[str]] = {}
    for name in names:
        spec = _known(twin, name)
        lacking = [digest for digest in digests if not seed.has(twin, name, digest)]
        if lacking and processes.supervisor(twin.node(name)) is None:
            left[name] = seed.prefill(twin, name, lacking)
        elif lacking:
            connection = spec.connection(public_key(twin.host_key(name)))
            units = "docker.socket docker.service"
            login.run(connection, twin.node(name), f"systemctl stop {units}")
            try:
                left[name] = seed.prefill(twin, name, lacking)
            finally:
                # Forgotten starts: systemd refuses a fourth one within a minute.
                start = f"systemctl reset-failed {units}; systemctl start {units}"
                login.run(connection, twin.node(name), start)
    return {name: digests for name, digests in left.items() if digests}
