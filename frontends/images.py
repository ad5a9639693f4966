"""Which images the front-ends of a site need, and which of these can be had."""

from frontends import anythingllm, open_webui
from images import builder
from stack.schema import Site


def wanted(site: Site) -> list[str]:
    """Return the images of the front-ends that a site asks for and that can be had."""
    images = [open_webui.NAME] if site.frontends.open_webui else []
    if site.frontends.anythingllm and anythingllm_is_locked():
        images.append(anythingllm.NAME)
    return images


def anythingllm_is_locked() -> bool:
    """Say whether somebody who reached its makers' registry has locked its image.

    A lock that no longer fits is refused where the image is declared.
    """
    return builder.locked(anythingllm.NAME, "default") is not None
