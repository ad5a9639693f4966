"""The web front-ends that a site asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pulumi import ComponentResource, Input, Output, ResourceOptions

from components.anythingllm import AnythingLlm, AnythingLlmArgs
from components.embeddings import Embeddings, EmbeddingsArgs
from components.images import ContainerImage
from components.open_webui import OpenWebUi, OpenWebUiArgs
from components.services import Ground, Placed, Route
from frontends.images import anythingllm_is_locked


@dataclass(frozen=True, kw_only=True)
class FrontendsArgs:
    ground: Ground
    engine: ContainerImage
    """vLLM's image, on the nodes of Ray and of what embeds."""


class Frontends(ComponentResource):
    """Open WebUI, AnythingLLM and what embeds for them, each where declared and to be had."""

    access: Output[Mapping[str, Mapping[str, str]]]
    """Front-end → how people and programs get in: url, user, password, api_key (secret)."""
    placed: list[Placed]
    routes: list[Route]

    def __init__(self, name: str, args: FrontendsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:Frontends", name, None, opts)
        ground, child = args.ground, ResourceOptions(parent=self)
        self.placed, self.routes = [], []
        access: dict[str, Mapping[str, Input[str]]] = {}
        if declared := ground.site.frontends.embeddings:
            embedding = EmbeddingsArgs(ground=ground, declared=declared, engine=args.engine)
            self.placed.append(Embeddings("embeddings", embedding, child).placed)
        if ground.site.frontends.open_webui:
            webui = OpenWebUi("open-webui", OpenWebUiArgs(ground=ground), child)
            access["open_webui"] = {
                "url": webui.url, "user": webui.user, "password": webui.password,
            }  # fmt: skip
            self._offer(webui)
        if ground.site.frontends.anythingllm and anythingllm_is_locked():
            llm = AnythingLlm("anythingllm", AnythingLlmArgs(ground=ground), child)
            access["anythingllm"] = {
                "url": llm.url, "password": llm.password,
                "api_key": llm.api_key, "workspace": llm.workspace,
            }  # fmt: skip
            self._offer(llm)
        made = cast("Output[Mapping[str, Mapping[str, str]]]", Output.from_input(access))
        self.access = Output.secret(made)
        self.register_outputs({"access": self.access})

    def _offer(self, frontend: OpenWebUi | AnythingLlm) -> None:
        self.placed += frontend.placed
        self.routes += frontend.routes
