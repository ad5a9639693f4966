"""A host as it was before the first change; nothing of it is held any more."""

from pydantic import Field

from pyinfra_deploys.model import Settings


class RestoreSettings(Settings):
    management_address: str = Field(
        description="the address by which the host is reached: its interface is never touched"
    )
    registry: str | None = Field(default=None, description="host:port, by which images are told")
