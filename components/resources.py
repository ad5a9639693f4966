"""The provider's resources as the program declares them: typed inputs, annotated outputs.

Where a resource has an input called `name`, the constructor's argument says whose name it is, since
a Pulumi resource's first argument is its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from pulumi import CustomResource, Input, Output, ResourceOptions
from pydantic import BaseModel, JsonValue

ConnectionInput: TypeAlias = Input[object]
"""A remote.connection.Connection, or another resource's `connection` output."""

_OUTPUTS = ("pending", "revision")


class RackformResource(CustomResource):
    """What every resource of the provider has in common."""

    pending: Output[Sequence[str]]
    """What was found to differ from the declaration at the last refresh, in words."""
    revision: Output[str]
    """New after every change that an `up` made to it: what a later check is triggered by."""

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, object],
        outputs: Sequence[str],
        opts: ResourceOptions | None,
        secret: Sequence[str] = (),
    ) -> None:
        given = {key: plain(value) for key, value in inputs.items() if value is not None}
        declared = dict.fromkeys((*outputs, *_OUTPUTS))
        secrets = ResourceOptions(additional_secret_outputs=list(secret)) if secret else None
        super().__init__(
            f"rackform:index:{type(self).__name__}",
            name,
            {**declared, **given},
            ResourceOptions.merge(opts, secrets) if secrets else opts,
        )


def plain(value: object) -> object:
    """Return the value with its models and paths turned into what Pulumi can carry."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case Path():
            return str(value)
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value


class LabSwitch(RackformResource):
    """A switch of the twin."""

    connection: Output[Mapping[str, object]]
    namespace: Output[str]

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        site: Input[str],
        switch_name: Input[str],
        os: Input[str],
        address: Input[str],
        ports: Input[Sequence[Input[str]]],
        max_mtu_bytes: Input[int],
        authorized_key: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "site": site,
            "name": switch_name,
            "os": os,
            "address": address,
            "ports": ports,
            "max_mtu_bytes": max_mtu_bytes,
            "authorized_key": authorized_key,
        }
        super().__init__(name, inputs, ["connection", "namespace"], opts)


class LabNode(RackformResource):
    """A host of the twin."""

    connection: Output[Mapping[str, object]]
    machine: Output[str]
    """Which installation this is: another one starts from nothing."""

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        site: Input[str],
        node_name: Input[str],
        base_digest: Input[str],
        address: Input[str],
        cables: Input[Mapping[str, Input[str]]],
        memory_gib: Input[float],
        gpus: Input[int],
        authorized_key: Input[str],
        seed_images: Input[Sequence[Input[str]]] | None = None,
        driver: Input[Mapping[str, object]] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "site": site,
            "name": node_name,
            "base_digest": base_digest,
            "address": address,
            "cables": cables,
            "memory_gib": memory_gib,
            "gpus": gpus,
            "authorized_key": authorized_key,
            "seed_images": seed_images,
            "driver": driver,
        }
        super().__init__(name, inputs, ["connection", "machine"], opts)


class SwitchConfig(RackformResource):
    """The declared part of a switch's configuration."""

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        connection: ConnectionInput,
        os: Input[str],
        ports: Input[Mapping[str, object]],
        lldp: Input[bool] | None = None,
        vlan: Input[int] | None = None,
        confirm_timeout_s: Input[int] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "connection": connection,
            "os": os,
            "ports": ports,
            "lldp": lldp,
            "vlan": vlan,
            "confirm_timeout_s": confirm_timeout_s,
        }
        super().__init__(name, inputs, [], opts)


class HostState(RackformResource):
    """Everything that pyinfra holds on a host."""

    reboot: Output[str]
    """The boot that had to end when a reboot was last due: a new value asks for another one."""

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        connection: ConnectionInput,
        deploys: Input[Mapping[str, object]],
        sources: Input[Mapping[str, Input[str]]],
        machine: Input[str] | None = None,
        at_reboot: Input[str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "connection": connection,
            "deploys": deploys,
            "sources": sources,
            "machine": machine,
            "at_reboot": at_reboot,
        }
        super().__init__(name, inputs, ["reboot"], opts)


class OciImage(RackformResource):
    """An image built from its lock, in the store and in the site's registry."""

    digest: Output[str]
    image_id: Output[str]
    reference: Output[str]
    size_bytes: Output[int]
    input_hash: Output[str]
    """Its key in the store's index: what a rollback pins."""

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        image: Input[str],
        variant: Input[str],
        lock_sha256: Input[str],
        packages: Input[Mapping[str, Input[str]]],
        files: Input[Mapping[str, Input[str]]],
        registry: Input[object] | None = None,
        machine: Input[str] | None = None,
        pinned: Input[str] | None = None,
        debian_snapshot: Input[str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "image": image,
            "variant": variant,
            "lock_sha256": lock_sha256,
            "packages": packages,
            "files": files,
            "registry": registry,
            "machine": machine,
            "pinned": pinned,
            "debian_snapshot": debian_snapshot,
        }
        outputs = ["digest", "image_id", "reference", "size_bytes", "input_hash"]
        super().__init__(name, inputs, outputs, opts)


