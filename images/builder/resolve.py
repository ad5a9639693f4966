"""From a declaration to a lock, by the machine's own package sources."""

from collections.abc import Callable

from images.builder import wheels
from images.builder.apt import Apt
from images.builder.declaration import Definition, Method
from images.builder.lock_model import Lock
from images.builder.store import Store


def resolve(definition: Definition, store: Store, progress: Callable[[str], None]) -> Lock:
    """Choose a version of everything that a definition needs, as of now."""
    debian = definition.spec.debian
    progress(f"{definition.name}: asking apt for Debian {debian.suite}")
    with store.locked("apt"):
        apt = Apt(store.path / "apt", debian.suite, debian.without)
        apt.update()
        packages = apt.resolve(debian.packages, whole_system=debian.method is Method.INSTALL)
        tools = []
        if definition.spec.tools:
            apt = Apt(store.path / "apt", debian.suite)
            tools = apt.resolve(definition.spec.tools, whole_system=False)
    found = []
    if definition.spec.python:
        progress(f"{definition.name}: asking the Python index")
        found = wheels.resolve(definition.spec.python, definition.folder)
    return Lock(definition=definition.checksum, debian=packages, tools=tools, wheels=found)
