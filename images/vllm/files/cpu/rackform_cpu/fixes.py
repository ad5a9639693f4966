"""Two corrections that vLLM 0.29's CPU backend needs for pipeline stages on several machines."""

# mypy: disable-error-code="import-not-found"
# torch and vllm are only in the image.

import os

import torch
from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator
from vllm.distributed.parallel_state import get_pp_group
from vllm.v1.worker.cpu_model_runner import CPUModelRunner

_warm_up = CPUModelRunner.warming_up_model
_same_name = CpuCommunicator._all_group_ranks_share_shm_group_name  # noqa: SLF001 - no public way


def apply() -> None:
    """Correct vLLM in this process (entry point of vLLM); doing it twice changes nothing."""
    CPUModelRunner.warming_up_model = warming_up_model
    CpuCommunicator._all_group_ranks_share_shm_group_name = same_machine  # noqa: SLF001 - ditto


def warming_up_model(self: CPUModelRunner) -> None:
    """Warm up, then make the buffer that later pipeline stages receive into.

    With `enforce_eager` the profiling run that makes it is skipped, and the first request ends in
    an AssertionError on every stage but the first.
    """
    _warm_up(self)
    if self.intermediate_tensors is None and not get_pp_group().is_first_rank:
        self.intermediate_tensors = self.model.make_empty_intermediate_tensors(
            batch_size=self.max_num_tokens,
            dtype=self.model_config.dtype,
            device=self.device,
        )


def same_machine(self: CpuCommunicator) -> bool:
    """Use shared memory between ranks of one machine only.

    vLLM takes ranks for neighbours if the names of their shared memory agree. Under Ray all ranks
    are given the same rendezvous address, from which that name is made, so that ranks of different
    machines look like neighbours too. The machines' own addresses tell them apart.
    """
    mine = (os.environ.get("VLLM_HOST_IP", ""), _same_name(self))
    everyone: list[object] = [None] * self.world_size
    torch.distributed.all_gather_object(everyone, mine, group=self.device_group)
    return mine[1] and all(other == mine for other in everyone)