class ImagePull(RackformResource):
    """An image on every node that runs it."""

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        digest: Input[str],
        image_id: Input[str],
        reference: Input[str],
        registry: Input[object],
        nodes: Input[Sequence[object]],
        twin: Input[bool],
        machines: Input[Mapping[str, Input[str]]] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "digest": digest,
            "image_id": image_id,
            "reference": reference,
            "registry": registry,
            "nodes": nodes,
            "twin": twin,
            "machines": machines,
        }
        super().__init__(name, inputs, [], opts)


class ModelWeights(RackformResource):
    """A model's files on every node that needs them."""

    path: Output[str]
    files: Output[Mapping[str, str]]
    size_bytes: Output[int]

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        source: Input[str],
        revision: Input[str],
        nodes: Input[Sequence[object]],
        fabric_addresses: Input[Mapping[str, Input[str]]],
        pad_heads_to: Input[int] | None = None,
        machines: Input[Mapping[str, Input[str]]] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "source": source,
            "revision": revision,
            "pad_heads_to": pad_heads_to,
            "nodes": nodes,
            "fabric_addresses": fabric_addresses,
            "machines": machines,
        }
        super().__init__(name, inputs, ["path", "files", "size_bytes"], opts)


class Container(RackformResource):
    """A container on a node."""

    container_id: Output[str]

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        connection: ConnectionInput,
        container_name: Input[str],
        image: Input[str],
        image_id: Input[str],
        command: Input[Sequence[Input[str]]],
        load_from_store: Input[str] | None = None,
        registry: Input[object] | None = None,
        environment: Input[Mapping[str, Input[str]]] | None = None,
        mounts: Input[Sequence[object]] | None = None,
        files: Input[Mapping[str, object]] | None = None,
        devices: Input[Sequence[Input[str]]] | None = None,
        gpus: Input[bool] | None = None,
        capabilities: Input[Sequence[Input[str]]] | None = None,
        ulimits: Input[Mapping[str, Input[int]]] | None = None,
        ipc_host: Input[bool] | None = None,
        user: Input[str] | None = None,
        ready: Input[object] | None = None,
        machine: Input[str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "connection": connection,
            "name": container_name,
            "image": image,
            "image_id": image_id,
            "command": command,
            "load_from_store": load_from_store,
            "registry": registry,
            "environment": environment,
            "mounts": mounts,
            "files": files,
            "devices": devices,
            "gpus": gpus,
            "capabilities": capabilities,
            "ulimits": ulimits,
            "ipc_host": ipc_host,
            "user": user,
            "ready": ready,
            "machine": machine,
        }
        super().__init__(name, inputs, ["container_id"], opts)


class ServeApplication(RackformResource):
    """A Ray Serve application that has answered with real tokens."""

    status: Output[str]
    probe_answer: Output[str]

    def __init__(  # noqa: PLR0913 - one argument an input
        self,
        name: str,
        *,
        head: ConnectionInput,
        token: Input[str],
        config: Input[Mapping[str, JsonValue]],
        model: Input[str],
        api_address: Input[str],
        expected_nodes: Input[int],
        expected_gpus: Input[int],
        dashboard_port: Input[int] | None = None,
        application: Input[str] | None = None,
        timeout_s: Input[int] | None = None,
        runs_on: Input[Mapping[str, Input[str]]] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "head": head,
            "token": Output.secret(token),
            "config": config,
            "model": model,
            "api_address": api_address,
            "expected_nodes": expected_nodes,
            "expected_gpus": expected_gpus,
            "dashboard_port": dashboard_port,
            "application": application,
            "timeout_s": timeout_s,
            "runs_on": runs_on,
        }
        super().__init__(name, inputs, ["status", "probe_answer"], opts)


class Credentials(RackformResource):
    """The site's CA, its certificates and tokens."""

    ca_certificate: Output[str]
    ca_key: Output[str]
    """PEM (secret)."""
    certificates: Output[Mapping[str, Mapping[str, str]]]
    """Name → {certificate, key}, PEM (secret)."""
    tokens: Output[Mapping[str, str]]
    """Name → token (secret)."""

    def __init__(
        self,
        name: str,
        *,
        site: Input[str],
        certificates: Input[Mapping[str, object]],
        tokens: Input[Sequence[Input[str]]],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"site": site, "certificates": certificates, "tokens": tokens}
        # Named as outputs first, since the provider gives `certificates` and `tokens` back as made.
        secret = ["ca_key", "certificates", "tokens"]
        super().__init__(name, inputs, ["ca_certificate", *secret], opts, secret)
