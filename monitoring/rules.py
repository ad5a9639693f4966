"""All rules of a site: what is computed, and what raises an alert. Pure."""

from monitoring.alerts import fabric, gpu, machines, serving
from monitoring.rule import Alert, Group
from planner.models import Plan
from stack.schema import Site


def groups(site: Site, plan: Plan) -> tuple[Group, ...]:
    return (
        gpu.group(site),
        fabric.group(site),
        serving.group(site, plan),
        machines.power(site),
        machines.storage(),
        machines.endpoints(),
        machines.itself(),
    )


def alerts(site: Site, plan: Plan) -> tuple[Alert, ...]:
    return tuple(alert for group in groups(site, plan) for alert in group.alerts())
