"""Each thing put back as the record has it; its entry goes once it is."""

import posixpath
import shlex
from collections.abc import Generator, Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations.before import BEFORE, BOOT_IMAGE
from pyinfra_deploys.operations.facts import FileAt
from pyinfra_deploys.operations.marks import unmarked
from pyinfra_deploys.operations.record import Entry
from pyinfra_deploys.operations.script import Script
from remote import host_folders

LEFT = f"{host_folders.DATA}/left"
"""Where versions of files are kept that somebody changed after us."""
ENABLED = frozenset({"enabled", "enabled-runtime", "alias", "linked"})
RUNNING = frozenset({"active", "reloading", "activating"})


def forgotten(*entries: Entry) -> str:
    """Return shell that ends entries: what they tell of is as it was."""
    return " && ".join(
        f"rm -f {BEFORE}/entries/{entry.id} {BEFORE}/written/{entry.id}" for entry in entries
    )


def file_back(entry: Entry) -> str:
    """Return shell that puts a file back, or removes it with the folders that were made for it."""
    path = shlex.quote(entry.target)
    fresh = shlex.quote(f"{entry.target}.rackform-new")
    if entry.get("was") == "link":
        return f"ln -sfT {shlex.quote(entry.get('link'))} {path}"
    if entry.get("was") == "file":
        return (
            f"mkdir -p -m 755 {shlex.quote(posixpath.dirname(entry.target))} &&"
            f" cp {BEFORE}/content/{entry.get('content')} {fresh} &&"
            f" chown {entry.get('owner')}:{entry.get('group')} {fresh} &&"
            f" chmod {entry.get('mode')} {fresh} && mv -T {fresh} {path}"
        )
    emptied = "".join(f"; rmdir {shlex.quote(folder)} 2>/dev/null" for folder in _made(entry))
    return f"{{ rm -f {path}{emptied}; true; }}"


def _made(entry: Entry) -> Iterable[str]:
    """Yield the folders that weren't there, the innermost first."""
    folder, top = posixpath.dirname(entry.target), entry.get("made")
    while top and (folder == top or folder.startswith(f"{top}/")):
        yield folder
        folder = posixpath.dirname(folder)


def told_of(entry: Entry) -> str:
    """Return what happens to a file, in words."""
    ends = {"file": "put back as it was", "link": f"a link to {entry.get('link')} again"}
    told = f"{entry.target}: {ends.get(entry.get('was'), 'removed: it was not there')}"
    if entry.get("reader").endswith(".service"):
        told += f"; {entry.get('reader')} is restarted"
    if entry.changed_by_hand:
        told += f"; it was changed by hand since, which is kept in {kept_at(entry)}"
    return told


def kept_at(entry: Entry) -> str:
    return f"{LEFT}{entry.target}"


def put_back(entry: Entry) -> str:
    """Return `file_back`, after keeping what somebody else made of the file."""
    if not entry.changed_by_hand:
        return file_back(entry)
    kept = shlex.quote(kept_at(entry))
    folder = shlex.quote(posixpath.dirname(kept_at(entry)))
    keep = f"mkdir -p -m 700 {LEFT} {folder} && cp -a {shlex.quote(entry.target)} {kept}"
    return f"{keep} && {file_back(entry)}"


def _reread(entry: Entry) -> str:
    """Return shell that makes those who read the file know of it."""
    reader = entry.get("reader")
    if reader == BOOT_IMAGE:
        return "if command -v update-initramfs >/dev/null; then update-initramfs -u; fi"
    if entry.target.startswith("/etc/systemd/system/"):
        return "systemctl daemon-reload"
    return f"systemctl try-restart {shlex.quote(reader)}" if reader else "true"


@operation()
def restore_file(entry: Entry) -> Generator[StringCommand, None, None]:
    if entry.get("undo") == "marks" and entry.get("now") == "file":
        yield from _unmark(entry)
    elif entry.is_as_before:
        yield Script(f"{entry.target}: it is as it was", forgotten(entry))
    else:
        steps = (put_back(entry), _reread(entry), forgotten(entry))
        yield Script(told_of(entry), " && ".join(step for step in steps if step != "true"))


def _unmark(entry: Entry) -> Generator[StringCommand, None, None]:
    """Take our lines out; what others have written since stays."""
    present = host.get_fact(FileAt, path=entry.target)
    content = host.get_fact(FileAt, path=f"{BEFORE}/content/{entry.get('content')}")
    former = content.content if content and entry.get("content") else b""
    text = unmarked(present.content.decode(errors="surrogateescape") if present else "")
    if text.encode(errors="surrogateescape").rstrip(b"\n") == former.rstrip(b"\n"):
        yield Script(told_of(entry), f"{file_back(entry)} && {forgotten(entry)}")
        return
    fresh, path = QuoteString(f"{entry.target}.rackform-new"), QuoteString(entry.target)
    yield Script(
        f"{entry.target}: our lines taken out; what others wrote since stays",
        "cat >", fresh, "&& chown --reference", path, fresh, "&& chmod --reference", path, fresh,
        "&& mv -T", fresh, path, "&&", forgotten(entry), stdin=text,
    )  # fmt: skip


def unit_back(entry: Entry) -> list[str]:
    """Return the commands that make a unit enabled and active as it was."""
    name = shlex.quote(entry.target)
    if entry.get("now-LoadState") == "not-found":
        return []
    enabled, now = (entry.get(f"{at}UnitFileState") in ENABLED for at in ("", "now-"))
    ran, runs = (entry.get(f"{at}ActiveState") in RUNNING for at in ("", "now-"))
    commands = []
    if enabled != now:
        commands.append(f"systemctl {'enable' if enabled else 'disable'} -q {name}")
    if ran != runs:
        commands.append(f"systemctl {'start' if ran else 'stop'} {name}")
    return commands


@operation()
def restore_unit(entry: Entry) -> Generator[StringCommand, None, None]:
    commands = unit_back(entry)
    told = "; ".join(commands) or f"{entry.target}: it is as it was"
    yield Script(told, " && ".join([*commands, forgotten(entry)]))


@operation()
def restore_sysctl(entry: Entry) -> Generator[StringCommand, None, None]:
    value = " ".join(entry.get("value").split())
    setting = shlex.quote(f"{entry.target}={value}")
    if "now" not in entry.fields or value == " ".join(entry.get("now").split()):
        yield Script(f"{entry.target}: it is as it was", forgotten(entry))
    else:
        yield Script(f"sysctl -q -w {setting}", f"sysctl -q -w {setting} && {forgotten(entry)}")


@operation()
def restore_table(entry: Entry) -> Generator[StringCommand, None, None]:
    if entry.get("was") == "present":
        yield Script(f"the table {entry.target} stays: it was there before", forgotten(entry))
        return
    yield Script(
        f"nft delete table {entry.target}",
        f"if nft list table {entry.target} >/dev/null 2>&1; then",
        f"nft delete table {entry.target}; fi && {forgotten(entry)}",
    )


@operation()
def release_package(entry: Entry) -> Generator[StringCommand, None, None]:
    """Give up the hold on a package that we held; the package itself stays."""
    if entry.get("now-want") == "hold" and entry.get("want") != "hold":
        yield StringCommand("apt-mark", "-q", "unhold", QuoteString(entry.target))
