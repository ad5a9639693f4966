"""The layers of an image, each made once for the same inputs."""

import time
from collections.abc import Callable
from pathlib import Path

from images.builder import apt, rootfs
from images.builder.declaration import Debian, Definition, Method
from images.builder.layers import write_files
from images.builder.lock_model import DebianPackage, Lock
from images.builder.oci import Layer, read_layer
from images.builder.python_env import Group, PythonLayers
from images.builder.store import Store, hash_of
from remote.errors import RackformError

FORMATS = {Method.INSTALL.value: 1, Method.EXTRACT.value: 2, "python": 1, "files": 1, "tools": 1}
"""By kind of layer, raised when the builder makes other bytes from the same inputs, so that nothing
stale is used."""

Progress = Callable[[str], None]


class Recipe:
    """Makes the layers of one definition from one lock, those that change least first."""

    def __init__(
        self, definition: Definition, debian: Debian, lock: Lock, store: Store, progress: Progress
    ) -> None:
        self.definition = definition
        self.spec = definition.spec
        self.debian = debian
        self.lock = lock
        self.store = store
        self.progress = progress
        self.keys: list[str] = []
        """Hashes of what the layers were made from, as they were made or found."""

    def layers(self) -> list[Layer]:
        made = [self._layer("debian", self._base_key, self._write_debian)]
        made += [
            self._layer(group.name, self._python_key(group), group.write)
            for group in self._python(made[0].digest)
        ]
        if self.spec.files or self.spec.folders or self.spec.user:
            made.append(self._layer("files", self._files_key, self._write_files))
        return made

    def needed(self) -> list[DebianPackage]:
        """Return the packages without which the layers that are missing can't be made."""
        base = self._stored(self._base_key)
        if base is None:
            return [*self.lock.debian, *self.lock.tools]
        missing = [g for g in self._python(base.digest) if not self._stored(self._python_key(g))]
        return self.lock.tools if missing and not self._tools_folder.exists() else []

    @property
    def _base_key(self) -> str:
        how = self.debian.model_dump(mode="json", exclude={"packages"})
        packages = [p.sha256 for p in self.lock.debian]
        made_by = FORMATS[self.debian.method.value]
        return hash_of("debian", made_by, how, packages, self.spec.bind_low_ports)

    @property
    def _files_key(self) -> str:
        declared = self.spec.model_dump(mode="json", include={"files", "folders", "user"})
        used = {
            path: digest
            for path, digest in self.definition.files.items()
            if any(path == source or path.startswith(f"{source}/") for source in self.spec.files)
        }
        return hash_of("files", FORMATS["files"], declared, used)

    def _python(self, base_digest: str) -> list[Group]:
        if self.spec.python is None:
            return []
        return PythonLayers(
            self.spec.python, self.lock.wheels, self.store, base_digest, self._tools
        ).groups()

    def _python_key(self, group: Group) -> str:
        tools = [p.sha256 for p in self.lock.tools]
        return hash_of("python", FORMATS["python"], self._base_key, group.inputs, tools)

    def _stored(self, key: str) -> Layer | None:
        """Return the whole layer that the store has for these inputs."""
        layer = read_layer(self.store.read_json("layers", key))
        return layer if layer and not self.store.problem(layer.digest) else None

    def _layer(self, name: str, key: str, write: Callable[[Path], str]) -> Layer:
        """Return the layer made from the inputs that `key` is the hash of, making it if needed."""
        self.keys.append(key)
        with self.store.locked(f"layer-{key}"):
            layer = read_layer(self.store.read_json("layers", key))
            if layer:
                wrong = self.store.problem(layer.digest)
                if not wrong:
                    return layer.model_copy(update={"name": name, "cached": True})
                self.progress(
                    f"layer {name} of {self.definition.name} ({layer.digest}) {wrong} in the "
                    "store: making it again"
                )
            started = time.monotonic()
            self.progress(f"{self.definition.name}: making layer {name}")
            with self.store.scratch("layer") as folder:
                tar = folder / "layer.tar"
                blob = self.store.take(tar, write(tar))
            layer = Layer(name=name, digest=blob.digest, size_bytes=blob.size, cached=False)
            self.store.write_json("layers", key, layer.model_dump_json() + "\n")
            self.progress(
                f"{self.definition.name}: layer {name} made in "
                f"{time.monotonic() - started:.1f} s ({blob.size / 1e6:.0f} MB)"
            )
            return layer

    def _write_debian(self, tar: Path) -> str:
        debs = self._debs(self.lock.debian)
        with self.store.scratch("debian") as work, tar.open("wb") as out:
            if self.debian.method is Method.INSTALL:
                return rootfs.install(self.debian, self.lock.debian, debs, work, out)
            rootfs.extract(self.debian, self.lock.debian, debs, work / "root")
            return rootfs.write_extracted(work / "root", out, self.spec.bind_low_ports)

    def _write_files(self, tar: Path) -> str:
        texts: dict[str, Path] = {}
        with self.store.scratch("files") as work, tar.open("wb") as out:
            if self.spec.user:
                user = self.spec.user
                entry = f"{user.name}:x:{user.uid}:"
                (work / "passwd").write_text(
                    f"root:x:0:0:root:/:/sbin/nologin\n{entry}{user.uid}::{user.home}:/sbin/nologin\n"
                )
                (work / "group").write_text(f"root:x:0:\n{entry}\n")
                texts = {"/etc/passwd": work / "passwd", "/etc/group": work / "group"}
            return write_files(
                out, self.definition.folder, self.spec.files, self.spec.folders, texts
            )

    @property
    def _tools_folder(self) -> Path:
        return self.store.path / "rootfs" / tools_folder(self.lock)

    def _tools(self) -> Path:
        """Return the unpacked tools of the builder, made once for the same packages."""
        folder = self._tools_folder
        with self.store.locked(folder.name):
            if not folder.exists():
                with self.store.scratch("tools") as work:
                    debs = self._debs(self.lock.tools)
                    rootfs.extract(self.debian, self.lock.tools, debs, work / "r")
                    (work / "r").rename(folder)
        return folder

    def _debs(self, packages: list[DebianPackage]) -> dict[str, Path]:
        found, gone = apt.fetch(packages, self.debian.suite, self.store, self.progress)
        if gone:
            raise RackformError(f"{gone[0].name} {gone[0].version} can't be fetched any more")
        return found


def tools_folder(lock: Lock) -> str:
    return f"tools-{hash_of(FORMATS['tools'], [p.sha256 for p in lock.tools])[:16]}"
