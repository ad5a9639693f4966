"""The example site with a second card in each worker."""

from collections.abc import Mapping

from tests.unit.site_examples import example, real

SECOND_LINK: dict[str, object] = {
    "fabric.rails.rail1": "10.79.0.0/24",
    "nodes.w1.rails.rail1.interface": "fab1",
    "nodes.w1.rails.rail1.address": "10.79.0.12",
    "nodes.w2.rails.rail1.interface": "fab1",
    "nodes.w2.rails.rail1.address": "10.79.0.13",
    "switches.tor1.ports.Ethernet12": "w1.fab1",
    "switches.tor1.ports.Ethernet13": "w2.fab1",
}
ROCE: dict[str, object] = {
    "fabric.link.rdma": "roce",
    **{f"nodes.{name}.rdma_devices": ("mlx5_0", "mlx5_1") for name in ("w1", "w2")},
}


def with_rails(
    changes: Mapping[str, object] | None = None, *, without: tuple[str, ...] = ()
) -> dict[str, object]:
    """Return the example as a twin, changed as in `example`."""
    return example({**SECOND_LINK, **(changes or {})}, without=without)


def real_rails(
    changes: Mapping[str, object] | None = None, *, without: tuple[str, ...] = ()
) -> dict[str, object]:
    """Return it as a site of real machines."""
    return real({**SECOND_LINK, **(changes or {})}, without=without)
