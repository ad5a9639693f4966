"""The closure: one hash over all that a stack will run, and the tree that it is the top of."""

from pathlib import Path
from typing import Any

import pytest

from cli.closure import readable, tree
from components.closure import ClosureNode, closure, stack_images
from images import builder
from stack.errors import InputError
from stack.load import load_site, read_pins, read_stack
from tests.unit.sites import changed


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACKFORM_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("RACKFORM_STATE", str(tmp_path / "state"))


def nodes(node: ClosureNode) -> dict[str, str]:
    below = {path: found for child in node.children for path, found in nodes(child).items()}
    return {node.name: node.hash, **below}


def of(raw: Any) -> ClosureNode:
    return closure(load_site(raw), {})


def test_the_closure_is_the_same_until_something_of_it_changes() -> None:
    assert of(read_stack("lab")) == of(read_stack("lab"))
    before, after = (
        of(raw) for raw in (read_stack("lab"), changed("lab", "fabric.mtu_bytes", 4200))
    )
    old, new = nodes(before), nodes(after)
    assert {name for name in old if old[name] != new[name]} == {before.name, "site"}


def test_another_revision_of_a_model_is_another_closure() -> None:
    before = of(read_stack("lab"))
    after = of(changed("lab", "models.chat.revision", "0" * 64))
    assert before.hash != after.hash
    assert nodes(before)["models"] != nodes(after)["models"]


def test_every_image_and_each_of_its_packages_is_in_the_tree() -> None:
    found = nodes(of(read_stack("lab")))
    assert {"node/default", "vllm/cpu", "redis/default", "registry/default", "edge/default"} <= set(
        found
    )
    lock = builder.locked("edge", "default")
    assert lock
    caddy = next(package for package in lock.debian if package.name == "caddy")
    assert found[f"debian/caddy-{caddy.version}"] == f"sha256:{caddy.sha256}"


def test_a_pinned_image_stands_by_what_it_was_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = builder.Expected(
        input_hash="a" * 64, digest=None, image_id=None, packages={}, files={}, lock_sha256="b"
    )
    real = builder.expected
    monkeypatch.setattr(
        builder, "expected",
        lambda name, variant, store, sources: kept if sources.pinned
        else real(name, variant, store, sources),
    )  # fmt: skip
    found = closure(load_site(read_stack("lab")), {"edge/default": "a" * 64})
    assert nodes(found)["edge/default"] == f"sha256:{'a' * 64}"


def test_a_real_site_runs_no_host_image() -> None:
    found = stack_images(load_site(read_stack("homelab-4x2")))
    assert "node" not in {name for name, _ in found}


def test_a_twin_has_the_image_of_each_of_its_systems() -> None:
    found = stack_images(load_site(changed("lab", "nodes.w1.system", "debian-13")))
    assert [kind for kind in found if kind[0] == "node"] == [
        ("node", "default"),
        ("node", "debian-13"),
    ]


def test_the_tree_is_drawn_as_nix_draws_its() -> None:
    leaf = ClosureNode(name="site", hash="sha256:" + "b" * 64, size_bytes=1500)
    inner = ClosureNode(name="images", hash="sha256:" + "c" * 64, size_bytes=0, children=(leaf,))
    top = ClosureNode(
        name="stack-lab",
        hash="sha256:" + "a" * 64,
        size_bytes=0,
        note="here",
        children=(inner, leaf),
    )
    assert list(tree(top)) == [
        f"{'a' * 32}-stack-lab  [here]",
        f"├───{'c' * 32}-images",
        f"│   └───{'b' * 32}-site  1.5 kB",
        f"└───{'b' * 32}-site  1.5 kB",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (1_346_000_000, "1.35 GB")],
)
def test_a_size_has_three_digits(size: int, text: str) -> None:
    assert readable(size) == text


@pytest.mark.parametrize("raw", ["x", {"edge": "a" * 64}, {"edge/default": "short"}, [1]])
def test_pins_that_no_rollback_wrote_are_refused(raw: object) -> None:
    with pytest.raises(InputError, match="pulumi config rm rackform:pinned"):
        read_pins(raw)
