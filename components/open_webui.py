"""Open WebUI: the page where people talk to the models."""

from dataclasses import dataclass

from pulumi import ComponentResource, Output, ResourceOptions

from components.containers import Placement, run_parts
from components.credentials import WEBUI_PASSWORD, WEBUI_SECRET
from components.embeddings import told
from components.frontend import cluster_api, front_route, public_urls
from components.machines import on_machine
from components.secrets import placeholder
from components.services import Ground, Placed, Route
from frontends import open_webui


@dataclass(frozen=True, kw_only=True)
class OpenWebUiArgs:
    ground: Ground


class OpenWebUi(ComponentResource):
    """One container; its users, chats and files stay on the node when it goes."""

    url: Output[str]
    """Where a browser finds it."""
    user: Output[str]
    """Whom the first administrator signs in as."""
    password: Output[str]
    """The first administrator's (secret); it holds until somebody changes it in the page."""
    placed: list[Placed]
    routes: list[Route]

    def __init__(self, name: str, args: OpenWebUiArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:OpenWebUi", name, None, opts)
        ground, site = args.ground, args.ground.site
        declared = site.frontends.open_webui
        assert declared  # noqa: S101 - a site without it declares no such component
        self.password = ground.credentials.token(WEBUI_PASSWORD)
        image = ground.image(open_webui.NAME, {declared.node})
        machine = ground.machines[declared.node]
        embeds, embedding_model = told(site, declared)
        parts = open_webui.open_webui(
            open_webui.OpenWebUi(
                address=str(site.nodes[declared.node].fabric_address),
                port=declared.fabric_port,
                public_urls=public_urls(site, declared),
                api=cluster_api(site),
                default_model=ground.plan.models[0].served_name,
                embeddings_api=embeds,
                embedding_model=embedding_model,
                admin_email=declared.admin_email,
                admin_password=placeholder(WEBUI_PASSWORD),
                secret_key=placeholder(WEBUI_SECRET),
            )
        )
        container = run_parts(
            f"{name}-container",
            open_webui.NAME,
            parts,
            Placement(
                node=machine,
                image=image,
                secrets={
                    WEBUI_PASSWORD: self.password,
                    WEBUI_SECRET: ground.credentials.token(WEBUI_SECRET),
                },
            ),
            on_machine(self, machine, ground.hosts[declared.node], image.pulled, *ground.after),
        )
        self.placed = [Placed(open_webui.NAME, declared.node, container, image.image_id)]
        self.routes = [front_route(site, open_webui.NAME, declared)]
        self.url = Output.from_input(public_urls(site, declared)[0])
        self.user = Output.from_input(declared.admin_email)
        self.register_outputs({"url": self.url, "user": self.user, "password": self.password})
