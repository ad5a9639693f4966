"""Deployments for the planner's tests."""

from planner.architecture import Precision, architecture
from planner.catalog import gpu, link
from planner.deployment import Deployment
from planner.layers import even
from planner.memory import EngineSettings, Layout


def deployment(  # noqa: PLR0913 - each is a property that some test varies
    name: str,
    card: str,
    *,
    tensor: int = 1,
    stages: int = 1,
    tp_link: str = "",
    pp_link: str = "",
    expert: int = 1,
    settings: EngineSettings | None = None,
    precision: Precision | None = None,
) -> Deployment:
    """Return a replica of a model on cards of one kind; links are the card's own by default."""
    arch, told = architecture(name)
    found = gpu(card)
    return Deployment(
        arch=arch,
        precision=precision or told,
        layout=Layout(tensor=tensor, layers_by_stage=even(arch.layers, stages), expert=expert),
        gpu_by_stage=(found,) * stages,
        tp_link=link(tp_link or found.link),
        pp_link=link(pp_link or found.link),
        settings=settings or EngineSettings(),
    )
