"""The CPU platform under the resource name by which Ray places GPU ranks."""

# mypy: disable-error-code="import-not-found, misc"
# vllm is only in the image.

from vllm.platforms.cpu import CpuPlatform


class CpuAsGpuPlatform(CpuPlatform):
    ray_device_key = "GPU"
