"""The operations of `restore`: what the record tells of, the last change first."""

from collections.abc import Callable

from pyinfra.api.deploy import deploy
from pyinfra.api.operation import OperationMeta
from pyinfra.context import host

from pyinfra_deploys.operations.left import Left, LeftBehind, leave, told
from pyinfra_deploys.operations.record import Record, of_kind
from pyinfra_deploys.operations.restore import (
    release_package,
    restore_file,
    restore_sysctl,
    restore_table,
    restore_unit,
)
from pyinfra_deploys.operations.restore_network import of_network, restore_network
from pyinfra_deploys.restore.settings import RestoreSettings

OPERATIONS: dict[str, Callable[..., OperationMeta]] = {
    "file": restore_file,
    "unit": restore_unit,
    "sysctl": restore_sysctl,
    "table": restore_table,
    "package": release_package,
}


@deploy("restore")
def restore(settings: RestoreSettings) -> None:
    entries = host.get_fact(Record) or []
    left = host.get_fact(LeftBehind) or Left()
    network = of_network(entries)
    for entry in entries:
        if entry not in network:
            OPERATIONS[entry.kind](name=entry.target, entry=entry)
        elif entry is network[0]:
            restore_network(
                name="The network",
                entries=network,
                management_address=settings.management_address,
            )
    if left.recorded:
        leave(name="The rest", lines=told(left, of_kind(entries, "package"), settings.registry))
