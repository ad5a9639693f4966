from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from provider.check import draft
from provider.host_state import HostState, in_order, restoring
from provider.inputs import HostStateInputs
from provider.outputs import HostStateOutputs
from provider.resource import Draft, State
from provider.values import UNKNOWN, Plain
from pyinfra_deploys.client import Applied, Event, HostWorker, Operation
from remote.connection import Connection
from remote.errors import RackformError, Unreachable
from tests.unit.provider_fakes import RecordingContext

W1 = Connection(
    name="w1",
    address="10.77.0.12",
    private_key_file=Path("/keys/id"),
    host_key="ssh-ed25519 AAAA",
)
MTU = Operation(
    deploy="fabric_link",
    name="set the MTU of fab0",
    commands=["networkctl reload"],
    diff="- MTUBytes=1500\n+ MTUBytes=9000",
)
REBOOT = Operation(
    deploy="nvidia_driver", name="Reboot", commands=["THIS HOST HAS TO BE REBOOTED"], ends_boot="b1"
)
INPUTS = HostStateInputs(
    connection=W1,
    deploys={"nccl_env": {}, "base": {}, "fabric_link": {"mtu_bytes": 9000}},
    sources={},
)


class RecordedHost(HostWorker):
    """A host that needs one operation until it was applied."""

    def __init__(self) -> None:
        self.due = [MTU]
        self.plans: list[list[str]] = []
        self.applied: list[Mapping[str, Mapping[str, JsonValue]]] = []
        self.fails_with: RackformError | None = None
        self.machines: dict[str, str] = {}

    def look(self, connection: Connection) -> str:
        return self.machines.get(connection.address, "")

    def plan(
        self,
        connection: Connection,
        deploys: Mapping[str, Mapping[str, JsonValue]],
        *,
        timeout_s: float = 120,
    ) -> list[Operation]:
        _ = connection, timeout_s
        self.plans.append(list(deploys))
        return self.due

    def apply(
        self,
        connection: Connection,
        deploys: Mapping[str, Mapping[str, JsonValue]],
        on_event: Callable[[Event], None] | None = None,
        *,
        timeout_s: float = 1800,
    ) -> Applied:
        _ = connection, timeout_s
        self.applied.append(deploys)
        if self.fails_with:
            raise self.fails_with
        for operation in self.due:
            if on_event:
                on_event(Event(deploy=operation.deploy, operation=operation.name, state="started"))
        changed, self.due = self.due, []
        return Applied(changed=changed)


@pytest.fixture
def host() -> RecordedHost:
    return RecordedHost()


def state(inputs: HostStateInputs = INPUTS) -> State[HostStateInputs, HostStateOutputs]:
    return State("w1", inputs, HostStateOutputs())


def test_a_refresh_finds_the_operations_that_are_due(host: RecordedHost) -> None:
    found = HostState(host).read(state(), RecordingContext())
    assert found.outputs.pending == ["fabric_link: set the MTU of fab0"]


def test_a_preview_lists_each_operation_with_its_files_diff(host: RecordedHost) -> None:
    ctx = RecordingContext()
    new = draft(HostStateInputs, INPUTS.model_dump(mode="json"))
    HostState(host).preview(state(), new, ctx)
    assert ctx.messages == [
        (
            "would run on w1: fabric_link: set the MTU of fab0\n"
            "    - MTUBytes=1500\n    + MTUBytes=9000"
        )
    ]


def test_a_preview_says_that_a_host_would_be_rebooted(host: RecordedHost) -> None:
    host.due = [REBOOT]
    ctx = RecordingContext()
    new = draft(HostStateInputs, INPUTS.model_dump(mode="json"))
    known = HostState(host).preview(state(), new, ctx)
    assert ctx.messages[-1] == "warning: w1 would be rebooted after this, when it is drained"
    assert known["reboot"] == "b1"


