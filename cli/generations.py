"""`./rackform generations` and `./rackform diff A B`."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, JsonValue
from rich.table import Table

from cli.closure import readable
from cli.history import Generation, Resource, generation, generations, outputs, resources
from fabric.changes import Running
from fabric.eos_text import differences, told
from fabric.protocol import DesiredPort, DesiredSwitch, Membership, PortState
from images import builder
from stack.changes import changes
from stack.paths import store_dir


class Listed(BaseModel):
    """A generation as `generations --json` tells of it."""

    model_config = ConfigDict(frozen=True)

    number: int
    finished: str
    closure: str
    commit: str
    dirty: bool
    changed: int
    message: str


class ImageChange(BaseModel):
    """What became of one image between two generations."""

    model_config = ConfigDict(frozen=True)

    old_digest: str | None
    new_digest: str | None
    size_bytes: int
    """How much larger it became."""
    packages: list[str]


class Difference(BaseModel):
    """What separates two generations; `diff --json` prints it."""

    model_config = ConfigDict(frozen=True)

    commits: tuple[str, str]
    closures: tuple[str, str]
    images: dict[str, ImageChange]
    nodes: dict[str, list[str]]
    switches: dict[str, list[str]]
    models: dict[str, list[str]]
    site: list[str]


def listed(stack: str) -> list[Listed]:
    """Return the stack's generations, the oldest first."""
    return [
        Listed(
            number=each.number,
            finished=each.finished.isoformat(timespec="seconds"),
            closure=str(outputs(resources(stack, each)).get("closure", "")),
            commit=each.commit,
            dirty=each.dirty,
            changed=each.changed,
            message=each.message,
        )
        for each in generations(stack)
    ]


def table(found: list[Listed]) -> Table:
    rows = Table("", "finished", "closure", "commit", "changed", "message")
    for column in rows.columns[:-1]:
        column.no_wrap = True
    for each in found:
        commit = each.commit[:8] + (" + changes" if each.dirty else "")
        closure = each.closure.removeprefix("sha256:")[:12]
        message = each.message.splitlines()[0] if each.message else ""
        rows.add_row(
            str(each.number), each.finished, closure, commit, str(each.changed), message[:60]
        )
    return rows


def difference(stack: str, old_number: int, new_number: int) -> Difference:
    """Compare two generations.

    Raises:
        InputError: the stack has no such generation.

    """
    old, new = generation(stack, old_number), generation(stack, new_number)
    before, after = resources(stack, old), resources(stack, new)
    return Difference(
        commits=(_commit(old), _commit(new)),
        closures=(str(outputs(before).get("closure")), str(outputs(after).get("closure"))),
        images=dict(_images(before, after)),
        nodes=dict(_settings("HostState", "deploys", before, after)),
        switches=dict(_switches(before, after)),
        models=dict(_settings("ModelWeights", None, before, after)),
        site=changes(old.site, new.site),
    )


def lines(found: Difference) -> Iterator[str]:
    """Yield a difference as people read it."""
    if found.commits[0] != found.commits[1]:
        yield f"commit {found.commits[0]} → {found.commits[1]}"
    for name, image in found.images.items():
        digests = f"{_short(image.old_digest)} → {_short(image.new_digest)}"
        yield f"image {name}  {digests}  {_signed(image.size_bytes)}"
        yield from (f"  {line}" for line in image.packages)
    groups = {"node": found.nodes, "switch": found.switches, "model": found.models}
    for kind, group in groups.items():
        for name, told_lines in group.items():
            yield f"{kind} {name}"
            yield from (f"  {line}" for line in told_lines)
    if found.site:
        yield "site"
        yield from (f"  {line}" for line in found.site)


def _commit(each: Generation) -> str:
    return each.commit[:12] + (" with changes" if each.dirty else "")


def _short(digest: str | None) -> str:
    return digest.removeprefix("sha256:")[:12] if digest else "none"


def _signed(size_bytes: int) -> str:
    return ("+" if size_bytes >= 0 else "-") + readable(abs(size_bytes))


