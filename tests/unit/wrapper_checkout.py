"""A checkout of the wrapper whose Python, Go, Pulumi and apt are fakes that note their calls."""

import hashlib
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = """
awk basename cat chmod cut cp date dash df dirname env find flock grep head install ln ls
mkdir mktemp mv od readlink rm rmdir sed sh sha256sum sleep sort stat tail tar timeout
touch tr uname xargs
"""

PYTHON = """#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
case "$*" in
  *version_info*) echo "$FAKE_PYTHON" ;;
  *"import ensurepip"*) [ -z "$NO_ENSUREPIP" ] || [ -e "$CALLS.venv-package" ] ;;
  "-m venv "*)
    mkdir -p "$3/bin"
    echo "VIRTUAL_ENV='$3'" >"$3/bin/activate"
    cp "$FAKES/venv-python" "$3/bin/python" ;;
esac
"""
VENV_PYTHON = """#!/bin/sh
echo "venv-python $*" >>"$CALLS"
case "$*" in
  *"-m pip install"*)
    [ -z "$NO_INDEX" ] || { echo "no route to the index"; exit 1; }
    cp "$FAKES/uv" "${0%/*}/uv" ;;
  "-P -m cli "*) shift 3; echo "cli: $*"; env >"$CALLS.env" ;;
esac
"""
UV = """#!/bin/sh
echo "uv $*" >>"$CALLS"
[ -z "$SLOW_UV" ] || { touch "$CALLS.uv-at-work"; exec sleep 20 >/dev/null 2>&1; }
"""
GO = """#!/bin/sh
echo "go $*" >>"$CALLS"
case "$1" in
  env) echo go1.26.4 ;;
  list) echo "$FAKES/sdk" ;;
  build)
    [ -z "$BROKEN_GO" ] || { echo "dial tcp: no such host"; exit 1; }
    [ -z "$SLOW_GO" ] || { touch "$CALLS.go-at-work"; sleep "$SLOW_GO" >/dev/null 2>&1; }
    while [ "$1" != -o ]; do shift; done
    cp "$FAKES/built" "$2" ;;
esac
"""
PULUMI = """#!/bin/sh
echo "pulumi $*" >>"$CALLS"
installed=$PULUMI_HOME/plugins/resource-command-v1.2.1
case "$*" in
  version) echo "${FAKE_PULUMI:-v3.250.0}" ;;
  "plugin install"*--file*) mkdir -p "$installed"; cp "$0" "$installed/pulumi-resource-command" ;;
  "plugin install"*)
    [ -n "$OFFICIAL_PLUGIN" ] || exit 1
    mkdir -p "$installed"; cp "$0" "$installed/pulumi-resource-command" ;;
esac
"""
APT = """#!/bin/sh
echo "apt-get $*" >>"$CALLS"
[ -z "$NO_MIRROR" ] || { echo "E: Failed to fetch"; exit 100; }
case "$*" in
  *" install "*)
    [ ! -e "$CALLS.interrupted" ] || { echo "E: dpkg was interrupted"; exit 100; }
    touch "$CALLS.venv-package" "$CALLS.twin-packages" ;;
esac
"""
DPKG = """#!/bin/sh
echo "dpkg $*" >>"$CALLS"
case "$*" in
  --audit) [ ! -e "$CALLS.interrupted" ] || echo "half-configured" ;;
  "--configure -a") rm -f "$CALLS.interrupted" ;;
esac
"""
DPKG_QUERY = """#!/bin/sh
[ -e "$CALLS.twin-packages" ] && printf installed || exit 1
"""
ID = '#!/bin/sh\necho "${FAKE_UID:-0}"\n'


def link_tools(folder: Path) -> Path:
    """Fill a folder with the real tools that the wrapper may use, and nothing else."""
    for tool in TOOLS.split():
        found = shutil.which(tool, path="/usr/bin:/bin:/usr/sbin:/sbin")
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


@dataclass
class Checkout:
    """One checkout under `base`, in a folder whose name holds a space and a quote."""

    base: Path
    tools: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.bin, self.fakes, self.home, self.root):
            folder.mkdir(parents=True)
        for name, text in {
            "python3": PYTHON,
            "go": GO,
            "apt-get": APT,
            "dpkg": DPKG,
            "dpkg-query": DPKG_QUERY,
            "id": ID,
        }.items():
            self.put(self.bin / name, text)
        for name, text in {"venv-python": VENV_PYTHON, "uv": UV, "built": PULUMI}.items():
            self.put(self.fakes / name, text)
        self.put(self.fakes / "sdk" / "python" / "cmd" / "pulumi-language-python-exec", "")
        shutil.copy2(ROOT / "rackform", self.root)
        shutil.copytree(ROOT / "engine", self.root / "engine")
        for name in ("requirements", "requirements-bootstrap", "requirements-test"):
            (self.root / f"{name}.txt").write_text(f"# {name}\n")
        (self.root / "stack").mkdir()
        (self.root / "stack" / "Pulumi.lab.yaml").write_text("config:\n  s:\n    twin: true\n")
        (self.root / "stack" / "Pulumi.real.yaml").write_text("config:\n  s:\n    twin: false\n")
        self.env = {
            "PATH": f"{self.bin}:{self.tools}",
            "HOME": str(self.home),
            "CALLS": str(self.base / "calls"),
            "FAKES": str(self.fakes),
            "FAKE_PYTHON": "3.11",
            "DPKG_ADMINDIR": str(self.base / "dpkg"),
        }

    def make_environment(self) -> None:
        """Put the Python environment there that the first run would make."""
        venv, sums = self.root / ".venv", hashlib.sha256()
        self.put(venv / "bin" / "python", VENV_PYTHON)
        self.put(venv / "bin" / "uv", UV)
        (venv / "bin" / "activate").write_text(f"VIRTUAL_ENV='{venv}'\n")
        for name in ("requirements-bootstrap", "requirements", "requirements-test"):
            sums.update((self.root / f"{name}.txt").read_bytes())
        sums.update(str(venv).encode())
        (venv / "stamp").write_text(f"{sums.hexdigest()}\n")

    @staticmethod
    def put(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def bin(self) -> Path:
        return self.base / "bin"

    @property
    def fakes(self) -> Path:
        return self.base / "fakes"

    @property
    def home(self) -> Path:
        return self.base / "home"

    @property
    def root(self) -> Path:
        return self.base / "john's rack"

    @property
    def state(self) -> Path:
        return self.root / ".rackform"

    @property
    def engines(self) -> Path:
        return self.home / ".cache" / "rackform" / "engine"

    def calls(self, of: str = "") -> list[str]:
        """Return what the fakes were asked, one call a line, and forget it."""
        log = self.base / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(of)]

    def seen_by_cli(self) -> dict[str, str]:
        lines = (self.base / "calls.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def install_pulumi(self, version: str, *, language_host: bool = True) -> Path:
        """Put an 'official' Pulumi on PATH."""
        folder = self.base / "official"
        self.put(folder / "pulumi", PULUMI)
        if language_host:
            self.put(folder / "pulumi-language-python", "")
        self.env |= {"FAKE_PULUMI": version, "PATH": f"{folder}:{self.env['PATH']}"}
        return folder

    def start(self, *arguments: str, **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.root / "rackform", *arguments],
            env=self.env | env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def run(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def shell(script: str) -> dict[str, str]:
    """Run exports in a bare shell and return the environment that they make."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{script}\n/usr/bin/env -0"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(item.split("=", 1) for item in done.stdout.split("\0") if "=" in item)
