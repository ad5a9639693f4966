"""Limits that a machine can really give."""

from typing import Literal

from pyinfra_deploys.operations.facts import Bounds


def within(
    bounds: Bounds | None, nofile: int, memlock_kib: Literal["unlimited"] | int
) -> dict[str, Literal["unlimited"] | int]:
    """Return both limits, lowered to what root may set on this machine.

    In a container root can't raise a hard limit, and pam_limits refuses every login for a limit
    that it can't set: one number too high here would lock everybody out.
    """
    declared: dict[str, Literal["unlimited"] | int] = {"nofile": nofile, "memlock": memlock_kib}
    if bounds is None or bounds.may_raise:
        return declared
    if bounds.nofile is not None:
        declared["nofile"] = min(nofile, bounds.nofile)
    if bounds.memlock_bytes is not None:
        most = bounds.memlock_bytes // 1024
        declared["memlock"] = most if memlock_kib == "unlimited" else min(memlock_kib, most)
    return declared
