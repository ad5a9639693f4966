"""What every deploy's settings share."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of one deploy: plain data, checked before a host is asked anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")
