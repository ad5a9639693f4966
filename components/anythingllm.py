"""AnythingLLM: workspaces of documents, and a page and an API to ask about them."""

import json
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, Output, ResourceOptions
from pulumi_command import local

from components.containers import Placement, run_parts
from components.credentials import LLM_AUTH, LLM_JWT, LLM_KEY, LLM_SALT
from components.embeddings import told
from components.frontend import cluster_api, front_route, public_urls
from components.machines import on_machine
from components.resources import Container, plain
from components.secrets import placeholder
from components.services import Ground, Placed, Route
from frontends import anythingllm
from stack import services
from stack.paths import ROOT
from stack.schema import Site

WORKSPACE, KEY_NAME = "cluster", "rackform"
_SECRETS = (LLM_AUTH, LLM_JWT, LLM_KEY, LLM_SALT)


@dataclass(frozen=True, kw_only=True)
class AnythingLlmArgs:
    ground: Ground


class AnythingLlm(ComponentResource):
    """One container of its makers' image, its workspace and its API key."""

    url: Output[str]
    """Where a browser finds it."""
    password: Output[str]
    """What its page asks for (secret)."""
    api_key: Output[str]
    """A key of its developers' API (secret)."""
    workspace: Output[str]
    """The slug of the workspace that was made for it."""
    placed: list[Placed]
    routes: list[Route]

    def __init__(
        self, name: str, args: AnythingLlmArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:AnythingLlm", name, None, opts)
        self._ground = ground = args.ground
        self._declared = declared = declared_of(ground.site)
        secrets = {key: ground.credentials.token(key) for key in _SECRETS}
        image = ground.image(anythingllm.NAME, {declared.node})
        machine = ground.machines[declared.node]
        container = run_parts(
            f"{name}-container",
            anythingllm.NAME,
            anythingllm.anythingllm(_told(ground)),
            Placement(node=machine, image=image, secrets=secrets),
            on_machine(self, machine, ground.hosts[declared.node], image.pulled, *ground.after),
        )
        made = self._set_up(name, container, secrets[LLM_AUTH])
        self.url = Output.from_input(public_urls(ground.site, declared)[0])
        self.password = secrets[LLM_AUTH]
        self.api_key = Output.secret(made.apply(lambda text: str(json.loads(text)["api_key"])))
        self.workspace = Output.unsecret(
            made.apply(lambda text: str(json.loads(text)["workspace"]))
        )
        self.placed = [Placed(anythingllm.NAME, declared.node, container, image.image_id)]
        self.routes = [front_route(ground.site, anythingllm.NAME, declared)]
        self.register_outputs(
            {
                "url": self.url,
                "password": self.password,
                "api_key": self.api_key,
                "workspace": self.workspace,
            }
        )

    def _set_up(self, name: str, container: Container, password: Output[str]) -> Output[str]:
        """Make key and workspace; asked again of another container, what is there is kept."""
        site, declared = self._ground.site, self._declared
        given = {
            "connection": plain(self._ground.machines[declared.node].connection),
            "address": str(site.nodes[declared.node].fabric_address),
            "port": declared.fabric_port,
            "password": password,
            "workspace": WORKSPACE,
            "key_name": KEY_NAME,
        }
        text: Output[str] = pulumi.Output.secret(Output.from_input(given).apply(_text))
        run = local.Command(
            f"{name}-setup",
            create=".venv/bin/python -m frontends.anythingllm_setup",
            dir=str(ROOT),
            stdin=text,
            logging=local.Logging.STDERR,
            add_previous_output_in_env=False,
            triggers=[container.revision],
            opts=ResourceOptions(
                parent=self,
                depends_on=[container],
                additional_secret_outputs=["stdout"],
                custom_timeouts=pulumi.CustomTimeouts(create="5m"),
            ),
        )
        stdout: Output[str] = run.stdout
        return stdout


def declared_of(site: Site) -> services.AnythingLlm:
    declared = site.frontends.anythingllm
    assert declared  # noqa: S101 - a site without it declares no such component
    return declared


def _told(ground: Ground) -> anythingllm.AnythingLlm:
    site, declared, model = ground.site, declared_of(ground.site), ground.plan.models[0]
    embeds, embedding_model = told(site, declared)
    return anythingllm.AnythingLlm(
        address=str(site.nodes[declared.node].fabric_address),
        port=declared.fabric_port,
        api=cluster_api(site),
        model=model.served_name,
        max_model_len=site.models[model.name].max_model_len,
        embeddings_api=embeds,
        embedding_model=embedding_model,
        auth_token=placeholder(LLM_AUTH),
        jwt_secret=placeholder(LLM_JWT),
        signing_key=placeholder(LLM_KEY),
        signing_salt=placeholder(LLM_SALT),
    )


def _text(given: object) -> str:
    return json.dumps(given, sort_keys=True)
