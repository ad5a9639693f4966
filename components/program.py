"""From a stack's configuration to its appliance; errors of the input are told as sentences."""

import pulumi

from components.appliance import Appliance, ApplianceArgs
from lab.keys import controller_key
from planner.plan import plan
from remote.errors import RackformError
from stack.load import load_site, read_pins
from stack.paths import stack_dir


def run(config: pulumi.Config, stack: str) -> Appliance:
    """Declare the whole stack and export what its users need.

    Raises:
        pulumi.RunError: the site is wrong, or can't be planned; nothing was declared.

    """
    try:
        site = load_site(config.get_object("site"))
        planned = plan(site)
        key = controller_key(stack_dir(stack))
        appliance = Appliance(
            site.name,
            ApplianceArgs(
                site=site, plan=planned, private_key_file=key.private_file,
                authorized_key=key.public, pins=read_pins(config.get_object("pinned")),
            ),
        )  # fmt: skip
    except RackformError as error:
        raise pulumi.RunError(str(error)) from None
    for output in ("endpoint", "model", "closure", "ca_certificate", "api_keys", "frontends",
                   "connections", "expectations", "verified"):  # fmt: skip
        pulumi.export(output, getattr(appliance, output))
    return appliance
