"""A virtual environment as layers: wheels, less what is declared as trimmed, with byte code."""

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from images.builder import declaration, rootfs, stubs, wheels
from images.builder.declaration import Python
from images.builder.layers import LayerWriter
from images.builder.lock_model import Wheel
from images.builder.store import Store
from images.builder.toolbox import Toolbox

WORKERS = 2
"""A constant: which process compiles which file decides the byte code's internal references."""
UNREPRODUCIBLE = ("RECORD", "INSTALLER", "REQUESTED", "uv_*", "direct_url.json")
"""Of a dist-info folder: RECORD has the hash of the builder's own scripts, the rest tells of uv."""
WORTH_STRIPPING = 1 << 20
"""Bytes; also, the small libraries that wheels bundle were rewritten by patchelf and may break."""
SHEBANG = re.compile(
    rb"\A#!(?:/bin/sh\n(?:#[^\n]*\n)?'''exec' .*?\n' '''|[^\n]*python[^\n]*)\n", re.DOTALL
)
"""What uv writes first into a script; a line for sh where the interpreter's path has a space or is
long, then after the script's encoding, if it told one."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """One layer of the environment."""

    name: str
    inputs: list[object]
    """What its bytes are made from, beside the base image and the tools (JSON values)."""
    write: Callable[[Path], str]


class PythonLayers:
    def __init__(
        self,
        spec: Python,
        locked: list[Wheel],
        store: Store,
        base_digest: str,
        tools: Callable[[], Path],
    ) -> None:
        self.spec = spec
        self.store = store
        self.base_digest = base_digest
        self.tools = tools
        self._groups = _split(spec.layers, locked)

    def groups(self) -> list[Group]:
        last = len(self._groups) - 1
        names = [f"python-{layer.name}" for layer in self.spec.layers]
        how = self.spec.model_dump(mode="json", exclude={"requirements", "overrides", "layers"})
        return [
            Group(
                name="python" if number == last else names[number],
                inputs=[how, [[w.name, w.sha256] for w in members], number == last],
                write=self._writer(members, complete=number == last),
            )
            for number, members in enumerate(self._groups)
        ]

    def _writer(self, members: list[Wheel], *, complete: bool) -> Callable[[Path], str]:
        def write(tar: Path) -> str:
            return self._write(members, tar, complete=complete)

        return write

    def _write(self, members: list[Wheel], tar: Path, *, complete: bool) -> str:
        with self.store.scratch("python") as work:
            prefix = work / "env"
            packages = prefix / "lib" / f"python{self.spec.version}" / "site-packages"
            packages.mkdir(parents=True)
            wheels.install(members, self.spec.version, packages)
            self._shrink(packages)
            self._tidy(prefix, packages)
            if complete:
                self._link_interpreter(prefix)
            self._compile(prefix)
            with tar.open("wb") as out:
                writer = LayerWriter(out)
                writer.tree(prefix, self.spec.prefix)
                return writer.close()

    def _shrink(self, packages: Path) -> None:
        replaced = self.spec.stubs
        if replaced and (packages / replaced.folder).is_dir():
            stubs.replace(replaced, packages, Toolbox(self.tools()))
        for trim in self.spec.trims:
            for path in _matching(packages, trim.globs):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.is_symlink() or path.exists():
                    path.unlink()
        libraries = [p for p in _matching(packages, self.spec.strip) if _is_library(p)]
        if libraries:
            tools = Toolbox(self.tools())
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(lambda library: _strip(tools, library), libraries))

    def _tidy(self, prefix: Path, packages: Path) -> None:
        for info in packages.glob("*.dist-info"):
            for path in _matching(info, UNREPRODUCIBLE):
                path.unlink()
        (packages / ".lock").unlink(missing_ok=True)
        if (packages / "bin").is_dir():
            (packages / "bin").rename(prefix / "bin")
        interpreter = f"#!{self.spec.prefix}/bin/python\n".encode()
        for script in sorted((prefix / "bin").glob("*")):
            body = script.read_bytes()
            changed = SHEBANG.sub(interpreter, body, count=1)
            if changed != body:
                script.unlink()  # it may be a hard link into uv's cache
                script.write_bytes(changed)
                script.chmod(0o755)

    def _link_interpreter(self, prefix: Path) -> None:
        (prefix / "bin").mkdir(exist_ok=True)
        for name, target in (
            ("python", f"/usr/bin/python{self.spec.version}"),
            ("python3", "python"),
            (f"python{self.spec.version}", "python"),
        ):
            (prefix / "bin" / name).symlink_to(target)
        (prefix / "pyvenv.cfg").write_text(
            "home = /usr/bin\ninclude-system-site-packages = false\n"
            f"version = {self.spec.version}\n",
            encoding="utf-8",
        )

    def _compile(self, prefix: Path) -> None:
        compile_tree(self._base(), self.spec.version, prefix, self.spec.prefix)

    def _base(self) -> Path:
        """Return the unpacked base layer, whose Python compiles."""
        folder = self.store.path / "rootfs" / f"layer-{self.base_digest.removeprefix('sha256:')}"
        with self.store.locked(folder.name):
            if not folder.exists():
                with self.store.scratch("base") as work, ExitStack() as stack:
                    root = work / "root"
                    root.mkdir()
                    layer = stack.enter_context(self.store.open(self.base_digest))
                    rootfs.unpack_layers([layer], root)
                    root.rename(folder)
        return folder


def compile_tree(base: Path, version: str, tree: Path, target: str) -> None:
    """Byte-compile every file under `tree`, which will be `target` in the image.

    Args:
        base: root file system whose Python does it.
        version: of that Python, as in `python3.11`.
        tree: what to compile.
        target: its path in the image, which tracebacks will show.

    """
    toolbox = Toolbox(base)
    script = Path(__file__).with_name("bytecode.py")
    files = sorted(path for path in tree.rglob("*.py") if path.is_file() and not path.is_symlink())
    jobs = [
        "".join(f"{f}\0{target}/{f.relative_to(tree)}\0" for f in files[part::WORKERS])
        for part in range(WORKERS)
    ]
    environment = {"PYTHONHASHSEED": "0", "PYTHONHOME": str(base / "usr"), "TZ": "UTC"}

    def run(job: str) -> None:
        toolbox.run(f"python{version}", "-S", "-s", str(script), stdin=job, environment=environment)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(run, jobs))


def _split(layers: Sequence[declaration.Group], locked: list[Wheel]) -> list[list[Wheel]]:
    rest = list(locked)
    groups = []
    for layer in layers:
        group = [w for w in rest if any(fnmatch(w.name, pattern) for pattern in layer.wheels)]
        rest = [w for w in rest if w not in group]
        groups.append(group)
    return [*groups, rest]


def _matching(folder: Path, globs: Iterable[str]) -> list[Path]:
    return sorted({path for glob in globs for path in folder.glob(glob)})


def _is_library(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size < WORTH_STRIPPING:
        return False
    with path.open("rb") as handle:
        return handle.read(4) == b"\x7fELF"


def _strip(tools: Toolbox, library: Path) -> None:
    """Drop local symbols into a new file: the old one may be a hard link into uv's cache."""
    stripped = library.with_name(f"{library.name}.stripped")
    mode = library.stat().st_mode & 0o777
    tools.run("x86_64-linux-gnu-strip", "--strip-unneeded", "-o", str(stripped), str(library))
    stripped.chmod(mode)
    stripped.replace(library)
