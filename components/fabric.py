"""The fabric: every switch's declared ports. An MTU travels from here to the switch's CLI."""

from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions

from components.resources import ConnectionInput, SwitchConfig
from provider.inputs import SwitchPort
from stack.schema import Rdma, Site


@dataclass(frozen=True, kw_only=True)
class FabricSwitchArgs:
    site: Site
    switch: str
    connection: ConnectionInput


class FabricSwitch(ComponentResource):
    """One switch, its ports set for the nodes that the site plugs into them."""

    revision: pulumi.Output[str]
    """Changes whenever the switch's configuration was changed."""

    def __init__(
        self, name: str, args: FabricSwitchArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:FabricSwitch", name, None, opts)
        switch, link = args.site.switches[args.switch], args.site.fabric.link
        self.config = SwitchConfig(
            f"{name}-config",
            connection=args.connection,
            os=switch.os,
            ports={
                port: SwitchPort(
                    mtu_bytes=args.site.fabric.mtu_bytes,
                    description=plug,
                    roce=link.roce.value if link.rdma is Rdma.ROCE else None,
                ).model_dump()
                for port, plug in switch.ports.items()
            },
            lldp=True,
            vlan=switch.vlan,
            opts=ResourceOptions(parent=self),
        )
        self.revision = self.config.revision
        self.register_outputs({"revision": self.revision})
