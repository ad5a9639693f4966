"""What every part of the site is made of."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A part of the site: it never changes, and it refuses settings that it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
