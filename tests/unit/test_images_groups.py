"""Which layer a changed package changes: its own and no other."""

from pathlib import Path

import pytest

from images.builder import declaration
from images.builder.declaration import Python
from images.builder.lock_model import Lock, Wheel
from images.builder.python_env import PythonLayers
from images.builder.recipe import Recipe
from images.builder.store import Store


def inputs(python: Python, wheels: list[Wheel], store: Store) -> dict[str, object]:
    layers = PythonLayers(python, wheels, store, "sha256:base", lambda: Path("/nowhere"))
    return {group.name: group.inputs for group in layers.groups()}


@pytest.mark.parametrize(
    ("package", "layer"),
    [("idna", "python"), ("torch", "python-torch"), ("nvidia-cublas", "python-cuda")],
)
def test_a_changed_wheel_changes_the_layer_of_its_group_alone(
    tmp_path: Path, package: str, layer: str
) -> None:
    definition = declaration.load("vllm", "cuda")
    python = definition.spec.python
    assert python
    names = ("idna", "torch", "triton", "nvidia-cublas", "cuda-bindings", "vllm")
    before = [Wheel(name=n, version="1", file=n, sha256="0" * 64, size=1) for n in names]
    after = [w.model_copy(update={"sha256": "1" * 64}) if w.name == package else w for w in before]
    old, new = (inputs(python, wheels, Store(tmp_path)) for wheels in (before, after))
    assert list(old) == ["python-cuda", "python-torch", "python"]
    assert {name for name in old if old[name] != new[name]} == {layer}


def test_a_changed_label_or_requirement_makes_no_layer_anew(tmp_path: Path) -> None:
    definition = declaration.load("edge", "default")
    debian = definition.spec.debian
    assert debian
    lock = Lock(definition=definition.checksum, declared={})
    other = definition.model_copy(
        update={"spec": definition.spec.model_copy(update={"labels": {"a": "b"}}), "checksum": "x"}
    )
    keys = {
        (recipe._base_key, recipe._files_key)
        for each in (definition, other)
        for recipe in [Recipe(each, debian, lock, Store(tmp_path), lambda _: None)]
    }
    assert len(keys) == 1
