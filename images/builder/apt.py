"""Debian packages through the machine's own apt sources, in an apt of the builder's own.

Nothing of the machine's package state is read or changed: only its sources and apt settings, so
that proxies and mirrors keep working. No address of a mirror ends in a lock.
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from images.builder.lock_model import DebianPackage
from images.builder.store import Store, hash_file
from remote.errors import RackformError
from stack.errors import InputError

ARCHITECTURE = "amd64"
UPDATE_TIMEOUT_S = 300
DOWNLOAD_TIMEOUT_S = 1200
SUITES = ("bookworm", "trixie")
"""Debian's suites that images are made of."""
_SUITE = 2
"""Where a source's line has its suite, after `deb` and the address."""
LISTS_BYTES = 40_000_000
"""What the package lists of one suite take, somewhat rounded up."""


class Apt:
    """An apt whose lists, cache and status are its own folder."""

    def __init__(
        self,
        folder: Path,
        suite: str,
        without: Iterable[str] = (),
        keep: Mapping[str, str] | None = None,
    ) -> None:
        """Set up the folder.

        Args:
            folder: kept between runs, so that lists are fetched only when they changed.
            suite: Debian's, such as bookworm.
            without: packages that count as installed.
            keep: package → version that is preferred as long as a mirror offers it.

        """
        self.folder = folder
        self.suite = suite
        for part in ("lists/partial", "archives/partial", "sources.d"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("".join(map(_as_installed, without)), encoding="utf-8")
        (folder / "sources.list").write_text(sources(suite), encoding="utf-8")
        pins = [
            f"Package: {p}\nPin: version {v}\nPin-Priority: 1001\n" for p, v in (keep or {}).items()
        ]
        (folder / "preferences").write_text("\n".join(pins), encoding="utf-8")

    def update(self) -> None:
        self._run("apt-get", "update", "--quiet", timeout_s=UPDATE_TIMEOUT_S)

    def resolve(self, packages: list[str], *, whole_system: bool) -> list[DebianPackage]:
        """Return the packages that installing these into nothing would bring, sorted by name."""
        index = self._index()
        if unknown := sorted(set(packages) - set(index)):
            raise InputError(
                f"no mirror of Debian {self.suite} has a package {', '.join(unknown)}: correct the "
                "name in image.toml"
            )
        wanted = list(packages)
        if whole_system:
            wanted += sorted({name for name, stanza in index.items() if _essential(stanza)})
        planned = self._run("apt-get", "install", "--simulate", *wanted).stdout
        chosen = re.findall(r"^Inst (\S+) \((\S+) .*\[(\S+)\]\)", planned, re.MULTILINE)
        return sorted(
            (self._locked(name.split(":")[0], version, index) for name, version, _ in chosen),
            key=lambda package: package.name,
        )

    def download(self, packages: list[DebianPackage], target: Path) -> list[DebianPackage]:
        """Fetch these exact versions into `target`; return those that no mirror has any more."""
        wanted = [f"{p.name}={p.version}" for p in packages]
        offered = self._run("apt-cache", "show", "--no-all-versions", *wanted, check=False).stdout
        stanzas = [dict(_fields(stanza)) for stanza in offered.split("\n\n")]
        have = {(s.get("Package"), s.get("Version")) for s in stanzas}
        there = [f"{p.name}={p.version}" for p in packages if (p.name, p.version) in have]
        if there:
            self._run("apt-get", "download", "--quiet", *there, cwd=target,
                      timeout_s=DOWNLOAD_TIMEOUT_S)  # fmt: skip
        return [p for p in packages if (p.name, p.version) not in have]

    def _locked(
        self, name: str, version: str, index: dict[str, list[dict[str, str]]]
    ) -> DebianPackage:
        for fields in index.get(name, []):
            if fields["Version"] == version:
                return DebianPackage(
                    name=name,
                    version=version,
                    arch=fields["Architecture"],
                    sha256=fields["SHA256"],
                    size=int(fields["Size"]),
                )
        raise RackformError(f"apt would install {name} {version}, but no index lists it: run again")

    def _index(self) -> dict[str, list[dict[str, str]]]:
        listed = self._run(
            "apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages"
        ).stdout.split()
        found: dict[str, list[dict[str, str]]] = {}
        for file in listed:
            text = self._run("/usr/lib/apt/apt-helper", "cat-file", file).stdout
            for stanza in text.split("\n\n"):
                fields = dict(_fields(stanza))
                if "Package" in fields:
                    found.setdefault(fields["Package"], []).append(fields)
        return found

    def _run(
        self,
        *command: str,
        timeout_s: float = 120,
        check: bool = True,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        options = {
            "Dir::State": self.folder,
            "Dir::State::lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder,
            "Dir::Cache::archives": self.folder / "archives",
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": self.folder / "sources.d",
            "Dir::Etc::preferences": self.folder / "preferences",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        program, *rest = command
        try:
            done = subprocess.run(
                [program, *flags, *rest],
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                cwd=cwd,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            )
        except subprocess.TimeoutExpired:
            raise RackformError(
                f"{program} {rest[0]} did not end within {timeout_s:.0f} s: "
                "check that the machine's apt sources can be reached ('apt-get update')"
            ) from None
        if check and done.returncode:
            last = " ".join(done.stderr.strip().splitlines()[-3:])
            raise RackformError(f"{program} {rest[0]} failed: {last}")
        return done


def fetch(
    packages: list[DebianPackage],
    suite: str,
    store: Store,
    progress: Callable[[str], None],
    snapshot: str | None = None,
) -> tuple[dict[str, Path], list[DebianPackage]]:
    """Return the .deb of each package (checked against its sha256), and those that can't be had.

    Looked for in the store, then on the machine's mirrors, then on the snapshot mirror.
    """
    with store.locked("debs"):
        found = {p.name: store.path / "debs" / p.file_name for p in packages}
        missing = [
            p for p in {p.file_name: p for p in packages}.values()
            if not _whole(found[p.name], p, progress)
        ]  # fmt: skip
        if not missing:
            return found, []
        megabytes = sum(p.size for p in missing) / 1e6
        progress(f"downloading {len(missing)} Debian packages ({megabytes:.0f} MB)")
        store.need(LISTS_BYTES + sum(p.size for p in missing))  # apt waits on a full disk
        with store.scratch("debs") as folder:
            apt = Apt(store.path / "apt", suite)
            apt.update()
            gone = apt.download(missing, folder)
            if gone and snapshot:
                progress(f"asking the snapshot mirror for {len(gone)} packages")
                gone = _from_snapshot(gone, snapshot, folder)
            for package in missing:
                if package not in gone:
                    _keep(package, folder, found[package.name], store)
    return found, gone


def _from_snapshot(packages: list[DebianPackage], mirror: str, folder: Path) -> list[DebianPackage]:
    """Fetch what the mirrors dropped; return what the snapshot mirror has not either."""
    from images.builder import snapshots  # noqa: PLC0415 - half a second of every preview

    return snapshots.download(packages, mirror, folder)


def _whole(path: Path, package: DebianPackage, progress: Callable[[str], None]) -> bool:
    if not path.exists():
        return False
    if hash_file(path) == f"sha256:{package.sha256}":
        return True
    progress(f"{path.name} in the store was altered (its sha256 is not the lock's): fetching again")
    path.unlink()
    return False


def _keep(package: DebianPackage, folder: Path, target: Path, store: Store) -> None:
    fetched = next((f for f in folder.iterdir() if f.name.startswith(f"{package.name}_")), None)
    if fetched is None:
        raise RackformError(f"apt fetched no file for {package.name} {package.version}: run again")
    actual = hash_file(fetched)
    if actual != f"sha256:{package.sha256}":
        raise RackformError(
            f"{package.name} {package.version} from the mirror has {actual}, the lock says "
            f"sha256:{package.sha256}: the mirror serves another file under the same version; "
            "check the mirror, then lock again"
        )
    store.move(fetched, target)


def _as_installed(name: str) -> str:
    return (
        f"Package: {name}\nStatus: install ok installed\nArchitecture: {ARCHITECTURE}\n"
        "Multi-Arch: foreign\nMaintainer: none\nVersion: 99999\nDescription: left out\n\n"
    )


def _essential(stanzas: list[dict[str, str]]) -> bool:
    return any(s.get("Essential") == "yes" or s.get("Priority") == "required" for s in stanzas)


def _fields(stanza: str) -> Iterable[tuple[str, str]]:
    for line in stanza.splitlines():
        key, colon, value = line.partition(": ")
        if colon and not line[0].isspace():
            yield key, value


def sources(suite: str, etc: Path = Path("/etc/apt")) -> str:
    """Return the machine's sources for the suite, its updates and its security updates.

    A mirror of Debian has every suite: one that the machine asks for another is asked for this.
    """
    offered = list(_machine_sources(etc))
    for other in (suite, *(each for each in SUITES if each != suite)):
        wanted = {f"{other}{part}": f"{suite}{part}" for part in ("", "-updates", "-security")}
        lines = [
            re.sub(rf"(?<=\s){named}(?=\s|$)", wanted[named], line)
            for line, named in offered
            if named in wanted
        ]
        if any(suite in line.split() for line in lines):
            return "\n".join(lines) + "\n"
    raise RackformError(
        f"none of the machine's apt sources has Debian's suite {suite!r}: "
        "add one to /etc/apt/sources.list.d"
    )


def _machine_sources(etc: Path) -> Iterator[tuple[str, str]]:
    """Yield every source of the machine as a line, with its suite."""
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            words = re.sub(r"\[.*?\]", "", line).split()
            if words[:1] == ["deb"] and len(words) > _SUITE:
                yield line, words[_SUITE]
    for file in sorted((etc / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            text = "\n".join(li for li in stanza.splitlines() if not li.startswith("#"))
            yield from _lines(dict(_fields(text)))


def _lines(fields: dict[str, str]) -> Iterator[tuple[str, str]]:
    if "deb" not in fields.get("Types", "").split() or fields.get("Enabled") == "no":
        return
    options = f"[signed-by={fields['Signed-By']}] " if "Signed-By" in fields else ""
    for uri in fields.get("URIs", "").split():
        for suite in fields.get("Suites", "").split():
            yield f"deb {options}{uri} {suite} {fields.get('Components', '')}", suite
