"""The machines of a site as the planner sees them: GPUs and links that the catalogue knows."""

from dataclasses import dataclass

from planner import catalog
from planner.catalog import Gpu, Link, LinkKind
from planner.limits import declared_limit_w, power_limited
from stack.errors import InputError
from stack.schema import Rdma, Site


@dataclass(frozen=True, eq=False)
class Host:
    """A node and its GPUs. `gpu` is None where the site or the catalogue does not know it."""

    name: str
    gpus: int
    gpu: Gpu | None
    link: Link | None
    """What joins the GPUs of the node."""
    owned: bool


@dataclass(frozen=True)
class Fleet:
    """All workers, and the network between them."""

    hosts: tuple[Host, ...]
    network: Link
    unknown: tuple[str, ...]
    """A sentence for each part that the catalogue does not know."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """GPU models, each once."""
        return tuple(dict.fromkeys(host.gpu.name for host in self.hosts if host.gpu))

    @property
    def is_known(self) -> bool:
        """Whether every GPU is in the catalogue."""
        return all(host.gpu and host.link for host in self.hosts)

    @property
    def gpus(self) -> int:
        return sum(host.gpus for host in self.hosts)


def fleet(site: Site) -> Fleet:
    """Return the workers of a site with what the catalogue knows of them."""
    unknown: dict[str, list[str]] = {}
    hosts = tuple(_host(site, name, unknown) for name in site.workers)
    declared = site.fabric.link
    network = catalog.network(
        declared.gbit_s, LinkKind(declared.kind.value), rdma=declared.rdma is not Rdma.NONE
    )
    told = tuple(f"{', '.join(nodes)}: {why}" for why, nodes in unknown.items())
    return Fleet(hosts, network, told)


def _host(site: Site, name: str, unknown: dict[str, list[str]]) -> Host:
    node = site.nodes[name]
    declared = node.gpus
    if not declared:
        return Host(name, 0, None, None, owned=True)
    gpu = link = None
    if declared.model is None:
        why = "gpus.model is not given, so memory and speed are not predicted"
        unknown.setdefault(why, []).append(name)
    else:
        try:
            gpu = catalog.gpu(declared.model)
        except InputError as error:
            why = (
                f"{error} if it is that; else it serves all the same, but memory and speed are not "
                "predicted until planner/catalog/gpus.toml has it"
            )
            unknown.setdefault(why, []).append(name)
    if gpu:
        link = _link(name, declared.link, gpu, unknown)
        if limit := declared_limit_w(site, node):
            gpu = power_limited(gpu, limit)
    return Host(name, declared.count, gpu, link, owned=declared.owned)


def _link(name: str, declared: str | None, gpu: Gpu, unknown: dict[str, list[str]]) -> Link:
    if declared:
        try:
            return catalog.link(declared)
        except InputError as error:
            unknown.setdefault(f"{error}; {gpu.link} is assumed", []).append(name)
    return catalog.link(gpu.link)
