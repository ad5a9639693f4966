"""How people and their programs reach an appliance: address, CA, key and SSH, as files."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Json

from cli.pulumi import Pulumi
from remote.connection import Connection
from remote.errors import RackformError
from remote.private_file import write_private
from remote.ssh import write_ssh_files
from stack.expectations import Expectations
from stack.paths import stack_dir


class Outputs(BaseModel):
    """The stack's outputs, as the program exports them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: str
    model: str
    closure: str
    ca_certificate: str
    api_keys: dict[str, str]
    passwords: dict[str, str] = {}
    frontends: dict[str, dict[str, str]] = {}
    connections: dict[str, Connection]
    expectations: Json[Expectations]


class Access(BaseModel):
    """An appliance's outputs, and the files that hold what a client needs."""

    model_config = ConfigDict(frozen=True)

    outputs: Outputs
    ca_file: Path
    api_key_file: Path
    frontends_file: Path
    ssh_config: Path

    @property
    def api_key(self) -> str:
        return self.api_key_file.read_text(encoding="utf-8").strip()


def access(stack: str) -> Access:
    """Read the stack's outputs and lay its files: CA, API key, front-ends' sign-ins, SSH's.

    Raises:
        RackformError: the stack has not been brought up to the end.

    """
    found = Pulumi(stack).outputs()
    needed = {name for name, field in Outputs.model_fields.items() if field.is_required()}
    missing = sorted(needed - set(found))
    if missing:
        raise RackformError(
            f"stack {stack} has no {missing[0]} yet, as it was never brought up to the end:"
            f" run ./rackform up --stack {stack}"
        )
    outputs = Outputs.model_validate(found)
    folder = stack_dir(stack)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_file, api_key_file = folder / "ca.pem", folder / "api_key"
    frontends_file = folder / "frontends.json"
    write_private(ca_file, outputs.ca_certificate)
    write_private(api_key_file, next(iter(outputs.api_keys.values())) + "\n")
    write_private(frontends_file, json.dumps(outputs.frontends, indent=1, sort_keys=True) + "\n")
    return Access(
        outputs=outputs,
        ca_file=ca_file,
        api_key_file=api_key_file,
        frontends_file=frontends_file,
        ssh_config=write_ssh_files(folder, outputs.connections.values()),
    )
