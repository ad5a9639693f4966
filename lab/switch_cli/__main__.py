"""`python -m lab.switch_cli --config FILE`: one switch's CLI, in its network namespace."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import asyncssh

from lab.switch_cli.agent import LinkWatch, LldpAgent, monotonic_table
from lab.switch_cli.core import CliError
from lab.switch_cli.ports import KernelPorts, PortError
from lab.switch_cli.server import CliServer
from lab.switch_cli.settings import Settings
from lab.switch_cli.store import Store, world
from lab.switch_cli.systems import World, speaking

log = logging.getLogger("switch_cli")


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. `ready` on standard output says that it listens."""
    ports = KernelPorts(settings.ports)
    table = monotonic_table()
    spoken = speaking(settings, World(ports, Store(settings.state_dir), world(), table))
    switch = spoken.switch
    agent = LldpAgent(switch, table, settings.ports)

    def links_changed() -> None:
        try:
            switch.reconcile()
            agent.announce(ports.read(), fresh_only=True)
        except PortError as error:
            log.warning("ports can't be read: %s", error)

    watch = LinkWatch(links_changed)
    server = CliServer(settings, switch, spoken.login)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(agent.run()), asyncio.create_task(watch.run())]
    await server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="lab.switch_cli", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config: Path = parser.parse_args().config
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    try:
        settings = Settings.model_validate_json(config.read_text(encoding="utf-8"))
        asyncio.run(serve(settings))
    except (OSError, ValueError, CliError, PortError, asyncssh.Error) as error:
        sys.exit(f"the switch of {config} can't start: {error}")


if __name__ == "__main__":
    main()
