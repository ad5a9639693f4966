"""What `./rackform discover` asks a person, since no machine tells it: on a terminal alone.

Each question stands for an option, whose rule an answer has to follow; an option that was given is
not asked for.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import typer

from cli import discover_options as given
from cli.console import err
from discover.choices import fabric_nic, heard_port, node_names
from discover.model import Machine
from discover.wishes import ASSUMED_GBIT_S, CableWish, CircuitWish, Wishes
from stack.errors import InputError

_Answer = TypeVar("_Answer")


def completed(machines: Sequence[Machine], wishes: Wishes) -> Wishes:
    """Return the wishes with a person's answers; as they are, where nobody is there to ask."""
    if not sys.stdin.isatty():
        return wishes
    names = list(node_names(machines).values())
    return replace(
        wishes,
        head=wishes.head or _head(machines, names),
        gbit_s=wishes.gbit_s or _speed(machines),
        cables=[*wishes.cables, *_cables(machines, wishes)],
        circuits=wishes.circuits or list(_circuits()),
    )


def _head(machines: Sequence[Machine], names: Sequence[str]) -> str | None:
    """Ask where the choice is one: a machine without GPUs is the head by itself."""
    if len(names) == 1 or not all(machine.gpus for machine in machines):
        return None

    def known(text: str) -> str:
        if text not in names:
            raise InputError(f"{text} is none of the machines: name one of {', '.join(names)}")
        return text

    return _asked("Which machine is the head, with Ray's head and the edge?", known, names[0])


def _speed(machines: Sequence[Machine]) -> float | None:
    cards = [fabric_nic(machine) for machine in machines]
    if any(card and card.speed_mbit_s for card in cards):
        return None

    def positive(text: str) -> float:
        if not text.replace(".", "", 1).isdecimal() or float(text) <= 0:
            raise InputError(f"{text} is no speed: write a number of Gbit/s, such as 100")
        return float(text)

    return _asked(
        "No card has a link. How fast is the fabric, in Gbit/s?", positive, f"{ASSUMED_GBIT_S}"
    )


def _cables(machines: Sequence[Machine], wishes: Wishes) -> Iterator[CableWish]:
    named = {cable.switch for cable in wishes.cables}
    cards = [card for card in map(fabric_nic, machines) if card]
    for switch in wishes.switches:
        if switch.name not in named and not any(heard_port(card, switch.name) for card in cards):
            for node in node_names(machines).values():
                yield from _cable(switch.name, node)


def _cable(switch: str, node: str) -> Iterator[CableWish]:
    def cable(port: str) -> CableWish | None:
        return given.cable(f"{switch}.{port}={node}") if port else None

    found = _asked(f"Which port of {switch} is {node} plugged into (empty: none)?", cable, "")
    if found:
        yield found


def _circuits() -> Iterator[CircuitWish]:
    def circuit(text: str) -> CircuitWish | None:
        return given.circuit(text) if text else None

    question = "Power circuit, NAME=VOLTSxAMPS for all or NAME=VOLTSxAMPS:NODE,… (empty: no more)"
    while found := _asked(question, circuit, ""):
        yield found
        if not found.nodes:
            return


def _asked(question: str, parse: Callable[[str], _Answer], default: str) -> _Answer:
    """Ask until the answer can be used, and tell what is wrong with one that can't."""
    while True:
        text = typer.prompt(question, default=default, show_default=bool(default), err=True)
        try:
            return parse(text.strip())
        except InputError as error:
            err.print(f"[red]{error}[/]")
