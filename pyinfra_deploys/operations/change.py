"""What an operation asks about those before it, in a dry run and in a real one alike."""

from collections.abc import Callable

from pyinfra.api.operation import OperationMeta


def changed(*operations: OperationMeta) -> Callable[[], bool]:
    """Return a condition: has (or, in a dry run, would have) one of `operations` changed anything.

    pyinfra's own `_if` is not looked at in a dry run, so that an operation behind it always shows
    as a change. An operation of ours takes the condition as an argument and asks it when it runs.
    """

    def condition() -> bool:
        return any(
            operation.did_change() if operation.is_complete() else operation.will_change
            for operation in operations
        )

    return condition


def never() -> bool:
    return False
