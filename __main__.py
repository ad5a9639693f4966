"""The stack's configuration → Site → Plan → Appliance."""

import pulumi

from components.program import run

run(pulumi.Config("rackform"), pulumi.get_stack())
