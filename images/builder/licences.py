"""Which licence each package of an image is under, as the package itself says it in the image."""

import re
import tarfile
from collections.abc import Iterator
from email.parser import HeaderParser

from images.builder.oci import Layer
from images.builder.store import Store

SPDX = {
    "agpl-3": "AGPL-3.0-only",
    "apache-2": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "artistic-2.0": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "bsl-1.0": "BSL-1.0",
    "cc0-1.0": "CC0-1.0",
    "expat": "MIT",
    "gfdl-1.3": "GFDL-1.3-only",
    "gpl-1": "GPL-1.0-only",
    "gpl-1+": "GPL-1.0-or-later",
    "gpl-2": "GPL-2.0-only",
    "gpl-2+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only",
    "gpl-3+": "GPL-3.0-or-later",
    "isc": "ISC",
    "lgpl-2": "LGPL-2.0-only",
    "lgpl-2+": "LGPL-2.0-or-later",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later",
    "lgpl-3": "LGPL-3.0-only",
    "lgpl-3+": "LGPL-3.0-or-later",
    "mit": "MIT",
    "mpl-1.1": "MPL-1.1",
    "mpl-2.0": "MPL-2.0",
    "openssl": "OpenSSL",
    "psf-2": "PSF-2.0",
    "zlib": "Zlib",
}
"""Debian's short names of licences → SPDX's, where they mean the same text."""

COPYRIGHT = re.compile(r"^usr/share/doc/([^/]+)/copyright$")
METADATA = re.compile(r"/site-packages/([^/]+)-[^-/]+\.dist-info/METADATA$")
STATUS = re.compile(r"^var/lib/dpkg/status(\.d/[^/]+)?$")

LONGEST_NAME = 60
"""Characters; what is longer is a licence's text, not its name."""


def licences(layers: list[Layer], store: Store) -> dict[str, list[str]]:
    """Return `debian/NAME` or `python/NAME` → names of its licences, SPDX's where that is sure.

    What says nothing of its licence is left out.
    """
    found: dict[str, list[str]] = {}
    source_of: dict[str, str] = {}
    for layer in layers:
        for path, text in _statements(layer, store):
            if match := COPYRIGHT.search(path):
                _note(found, f"debian/{match[1]}", _of_debian(text))
            elif match := METADATA.search(path):
                name = re.sub(r"[-_.]+", "-", match[1]).lower()
                _note(found, f"python/{name}", _of_wheel(text))
            else:
                source_of |= _sources(text)
    return _shared(found, source_of)


def _note(found: dict[str, list[str]], name: str, names: list[str]) -> None:
    if names:
        found.setdefault(name, names)


def _shared(found: dict[str, list[str]], source_of: dict[str, str]) -> dict[str, list[str]]:
    """Add packages without a copyright file: they link to that of another of the same source."""
    by_source: dict[str, list[str]] = {}
    for name, source in sorted(source_of.items()):
        if names := found.get(f"debian/{name}"):
            by_source.setdefault(source, names)
    inherited = {
        f"debian/{name}": by_source[source]
        for name, source in source_of.items()
        if source in by_source
    }
    return inherited | found


def _statements(layer: Layer, store: Store) -> Iterator[tuple[str, str]]:
    with store.open(layer.digest) as handle, tarfile.open(fileobj=handle, mode="r:*") as tar:
        for entry in tar:
            path = entry.name.removeprefix("./")
            if entry.isfile() and any(p.search(path) for p in (COPYRIGHT, METADATA, STATUS)):
                content = tar.extractfile(entry)
                assert content is not None  # noqa: S101 - it is a file
                yield path, content.read().decode("utf-8", errors="replace")


def _of_debian(text: str) -> list[str]:
    """Read a copyright file: machine-readable, or one that points to the common licences."""
    names = re.findall(r"^License:[ \t]*(\S.*)$", text, re.MULTILINE)
    if not names:
        names = re.findall(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])", text)
    parts = (part for name in names for part in re.split(r"\s+(?:and|or)\s+|,\s*", name.strip()))
    return sorted({SPDX.get(p.lower(), p) for p in parts if p and len(p) <= LONGEST_NAME})


def _of_wheel(text: str) -> list[str]:
    headers = HeaderParser().parsestr(text)
    if expression := headers.get("License-Expression"):
        return [str(expression)]
    classifiers = [str(line) for line in headers.get_all("Classifier", [])]
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    if named and named != ["OSI Approved"]:
        return sorted({SPDX.get(_short(name), name) for name in named})
    declared = str(headers.get("License", "")).strip()
    if not declared or "\n" in declared or len(declared) > LONGEST_NAME:
        return []
    return [SPDX.get(_short(declared), declared)]


def _short(name: str) -> str:
    """Return a licence's name as Debian abbreviates it, where PyPI's classifiers spell it out."""
    known = {
        "MIT License": "mit",
        "Apache Software License": "apache-2.0",
        "Apache License 2.0": "apache-2.0",
        "ISC License (ISCL)": "isc",
        "Mozilla Public License 2.0 (MPL 2.0)": "mpl-2.0",
        "Python Software Foundation License": "psf-2",
    }
    return known.get(name, name.lower())


def _sources(status: str) -> dict[str, str]:
    """Return binary package → source package, as dpkg's database has them."""
    found = {}
    for stanza in re.split(r"\n\s*\n", status):
        fields = HeaderParser().parsestr(stanza)
        if name := fields.get("Package"):
            found[str(name)] = str(fields.get("Source", name)).split()[0]
    return found
