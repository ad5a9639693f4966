"""The twin's site with monitoring, and routes of every kind."""

from planner.models import Plan
from planner.plan import plan
from stack.load import load_site, read_stack
from stack.schema import Site
from stack.services import Route

ROUTES = {
    "chat": Route(kind="webhook", url="http://10.77.0.1:9900/hook"),
    "phone": Route(kind="ntfy", url="https://ntfy.example.org/rack"),
    "mail": Route(
        kind="email",
        to="ops@example.org",
        smarthost="mail.example.org:587",
        sender="rack@example.org",
    ),
}


def lab_site(**monitoring: object) -> tuple[Site, Plan]:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    raw["monitoring"] = {"node": "head", **monitoring}
    site = load_site(raw)
    return site, plan(site)
