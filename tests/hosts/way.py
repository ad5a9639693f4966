"""One direction between two hosts over one network of the fabric."""

from typing import NamedTuple

from stack.schema import FABRIC


class Way(NamedTuple):
    source: str
    target: str
    network: str

    def __str__(self) -> str:
        over = "" if self.network == FABRIC else f"-over-{self.network}"
        return f"{self.source}-to-{self.target}{over}"
