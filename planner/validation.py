"""How far a prediction can be trusted, and what that is known from."""

from typing import NamedTuple

from planner.architecture import Precision
from planner.catalog import LinkKind
from planner.deployment import Deployment

_MEASURED_GPUS = frozenset({"h100-sxm", "h200"})
_MEASURED_PRECISIONS = frozenset({Precision.BF16, Precision.FP16, Precision.FP8, Precision.MXFP4})


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
    ttft=1.6,
    tpot=1.25,
)
_DERIVED = Validation(
    validated=False,
    on="physics alone: no measured points for this kind of GPU, split or precision",
    ttft=2.5,
    tpot=1.8,
)


def validation(deployment: Deployment) -> Validation:
    """Return what is known of predictions for a deployment like this one."""
    measured = (
        all(gpu.name in _MEASURED_GPUS for gpu in deployment.gpu_by_stage)
        and deployment.layout.pipeline == 1
        and deployment.tp_link.kind is LinkKind.NVLINK
        and deployment.precision in _MEASURED_PRECISIONS
    )
    return _HOPPER if measured else _DERIVED
