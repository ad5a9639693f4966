"""A Ray Serve application that has answered with real tokens."""

from collections.abc import Mapping

from provider.inputs import ServeApplicationInputs
from provider.outputs import ServeApplicationOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain
from remote.errors import Unreachable
from serving import ray_serve

ServeApplicationState = State[ServeApplicationInputs, ServeApplicationOutputs]
_READY = "ready"


class ServeApplication(Resource[ServeApplicationInputs, ServeApplicationOutputs]):
    inputs = ServeApplicationInputs
    outputs = ServeApplicationOutputs
    replace_on = frozenset({"application"})

    def preview(
        self,
        old: ServeApplicationState | None,
        new: Draft[ServeApplicationInputs],
        ctx: Context,
    ) -> Mapping[str, Plain]:
        model = new.fields.get("model")
        if old is None:
            ctx.info(f"would deploy {model} and wait for its tokens")
        else:
            super().preview(old, new, ctx)
        return {"pending": [], "status": _READY}

    def create(
        self, inputs: ServeApplicationInputs, ctx: Context
    ) -> tuple[str, ServeApplicationOutputs]:
        ready = ray_serve.deploy(inputs.head, spec(inputs), ctx.progress)
        phases = ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in ready.seconds.items())
        ctx.info(f"{inputs.model} answers ({phases})")
        return inputs.application, ServeApplicationOutputs(status=_READY, probe_answer=ready.answer)

    def read(self, state: ServeApplicationState, ctx: Context) -> ServeApplicationState:
        _ = ctx
        due = ray_serve.pending(state.inputs.head, spec(state.inputs))
        found = {"pending": due, "status": "unhealthy" if due else _READY}
        return State(state.id, state.inputs, state.outputs.model_copy(update=found))

    def update(
        self, state: ServeApplicationState, inputs: ServeApplicationInputs, ctx: Context
    ) -> ServeApplicationOutputs:
        _ = state
        return self.create(inputs, ctx)[1]

    def delete(self, state: ServeApplicationState, ctx: Context) -> None:
        """Remove the application; without its head there is none to remove."""
        try:
            ray_serve.delete(state.inputs.head, spec(state.inputs))
        except Unreachable as error:
            ctx.warn(f"its head is not reachable, so it does not run: {error}")


RESOURCE = ServeApplication


def spec(inputs: ServeApplicationInputs) -> ray_serve.ServeSpec:
    return ray_serve.ServeSpec.model_validate(inputs.model_dump(exclude={"head", "runs_on"}))
