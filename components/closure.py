"""A stack's closure: one hash over all that it will run, known before anything runs."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from images import builder
from pyinfra_deploys.registry import DEPLOYS, sources
from stack.paths import ROOT, locks_dir, store_dir
from stack.schema import Site


def closure(site: Site, images: Iterable[tuple[str, str]]) -> str:
    """Return sha256 over the validated site, the images' locks and the deploys' sources.

    The site holds no secrets: those are the `Credentials` resource's.
    """
    locks = {
        f"{image}:{variant}": builder.expected(
            image, variant, store_dir(), locks=locks_dir()
        ).lock_sha256
        for image, variant in images
    }
    return _sha256(
        {
            "site": site.model_dump(mode="json"),
            "locks": locks,
            "deploys": {deploy: sources(deploy) for deploy in DEPLOYS},
        }
    )


def verification_sources() -> str:
    """Return sha256 over the tests that verify hosts: when they change, they are run again."""
    return _sha256(
        {
            path.name: path.read_text(encoding="utf-8")
            for path in sorted(Path(ROOT, "tests", "hosts").glob("*.py"))
        }
    )


def _sha256(tree: Mapping[str, object]) -> str:
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
