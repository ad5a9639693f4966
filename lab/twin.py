"""The twin as a whole: whose it is, what a crash has left, and its end."""

import contextlib
import fcntl
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lab import cgroups, network, nodes, overlay, processes, switch
from lab.layout import Twin
from lab.processes import PidFile
from lab.shell import remove_tree, require, run
from lab.spec import NodeState, SwitchState
from lab.supervisor import boot_id
from remote.errors import RackformError
from remote.private_file import write_private

CLAIM = Path("/run/rackform-twin.json")
CLAIM_LOCK = Path("/run/rackform-twin.lock")

__all__ = ["TwinStatus", "claim", "claimed_by", "clean_leftovers", "down", "require", "status"]


class Claim(BaseModel):
    """Whose the twin of this machine is: there is one, since its addresses are the machine's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkout: Path
    state: Path
    claimant: PidFile

    @property
    def alive(self) -> bool:
        """Say whether the claimant still works, or something that it made is there."""
        return self.claimant.alive or ((self.state / "twin").exists() and _anything())


@dataclass(frozen=True)
class TwinStatus:
    checkout: Path | None
    nodes: dict[str, NodeState]
    switches: dict[str, SwitchState]


@contextlib.contextmanager
def _claims() -> Iterator[None]:
    with CLAIM_LOCK.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def claimed_by() -> Claim | None:
    """Return the claim that stands; one from before this machine's last boot doesn't."""
    try:
        found = Claim.model_validate_json(CLAIM.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
    return found if found.claimant.boot_id == boot_id() else None


def claim(twin: Twin, checkout: Path) -> None:
    """Take this machine's one twin for a checkout.

    Raises:
        RackformError: another checkout's twin is up.

    """
    require()
    mine = Claim(
        checkout=checkout.resolve(), state=twin.state.resolve(), claimant=processes.this_process()
    )
    with _claims():
        found = claimed_by()
        if found is not None and found.state != mine.state:
            if found.alive:
                raise RackformError(
                    f"the twin of the checkout {found.checkout} is up on this machine, and only "
                    f"one can be: end it with '{found.checkout}/rackform down'"
                )
            # Its folder is gone (nobody can end it any more) or nothing of it is left running.
            _remove_all_links()
        write_private(CLAIM, mine.model_dump_json(), 0o644)


def _anything() -> bool:
    return any(cgroups.processes(name) for name in cgroups.names()) or bool(_namespaces())


def _namespaces() -> set[str]:
    with contextlib.suppress(FileNotFoundError):
        return {p.name for p in network.NETNS.iterdir() if p.name.startswith("rf-")}
    return set()


def _host_links() -> set[str]:
    return {name for name in network.links(None) if re.match(r"rf-.", name)}


def _remove_all_links() -> None:
    """End and remove what exists outside the state folder: processes, namespaces, links, groups."""
    _remove_links(keep=frozenset())
    if network.BRIDGE in network.links(None):
        network.batch([f"link del {network.BRIDGE}"], purpose="remove the management bridge")


def _remove_links(keep: frozenset[str]) -> list[str]:
    done = []
    for name in sorted(cgroups.names() - keep):
        if cgroups.processes(name):
            done.append(f"ended the processes of {name}")
        if not cgroups.kill(name):
            raise RackformError(f"processes of the twin's {name} don't end: reboot this machine")
        cgroups.remove(name)
    kept = {network.namespace(name) for name in keep}
    for space in sorted(_namespaces() - kept):
        run(["ip", "netns", "del", space], purpose=f"remove the namespace {space}")
        done.append(f"removed the namespace {space}")
    kept = {network.host_link(name) for name in keep} | {network.BRIDGE}
    for link in sorted(_host_links() - kept):
        # The far end may have gone with its namespace, and this one with it.
        with contextlib.suppress(RackformError):
            network.batch([f"link del {link}"], purpose=f"remove the link {link}")
            done.append(f"removed the link {link}")
    return done


def clean_leftovers(twin: Twin) -> list[str]:
    """Remove what a crash has left, as sentences; machines that are whole stay, on or off."""
    require()
    done: list[str] = []
    whole: set[str] = set()
    for parent, load in ((twin.nodes, nodes.load), (twin.switches, switch.load)):
        for folder in sorted(parent.glob("*")):
            if load(folder) is None:
                processes.cut(folder, folder.name)
                overlay.discard(folder)
                done.append(f"removed what was half made of {folder.name}")
                continue
            whole.add(folder.name)
            if processes.supervisor(folder) is None and cgroups.processes(folder.name):
                processes.cut(folder, folder.name)
                done.append(f"ended what was left running of {folder.name}")
    with twin.locked("network"):
        done += _remove_links(frozenset(whole))
    return done


def down(twin: Twin, *, keep_images: bool) -> None:
    """End and remove the twin, whatever there is of it, and give its claim back.

    Args:
        twin: the checkout's twin.
        keep_images: keep what is slow to make and isn't in the store.

    """
    require()
    with _claims():
        found = claimed_by()
        foreign = found is not None and found.state != twin.state.resolve()
        for parent in (twin.nodes, twin.switches):
            for folder in sorted(parent.glob("*")):
                _end(folder, foreign=foreign)
        if not foreign:
            _remove_all_links()
            CLAIM.unlink(missing_ok=True)
        for point in overlay.mounts_below(twin.path) if twin.path.exists() else []:
            run(["umount", "--lazy", point], purpose=f"unmount {point}")
        for path in sorted(twin.path.glob("*")):
            if not (keep_images and path.name == "rootfs"):
                remove_tree(path)
        with contextlib.suppress(OSError):  # not empty: the images stay
            twin.path.rmdir()
        if not foreign:
            overlay.remove_nspawn_folder()


def _end(folder: Path, *, foreign: bool) -> None:
    if not foreign:
        processes.cut(folder, folder.name)
    overlay.unmount(folder)


def status(twin: Twin) -> TwinStatus:
    """Return what there is of the twin."""
    found = claimed_by()
    there_nodes = {p.name: nodes.read(twin, p.name) for p in sorted(twin.nodes.glob("*"))}
    there_switches = {p.name: switch.read(twin, p.name) for p in sorted(twin.switches.glob("*"))}
    return TwinStatus(
        checkout=found.checkout if found else None,
        nodes={name: state for name, state in there_nodes.items() if state},
        switches={name: state for name, state in there_switches.items() if state},
    )
