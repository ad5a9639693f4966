import hashlib
import json
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import cgroups, keys, overlay, processes, seed, shell, supervisor
from lab import twin as twins
from lab.layout import Twin
from remote.errors import RackformError

HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


def record(folder: Path, **changes: object) -> None:
    pid = os.getpid()
    found = {"pid": pid, "start_time": supervisor.start_time(pid), "boot_id": supervisor.boot_id()}
    (folder / supervisor.PID).write_text(json.dumps({**found, **changes}))


def test_a_running_supervisor_is_known_again(tmp_path: Path) -> None:
    record(tmp_path)
    assert processes.supervisor(tmp_path) == os.getpid()


@pytest.mark.parametrize("changes", [{"start_time": 1}, {"boot_id": "another"}, {"pid": 2**22 + 1}])
def test_a_pid_used_again_is_not_mistaken_for_the_supervisor(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    record(tmp_path, **changes)
    assert processes.supervisor(tmp_path) is None


def test_a_torn_pid_file_means_no_supervisor(tmp_path: Path) -> None:
    assert processes.supervisor(tmp_path) is None
    (tmp_path / supervisor.PID).write_text('{"pid": ')
    assert processes.supervisor(tmp_path) is None


def test_a_zombie_does_not_count_as_running() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert supervisor.start_time(child.pid) is None
    child.wait()


def test_hierarchies_of_a_hybrid_machine_are_found_without_cpuset() -> None:
    found = cgroups.parse_mounts(HYBRID)
    assert [(h.path.name, h.unified) for h in found] == [
        ("memory", False),
        ("systemd", False),
        ("unified", True),
    ]


def test_a_pure_v2_machine_has_one_hierarchy() -> None:
    found = cgroups.parse_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n")
    assert [(h.path, h.unified) for h in found] == [(Path("/sys/fs/cgroup"), True)]


def test_a_key_is_made_once_though_many_ask(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: keys.controller_key(tmp_path).public, range(16)))
    assert len(made) == 1
    private = keys.controller_key(tmp_path).private_file
    assert private == tmp_path / "ssh/id_ed25519"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    said = subprocess.run(
        ["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True
    ).stdout
    assert made.pop().split()[:2] == said.split()[:2]


def test_a_broken_key_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("rubbish")
    with pytest.raises(RackformError, match="remove it"):
        keys.ensure_key(tmp_path / "k")


def test_a_failing_tool_is_told_as_a_sentence() -> None:
    with pytest.raises(RackformError, match=r"can't look: 'ls' ended with status 2: .*nowhere"):
        shell.run(["ls", "/nowhere"], purpose="look")


def test_tools_of_the_twin_see_nothing_of_the_callers_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "secret")
    assert "secret" not in shell.run(["env"], purpose="see")


def test_missing_tools_are_named_by_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "PATH", "/nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(RackformError, match=r"apt-get install .*iproute2.*systemd-container"):
        shell.require()


def test_without_root_the_twin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RackformError, match="uid 1000"):
        shell.require()


def test_a_mount_tables_escapes_are_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mounts"
    table.write_text("overlay /a\\040b/root overlay rw 0 0\ntmpfs /a\\040bc tmpfs rw 0 0\n")
    monkeypatch.setattr(overlay, "MOUNTS", table)
    assert overlay.mounts_below(Path("/a b")) == [Path("/a b/root")]


def test_chain_ids_are_those_of_the_oci_specification() -> None:
    chain = seed.chain_ids(["sha256:a", "sha256:b", "sha256:c"])
    assert chain[0] == "sha256:a"
    assert chain[1] == f"sha256:{hashlib.sha256(b'sha256:a sha256:b').hexdigest()}"
    assert chain[2] == f"sha256:{hashlib.sha256(f'{chain[1]} sha256:c'.encode()).hexdigest()}"


def test_the_nearest_layer_comes_first_below_another() -> None:
    assert seed.lower(["BASE", "NEXT"]) == "l/NEXT:l/BASE"
    assert len(seed.link_id("sha256:a")) == 26


class TestClaim:
    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(twins, "CLAIM", tmp_path / "claim.json")
        monkeypatch.setattr(twins, "CLAIM_LOCK", tmp_path / "claim.lock")
        monkeypatch.setattr(twins, "require", lambda: None)
        monkeypatch.setattr(twins, "_remove_all_links", lambda: None)

    @staticmethod
    def twin(tmp_path: Path, name: str) -> Twin:
        made = Twin(tmp_path / name, tmp_path / "store")
        made.path.mkdir(parents=True, exist_ok=True)
        return made

    @staticmethod
    def change_claimant(**changes: object) -> None:
        found = twins.claimed_by()
        assert found
        gone = found.claimant.model_copy(update=changes)
        twins.CLAIM.write_text(found.model_copy(update={"claimant": gone}).model_dump_json())

    @pytest.mark.parametrize("claimant_ended", [False, True])
    def test_another_checkout_is_refused_and_the_first_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, claimant_ended: bool
    ) -> None:
        monkeypatch.setattr(twins, "_anything", lambda: claimant_ended)
        twins.claim(self.twin(tmp_path, "one"), tmp_path / "first")
        if claimant_ended:
            self.change_claimant(start_time=1)
        with pytest.raises(RackformError, match="first/rackform down"):
            twins.claim(self.twin(tmp_path, "two"), tmp_path / "second")
        twins.claim(self.twin(tmp_path, "one"), tmp_path / "first")

    @pytest.mark.parametrize("why", ["nothing runs", "folder gone", "machine rebooted"])
    def test_a_stale_claim_is_taken_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
    ) -> None:
        monkeypatch.setattr(twins, "_anything", lambda: why != "nothing runs")
        first = self.twin(tmp_path, "one")
        twins.claim(first, tmp_path / "first")
        self.change_claimant(start_time=1)
        if why == "folder gone":
            first.path.rmdir()
        if why == "machine rebooted":
            self.change_claimant(boot_id="another boot")
        twins.claim(self.twin(tmp_path, "two"), tmp_path / "second")
        found = twins.claimed_by()
        assert found
        assert found.checkout == tmp_path / "second"
