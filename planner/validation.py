"""How far a prediction can be trusted, and what that is known from."""

from typing import NamedTuple

from planner import catalog
from planner.architecture import Precision
from planner.catalog import Gpu, LinkKind
from planner.deployment import Deployment, Load

_MEASURED_GPUS = frozenset({"h100-sxm", "h200"})
_MEASURED_DENSE = frozenset({Precision.BF16, Precision.FP16, Precision.FP8})
_MEASURED_EXPERTS = frozenset({Precision.MXFP4})
_MEASURED_RANKS = 8
_MEASURED_CLIENTS = 128
_MEASURED_TOKENS = 9216


class Validation(NamedTuple):
    """`ttft` and `tpot` are the factors within which nine of ten measured points lie."""

    validated: bool
    on: str
    ttft: float
    tpot: float

    def around(self, value: float, factor: float) -> tuple[float, float]:
        """Return the interval around a value."""
        return value / factor, value * factor


_HOPPER = Validation(
    validated=True,
    on="vLLM on H100 and H200 over NVLink, 70B FP8, 32B bf16 and 120B MXFP4, models left out",
    ttft=1.3,
    tpot=1.15,
)
_DERIVED = Validation(
    validated=False,
    on="physics alone: no measured points for this kind of GPU, model, split, precision or load",
    ttft=2.5,
    tpot=2.0,
)


def validation(deployment: Deployment, load: Load) -> Validation:
    """Return what is known of predictions for a deployment and a load like these."""
    arch, layout = deployment.arch, deployment.layout
    precisions = _MEASURED_EXPERTS if arch.experts else _MEASURED_DENSE
    measured = (
        all(_is_measured(gpu) for gpu in deployment.gpu_by_stage)
        and layout.ranks == layout.tensor <= _MEASURED_RANKS
        and layout.expert == 1
        and deployment.tp_link.kind is LinkKind.NVLINK
        and deployment.precision in precisions
        and not arch.latent
        and load.concurrency <= _MEASURED_CLIENTS
        and load.input_tokens + load.output_tokens <= _MEASURED_TOKENS
    )
    return _HOPPER if measured else _DERIVED


def _is_measured(gpu: Gpu) -> bool:
    """Whether points were measured on such a card, without a power limit."""
    full = gpu.name in _MEASURED_GPUS and catalog.gpu(gpu.name).board_power_w
    return gpu.board_power_w == full
