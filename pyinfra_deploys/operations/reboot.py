"""A deploy asks for a reboot; whoever runs the deploys carries it out."""

from pyinfra_deploys.operations.script import Script

REBOOT_NEEDED = "/run/rackform/reboot-needed"
"""On a tmpfs: the mark ends with the boot that it is about."""


class AskReboot(Script):
    """Marks the host as one that has to be rebooted; `boot` is the boot that has to end."""

    def __init__(self, reason: str, boot: str) -> None:
        super().__init__(
            f"THIS HOST HAS TO BE REBOOTED: {reason}",
            f"mkdir -p /run/rackform && touch {REBOOT_NEEDED}",
        )
        self.boot = boot