def test_a_preview_says_what_a_reboot_means_for_the_site(host: RecordedHost) -> None:
    host.due, ctx = [MTU, REBOOT], RecordingContext()
    told = INPUTS.model_copy(update={"at_reboot": "nothing is served until all are back"})
    HostState(host).preview(state(), draft(HostStateInputs, told.model_dump(mode="json")), ctx)
    assert ctx.messages[-1].endswith("drained: nothing is served until all are back")


def test_what_a_reboot_means_is_no_change_of_the_host(host: RecordedHost) -> None:
    told = INPUTS.model_copy(update={"at_reboot": "other nodes serve meanwhile"})
    found = HostState(host).diff(state(), draft(HostStateInputs, told.model_dump(mode="json")))
    assert found.changes == ()


W2 = W1.model_copy(update={"name": "w2", "address": "10.77.0.13"})


def drafted(connection: Connection, **unknown: Plain) -> Draft[HostStateInputs]:
    inputs = INPUTS.model_copy(update={"connection": connection})
    return draft(HostStateInputs, {**inputs.model_dump(mode="json"), **unknown})


@pytest.mark.parametrize("unknown", [{}, {"sources": UNKNOWN}])
def test_two_nodes_that_are_one_machine_fail_in_the_first_preview_with_both_names(
    host: RecordedHost, unknown: dict[str, Plain]
) -> None:
    host.machines = {W1.address: "m1 b1", W2.address: "m1 b1"}
    kind, ctx = HostState(host), RecordingContext()
    kind.preview(None, drafted(W1, **unknown), ctx)
    kind.preview(None, drafted(W1, **unknown), ctx)
    with pytest.raises(
        RackformError, match=r"nodes w1 \(10.77.0.12\) and w2 \(10.77.0.13\) are one machine"
    ):
        kind.preview(None, drafted(W2, **unknown), ctx)


def test_a_machine_that_a_node_of_the_last_up_is_gets_no_second_name(host: RecordedHost) -> None:
    host.machines = {W1.address: "m1 b1", W2.address: "m1 b1"}
    kind, ctx = HostState(host), RecordingContext()
    kind.read(state(), ctx)
    with pytest.raises(RackformError, match="are one machine"):
        kind.create(INPUTS.model_copy(update={"connection": W2}), ctx)
    assert host.applied == []


def test_machines_of_their_own_and_those_that_do_not_tell_are_let_be(host: RecordedHost) -> None:
    host.machines = {W1.address: "m1 b1", W2.address: "m2 b1"}
    kind, ctx = HostState(host), RecordingContext()
    for connection in (W1, W2, W1.model_copy(update={"name": "w3", "address": "10.77.0.14"})):
        kind.create(INPUTS.model_copy(update={"connection": connection}), ctx)
    assert len(host.applied) == 3


def test_a_reboot_that_is_due_is_found_whatever_an_interrupted_up_remembers(
    host: RecordedHost,
) -> None:
    host.due = [REBOOT]
    kind, ctx = HostState(host), RecordingContext()
    assert kind.read(state(), ctx).outputs.reboot == "b1"
    assert kind.update(state(), INPUTS, ctx).reboot == "b1"


def test_after_the_reboot_its_boot_is_remembered_so_that_nothing_is_triggered(
    host: RecordedHost,
) -> None:
    kind, ctx = HostState(host), RecordingContext()
    rebooted = State("w1", INPUTS, HostStateOutputs(reboot="b1"))
    new = draft(HostStateInputs, INPUTS.model_dump(mode="json"))
    assert kind.preview(rebooted, new, ctx)["reboot"] == "b1"
    assert kind.read(rebooted, ctx).outputs.reboot == "b1"
    assert kind.update(rebooted, INPUTS, ctx).reboot == "b1"


def test_a_refresh_and_the_preview_after_it_ask_the_host_once(host: RecordedHost) -> None:
    kind, ctx = HostState(host), RecordingContext()
    kind.read(state(), ctx)
    kind.preview(state(), draft(HostStateInputs, INPUTS.model_dump(mode="json")), ctx)
    assert len(host.plans) == 1