def by_image(found: list[Resource]) -> dict[str, Resource]:
    """Return image/variant → the resource that built it."""
    return {
        f"{each.inputs['image']}/{each.inputs['variant']}": each
        for each in found
        if each.kind == "OciImage" and each.outputs
    }


def _images(before: list[Resource], after: list[Resource]) -> Iterator[tuple[str, ImageChange]]:
    old, new = by_image(before), by_image(after)
    for name in sorted({*old, *new}):
        left, right = old.get(name), new.get(name)
        digests = [str(each.outputs["digest"]) if each else None for each in (left, right)]
        packages = list(_packages(name, left, right))
        if digests[0] != digests[1] or packages:
            yield (
                name,
                ImageChange(
                    old_digest=digests[0],
                    new_digest=digests[1],
                    size_bytes=_size(right) - _size(left),
                    packages=packages,
                ),
            )


def _size(image: Resource | None) -> int:
    size = image.outputs.get("size_bytes") if image else 0
    return int(size) if isinstance(size, int | float) else 0


def _packages(name: str, left: Resource | None, right: Resource | None) -> Iterator[str]:
    old, old_sizes = _held(name, left)
    new, new_sizes = _held(name, right)
    for package in sorted({*old, *new}):
        if old.get(package) == new.get(package):
            continue
        grown = new_sizes.get(package, 0) - old_sizes.get(package, 0)
        yield f"{package}: {old.get(package, '∅')} → {new.get(package, '∅')}, {_signed(grown)}"


def _held(name: str, image: Resource | None) -> tuple[dict[str, JsonValue], dict[str, int]]:
    """Return an image's packages, and their sizes as far as the store remembers the lock."""
    if image is None:
        return {}, {}
    packages = image.inputs.get("packages")
    kind, variant = name.split("/")
    lock = builder.recall(str(image.inputs["lock_sha256"]), kind, variant, store_dir())
    return packages if isinstance(packages, dict) else {}, lock.sizes() if lock else {}


def _settings(
    kind: str, field: str | None, before: list[Resource], after: list[Resource]
) -> Iterator[tuple[str, list[str]]]:
    old, new = ({r.name: r.inputs for r in each if r.kind == kind} for each in (before, after))
    for name in sorted({*old, *new}):
        left, right = old.get(name, {}), new.get(name, {})
        found = changes(left.get(field), right.get(field)) if field else changes(left, right)
        if found:
            yield name.removesuffix("-host").removesuffix("-weights"), found


def _switches(before: list[Resource], after: list[Resource]) -> Iterator[tuple[str, list[str]]]:
    """Yield switch → the lines of its configuration that differ."""
    old, new = (
        {r.name: r.inputs for r in each if r.kind == "SwitchConfig"} for each in (before, after)
    )
    for name in sorted({*old, *new}):
        left, right = _ports(old.get(name)), _ports(new.get(name))
        unset = PortState(mtu_bytes=1500, description="", enabled=True, connected=False)
        states = {
            port: PortState(**left[port].model_dump(exclude_none=True), connected=False)
            if port in left else unset
            for port in {*left, *right}
        }  # fmt: skip
        vlans = [_vlan(each.get(name)) for each in (old, new)]
        wanted = {port: right.get(port, DesiredPort(description="")) for port in sorted(states)}
        found = told(
            differences(
                Running(
                    ports=states,
                    lldp=True,
                    membership={port: Membership(vlan=vlans[0]) for port in left},
                    vlans=frozenset({1, vlans[0] or 1}),
                ),
                DesiredSwitch(ports=wanted, lldp=True, vlan=vlans[1]),
            )
        )
        if found:
            yield name.removesuffix("-config"), found


def _vlan(inputs: Mapping[str, JsonValue] | None) -> int | None:
    vlan = inputs.get("vlan") if inputs else None
    return int(vlan) if isinstance(vlan, int | float) else None


def _ports(inputs: Mapping[str, JsonValue] | None) -> dict[str, DesiredPort]:
    ports = inputs.get("ports") if inputs else None
    if not isinstance(ports, dict):
        return {}
    return {name: DesiredPort.model_validate(port) for name, port in ports.items()}
