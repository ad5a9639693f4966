"""What an image says it is made of: every locked package, its licence, and what refers to it."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from images import builder
from images.builder import licences
from images.builder.store import Store
from tests.unit.image_folder import declare, lock

SCHEMAS = files("cyclonedx.schema") / "_res"
DEP5 = """
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: GPL-2+ and Expat

Files: debian/*
License: public-domain
"""
OLD = """
This is free software; see /usr/share/common-licenses/GPL-3 and /usr/share/common-licenses/LGPL-2.1.
"""


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> builder.Built:
    declare(tmp_path, monkeypatch)
    lock(tmp_path / "store", tmp_path)
    return builder.build("small", "default", tmp_path / "store", lambda _: None)


def test_the_sbom_names_every_package_by_version_and_hash(
    tmp_path: Path, built: builder.Built
) -> None:
    text = builder.sbom_document(built.input_hash, tmp_path / "store")
    assert text
    document = json.loads(text)
    schemas = {name: json.loads((SCHEMAS / f"{name}.SNAPSHOT.schema.json").read_text())
               for name in ("bom-1.6", "jsf-0.82", "spdx")}  # fmt: skip
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()
    )
    jsonschema.Draft7Validator(schemas["bom-1.6"], registry=registry).validate(document)
    assert document["bomFormat"] == "CycloneDX"
    (package,) = document["components"]
    assert (package["name"], package["version"]) == ("hello", "1.0")
    assert package["purl"] == "pkg:deb/debian/hello@1.0?arch=amd64"
    assert package["hashes"][0]["alg"] == "SHA-256"
    assert document["metadata"]["component"]["version"] == built.digest


def test_the_sbom_refers_to_its_image_in_the_layout(tmp_path: Path, built: builder.Built) -> None:
    store = tmp_path / "store"
    assert json.loads((store / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    listed = json.loads((store / "index.json").read_text())["manifests"]
    (referrer,) = [entry for entry in listed if "artifactType" in entry]
    manifest = json.loads(Store(store).blob(referrer["digest"]).read_text())
    assert manifest["subject"]["digest"] == built.digest
    assert manifest["artifactType"] == "application/vnd.cyclonedx+json"
    document = Store(store).blob(manifest["layers"][0]["digest"]).read_text()
    assert document == builder.sbom_document(built.input_hash, store)


def test_debian_licences_are_told_by_spdx_where_that_is_sure() -> None:
    assert licences._of_debian(DEP5) == ["GPL-2.0-or-later", "MIT", "public-domain"]
    assert licences._of_debian(OLD) == ["GPL-3.0-only", "LGPL-2.1-only"]
    assert licences._of_debian("nothing is said here") == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other", ["MIT OR Apache-2.0"]),
        ("Classifier: License :: OSI Approved :: MIT License", ["MIT"]),
        ("Classifier: License :: OSI Approved", []),
        ("License: BSD-3-Clause", ["BSD-3-Clause"]),
        ("License: " + "x" * 500, []),
        ("Name: nothing", []),
    ],
)
def test_a_wheels_licence_is_what_its_metadata_says(headers: str, expected: list[str]) -> None:
    assert licences._of_wheel(headers + "\n\nText") == expected


def test_packages_of_one_source_share_its_licence() -> None:
    found = {"debian/gcc-12-base": ["GPL-3.0-or-later"]}
    sources = {"gcc-12-base": "gcc-12", "libstdc++6": "gcc-12", "curl": "curl"}
    assert licences._shared(found, sources) == {
        "debian/gcc-12-base": ["GPL-3.0-or-later"],
        "debian/libstdc++6": ["GPL-3.0-or-later"],
    }
