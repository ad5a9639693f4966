"""Entries of the record put back, the last change first, each by the operation of its kind."""

from collections.abc import Callable, Sequence

from pyinfra.api.operation import OperationMeta

from pyinfra_deploys.operations.record import Entry
from pyinfra_deploys.operations.restore import (
    release_package,
    restore_file,
    restore_sysctl,
    restore_table,
    restore_unit,
)
from pyinfra_deploys.operations.restore_network import of_network, restore_network

OPERATIONS: dict[str, Callable[..., OperationMeta]] = {
    "file": restore_file,
    "unit": restore_unit,
    "sysctl": restore_sysctl,
    "table": restore_table,
    "package": release_package,
}


def restore_entries(
    entries: Sequence[Entry], management_address: str, *, network: str = "The network"
) -> None:
    """Run the operations; what is of the network goes back together, as one called `network`."""
    together = of_network(entries)
    for entry in entries:
        if entry not in together:
            OPERATIONS[entry.kind](name=entry.target, entry=entry)
        elif entry is together[0]:
            restore_network(name=network, entries=together, management_address=management_address)
