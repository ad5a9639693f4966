"""Errors of what a person wrote, as apart from what failed while it was carried out."""

from remote.errors import RackformError


class InputError(RackformError):
    """The input is wrong (exit status 2): nothing has been touched."""
