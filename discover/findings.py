"""What is worth knowing before a machine serves: each rule yields sentences. Pure."""

from collections.abc import Callable, Iterator, Sequence

from discover.cards import UNNAMED
from discover.choices import fabric_nic
from discover.model import Finding, Gpu, Machine, Severity
from remote import examine

SUPPORTED = {("debian", "12"), ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04")}
_FULL_WIDTH = 16
HOT_C = 87


def findings(machines: Sequence[Machine]) -> list[Finding]:
    """Return everything found, the problems first."""
    found = [each for machine in machines for rule in _EACH for each in rule(machine)]
    found += [each for rule in _TOGETHER for each in rule(machines)]
    order = list(Severity)
    return sorted(found, key=lambda each: order.index(each.severity))


def _problem(machine: Machine, text: str) -> Finding:
    return Finding(severity=Severity.PROBLEM, machine=machine.hostname, text=text)


def _warning(machine: Machine, text: str) -> Finding:
    return Finding(severity=Severity.WARNING, machine=machine.hostname, text=text)


def _note(machine: Machine, text: str) -> Finding:
    return Finding(severity=Severity.NOTE, machine=machine.hostname, text=text)


def slots(machine: Machine) -> Iterator[Finding]:
    for gpu in machine.gpus:
        now, most = gpu.pcie_width, gpu.pcie_width_max
        where = f"GPU {gpu.index} ({gpu.bus_id})"
        if now and most and now < most:
            yield _problem(
                machine,
                f"{where} runs at x{now} of its x{most}: move it to an x{most} slot, or reseat it "
                "and its riser; see the slot's bifurcation in the firmware too",
            )
        elif now and now < _FULL_WIDTH and not most:
            yield _warning(machine, f"{where} runs at x{now}: an x16 slot is wider, use one")
    widths = {(gpu.pcie_gen_max, gpu.pcie_width) for gpu in machine.gpus}
    if len(widths) > 1:
        told = ", ".join(
            f"GPU {g.index} gen {g.pcie_gen_max} x{g.pcie_width}" for g in machine.gpus
        )
        yield _warning(
            machine,
            f"PCIe is asymmetric ({told}): every all-reduce waits for the slowest, so put the GPUs "
            "into equal slots",
        )
    for nic in machine.nics:
        if nic.pcie_width and nic.pcie_width_max and nic.pcie_width < nic.pcie_width_max:
            yield _problem(
                machine,
                f"{nic.name} ({nic.pci}) runs at x{nic.pcie_width} of its x{nic.pcie_width_max}: "
                "move the card to a wider slot, or reseat it",
            )


def health(machine: Machine) -> Iterator[Finding]:
    for gpu in machine.gpus:
        yield from heat(machine, gpu)
        if gpu.uncorrected:
            yield _problem(
                machine,
                f"GPU {gpu.index} counts {gpu.uncorrected} memory errors that ECC could not "
                "correct: run 'nvidia-smi -r' or reboot, and replace it if they come back",
            )
        for fault in gpu.memory_faults:
            yield _problem(
                machine, f"GPU {gpu.index}: {fault}: drain the machine and reset the GPU"
            )


def heat(machine: Machine, gpu: Gpu) -> Iterator[Finding]:
    if gpu.throttled:
        yield _problem(
            machine,
            f"GPU {gpu.index} is throttled now ({', '.join(gpu.throttled)}): see to its cooling, "
            "its power cables and its power limit",
        )
    elif gpu.slowed_us:
        yield _warning(
            machine,
            f"GPU {gpu.index} was slowed down for {gpu.slowed_us / 1e6:.1f} s by heat or a power "
            "brake since its driver was loaded: see to its cooling and its power cables",
        )
    if gpu.temperature_c is not None and gpu.temperature_c >= HOT_C:
        yield _warning(machine, f"GPU {gpu.index} is at {gpu.temperature_c} °C: see to its cooling")


def _driver(machine: Machine) -> Iterator[Finding]:
    if machine.nouveau:
        yield _problem(
            machine, "nouveau drives the GPU: the nvidia_driver deploy turns it off, with a reboot"
        )
    if machine.run_file_driver:
        yield _problem(
            machine,
            "the driver came from a .run file, which packages can't replace: remove it with "
            "'nvidia-uninstall' first",
        )
    if machine.secure_boot and not machine.driver:
        yield _problem(
            machine,
            "Secure Boot is on and no NVIDIA driver is loaded: a module that isn't signed won't be "
            "either; enrol a key for DKMS, or turn Secure Boot off in the firmware",
        )
    if machine.gpus and not machine.driver:
        yield _problem(
            machine,
            f"no NVIDIA driver drives its {len(machine.gpus)} GPU(s), of which the PCI bus tells "
            "the name alone: declare nvidia in the stack file, and 'up' installs it, with a reboot",
        )
    if any(gpu.name == UNNAMED for gpu in machine.gpus):
        yield _warning(
            machine,
            "no name of its GPUs is known, since neither a driver nor the PCI database is there: "
            "install pciutils on it, then discover it again, or write gpus.model yourself",
        )
    for name in machine.other_gpus:
        yield _note(machine, f"{name} is not used: the images run on NVIDIA's GPUs")
    kernels = [name for name in machine.held if name.startswith("linux-")]
    if kernels:
        yield _warning(
            machine,
            f"{', '.join(kernels)} is held: headers and modules of another kernel won't fit; "
            "release it with 'apt-mark unhold', or keep the driver as it is",
        )
    for gpu in machine.gpus:
        if gpu.persistence is False:
            yield _note(machine, f"GPU {gpu.index} has persistence off: the deploy turns it on")


def _system(machine: Machine) -> Iterator[Finding]:
    if (machine.os_id, machine.os_version) not in SUPPORTED:
        yield _problem(
            machine,
            f"it runs {machine.os_name or 'an unknown system'}, but Debian 12 and 13 and Ubuntu "
            "22.04 and 24.04 are supported: install one of these",
        )
    yield from changeable(machine)
    if abs(machine.clock_off_s) >= examine.CLOCK_LIMIT_S:
        yield _problem(machine, examine.clock_off(machine.clock_off_s))
    if machine.acs_on:
        yield _warning(
            machine,
            f"{machine.acs_on} PCIe bridges redirect peer traffic (ACS): GPU to GPU and GPU to NIC "
            "can be half as fast; turn ACS or VT-d off in the firmware if no VM needs it",
        )


def changeable(machine: Machine) -> Iterator[Finding]:
    if not machine.may_sudo:
        yield _problem(machine, examine.sudo_refused(machine.user, machine.sudo_said))
    if not machine.root_writable:
        yield _problem(machine, examine.READ_ONLY)


def _fabric(machine: Machine) -> Iterator[Finding]:
    nic = fabric_nic(machine)
    if nic is None:
        yield _problem(
            machine,
            "it has no network card beside the management one: the fabric needs one of its own",
        )
    elif not nic.up:
        yield _warning(machine, f"{nic.name} has no link: see to its cable and the switch's port")
    elif nic.rdma is None and machine.gpus:
        yield _note(machine, f"{nic.name} has no RDMA: NCCL will use TCP over it")


def _differ(
    machines: Sequence[Machine], what: str, value: Callable[[Machine], object], rest: str
) -> Iterator[Finding]:
    told = {machine.hostname: value(machine) for machine in machines}
    given = {host: each for host, each in told.items() if each}
    if len(set(map(str, given.values()))) > 1:
        listed = ", ".join(f"{host} {each}" for host, each in given.items())
        yield _warning(machines[0], f"{what} differ ({listed}): {rest}")


def drivers(machines: Sequence[Machine]) -> Iterator[Finding]:
    rest = "give all machines one version, by the nvidia_driver deploy"
    yield from _differ(machines, "NVIDIA drivers", lambda m: m.driver, rest)


def _mtus(machines: Sequence[Machine]) -> Iterator[Finding]:
    def mtu(machine: Machine) -> int | None:
        nic = fabric_nic(machine)
        return nic.mtu_bytes if nic else None

    rest = "large packets will hang between them; the fabric_link deploy sets fabric.mtu_bytes"
    yield from _differ(machines, "MTUs of the fabric's cards", mtu, rest)


def _models(machines: Sequence[Machine]) -> Iterator[Finding]:
    rest = "a replica is as slow as its slowest GPU: keep replicas on equal machines"
    yield from _differ(
        machines, "GPUs", lambda m: ", ".join(sorted({gpu.name for gpu in m.gpus})), rest
    )


def doubles(machines: Sequence[Machine]) -> Iterator[Finding]:
    first: dict[str, Machine] = {}
    for machine in machines:
        if machine.machine_id and (other := first.get(machine.machine_id)):
            yield _problem(
                machine,
                f"{machine.address} and {other.address} are one machine (the same machine-id): "
                "name it once, or give a cloned one its own with 'systemd-machine-id-setup'",
            )
        first.setdefault(machine.machine_id, machine)


def _adopted(machine: Machine) -> Iterator[Finding]:
    """Tell what is there already, and what becomes of it."""
    docker, nic = machine.docker, fabric_nic(machine)
    if docker and docker.snap:
        yield _problem(
            machine,
            "Docker comes from snap, which keeps its configuration elsewhere: remove it with "
            "'snap remove docker', and the deploy installs the distribution's",
        )
    elif docker:
        yield _note(
            machine,
            f"Docker {docker.version} runs {docker.containers} containers: it is kept and they run "
            "on; our keys are laid over its daemon.json until 'down'",
        )
    if nic and nic.set_up_by:
        yield _note(
            machine,
            f"{nic.name} is set up by {' and '.join(nic.set_up_by)}: an 'up' takes it over with "
            "what the site declares, and 'down' gives it back",
        )
    if nic and machine.ufw:
        yield _warning(
            machine,
            "ufw is on, and would keep the nodes apart on the fabric too: let it in with "
            f"'ufw allow in on {nic.name}', or turn ufw off: the deploy has a firewall of its own",
        )


_EACH: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    slots,
    health,
    _driver,
    _system,
    _fabric,
    _adopted,
)
_TOGETHER: tuple[Callable[[Sequence[Machine]], Iterator[Finding]], ...] = (
    drivers,
    _mtus,
    _models,
    doubles,
)
