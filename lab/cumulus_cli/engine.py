"""The switch behind NVUE: the applied tree, each user's candidate, and a revision on trial."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.cumulus_cli import config as nvue
from lab.cumulus_cli.config import Tree
from lab.switch_cli.core import CliError, Landing, SwitchCore
from lab.switch_cli.ports import Link

VERSION = "Cumulus Linux 5.9.2"


@dataclass
class Switch(SwitchCore[Tree]):
    """The whole state of one switch that runs Cumulus Linux."""

    candidates: dict[str, Tree] = field(default_factory=dict)
    """User → what that user has set and not applied."""
    numbers: dict[str, int] = field(default_factory=dict)
    """User → the revision that this is."""
    newest: int = 1
    applied: int = 1
    message: str = ""
    user: str = "root"

    def factory(self) -> Tree:
        return nvue.factory(self.hostname)

    def parse(self, text: str) -> Tree:
        return nvue.parse(text)

    def render(self, config: Tree) -> str:
        return nvue.render(config)

    def landings(self, config: Tree) -> Mapping[str, Landing]:
        return nvue.landings(config, self.context)

    def overlaid(self, config: Tree, links: Mapping[str, Link]) -> Tree:
        return nvue.overlaid(config, links, self.context)

    @property
    def system_name(self) -> str:
        return str(nvue.branch(self.declared, "system").get("hostname", self.hostname))

    @property
    def lldp_runs(self) -> bool:
        return True

    @property
    def about(self) -> str:
        return f"{VERSION} running on Twin"

    def candidate(self, user: str) -> Tree:
        return self.candidates.get(user) or self.running()

    def enter(self, user: str, tree: Tree) -> int | None:
        """Make a tree the user's candidate; return its revision if it was begun with this."""
        self.candidates[user] = tree
        if user in self.numbers:
            return None
        self.newest += 1
        self.numbers[user] = self.newest
        return self.newest

    def detach(self, user: str) -> int | None:
        self.candidates.pop(user, None)
        return self.numbers.pop(user, None)

    def apply(self, user: str, confirm_s: int | None, message: str) -> int:
        """Make a user's candidate the applied revision, on trial where there is a time.

        Raises:
            CliError: nothing was set, another revision is on trial, or the kernel refused.

        """
        if user not in self.candidates:
            raise CliError("Warning: nothing to apply: there is no pending revision")
        if self.pending:
            raise CliError(f"Error: revision {self.on_trial()} is waiting for its confirmation.")
        revision = self.numbers[user]
        if confirm_s is not None:
            self.arm(f"{revision} {user} {message}", confirm_s)
        try:
            self.replace(self.candidates[user])
        except CliError:
            self.disarm()
            raise
        self.detach(user)
        self.applied, self.message, self.user = revision, message, user
        return revision

    def on_trial(self) -> str | None:
        return self.pending.session.partition(" ")[0] if self.pending else None

    def end_trial(self, revision: str, *, keep: bool) -> None:
        if revision != self.on_trial():
            raise CliError(f"Error: revision {revision} isn't waiting for a confirmation.")
        if keep:
            self.disarm()
        else:
            self.roll_back()

    def revisions(self) -> dict[str, object]:
        """Return what `nv config revision -o json` lists."""
        found = {str(self.applied): _revision("applied", self.user, self.message)}
        for user, number in self.numbers.items():
            found[str(number)] = _revision("pending", user, "")
        if self.pending:
            number_, user, message = self.pending.session.split(" ", 2)
            found[number_] = _revision("confirm", user, message)
        return dict(found)


def _revision(state: str, user: str, message: str) -> dict[str, object]:
    return {"state": state, "additional-data": {"message": message, "user": user}}
