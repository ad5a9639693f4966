"""Sites to plan for: nodes of known GPUs, a model and a network, in a few words."""

import json
from functools import cache
from typing import Any

from planner.proposal import Proposal, propose
from stack.load import load_site
from tests.unit.site_examples import COMMIT, host_key

LLAMA_70B_AWQ = "hf:org/Llama-3.3-70B-Instruct-AWQ"
LLAMA_70B_FP8 = "hf:org/Llama-3.1-70B-Instruct-FP8"
LLAMA_405B_AWQ = "hf:org/Llama-3.1-405B-Instruct-AWQ-INT4"
LLAMA_8B = "hf:org/Llama-3.1-8B-Instruct"


_MODEL = {"revision": COMMIT, "max_model_len": 8192, "load": {"concurrency": 4}}


def rack(
    nodes: int,
    gpus: int,
    gpu: str,
    source: str,
    *,
    network: tuple[float, str] = (100, "roce"),
    **model: object,
) -> dict[str, Any]:
    """Return a site of equal nodes of which the first is the head and a worker too.

    `network` is Gbit/s and rdma; what else is given are the model's settings.
    """
    gbit_s, rdma = network
    machines = {
        f"n{index}": {
            "address": f"10.77.{index // 200}.{index % 200 + 11}",
            "fabric_address": f"10.78.{index // 200}.{index % 200 + 11}",
            "roles": ["head", "worker"] if index == 0 else ["worker"],
            "rdma_devices": [] if rdma == "none" else ["mlx5_0"],
            "host_key": host_key(f"n{index}"),
            "gpus": {"model": gpu, "count": gpus},
        }
        for index in range(nodes)
    }
    kind = "infiniband" if rdma == "infiniband" else "ethernet"
    return {
        "name": "rack",
        "management": {"subnet": "10.77.0.0/16"},
        "fabric": {
            "subnet": "10.78.0.0/16",
            "link": {"gbit_s": gbit_s, "rdma": rdma, "kind": kind},
        },
        "nodes": machines,
        "models": {"chat": {**_MODEL, "source": source, **model}},
    }


def not_owned(site: dict[str, Any]) -> dict[str, Any]:
    """Return a site whose GPUs are all still to be bought."""
    for node in site["nodes"].values():
        node["gpus"]["owned"] = False
    return site


def on_circuit(site: dict[str, Any], **circuit: object) -> dict[str, Any]:
    """Return a site with all its nodes on one circuit."""
    for node in site["nodes"].values():
        node["circuit"] = "a"
    return {**site, "power": {"circuits": {"a": circuit}}}


def proposed(site: dict[str, Any]) -> Proposal:
    """Return the plan of a site, made once for all tests that ask for it."""
    return _proposed(json.dumps(site))


@cache
def _proposed(site: str) -> Proposal:
    return propose(load_site(json.loads(site)))
