"""What serves: containers, Redis, Ray, certificates, and real tokens. Pure.

Each check is given the service as the last `up` declared it; without one, `stack` tells why.
"""

from collections.abc import Iterator

from doctor.model import Check, Facts, Result, Service
from doctor.told import right, skipped, wrong
from serving.ray_node import HEAD, WORKER
from stack.schema import Site

LEAST_DAYS = 14
"""`./rackform up` renews the site's own certificates 30 days before they end."""
SLOW_S = 30.0
_PONG = ("+PONG", "-NOAUTH")
"""Redis as it lives: with a password it answers a PING without one by NOAUTH."""


def stack(_: Site, facts: Facts) -> Iterator[Result]:
    if facts.service:
        yield right(Check.STACK, "stack", "brought up to the end")
    else:
        remedy = "./rackform up; what serves is examined after it"
        yield wrong(Check.STACK, "stack", facts.never_up, "brought up to the end", remedy)


def containers(_: Site, facts: Facts) -> Iterator[Result]:
    """Every declared container runs, from its declared image."""
    if facts.service is None:
        return
    for name, wanted in facts.service.containers.items():
        node = facts.nodes.get(name)
        if node is None or not node.reachable or not wanted:
            continue
        if node.containers is None:
            remedy = f"./rackform ssh {name} systemctl status docker"
            yield wrong(Check.CONTAINERS, name, "Docker does not answer", "Docker runs", remedy)
            continue
        there = {each.name: each for each in node.containers}
        good = []
        for container, image_id in wanted.items():
            found = there.get(container)
            if found and found.state == "running" and found.image_id == image_id:
                good.append(container)
                continue
            told = found.state if found else "it is not there"
            if found and found.state == "running":
                told = f"runs image {found.image_id[7:19]}"
            yield wrong(
                Check.CONTAINERS,
                f"{name} {container}",
                told,
                f"running, image {image_id[7:19]}",
                f"./rackform up starts it; why it ended: ./rackform ssh {name} docker logs "
                f"--tail 50 {container}",
            )
        if len(good) == len(wanted):
            yield right(Check.CONTAINERS, name, f"{', '.join(good)} run as declared")


def redis(site: Site, facts: Facts) -> Iterator[Result]:
    if facts.service is None:
        return
    head = facts.service.head
    where = f"{site.nodes[head].fabric_address}:{site.ray.redis_port}"
    expected = "answers a PING on the head's fabric address"
    if facts.service.redis is None:
        yield skipped(Check.REDIS, where, f"{head} can't be reached")
    elif facts.service.redis.startswith(_PONG):
        yield right(Check.REDIS, where, "answers", expected)
    else:
        told = facts.service.redis or "no answer"
        remedy = f"Ray's memory is in it: ./rackform ssh {head} docker logs --tail 50 redis"
        yield wrong(Check.REDIS, where, told, expected, remedy)


def ray(site: Site, facts: Facts) -> Iterator[Result]:
    """The head is reached over the fabric, and every node of Ray is alive with its GPUs."""
    if facts.service is None:
        return
    yield from _reached(site, facts, facts.service)
    if facts.service.ray is None:
        head = facts.service.head
        told = facts.service.ray_error or f"{head} can't be reached"
        remedy = f"./rackform ssh {head} docker logs --tail 50 {HEAD}"
        yield wrong(Check.RAY, head, told, "Ray's dashboard answers", remedy)
        return
    alive = {each.address: each for each in facts.service.ray if each.alive}
    members = [
        name
        for name, wanted in facts.service.containers.items()
        if {HEAD, WORKER} & set(wanted) and name in site.nodes
    ]
    gone = [name for name in members if str(site.nodes[name].fabric_address) not in alive]
    for name in gone:
        yield wrong(
            Check.RAY,
            name,
            "Ray does not count it as alive",
            "alive in Ray",
            f"see the checks 'nodes', 'containers' and 'mtu' of {name}; then ./rackform up",
        )
    gpus, wanted_gpus = sum(each.gpus for each in alive.values()), facts.service.ray_gpus
    told = f"{len(members) - len(gone)} of {len(members)} nodes alive, {gpus} GPUs"
    if gpus >= wanted_gpus and not gone:
        yield right(Check.RAY, "cluster", told, f"{wanted_gpus} GPUs")
    elif not gone:
        remedy = "a worker joined with fewer GPUs than declared: see the checks 'gpus', 'devices'"
        yield wrong(Check.RAY, "cluster", told, f"{wanted_gpus} GPUs", remedy)


def _reached(site: Site, facts: Facts, service: Service) -> Iterator[Result]:
    head = site.nodes[service.head].fabric_address
    for name, node in facts.nodes.items():
        if node.reaches_head is False and service.containers.get(name):
            yield wrong(
                Check.RAY,
                name,
                f"does not reach Ray's head at {head}",
                "a connection over the fabric",
                "see the checks 'link' and 'containers' of both; then the firewall: "
                f"./rackform ssh {service.head} nft list ruleset",
            )


def certificate(_: Site, facts: Facts) -> Iterator[Result]:
    if facts.service is None:
        return
    expected = f"valid, for at least {LEAST_DAYS} days more"
    for each in facts.service.certificates:
        where = f"{each.name} at {each.address}"
        if each.days is None:
            remedy = f"see that the container {each.name} runs; ./rackform up renews a certificate"
            yield wrong(Check.CERTIFICATE, where, each.error, expected, remedy)
        elif each.days < LEAST_DAYS:
            remedy = "./rackform up renews what the site's own CA signed; a given one, by hand"
            told = f"{each.days:.0f} days left"
            yield wrong(Check.CERTIFICATE, where, told, expected, remedy)
        else:
            yield right(Check.CERTIFICATE, where, f"{each.days:.0f} days left", expected)


def tokens(_: Site, facts: Facts) -> Iterator[Result]:
    """The model answers through the edge: health that says 200 is no proof."""
    answer = facts.service and facts.service.answer
    if not answer:
        return
    expected = f"real tokens within {SLOW_S:g} s"
    told = f"{answer.pieces} pieces of an answer in {answer.seconds:.1f} s"
    remedy = "see docs/runbooks/no-tokens.md, and what is wrong above"
    if answer.error or not answer.pieces:
        said = answer.error or "an answer without tokens"
        yield wrong(Check.TOKENS, "edge", said, expected, remedy)
    elif answer.seconds > SLOW_S:
        yield wrong(Check.TOKENS, "edge", told, expected, "see the load, 'gpus' and 'pcie' above")
    else:
        yield right(Check.TOKENS, "edge", told, expected)
