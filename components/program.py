"""From a stack's configuration to its appliance; errors of the input are told as sentences."""

import pulumi

from components.appliance import Appliance, ApplianceArgs
from components.secrets import ROUTE_SECRETS, of_routes
from edge.certificate import OwnCertificate, read_certificate
from lab.keys import controller_key
from planner.plan import plan
from remote.errors import RackformError
from stack.doors import host_names
from stack.errors import InputError
from stack.load import load_site, read_pins
from stack.machines import own_key
from stack.paths import stack_dir
from stack.schema import Site


def run(config: pulumi.Config, stack: str) -> Appliance:
    """Declare the whole stack and export what its users need.

    Raises:
        pulumi.RunError: the site is wrong, or can't be planned; nothing was declared.

    """
    try:
        site = load_site(config.get_object("site"))
        secrets = _route_secrets(config, site)
        planned = plan(site)
        own_key(site)
        key = controller_key(stack_dir(stack))
        appliance = Appliance(
            site.name,
            ApplianceArgs(
                site=site, plan=planned, private_key_file=key.private_file,
                authorized_key=key.public, pins=read_pins(config.get_object("pinned")),
                own_certificate=_own_certificate(site),
                route_secrets={
                    route: pulumi.Output.secret(value) for route, value in secrets.items()
                },
            ),
        )  # fmt: skip
    except RackformError as error:
        raise pulumi.RunError(str(error)) from None
    for output in ("endpoint", "model", "closure", "ca_certificate", "api_keys", "passwords",
                   "frontends",
                   "connections", "expectations", "verified"):  # fmt: skip
        pulumi.export(output, getattr(appliance, output))
    return appliance


def _route_secrets(config: pulumi.Config, site: Site) -> dict[str, str]:
    given = config.get_object("route_secrets")
    if given and not pulumi.runtime.is_config_secret(ROUTE_SECRETS):
        raise InputError(
            f"{ROUTE_SECRETS} is in the clear in the stack's file, but a token or a password is a"
            " secret: change it where it was made, as others may have read it, and set it anew"
            f" with pulumi config set --secret --path '{ROUTE_SECRETS}.ROUTE'"
        )
    return of_routes(given, site)


def _own_certificate(site: Site) -> OwnCertificate | None:
    """Return the certificate for the edge's names that the site keeps in files, if it does."""
    tls = site.edge.tls
    if tls.certificate_file is None or tls.key_file is None:
        return None
    return read_certificate(tls.certificate_file, tls.key_file, host_names(site))
