"""The site that `./rackform plan` looks at: a stack or a file, with changes by `--set`."""

import re
from pathlib import Path

import yaml

from stack.errors import InputError
from stack.load import load_site, read_site, read_stack
from stack.schema import Site

_STEP = re.compile(r'\.?(?:(?P<name>[^.\[\]"=]+)|\[(?P<index>\d{1,3})\]|\["(?P<quoted>[^"]+)"\])')
_ANY_COMMIT = "0" * 40
_SOURCE = re.compile(r"(?:hf:)?[\w.-]+/[\w.-]+|(?:file|pypi):.+")


def planned_site(
    stack: str, file: Path | None, model: str | None, changes: list[str]
) -> tuple[Site, str | None]:
    """Return the changed site and the key of the model that is asked for, None for the first.

    `model` is a model's key in the site, or the name of any model: that one takes the place of all
    others, with the first one's settings.

    Raises:
        InputError: there is no such stack or file, a change is none, or the site is wrong.

    """
    raw = read_site(file) if file else read_stack(stack)
    for change in changes:
        raw = _changed(raw, change)
    if model is None:
        return load_site(raw), None
    models = raw.get("models") if isinstance(raw, dict) else None
    if isinstance(models, dict) and model not in models:
        return load_site(_with_model(raw, models, model)), "asked"
    return load_site(raw), model


def to_be_bought(site: Site) -> Site:
    """Return the site as for somebody who owns none of its GPUs."""
    nodes = {
        name: node.model_copy(update={"gpus": node.gpus.model_copy(update={"owned": False})})
        if node.gpus
        else node
        for name, node in site.nodes.items()
    }
    return site.model_copy(update={"nodes": nodes})


def _with_model(raw: object, models: dict[object, object], model: str) -> object:
    first = next(iter(models.values()), None)
    kept = dict(first) if isinstance(first, dict) else {}
    for setting in ("served_name", "pad_heads_to", "parallelism"):
        kept.pop(setting, None)
    path = Path(model)
    if path.suffix == ".json" or path.is_dir():
        source = f"file:{path.resolve()}"
    else:
        source = model if _SOURCE.fullmatch(model) else f"hf:catalogue/{model}"
    digits = _ANY_COMMIT if source.startswith("hf:") or ":" not in source else "0" * 64
    asked = {**kept, "source": source, "revision": digits, "served_name": path.name or model}
    return {**raw, "models": {"asked": asked}} if isinstance(raw, dict) else raw


def _changed(raw: object, change: str) -> object:
    """Return the site with one setting changed, given as path=value; the value is YAML."""
    path, equals, text = change.partition("=")
    steps = _steps(path)
    if not equals or not steps:
        raise InputError(
            f"--set {change}, but a change is PATH=VALUE: write one such as nodes.w1.gpus.count=4"
        )
    try:
        value: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"--set {change}, but {text} is not YAML: put it in quotes") from None
    if not isinstance(raw, dict):
        return raw
    return _put(raw, steps, value, change)


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if not found:
            return []
        index = found["index"]
        steps.append(int(index) if index is not None else found["name"] or found["quoted"])
        at = found.end()
    return steps


def _put(holder: object, steps: list[str | int], value: object, change: str) -> object:
    """Return a copy of a tree with the value at the steps; mappings are made where none are."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, int):
        if not isinstance(holder, list) or step >= len(holder):
            raise InputError(f"--set {change}, but there is no element [{step}]: see the site")
        copied = list(holder)
        copied[step] = _put(holder[step], rest, value, change)
        return copied
    if not (holder is None or isinstance(holder, dict)):
        raise InputError(
            f"--set {change}, but what holds {step} is a single value: set a path that ends there"
        )
    tree = dict(holder or {})
    tree[step] = _put(tree.get(step), rest, value, change)
    return tree
