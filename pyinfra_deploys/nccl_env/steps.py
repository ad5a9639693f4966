"""The operations of `nccl_env`."""

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from pyinfra_deploys.nccl_env.settings import NcclEnvSettings
from pyinfra_deploys.operations.files import write_file
from pyinfra_deploys.operations.rdma import NEAREST, NearestRdma, chosen
from pyinfra_deploys.templating import render


@deploy("nccl_env")
def nccl_env(settings: NcclEnvSettings) -> None:
    near: list[str] | None = []
    if settings.ib_hca == [NEAREST]:
        names = {"interface": settings.socket_interface, "cards": settings.cards}
        near = host.get_fact(NearestRdma, **names)
    devices = {"ib_hca": chosen(settings.ib_hca, near or [])}
    write_file(
        name="NCCL on this host",
        path="/etc/nccl.conf",
        content=render("nccl_env", "nccl.conf.j2", settings.model_copy(update=devices)),
    )
    name = "ray_non_carry_over_env_vars.json"
    write_file(
        name="Variables that stay each host's own",
        path=f"/etc/rackform/{name}",
        content=render("nccl_env", f"{name}.j2", settings),
    )
