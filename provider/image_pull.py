"""An image on every node that runs it, before any container is replaced."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext

from lab import nodes as lab_nodes
from provider import lab_machine
from provider.inputs import ImagePullInputs
from provider.outputs import ImagePullOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain
from remote import container_images
from remote.connection import Connection
from remote.container_spec import Registry

ImagePullState = State[ImagePullInputs, ImagePullOutputs]


class ImagePull(Resource[ImagePullInputs, ImagePullOutputs]):
    """In the twin the nodes get the layers from the store first, as all share one disk."""

    inputs = ImagePullInputs
    outputs = ImagePullOutputs

    def preview(
        self, old: ImagePullState | None, new: Draft[ImagePullInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        if new.complete is not None:
            names = ", ".join(node.name for node in new.complete.nodes)
            ctx.info(f"would bring {new.complete.reference} to {names}")
        return super().preview(old, new, ctx)

    def create(self, inputs: ImagePullInputs, ctx: Context) -> tuple[str, ImagePullOutputs]:
        lacking = _lacking(inputs)
        if inputs.twin and lacking:
            names = [node.name for node in lacking]
            ctx.progress(f"giving the image's layers to {', '.join(names)}")
            with ExitStack() as engines:
                for name in sorted(names):
                    engines.enter_context(lab_machine.docker_engine(name))
                lab_nodes.seed_images(lab_machine.twin(), names, [inputs.digest])
        _side_by_side(lambda node: _pull(node, inputs, ctx), lacking)
        return inputs.reference, ImagePullOutputs()

    def read(self, state: ImagePullState, ctx: Context) -> ImagePullState:
        _ = ctx
        due = [f"{node.name} lacks the image" for node in _lacking(state.inputs)]
        return state.with_pending(due)

    def update(
        self, state: ImagePullState, inputs: ImagePullInputs, ctx: Context
    ) -> ImagePullOutputs:
        _ = state
        return self.create(inputs, ctx)[1]

    def delete(self, state: ImagePullState, ctx: Context) -> None:
        """Leave the image on the nodes: a rollback finds it there."""


RESOURCE = ImagePull


def _engine(node: Connection, inputs: ImagePullInputs) -> AbstractContextManager[object]:
    """Keep a twin's Docker Engine from being stopped, as it is while another image comes."""
    return lab_machine.docker_engine(node.name) if inputs.twin else nullcontext()


def _lacking(inputs: ImagePullInputs) -> list[Connection]:
    absent = _side_by_side(lambda node: _lacks(node, inputs), inputs.nodes)
    return [node for node, lacks in zip(inputs.nodes, absent, strict=True) if lacks]


def _lacks(node: Connection, inputs: ImagePullInputs) -> bool:
    with _engine(node, inputs):
        return not container_images.present(node, inputs.image_id)


def _pull(node: Connection, inputs: ImagePullInputs, ctx: Context) -> bool:
    registry = Registry.model_validate(inputs.registry.model_dump())
    with _engine(node, inputs):
        container_images.pull(node, inputs.reference, inputs.image_id, registry, ctx.progress)
    return True


def _side_by_side(work: Callable[[Connection], bool], nodes: Sequence[Connection]) -> list[bool]:
    if not nodes:
        return []
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        return list(pool.map(work, nodes))
