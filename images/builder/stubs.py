"""Libraries that only satisfy the loader, in place of ones that are never called.

A library that was built against CUDA names CUDA's libraries as needed, so something with the right
name, the versions and the symbols must be there although no call ever reaches it. What each kind of
symbol must be:

* a function returns 1, which is an error for C interfaces; a C++ function returns the address of
  zeros, since static initialisers write through a returned reference;
* a vtable is zeros; a typeinfo holds its mangled name, which pybind11 reads at import;
* the constructor of NCCL's options runs once at import, as a default argument, and must leave an
  object whose vtable has a typeinfo.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from images.builder.declaration import Stubs
from images.builder.toolbox import Toolbox

CLASS_TYPE_INFO = "_ZTVN10__cxxabiv117__class_type_infoE+16"
NCCL_OPTIONS = "N4c10d16ProcessGroupNCCL7OptionsE"
NCCL_OPTIONS_CONSTRUCTOR = "_ZN4c10d16ProcessGroupNCCL7OptionsC1"
PREAMBLE = f"""\
.section .note.GNU-stack,"",@progbits
.bss
.balign 16
zeros: .zero 4096
.section .rodata
options_name: .asciz "{NCCL_OPTIONS}"
.data
.balign 16
options_type: .quad {CLASS_TYPE_INFO}, options_name
options_table: .quad 0, options_type
.rept 16
.quad nothing
.endr
.text
nothing: ret
"""
PLAIN_PREAMBLE = """\
.section .note.GNU-stack,"",@progbits
.bss
.balign 16
zeros: .zero 4096
"""


def replace(stubs: Stubs, site_packages: Path, tools: Toolbox) -> None:
    """Drop the declared libraries from `site_packages` and write the stubs beside the kept ones."""
    folder = site_packages / stubs.folder
    defined = {
        name: _symbols(tools, folder / name, "--defined-only")
        for name in sorted({n for lib in stubs.libraries for n in lib.defined_by})
    }
    imported: set[str] = set()
    versions: dict[str, set[str]] = {}
    for user in stubs.users:
        imported |= _symbols(tools, folder / user, "--undefined-only")
        for library, nodes in _versions(tools, folder / user).items():
            versions.setdefault(library, set()).update(nodes)
    for name in stubs.drop:
        (folder / name).unlink()
    for stub in stubs.libraries:
        pattern = re.compile(stub.symbols)
        known = set().union(*(defined[name] for name in stub.defined_by))
        names = sorted(s for s in imported if (s in known if stub.defined_by else pattern.match(s)))
        _link(tools, folder / stub.soname, names, sorted(versions.get(stub.soname, ())))


def assembly(names: Iterable[str]) -> str:
    """Return the assembly text of a library that defines these symbols."""
    names = list(names)
    parts = [PREAMBLE if any(map(_is_cxx, names)) else PLAIN_PREAMBLE]
    parts += [_definition(number, name) for number, name in enumerate(names)]
    return "".join(parts)


def _definition(number: int, name: str) -> str:
    if name.startswith("_ZTI"):
        return (
            f'.section .rodata\nname{number}: .asciz "{name[4:]}"\n.data\n.balign 8\n'
            f".globl {name}\n.type {name},@object\n.size {name},64\n"
            f"{name}: .quad {CLASS_TYPE_INFO}, name{number}, 0, 0, 0, 0, 0, 0\n"
        )
    if name.startswith("_ZTV"):
        return (
            f".bss\n.balign 16\n.globl {name}\n.type {name},@object\n.size {name},512\n"
            f"{name}: .zero 512\n"
        )
    if name.startswith(NCCL_OPTIONS_CONSTRUCTOR):
        body = "lea options_table+16(%rip), %rax\n mov %rax, (%rdi)\n ret"
    elif _is_cxx(name):
        body = "lea zeros(%rip), %rax\n ret"
    else:
        body = "mov $1, %eax\n ret"
    return f".text\n.balign 16\n.globl {name}\n.type {name},@function\n{name}: {body}\n"


def _is_cxx(name: str) -> bool:
    return name.startswith("_Z")


def _link(tools: Toolbox, out: Path, names: list[str], versions: list[str]) -> None:
    source, obj, script = (out.with_name(f"{out.name}.{end}") for end in ("s", "o", "map"))
    source.write_text(assembly(names), encoding="utf-8")
    first, *others = versions or [""]
    nodes = [f"{first} {{ global: *; }};"] if first else []
    nodes += [f"{node} {{ global: none_of_{number}; }};" for number, node in enumerate(others)]
    script.write_text("\n".join(nodes) + "\n", encoding="utf-8")
    tools.run("x86_64-linux-gnu-as", "--64", "-o", str(obj), str(source))
    versioned = [f"--version-script={script}"] if first else []
    tools.run(
        "x86_64-linux-gnu-ld.bfd", "-shared", "--build-id=none", "--strip-all", "-z", "lazy",
        f"-soname={out.name}", *versioned, "-o", str(out), str(obj),
    )  # fmt: skip
    out.chmod(0o644)
    for file in (source, obj, script):
        file.unlink()


def _symbols(tools: Toolbox, library: Path, which: str) -> set[str]:
    listed = tools.run("x86_64-linux-gnu-nm", "-D", which, str(library))
    return {line.split()[-1].split("@")[0] for line in listed.splitlines() if line.strip()}


def _versions(tools: Toolbox, library: Path) -> dict[str, set[str]]:
    """Return the version nodes that a library asks for, by the library it asks."""
    found: dict[str, set[str]] = {}
    asked = ""
    for line in tools.run("x86_64-linux-gnu-readelf", "-VW", str(library)).splitlines():
        if file := re.search(r"File: (\S+)", line):
            asked = file[1]
        elif asked and (node := re.search(r"Name: (\S+)", line)):
            found.setdefault(asked, set()).add(node[1])
    return found
