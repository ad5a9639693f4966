"""Who asks for real tokens on a site, and who restarts what when none come. Pure."""

from pydantic import JsonValue

from planner.models import Plan
from pyinfra_deploys.watchdog.settings import Follow, Watch, WatchdogSettings
from remote.container_spec import host_path
from serving.ray_node import HEAD, METRICS_PORT, TOKEN, WORKER
from stack.doors import WATCHDOG
from stack.schema import Site


def watchdog(site: Site, plan: Plan, node: str) -> dict[str, JsonValue]:
    """Return a node's settings of the deploy: the head watches, the other nodes of Ray follow."""
    return _settings(site, plan, node).model_dump(mode="json")


def _settings(site: Site, plan: Plan, node: str) -> WatchdogSettings:
    if site.watchdog and node == plan.head:
        return WatchdogSettings(container=HEAD, part=_watch(site, plan))
    if site.watchdog and node in plan.ray_nodes:
        orders = f"http://{site.nodes[plan.head].fabric_address}:{WATCHDOG}/"
        return WatchdogSettings(container=WORKER, part=Follow(node=node, orders=orders))
    return WatchdogSettings()


def _watch(site: Site, plan: Plan) -> Watch:
    assert site.watchdog  # noqa: S101 - declared only where the site asks for it
    address = site.nodes[plan.head].fabric_address
    return Watch(
        address=address,
        port=WATCHDOG,
        api=f"http://{address}:{site.ray.serve_port}",
        dashboard=f"http://127.0.0.1:{site.ray.dashboard_port}",
        token_file=host_path(HEAD, TOKEN),
        metrics=tuple(
            f"{site.nodes[name].fabric_address}:{METRICS_PORT}" for name in plan.ray_nodes
        ),
        workers_of={
            model.served_name: tuple(name for name in model.nodes if name != plan.head)
            for model in plan.models
        },
        after_s=site.watchdog.after_s,
        start_s=site.watchdog.start_s,
    )
