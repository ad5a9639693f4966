"""A switch of the twin, made as `LabSwitch` makes it, for each network OS that a site may name."""

from collections.abc import Iterator

import pytest

from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch
from lab import switch
from lab import twin as twins
from lab.keys import controller_key
from lab.layout import Twin
from lab.spec import SwitchSpec
from remote import ssh
from remote.errors import RackformError
from stack.paths import ROOT, store_dir
from tests.unit.switch_twin import MAX_MTU_BYTES, PORTS, System

pytestmark = pytest.mark.root


@pytest.fixture
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    made = Twin(tmp_path_factory.mktemp("state"), store_dir())
    try:
        twins.claim(made, ROOT)
    except RackformError as error:
        pytest.skip(str(error))
    try:
        yield made
    finally:
        twins.down(made, keep_images=False)


@pytest.mark.parametrize("system", PORTS)
def test_a_switch_of_each_system_is_made_and_converged(twin: Twin, system: System) -> None:
    key, ports = controller_key(twin.state / "test"), PORTS[system]
    spec = SwitchSpec(
        site="test",
        name="tor",
        os=system,
        address="10.76.0.2/24",
        ports=list(ports),
        max_mtu_bytes=MAX_MTU_BYTES[system],
        authorized_key=key.public,
        private_key_file=key.private_file,
    )
    connection = switch.create(twin, spec)
    wanted = DesiredSwitch(ports={ports[0]: DesiredPort(mtu_bytes=9000, description="w1.fab0")})
    try:
        with open_switch(system, connection) as client:
            assert client.look(wanted).pending
            client.apply(wanted, 60)
            assert client.look(wanted).pending == []
    finally:
        ssh.forget(connection)
    found = switch.read(twin, "tor")
    assert found
    assert (found.power, found.problems) == ("on", ())
