"""Steps of an update that the stack runs as commands: what they are told comes as JSON."""

import sys
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from commission import gate
from remote import returned
from serving import drain
from stack.errors import InputError
from stack.steps import Drain, Gate, Return, Step

OrderT = TypeVar("OrderT", bound=BaseModel)


def run(step: Step, told: str) -> str:
    """Carry a step out and return what was done.

    Raises:
        InputError: the order is not one for this step.
        RackformError: the step failed.

    """
    match step:
        case Step.DRAIN:
            return drain.drain(_read(Drain, told), _progress)
        case Step.RETURN:
            return returned.wait(_read(Return, told), _progress)
        case Step.GATE:
            return gate.run(_read(Gate, told), _progress)


def _read(model: type[OrderT], told: str) -> OrderT:
    try:
        return model.model_validate_json(told)
    except ValidationError as error:
        raise InputError(
            f"this is no order for that step ({error.error_count()} errors): the stack itself "
            "writes it, so run 'up'"
        ) from error


def _progress(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
