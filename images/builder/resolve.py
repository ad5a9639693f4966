"""From a declaration to a lock, by the machine's own package sources."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch

from images.builder import upstream, wheels
from images.builder.apt import LISTS_BYTES, Apt
from images.builder.declaration import Debian, Definition, Method
from images.builder.lock_model import DebianPackage, Lock, Wheel
from images.builder.store import Store


def resolve(
    definition: Definition,
    store: Store,
    progress: Callable[[str], None],
    keep: Lock | None = None,
    upgrade: Sequence[str] = (),
) -> Lock:
    """Choose a version of everything that a definition needs.

    Args:
        definition: what is declared.
        store: holds the package lists.
        progress: told what is asked.
        keep: an earlier lock, whose versions stay where they still fit and can be had.
        upgrade: name patterns of packages that are chosen anew all the same.

    """
    spec = definition.spec
    if spec.upstream:
        progress(f"{definition.name}: asking {spec.upstream.repository} for {spec.upstream.tag}")
        return Lock(
            definition=definition.checksum, declared=definition.declared,
            upstream=upstream.resolve(spec.upstream),
        )  # fmt: skip
    assert spec.debian is not None  # noqa: S101 - the declaration's own validator holds it
    progress(f"{definition.name}: asking apt for Debian {spec.debian.suite}")
    packages, tools = _debian(spec.debian, spec.tools, store, keep, upgrade)
    found: list[Wheel] = []
    if spec.python:
        progress(f"{definition.name}: asking the Python index")
        before = _kept(keep.wheels if keep else (), upgrade)
        found = wheels.resolve(spec.python, definition.folder, before)
    return Lock(
        definition=definition.checksum, declared=definition.declared,
        debian=packages, tools=tools, wheels=found,
    )  # fmt: skip


def _debian(
    debian: Debian, tools: list[str], store: Store, keep: Lock | None, upgrade: Sequence[str]
) -> tuple[list[DebianPackage], list[DebianPackage]]:
    folder = store.path / "apt"
    before = _kept([*keep.debian, *keep.tools] if keep else (), upgrade)
    store.need(LISTS_BYTES)
    with store.locked("apt"):
        apt = Apt(folder, debian.suite, debian.without, before)
        apt.update()
        wanted = [*debian.packages, *debian.also]
        packages = apt.resolve(wanted, whole_system=debian.method is Method.INSTALL)
        if not tools:
            return packages, []
        return packages, Apt(folder, debian.suite, (), before).resolve(tools, whole_system=False)


def _kept(packages: Iterable[DebianPackage | Wheel], upgrade: Sequence[str]) -> Mapping[str, str]:
    return {
        package.name: package.version
        for package in packages
        if not any(fnmatch(package.name, pattern) for pattern in upgrade)
    }
