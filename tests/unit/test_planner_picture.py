"""The picture of a plan: valid SVG with every node, GPU, layer, link and circuit."""

from xml.etree import ElementTree as ET

from planner.picture import picture
from planner.proposal import propose
from stack.load import load_site
from tests.unit.planned_sites import LLAMA_70B_AWQ, on_circuit, proposed, rack


def texts(svg: str) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314 - our own picture
    return [each.text or "" for each in root.iter() if each.tag.endswith("text")]


def test_the_picture_has_nodes_gpus_layers_links_and_circuits() -> None:
    site = on_circuit(rack(4, 2, "rtx-4090", LLAMA_70B_AWQ), volts=240, amps=32)
    found = proposed(site)
    shown = "\n".join(texts(picture(found)))
    for node in ("n0", "n1", "n2", "n3"):
        assert f"{node}: 2 x " in shown
    for stage in found.stages:
        layers = f"layers {stage.first_layer}-{stage.first_layer + stage.layers - 1}"
        assert shown.count(layers) == found.tensor_parallel_size
    assert "Gbit/s over each hop" in shown
    assert "a (n0, n1, n2, n3)" in shown


def test_the_picture_of_what_does_not_fit_shows_idle_cards() -> None:
    found = proposed(rack(2, 1, "rtx-4090", "hf:org/Llama-3.1-405B-AWQ"))
    assert "idle" in texts(picture(found))


def test_the_same_plan_is_the_same_picture() -> None:
    site = load_site(rack(2, 1, "rtx-6000-ada", LLAMA_70B_AWQ))
    assert picture(propose(site)) == picture(propose(site))
