"""A node is taken out of service before it is rebooted.

Where the models keep their least replicas without it, Ray is told that the node goes: it places
nothing there any more, and Serve starts a replacement before it stops a replica there. Where they
don't, as with pipeline stages over all nodes, there is nothing to move to: the applications are
taken away, which lets the requests under way end, new ones wait at the edge, and the update deploys
them again when all nodes are back.
"""

import time
from collections.abc import Callable

from remote import boot, ssh
from remote.errors import RackformError
from serving import ray_serve
from serving.ray_api import RayApi
from serving.ray_node import GCS_PORT
from serving.serve_status import first_line
from stack.steps import Drain

MARGIN_S = 90
"""What starting a replica elsewhere, or stopping one, may take besides the requests under way."""
POLL_S = 2.0


def drain(order: Drain, progress: Callable[[str], None]) -> str:
    """Take the node out of service and return in a sentence what was done.

    Raises:
        RackformError: the node can't be reached, or Serve can't be stopped.

    """
    name = order.node.name
    if not order.ends_boot:
        return f"{name} needs no reboot"
    if boot.boot_id(order.node) != order.ends_boot:
        return f"{name} was rebooted already"
    with ray_serve.dashboard(order.head, order.dashboard_port, order.ray_token) as api:
        try:
            alive = [node for node in api.nodes() if node.state == "ALIVE"]
        except RackformError as error:
            if not RayApi.may_recover(error):
                raise
            return f"nothing to drain, since Ray does not answer ({first_line(str(error))})"
        mine = [node.node_id for node in alive if node.node_ip == order.fabric_address]
        if not mine:
            return f"{name} holds nothing of Ray's"
        head = next((node.node_ip for node in alive if node.is_head_node), "")
        if order.spare and head:
            _announce(order, head, mine[0])
            return _move(name, api, mine[0], _limit_s(order), progress)
        return _stop(name, api, _limit_s(order), progress)


def _limit_s(order: Drain) -> int:
    """Return how long the drain may take; Serve stops what is left before it."""
    return order.requests_end_s + MARGIN_S


def _announce(order: Drain, head: str, node_id: str) -> None:
    """Tell Ray that a node goes; only its control store can be told, not its dashboard."""
    words = [
        "docker", "exec", order.container, "ray", "drain-node",
        "--address", f"{head}:{GCS_PORT}", "--node-id", node_id,
        "--reason", "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message", f"{order.node.name} is rebooted",
        "--deadline-remaining-seconds", str(_limit_s(order)),
    ]  # fmt: skip
    ssh.run(order.node, ssh.as_root(order.node, words))


def _move(
    name: str, api: RayApi, node_id: str, limit_s: int, progress: Callable[[str], None]
) -> str:
    deadline = time.monotonic() + limit_s
    while left := api.serving_on(node_id):
        if time.monotonic() > deadline:
            return f"{name} is drained but for {left} processes of Serve, whose time is over"
        progress(f"{name}: {left} processes of Serve move to other nodes")
        time.sleep(POLL_S)
    return f"{name} is drained: other nodes serve"


def _stop(name: str, api: RayApi, limit_s: int, progress: Callable[[str], None]) -> str:
    """Take the applications away; the proxies stay, or they would cut off what they still carry."""
    found = api.applications()
    if not found.applications:
        return f"{name}: nothing is served, so that nothing is drained"
    progress(f"{name}: no other nodes can serve without it, so requests end and new ones wait")
    options = {"proxy_location": found.proxy_location, "http_options": found.http_options}
    kept = {key: value for key, value in options.items() if value is not None}
    api.put({**kept, "applications": []})
    deadline = time.monotonic() + limit_s
    while left := api.applications(patient=True).applications:
        if time.monotonic() > deadline:
            raise RackformError(
                f"{', '.join(left)} still runs {limit_s} s after it was taken away for the "
                f"reboot of {name}: see Ray's dashboard, then run up again"
            )
        time.sleep(POLL_S)
    return f"nothing is served until {name} is back: what was served is deployed again then"
