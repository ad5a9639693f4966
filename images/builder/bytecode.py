"""Compiles Python files so that two builds give the same bytes; run by the image's own Python.

A script of its own, with the standard library alone: `python bytecode.py < jobs`, where a job is a
file and the name it will have in the image, each ended by a NUL. The byte code carries the hash of
its source instead of its time, and is never checked against it.
"""

import py_compile
import sys


def main() -> None:
    parts = sys.stdin.read().split("\0")
    for file, name in zip(parts[::2], parts[1::2], strict=False):
        try:
            py_compile.compile(
                file,
                dfile=name,
                doraise=True,
                quiet=2,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except (py_compile.PyCompileError, UnicodeDecodeError, ValueError):
            continue  # templates and examples that are no Python of this version


if __name__ == "__main__":
    main()
