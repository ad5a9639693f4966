"""What nodes are asked and how it is read: recorded answers, and the scripts as they run."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor import probe
from doctor.model import Interface, Ping

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "doctor"


def recorded(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def test_a_node_s_answer_is_read() -> None:
    found = probe.facts(recorded("node.txt"))
    assert found.interfaces["fab0"] == Interface(
        mtu_bytes=9000, up=True, addresses=("10.99.0.11",), speed_mbit_s=10_000
    )
    (room,) = found.rooms
    assert room.path == "/"
    assert 0 < room.free_bytes < room.size_bytes
    assert 0.9 < room.free_inodes_share < 1
    assert (found.nccl, found.reaches_head) == (None, False)


def test_the_answer_of_a_host_with_gpus_is_read_as_far_as_it_goes() -> None:
    found = probe.facts(recorded("h100-x2.txt"))
    assert found.interfaces == {}
    assert found.nccl == {
        "NCCL_NVLS_ENABLE": "0",
        "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
        "NVSHMEM_DISABLE_NVLS": "1",
    }
    assert {"/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm"} < set(
        found.device_files
    )


def test_recorded_pings_tell_what_passes() -> None:
    assert sorted(probe.pings("a", recorded("pings.txt")), key=lambda each: each.target) == [
        Ping(source="a", target="b", small=True, large=False, passes_bytes=4200),
        Ping(source="a", target="x", small=False, large=False),
    ]


@given(st.text(max_size=200))
def test_nothing_that_a_node_might_answer_breaks_a_reader(text: str) -> None:
    parts = ("addresses", "speeds", "nccl", "rdma", "files", "rooms", "head")
    probe.facts("".join(f"\n@@rackform {name}\n{text}\n" for name in parts))
    assert all(each.source == "n" for each in probe.pings("n", text))


def test_the_questions_are_a_script_that_a_plain_shell_takes_and_ends_well() -> None:
    for text in (probe.script("127.0.0.1/1"), probe.script(None)):
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert probe.facts(done.stdout).reaches_head is None


@pytest.mark.parametrize(
    ("passes", "told"),
    [(9000, "n2 1 1"), (1500, "n2 1 0 1472"), (8999, "n2 1 0 8971"), (10, "n2 0 0")],
)
def test_the_largest_packet_that_passes_is_found_by_halves(
    tmp_path: Path, passes: int, told: str
) -> None:
    fake = tmp_path / "ping"
    fake.write_text(
        '#!/bin/sh\nwhile [ "$1" != -s ]; do shift; done\n'
        f"[ $(($2 + {probe.HEADERS_BYTES})) -le {passes} ]\n"
    )
    fake.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", probe.ping_script({"n2": "10.78.0.12"}, 9000)],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(told)
