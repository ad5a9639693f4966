"""The site's own CA, certificates and tokens: made once, kept as secrets of the stack."""

from collections.abc import Mapping

import pulumi
from pulumi import ComponentResource, Output, ResourceOptions

from components.resources import Credentials
from provider.inputs import CertificateRequest
from stack.doors import fronts, host_names, runs
from stack.schema import Site

REGISTRY, EDGE = "registry", "edge"
OPERATOR = "operator"
WEBUI_PASSWORD, WEBUI_SECRET = "open_webui_password", "open_webui_secret"
LLM_AUTH, LLM_JWT = "anythingllm_auth_token", "anythingllm_jwt_secret"
LLM_KEY, LLM_SALT = "anythingllm_signing_key", "anythingllm_signing_salt"
_OF_FRONTENDS = (WEBUI_PASSWORD, WEBUI_SECRET, LLM_AUTH, LLM_JWT, LLM_KEY, LLM_SALT)
"""Made whether a front-end is declared or not: one that comes back finds its data under them."""
_TOKENS = ("ray", "redis", "registry", OPERATOR, "grafana", *_OF_FRONTENDS)


def api_key_token(name: str) -> str:
    """Return the name under which an API key of the site is kept among the tokens."""
    return f"api_{name}"


class SiteCredentials(ComponentResource):
    """Everything secret that the appliance needs, under one CA of its own."""

    ca_certificate: Output[str]
    """PEM; what clients and nodes trust."""
    api_keys: Output[Mapping[str, str]]
    """Name → key (secret): what the edge accepts."""
    passwords: Output[Mapping[str, str]]
    """Whose → password (secret): what people sign in with."""

    def __init__(self, name: str, site: Site, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:SiteCredentials", name, None, opts)
        self._made = Credentials(
            f"{name}-made",
            site=site.name,
            certificates={
                REGISTRY: _certificate(site, site.registry_node),
                EDGE: _certificate(site, site.edge_node, *_edge_names(site)),
            },
            tokens=[*_TOKENS, *map(api_key_token, site.edge.api_keys)],
            opts=ResourceOptions(parent=self),
        )
        self.ca_certificate = self._made.ca_certificate
        self.api_keys = Output.secret(
            self._made.tokens.apply(
                lambda tokens: {key: tokens[api_key_token(key)] for key in site.edge.api_keys}
            )
        )
        told = _passwords(site)
        self.passwords = Output.secret(
            self._made.tokens.apply(
                lambda tokens: {whose: tokens[name] for whose, name in told.items()}
            )
        )
        self.register_outputs(
            {
                "ca_certificate": self.ca_certificate,
                "api_keys": self.api_keys,
                "passwords": self.passwords,
            }
        )

    def token(self, name: str) -> Output[str]:
        return pulumi.Output.secret(self._made.tokens.apply(lambda tokens: tokens[name]))

    def certificate(self, name: str) -> Output[str]:
        """Return the PEM chain of a certificate; public."""
        return self._made.certificates.apply(lambda all_: all_[name]["certificate"])

    def key(self, name: str) -> Output[str]:
        return pulumi.Output.secret(self._made.certificates.apply(lambda all_: all_[name]["key"]))


def _passwords(site: Site) -> dict[str, str]:
    """Return whose password people ask for, and the token that it is."""
    of_fronts = {"open_webui": WEBUI_PASSWORD, "anythingllm": LLM_AUTH}
    asked = {key.replace("_", "-"): of_fronts[key] for key, _ in fronts(site) if runs(key)}
    return {OPERATOR: OPERATOR, **asked}


def _edge_names(site: Site) -> tuple[str, ...]:
    """Return the names for which the site's own CA vouches: all, unless another one does."""
    return host_names(site) if site.edge.tls.kind == "internal" else ()


def _certificate(site: Site, node: str, *host_names: str) -> dict[str, object]:
    return CertificateRequest(
        dns_names=[node, *host_names], addresses=[str(site.nodes[node].address)]
    ).model_dump()
