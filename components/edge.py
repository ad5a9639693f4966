"""The one door to the appliance: TLS and a key in front of `/v1`; nothing else is offered."""

from dataclasses import dataclass

from pulumi import ComponentResource, Output, Resource, ResourceOptions

from components.credentials import EDGE, SiteCredentials
from components.images import ContainerImage
from components.machines import Machine, on_machine
from components.resources import Container
from provider.inputs import HostFile, Readiness
from stack.schema import Site

_FOLDER = "/etc/caddy"
_IMAGE_USER = "997:997"
"""The user of images/edge; its caddy may bind to ports below 1024."""


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    site: Site
    credentials: SiteCredentials
    machine: Machine
    host: Resource
    image: ContainerImage
    api_address: str


class Edge(ComponentResource):
    """Caddy: the site's certificate, the site's API keys, streaming passed on as it comes."""

    endpoint: Output[str]
    """The base URL for an OpenAI client."""

    def __init__(self, name: str, args: EdgeArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:Edge", name, None, opts)
        site, credentials = args.site, args.credentials
        address, port = str(site.nodes[site.edge_node].address), site.edge.port
        hosts = [address, *site.edge.host_names]
        self.container = Container(
            f"{name}-container",
            connection=args.machine.connection,
            machine=args.machine.installation,
            container_name="edge",
            image=args.image.reference,
            image_id=args.image.image_id,
            command=["caddy", "run", "--config", f"{_FOLDER}/Caddyfile", "--adapter", "caddyfile"],
            user=_IMAGE_USER,
            files={
                f"{_FOLDER}/Caddyfile": {
                    "content": credentials.api_keys.apply(
                        lambda keys: caddyfile(
                            hosts, port, address, args.api_address, list(keys.values())
                        )
                    ),
                    "mode": 0o400,
                },
                f"{_FOLDER}/tls.crt": HostFile(content="", mode=0o400).model_dump()
                | {"content": credentials.certificate(EDGE)},
                f"{_FOLDER}/tls.key": {"content": credentials.key(EDGE), "mode": 0o400},
            },
            ready=Readiness(kind="tcp", target=[address, str(port)]).model_dump(),
            opts=on_machine(self, args.machine, args.host, args.image.pulled),
        )
        suffix = "" if port == 443 else f":{port}"  # noqa: PLR2004 - https's own port
        self.endpoint = Output.from_input(f"https://{address}{suffix}/v1")
        self.register_outputs({"endpoint": self.endpoint})


def caddyfile(hosts: list[str], port: int, bind: str, upstream: str, keys: list[str]) -> str:
    """Return the Caddyfile: `/v1` for whoever holds a key, 401 without one, 404 for the rest.

    `default_sni` names the certificate for clients that reach the edge by its address, since TLS
    has no server name then. The key is not passed on.
    """
    accepted = "\n".join(f'\t\theader Authorization "Bearer {key}"' for key in keys)
    sites = ", ".join(f"https://{host}:{port}" for host in hosts)
    return f"""\
{{
	admin off
	auto_https off
	default_sni {hosts[0]}
}}
{sites} {{
	bind {bind}
	tls {_FOLDER}/tls.crt {_FOLDER}/tls.key
	@authorised {{
		path /v1/*
{accepted}
	}}
	handle @authorised {{
		reverse_proxy {upstream} {{
			flush_interval -1
			header_up -Authorization
		}}
	}}
	handle /v1/* {{
		header WWW-Authenticate Bearer
		header Content-Type application/json
		respond `{{"error": {{"message": "a valid API key is required", "code": 401}}}}` 401
	}}
	handle {{
		respond 404
	}}
}}
"""
