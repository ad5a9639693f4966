"""./rackform: the Python environment, what it exports, and what it says when something is amiss."""

import shutil
import signal
import stat
import subprocess
import time

import pytest

from tests.unit.wrapper_checkout import Checkout, shell


def test_the_first_run_makes_the_environment_and_the_second_makes_nothing(
    checkout: Checkout,
) -> None:
    first = checkout.run("doctor", "now")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "cli: doctor now\n"
    assert any("pip sync" in call and "--require-hashes" in call for call in checkout.calls("uv"))
    second = checkout.run("doctor")
    assert second.stderr == ""
    assert checkout.calls() == ["venv-python -P -m cli doctor"]


def test_a_run_with_nothing_to_do_costs_little(ready: Checkout) -> None:
    ready.run("env")
    costs = []
    for _ in range(3):
        began = time.monotonic()
        ready.run("up", "--stack", "real")
        costs.append(time.monotonic() - began)
    assert min(costs) < 0.5


def test_it_works_through_a_symlink_from_anywhere(checkout: Checkout) -> None:
    links = checkout.base / "links"
    links.mkdir()
    (links / "rf").symlink_to("../again")
    (checkout.base / "again").symlink_to(checkout.root / "rackform")
    checkout.run("doctor")
    checkout.calls()
    done = subprocess.run(
        [links / "rf", "doctor"], env=checkout.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert checkout.seen_by_cli()["PYTHONPATH"] == str(checkout.root)


@pytest.mark.parametrize(("found", "said"), [("3.10", "only 3.10"), ("2.7", "only 2.7")])
def test_an_old_python_is_refused_in_a_sentence(checkout: Checkout, found: str, said: str) -> None:
    done = checkout.run("up", FAKE_PYTHON=found)
    assert done.returncode == 2
    assert said in done.stderr
    assert "3.11" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_python_is_refused_in_a_sentence(checkout: Checkout) -> None:
    (checkout.bin / "python3").unlink()
    done = checkout.run("up")
    assert done.returncode == 2
    assert "this machine has none" in done.stderr


def test_a_newer_python_beside_an_old_one_is_taken(checkout: Checkout) -> None:
    new = (checkout.bin / "python3").read_text().replace('"$FAKE_PYTHON"', "3.12")
    checkout.put(checkout.bin / "python3.12", new)
    assert checkout.run("doctor", FAKE_PYTHON="3.10").returncode == 0
    assert any(call.startswith("python3.12 -m venv") for call in checkout.calls())


def test_without_ensurepip_root_installs_the_package(checkout: Checkout) -> None:
    done = checkout.run("doctor", NO_ENSUREPIP="1")
    assert done.returncode == 0, done.stderr
    assert "-venv" in done.stderr
    assert any(call.endswith("-venv") for call in checkout.calls("apt-get"))


def test_without_ensurepip_and_root_the_command_is_told(checkout: Checkout) -> None:
    done = checkout.run("doctor", NO_ENSUREPIP="1", FAKE_UID="1000")
    assert done.returncode == 2
    assert "sudo apt-get update && sudo apt-get install -y --no-install-recommends" in done.stderr
    assert not checkout.calls("apt-get")


def test_an_interrupted_environment_is_made_anew(checkout: Checkout) -> None:
    process = checkout.start("doctor", SLOW_UV="1")
    mark = checkout.base / "calls.uv-at-work"
    deadline = time.monotonic() + 20
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait(20)
    checkout.calls()
    done = checkout.run("doctor")
    assert done.returncode == 0, done.stderr
    assert any("-m venv" in call for call in checkout.calls("python3"))
    assert checkout.run("doctor").stderr == ""


def test_a_failed_installation_shows_the_log_and_is_repaired(checkout: Checkout) -> None:
    done = checkout.run("doctor", NO_INDEX="1")
    assert done.returncode == 1
    assert "no route to the index" in done.stderr
    assert "run the same command again" in done.stderr
    assert checkout.run("doctor").returncode == 0


def test_changed_requirements_are_installed(ready: Checkout) -> None:
    ready.run("doctor")
    ready.calls()
    (ready.root / "requirements.txt").write_text("# more\n")
    ready.run("doctor")
    assert len(ready.calls("uv")) == 1


def test_a_moved_checkout_gets_a_new_environment(checkout: Checkout) -> None:
    checkout.run("doctor")
    checkout.calls()
    elsewhere = checkout.base / "moved"
    shutil.move(checkout.root, elsewhere)
    checkout.root.symlink_to(elsewhere)
    assert checkout.run("doctor").returncode == 0
    assert any("-m venv" in call for call in checkout.calls("python3"))


def test_env_prints_exports_that_a_shell_reads_back(ready: Checkout) -> None:
    done = ready.run("env")
    assert done.returncode == 0, done.stderr
    made = shell(done.stdout)
    state = ready.state
    assert made["PATH"].startswith(f"{ready.root}/.venv/bin:{ready.engines}/pulumi-v3")
    assert made["PULUMI_HOME"] == f"{state}/pulumi-home"
    assert made["PULUMI_BACKEND_URL"] == f"file://{state}/pulumi"
    assert made["PULUMI_SKIP_UPDATE_CHECK"] == "true"
    assert made["PULUMI_CONFIG_PASSPHRASE_FILE"] == f"{state}/passphrase"
    assert made["RACKFORM_STATE"] == str(state)


def test_the_path_does_not_grow_when_env_is_read_twice(ready: Checkout) -> None:
    first = shell(ready.run("env").stdout)["PATH"]
    assert shell(ready.run("env", PATH=first).stdout)["PATH"] == first


def test_the_passphrase_is_made_once_for_its_owner_only(ready: Checkout) -> None:
    ready.run("doctor")
    file = ready.state / "passphrase"
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(bytes.fromhex(text)) == 32
    ready.run("doctor")
    assert file.read_text() == text
    assert [p.name for p in ready.state.glob("passphrase*")] == ["passphrase"]


def test_an_empty_passphrase_is_not_overwritten(ready: Checkout) -> None:
    ready.state.mkdir()
    (ready.state / "passphrase").touch()
    done = ready.run("doctor")
    assert done.returncode == 2
    assert "passphrase" in done.stderr
    assert (ready.state / "passphrase").read_text() == ""


def test_the_user_s_own_backend_and_passphrase_are_respected(ready: Checkout) -> None:
    ready.run("doctor", PULUMI_BACKEND_URL="s3://rack", PULUMI_CONFIG_PASSPHRASE="")
    seen = ready.seen_by_cli()
    assert seen["PULUMI_BACKEND_URL"] == "s3://rack"
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in seen
    assert not (ready.state / "passphrase").exists()


def test_the_state_can_be_elsewhere(checkout: Checkout) -> None:
    elsewhere = checkout.base / "my state"
    checkout.run("doctor", RACKFORM_STATE=str(elsewhere))
    assert checkout.seen_by_cli()["PULUMI_HOME"] == f"{elsewhere}/pulumi-home"
    assert not checkout.state.exists()


def test_a_state_that_cannot_be_written_is_told(checkout: Checkout) -> None:
    checkout.state.write_text("a file")
    done = checkout.run("doctor")
    assert done.returncode == 2
    assert "RACKFORM_STATE" in done.stderr


def test_without_home_a_sentence(checkout: Checkout) -> None:
    done = checkout.run("doctor", HOME="")
    assert done.returncode == 2
    assert "HOME" in done.stderr


def test_packages_of_the_twin_are_named_and_installed_for_up(ready: Checkout) -> None:
    done = ready.run("up")
    assert done.returncode == 0, done.stderr
    assert "systemd-container" in done.stderr
    calls = ready.calls("apt-get")
    assert [call.split()[-1] for call in calls[:1]] == ["update"]
    assert "systemd-container" in calls[1]
    assert "--no-install-recommends" in calls[1]
    ready.run("up")
    assert not ready.calls("apt-get")


@pytest.mark.parametrize(
    "command", [["up", "--stack", "real"], ["up", "--help"], ["doctor"], ["test", "unit"], ["env"]]
)
def test_other_commands_ask_for_no_package(ready: Checkout, command: list[str]) -> None:
    assert ready.run(*command).returncode == 0
    assert not ready.calls("apt-get")


def test_without_root_the_packages_command_is_told(ready: Checkout) -> None:
    done = ready.run("up", FAKE_UID="1000")
    assert done.returncode == 2
    assert "sudo apt-get install -y --no-install-recommends systemd-container" in done.stderr
    assert not ready.calls("apt-get")


def test_an_interrupted_dpkg_is_finished_first(ready: Checkout) -> None:
    (ready.base / "calls.interrupted").touch()
    done = ready.run("up")
    assert done.returncode == 0, done.stderr
    assert "interrupted" in done.stderr
    calls = [c for c in ready.calls() if c.startswith(("apt-get", "dpkg"))]
    assert calls.index("dpkg --configure -a") < next(
        n for n, call in enumerate(calls) if " install " in call
    )


def test_a_mirror_that_is_away_is_told(ready: Checkout) -> None:
    done = ready.run("up", NO_MIRROR="1")
    assert done.returncode == 1
    assert "E: Failed to fetch" in done.stderr
    assert "sources.list" in done.stderr


def test_an_interrupt_stops_it_with_a_sentence(checkout: Checkout) -> None:
    process = checkout.start("doctor", SLOW_UV="1")
    mark = checkout.base / "calls.uv-at-work"
    deadline = time.monotonic() + 20
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Run the same command again" in err
