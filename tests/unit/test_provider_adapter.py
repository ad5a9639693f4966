import asyncio
import threading
from pathlib import Path

import pytest
from pulumi.provider.experimental import provider as sdk

from provider.resource import Context
from provider.values import UNKNOWN, Plain, plain, plain_map, wire_map
from remote.errors import OtherHostKey, RackformError, Unreachable
from tests.unit.provider_fakes import KIND, URN, Bench, Fake, FakeInputs, FakeOutputs

W1: dict[str, Plain] = {"name": "w1", "ports": {"Ethernet1": {"mtu": 1500}}}
W1_JUMBO: dict[str, Plain] = {"name": "w1", "ports": {"Ethernet1": {"mtu": 9000}}}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_diff_names_the_nested_field_that_changed(bench: Bench) -> None:
    found = bench.diff(W1, W1_JUMBO)
    assert found.changes
    assert list(found.detailed_diff) == ["ports.Ethernet1.mtu"]
    change = found.detailed_diff["ports.Ethernet1.mtu"]
    assert (change.kind, change.input_diff) == (sdk.PropertyDiffKind.UPDATE, True)
    assert found.replaces == []


def test_the_same_inputs_make_no_diff_whether_defaults_are_written_out_or_not(bench: Bench) -> None:
    assert not bench.diff(W1, {**W1, "password": ""}).changes


def test_a_field_that_can_not_change_in_place_replaces(bench: Bench) -> None:
    found = bench.diff(W1, {**W1, "name": "w2"})
    assert found.replaces == ["name"]
    assert found.detailed_diff["name"].kind is sdk.PropertyDiffKind.UPDATE_REPLACE


def test_what_a_refresh_found_due_is_a_change_without_any_input_changed(bench: Bench) -> None:
    found = bench.diff(W1, W1, pending=["power on"])
    assert found.changes
    assert not found.detailed_diff


def test_an_unknown_input_counts_as_changed(bench: Bench) -> None:
    assert list(bench.diff(W1, {**W1, "ports": UNKNOWN}).detailed_diff) == ["ports"]


def test_a_preview_changes_nothing_and_speaks_under_the_resource(bench: Bench) -> None:
    made = bench.create(W1, preview=True)
    assert bench.fake.done == []
    assert "would set" in bench.log.messages[0]
    assert plain(made.properties["address"]) is UNKNOWN


def test_a_create_returns_id_outputs_and_a_revision(bench: Bench) -> None:
    made = bench.create(W1)
    assert made.resource_id == "w1"
    assert plain(made.properties["address"]) == "10.0.0.1"
    assert plain(made.properties["revision"])
    assert bench.log.sent == [(1, "creating", True)]


def test_outputs_named_secret_are_secret_in_preview_and_up(bench: Bench) -> None:
    assert bench.create(W1).properties["key"].is_secret
    assert bench.create(W1, preview=True).properties["key"].is_secret


def test_a_secret_input_never_shows_in_a_message(bench: Bench) -> None:
    bench.create({**W1, "password": "hunter2-hunter2"}, preview=True)
    assert "hunter2-hunter2" not in bench.log.messages[0]
    assert "[secret]" in bench.log.messages[0]


def test_an_error_loses_its_secrets_and_keeps_its_sentence(bench: Bench) -> None:
    bench.fake.fails_with = RackformError("registry refused hunter2-hunter2: set another")
    with pytest.raises(RackformError, match=r"^registry refused \[secret\]: set another$"):
        bench.create({**W1, "password": "hunter2-hunter2"})


def test_an_unexpected_error_names_the_log_that_holds_its_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.fake.fails_with = KeyError("hunter2-hunter2")
    with pytest.raises(RackformError, match=r"w1-fake .*KeyError.*provider\.log"):
        bench.create({**W1, "password": "hunter2-hunter2"})
    assert "Traceback" in caplog.text
    assert "hunter2-hunter2" not in caplog.text


def test_a_machine_out_of_reach_at_a_refresh_is_a_warning_and_keeps_its_state(bench: Bench) -> None:
    bench.fake.fails_with = Unreachable("w1 does not answer")
    found = bench.read(W1)
    assert found.resource_id == "w1"
    assert plain_map(found.properties)["pending"] == []
    severity, message, _ = bench.log.sent[0]
    assert severity == 2
    assert message.startswith("not reachable: assuming no change since the last up")


def test_another_error_at_a_refresh_is_left_for_the_up_to_mend(bench: Bench) -> None:
    bench.fake.fails_with = RackformError("the dry run failed")
    assert plain_map(bench.read(W1).properties)["pending"] == ["the dry run failed"]


def test_a_machine_out_of_reach_in_a_preview_is_a_warning(bench: Bench) -> None:
    bench.fake.fails_with = Unreachable("w1 does not answer")
    made = bench.update(W1, W1_JUMBO, preview=True)
    assert plain(made.properties["address"]) == "10.0.0.1"
    assert "not reachable" in bench.log.messages[0]


def test_a_machine_with_another_host_key_is_never_passed_over(bench: Bench) -> None:
    bench.fake.fails_with = OtherHostKey("w1 shows another key")
    assert plain_map(bench.read(W1).properties)["pending"] == ["w1 shows another key"]
    with pytest.raises(RackformError, match="w1 shows another key"):
        bench.update(W1, W1_JUMBO, preview=True)


