"""The containers that the stack declares run, from exactly its images."""

import json

import pytest
from testinfra.host import Host

from stack.expectations import ExpectedHost


def test_the_declared_containers_run_from_their_images(host: Host, expected: ExpectedHost) -> None:
    names = sorted(expected.containers)
    found = json.loads(host.check_output("docker container inspect " + " ".join(names)))
    running = {
        container["Name"].lstrip("/"): container["Image"]
        for container in found
        if container["State"]["Running"]
    }
    assert running == expected.containers


@pytest.mark.settled
def test_no_other_container_runs(host: Host, expected: ExpectedHost) -> None:
    names = host.check_output("docker ps --format '{{.Names}}'").split()
    assert set(names) == set(expected.containers)
