"""What every service of the appliance stands on, and what it gives back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pulumi import Input, Resource

from components.credentials import SiteCredentials
from components.images import ContainerImage
from components.machines import Machine
from components.resources import Container
from planner.models import Plan
from stack.schema import Site


class ImageMaker(Protocol):
    """Declares an image by its folder's name on some nodes: built, published, pulled."""

    def __call__(self, image: str, nodes: Collection[str]) -> ContainerImage: ...


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The site with its machines, secrets and images, as far as they are declared."""

    site: Site
    plan: Plan
    credentials: SiteCredentials
    machines: Mapping[str, Machine]
    hosts: Mapping[str, Resource]
    """Node → what its containers wait for."""
    image: ImageMaker
    after: Sequence[Resource] = ()
    """What comes up first: models do not wait for what people use beside them."""


@dataclass(frozen=True)
class Placed:
    """A container on a node, as the verification looks for it."""

    container: str
    node: str
    resource: Container
    image_id: Input[str]


@dataclass(frozen=True, kw_only=True)
class Route:
    """Something that the edge offers: an upstream on the fabric behind a port and a host name."""

    name: str
    upstream: str
    """host:port, where it listens on the fabric."""
    port: int
    """HTTPS port of the edge."""
    host_name: str | None = None
    """Also offered by this name on the edge's own port."""
    path: str = "/"
    """Where on that port it is offered."""
    password: bool = False
    """Whether the edge asks for the operator's password; else the service asks by itself."""
