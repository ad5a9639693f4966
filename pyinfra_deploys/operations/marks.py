"""Our lines in a file that others write, too: they are told apart, and taken out again. Pure."""

import re

BEGIN = "# Rackform's lines begin"
END = "# Rackform's lines end"
OFF = "#rackform: "
"""Before a line of somebody else that is out of force as long as ours are in force."""

_STANZA = re.compile(r"\s*(auto|allow-\S+|iface|mapping|source|source-directory|no-\S+)\b")


def with_block(text: str, block: str) -> str:
    """Return the text with our block at its top, in place of an earlier one."""
    return f"{BEGIN}\n{block.strip()}\n{END}\n{_without_block(text)}"


def unmarked(text: str) -> str:
    """Return the text as others wrote it: without our block, and with all their lines in force."""
    lines = _without_block(text).splitlines(keepends=True)
    return "".join(line.removeprefix(OFF) for line in lines)


def _without_block(text: str) -> str:
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        if line.rstrip("\n") == BEGIN:
            inside = True
        elif line.rstrip("\n") == END and inside:
            inside = False
        elif not inside:
            kept.append(line)
    return "".join(kept)


def without_interface(text: str, interface: str) -> str:
    """Return an interfaces(5) file in which what it says of one interface is out of force."""
    lines, ours = [], False
    for line in unmarked(text).splitlines(keepends=True):
        words = line.split()
        if found := _STANZA.match(line):
            ours = found[1] == "iface" and words[1:2] == [interface]
        together = found is not None and (found[1] == "auto" or found[1].startswith("allow-"))
        if together and interface in words[1:]:
            others = [word for word in words[1:] if word != interface]
            lines.append(f"{OFF}{line}")
            if others:
                lines.append(f"{BEGIN}\n{' '.join([words[0], *others])}\n{END}\n")
        else:
            lines.append(f"{OFF}{line}" if ours and line.strip() else line)
    return "".join(lines)
