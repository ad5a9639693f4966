"""The end of every `up`: the machines are compared with what the stack declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions
from pulumi_command import local

from stack.paths import ROOT


@dataclass(frozen=True, kw_only=True)
class VerificationArgs:
    expectations: Input[str]
    """The `stack.expectations.Expectations` as JSON (secret)."""
    revisions: Mapping[str, Input[str]]
    """What was changed when: a new value anywhere runs the verification again."""
    sources: str
    """Hash of `tests/hosts`."""
    after: Sequence[Resource]


class Verification(ComponentResource):
    """`tests/hosts`, run by the same command that people run by hand."""

    report: Output[str]
    """The last lines of pytest's report."""

    def __init__(
        self, name: str, args: VerificationArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:Verification", name, None, opts)
        run = local.Command(
            f"{name}-run",
            create="./rackform verify --expectations-from-stdin",
            dir=str(ROOT),
            stdin=args.expectations,
            logging=local.Logging.STDERR,
            triggers=[args.sources, *(args.revisions[key] for key in sorted(args.revisions))],
            opts=ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                custom_timeouts=pulumi.CustomTimeouts(create="10m"),
            ),
        )
        self.report = run.stdout.apply(lambda text: (text or "").strip().rsplit("\n", 1)[-1])
        self.register_outputs({"report": self.report})
