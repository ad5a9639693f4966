"""vLLM plugin of the twin: its CPU backend, scheduled by Ray like GPUs.

Ray places vLLM's ranks by a resource called GPU. The twin's workers have none, but Ray takes any
number as `--num-gpus`; the platform below makes vLLM ask for that resource. The image for real GPUs
does not have this plugin.
"""

import os


def platform() -> str | None:
    """Name the platform class if the environment asks for it (entry point of vLLM)."""
    if os.environ.get("RACKFORM_CPU_AS_GPU") == "1":
        return "rackform_cpu.platform.CpuAsGpuPlatform"
    return None