def test_a_machine_out_of_reach_in_an_up_fails_with_the_reason(bench: Bench) -> None:
    bench.fake.fails_with = Unreachable("w1 does not answer")
    with pytest.raises(RackformError, match="w1 does not answer"):
        bench.update(W1, W1_JUMBO)


def test_what_is_gone_is_read_without_an_id(bench: Bench) -> None:
    bench.fake.gone = True
    assert not bench.read(W1).resource_id


def test_inputs_come_back_from_a_refresh_as_they_were(bench: Bench) -> None:
    assert plain_map(bench.read(W1).inputs) == W1


def test_an_import_is_refused_with_the_way_that_works(bench: Bench) -> None:
    with pytest.raises(RackformError, match="declare it"):
        bench.read({})


def test_a_state_of_another_version_is_refused_with_its_field(bench: Bench) -> None:
    with pytest.raises(RackformError, match=r"another version of Rackform .*nam"):
        bench.diff({"nam": "w1"}, W1)


def test_a_custom_timeout_ends_the_wait(bench: Bench) -> None:
    ended = threading.Event()

    class Slow(Fake):
        def create(self, inputs: FakeInputs, ctx: Context) -> tuple[str, FakeOutputs]:
            ended.wait(5)
            return super().create(inputs, ctx)

    bench.fake = Slow()
    try:
        with pytest.raises(RackformError, match="custom timeout"):
            bench.ask(_create_then_release(bench, ended))
    finally:
        ended.set()


async def _create_then_release(bench: Bench, ended: threading.Event) -> sdk.CreateResponse:
    try:
        return await bench.adapter.create(sdk.CreateRequest(URN, wire_map(W1), 0.05, preview=False))
    finally:
        ended.set()


def test_resources_are_worked_on_side_by_side(bench: Bench) -> None:
    together = threading.Barrier(4, timeout=5)

    class Meeting(Fake):
        def create(self, inputs: FakeInputs, ctx: Context) -> tuple[str, FakeOutputs]:
            together.wait()
            return super().create(inputs, ctx)

    bench.fake = Meeting()

    async def four() -> None:
        request = sdk.CreateRequest(URN, wire_map(W1), 0, preview=False)
        await asyncio.gather(*(bench.adapter.create(request) for _ in range(4)))

    bench.ask(four())
    assert bench.fake.done == ["create"] * 4


def test_a_cancel_ends_waits_that_ask(bench: Bench) -> None:
    class Waiting(Fake):
        def create(self, inputs: FakeInputs, ctx: Context) -> tuple[str, FakeOutputs]:
            _ = inputs
            while not ctx.cancelled():
                threading.Event().wait(0.01)
            raise RackformError("interrupted")

    bench.fake = Waiting()

    async def cancelled() -> None:
        request = sdk.CreateRequest(URN, wire_map(W1), 0, preview=False)
        work = asyncio.ensure_future(bench.adapter.create(request))
        await asyncio.sleep(0.05)
        await bench.adapter.cancel()
        with pytest.raises(RackformError, match="interrupted"):
            await work

    bench.ask(cancelled())


def test_checks_name_the_path_the_value_and_the_rule(bench: Bench) -> None:
    inputs = wire_map({"name": "w1", "ports": {"Ethernet1": {"mtu": "big"}}, "colour": 1})
    checked = bench.ask(bench.adapter.check(sdk.CheckRequest(URN, {}, inputs, b"")))
    reasons = sorted(failure.reason for failure in checked.failures or [])
    assert reasons[0].startswith("colour: extra inputs are not permitted")
    assert reasons[1].startswith("ports.Ethernet1.mtu: 'big': input should be a valid integer")


def test_checks_never_show_a_secret(bench: Bench) -> None:
    inputs = wire_map({"name": "w1", "password": ["hunter2-hunter2"]}, {"password"})
    checked = bench.ask(bench.adapter.check(sdk.CheckRequest(URN, {}, inputs, b"")))
    assert [failure.reason for failure in checked.failures or []] == [
        "password: input should be a valid string"
    ]


def test_an_unknown_field_passes_the_check_and_a_missing_one_does_not(bench: Bench) -> None:
    def reasons(**inputs: Plain) -> list[str]:
        request = sdk.CheckRequest(URN, {}, wire_map(inputs), b"")
        return [f.reason for f in bench.ask(bench.adapter.check(request)).failures or []]

    assert reasons(name=UNKNOWN, ports={"a": {"b": UNKNOWN}}) == []
    assert reasons(ports={}) == ["name: field required"]


def test_the_schema_holds_every_input_and_marks_secrets(bench: Bench) -> None:
    answer = bench.ask(bench.adapter.get_schema(sdk.GetSchemaRequest(0)))
    assert KIND in (answer.schema or "")
    assert '"requiredInputs": ["name"]' in (answer.schema or "")


def test_the_executable_finds_its_python_from_its_own_place() -> None:
    script = Path(__file__).parents[2] / "provider" / "pulumi-resource-rackform"
    assert script.stat().st_mode & 0o111
    assert script.read_text().startswith("#!/bin/sh\n")
