"""The operations of `restore`: what the record tells of, the last change first."""

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from pyinfra_deploys.operations.left import Left, LeftBehind, leave, told
from pyinfra_deploys.operations.record import Record, of_kind
from pyinfra_deploys.operations.restore_entries import restore_entries
from pyinfra_deploys.restore.settings import RestoreSettings


@deploy("restore")
def restore(settings: RestoreSettings) -> None:
    entries = host.get_fact(Record) or []
    left = host.get_fact(LeftBehind) or Left()
    restore_entries(entries, settings.management_address)
    if left.recorded:
        leave(name="The rest", lines=told(left, of_kind(entries, "package"), settings.registry))
