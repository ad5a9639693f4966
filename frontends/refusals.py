"""What is refused before a front-end is started."""

from collections.abc import Mapping

from remote.errors import RackformError


def refuse_empty(frontend: str, secrets: Mapping[str, str]) -> None:
    """Refuse a front-end that would let everybody in.

    Raises:
        RackformError: names the secret that is empty.

    """
    for name, value in secrets.items():
        if not value.strip():
            raise RackformError(
                f"{frontend}: {name} is empty, and without it everybody gets in: give it a token of"
                " the site's credentials"
            )
