"""The site's registry: TLS, one account, on the management network; nodes pull by digest."""

from dataclasses import dataclass

import yaml
from pulumi import ComponentResource, Output, Resource, ResourceOptions

from components.credentials import REGISTRY, SiteCredentials
from components.images import ImageSources, RegistryInput, oci_image
from components.machines import Machine, on_machine
from components.passwords import hashed
from components.resources import Container
from remote import host_folders
from remote.container_spec import HostFile, Mount, Readiness
from stack.schema import Site

USER = "rackform"
_DATA = f"{host_folders.DATA}/registry"
_FOLDER = "/etc/docker/registry"
_IMAGE_USER = "998:998"


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    site: Site
    credentials: SiteCredentials
    machine: Machine
    host: Resource
    sources: ImageSources


def registry_address(site: Site) -> str:
    return f"{site.nodes[site.registry_node].address}:{site.registry.port}"


class SiteRegistry(ComponentResource):
    """Debian's docker-registry on one node, its own image loaded over SSH."""

    address: Output[str]
    """host:port"""
    container: Container
    image_id: Output[str]
    access: RegistryInput
    """What a resource that pushes or pulls needs."""

    def __init__(self, name: str, args: RegistryArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:SiteRegistry", name, None, opts)
        address, credentials = registry_address(args.site), args.credentials
        password = credentials.token("registry")
        image = oci_image(
            f"{name}-image", ("registry", "default"), args.sources, ResourceOptions(parent=self)
        )
        self.container = Container(
            f"{name}-container",
            connection=args.machine.connection,
            machine=args.machine.installation,
            container_name="registry",
            image=image.digest.apply(lambda digest: f"rackform/registry@{digest}"),
            image_id=image.image_id,
            load_from_store=image.digest,
            command=["docker-registry", "serve", f"{_FOLDER}/config.yml"],
            user=_IMAGE_USER,
            mounts=[
                Mount(source=_DATA, target="/var/lib/registry", read_only=False).model_dump()
            ],
            files={
                f"{_FOLDER}/config.yml": HostFile(content=_config(address)).model_dump(),
                f"{_FOLDER}/htpasswd": {"content": password.apply(_htpasswd), "mode": 0o400},
                f"{_FOLDER}/tls.crt": {
                    "content": credentials.certificate(REGISTRY), "mode": 0o400,
                },
                f"{_FOLDER}/tls.key": {"content": credentials.key(REGISTRY), "mode": 0o400},
            },
            ready=Readiness(kind="tcp", target=address.split(":")).model_dump(),
            opts=on_machine(self, args.machine, args.host),
        )  # fmt: skip
        self.access = {
            "address": address,
            "ca_certificate": credentials.ca_certificate,
            "user": USER,
            "password": password,
        }
        self.image_id = image.image_id
        self.address = Output.from_input(address)
        self.register_outputs({"address": self.address, "image_id": self.image_id})


def _config(address: str) -> str:
    return yaml.safe_dump(
        {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": "/var/lib/registry"},
                "delete": {"enabled": True},
            },
            "auth": {"htpasswd": {"realm": "rackform", "path": f"{_FOLDER}/htpasswd"}},
            "http": {
                "addr": address,
                "tls": {"certificate": f"{_FOLDER}/tls.crt", "key": f"{_FOLDER}/tls.key"},
            },
        }
    )


def _htpasswd(password: str) -> str:
    return f"{USER}:{hashed(password)}\n"