def test_an_update_is_not_answered_from_before_it(host: RecordedHost) -> None:
    kind, ctx = HostState(host), RecordingContext()
    kind.read(state(), ctx)
    kind.update(state(), INPUTS, ctx)
    assert kind.read(state(), ctx).outputs.pending == []


def test_an_update_tells_what_it_changed(host: RecordedHost) -> None:
    ctx = RecordingContext()
    HostState(host).update(state(), INPUTS, ctx)
    assert ctx.messages == ["changed: fabric_link: set the MTU of fab0"]
    assert ctx.shown == ["w1: fabric_link: set the MTU of fab0"]


def test_deploys_run_in_the_registrys_order(host: RecordedHost) -> None:
    HostState(host).read(state(), RecordingContext())
    assert host.plans == [["base", "fabric_link", "nccl_env"]]
    assert list(in_order({"docker_engine": {}, "base": {}})) == ["base", "docker_engine"]


def test_a_host_that_is_not_there_yet_is_not_asked(host: RecordedHost) -> None:
    ctx = RecordingContext()
    fields = INPUTS.model_dump(mode="json") | {"connection": UNKNOWN}
    HostState(host).preview(None, draft(HostStateInputs, fields), ctx)
    assert host.plans == []
    assert ctx.messages == ["on a new host: all operations of base, fabric_link, nccl_env"]


def test_a_new_installation_of_a_host_gets_everything_again(host: RecordedHost) -> None:
    ctx, kind = RecordingContext(), HostState(host)
    reinstalled = INPUTS.model_copy(update={"machine": "2"}).model_dump(mode="json")
    new = draft(HostStateInputs, reinstalled)
    assert [str(change) for change in kind.diff(state(), new).changes] == ["machine"]
    kind.preview(state(), new, ctx)
    assert ctx.messages[0].startswith("on a new host")


RESTORED = [
    Operation(deploy="restore", name="/etc/x", commands=["/etc/x: put back as it was"]),
    Operation(deploy="restore", name="The rest", commands=["left on the host: nothing"]),
]


def test_undeclaring_a_host_puts_it_back_and_tells_what_stays(host: RecordedHost) -> None:
    ctx, host.due = RecordingContext(), list(RESTORED)
    HostState(host).delete(state(), ctx)
    assert host.applied == [{"restore": {"management_address": "10.77.0.12", "registry": None}}]
    assert ctx.messages == ["w1: /etc/x: put back as it was", "w1: left on the host: nothing"]
    assert ctx.shown == ["w1: putting back: /etc/x", "w1: putting back: The rest"]


def test_a_host_without_a_record_stays_as_it_is(host: RecordedHost) -> None:
    ctx, host.due = RecordingContext(), []
    HostState(host).delete(state(), ctx)
    assert ctx.messages == ["w1: stays as it is: no change by Rackform is recorded there"]


@pytest.mark.parametrize("error", [Unreachable("no route"), RackformError("a file failed")])
def test_a_host_that_cannot_be_put_back_is_kept_and_the_way_out_is_told(
    host: RecordedHost, error: RackformError
) -> None:
    host.fails_with = error
    with pytest.raises(type(error)) as raised:
        HostState(host).delete(state(), RecordingContext())
    assert str(raised.value) == (
        f"w1 was not put back as it was: {error}; what was there before is still recorded on it: "
        "bring w1 back and run this again, or let go of it, as it is, with 'pulumi state delete'"
    )


def test_the_fabric_s_management_address_and_the_registry_go_with_the_question() -> None:
    deploys: dict[str, dict[str, JsonValue]] = {
        "fabric_link": {"management_address": "10.77.0.12"},
        "docker_engine": {"registry": "10.77.0.11:5000"},
    }
    by_name = W1.model_copy(update={"address": "w1.example"})
    asked = restoring(INPUTS.model_copy(update={"connection": by_name, "deploys": deploys}))
    assert asked == {"restore": {"management_address": "10.77.0.12", "registry": "10.77.0.11:5000"}}
