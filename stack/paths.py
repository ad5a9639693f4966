"""Where things are kept: the checkout, its state folder and the store that checkouts share."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def state_dir() -> Path:
    """Return the checkout's state folder (`RACKFORM_STATE`, else `.rackform/` in the checkout).

    It holds Pulumi's state, the passphrase, keys and the twin: all that `rackform down` removes.
    """
    return Path(os.environ.get("RACKFORM_STATE") or ROOT / ".rackform")


def stack_dir(stack: str) -> Path:
    """Return the folder of one stack's files: SSH key, known hosts, CA, API key."""
    return state_dir() / stack


def store_dir() -> Path:
    """Return the content-addressed store of images, packages and weights.

    `RACKFORM_STORE`, else `rackform/store` in the user's cache folder. Checkouts share it, since
    every name in it is a hash.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RACKFORM_STORE") or cache / "rackform" / "store")


def locks_dir() -> Path:
    """Return where a lock is made when the mirrors no longer offer what an image's lock names."""
    return state_dir() / "locks"


def engines_dir() -> Path:
    """Return where `./rackform` keeps the Pulumi engines that it built (`RACKFORM_ENGINE`)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RACKFORM_ENGINE") or cache / "rackform" / "engine")
