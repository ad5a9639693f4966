"""`./rackform keys`: the appliance's API keys and passwords, told one at a time."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict
from rich.table import Table

from cli.access import Outputs, access
from stack.doors import fronts, has_operations, runs
from stack.errors import InputError
from stack.hints import suggestion
from stack.load import load_site, read_stack
from stack.schema import Site

IN_FORCE, TO_BE_MADE, TO_BE_WITHDRAWN = "in force", "made by the next up", "until the next up"


class Key(BaseModel):
    """A secret by its name, without itself."""

    model_config = ConfigDict(frozen=True)

    name: str
    url: str
    """Where it is used."""
    state: str


class Keys(BaseModel):
    """What `keys --json` prints: no secret."""

    model_config = ConfigDict(frozen=True)

    api_keys: tuple[Key, ...]
    passwords: tuple[Key, ...]


class Secret(BaseModel):
    """What `keys NAME --json` prints."""

    model_config = ConfigDict(frozen=True)

    name: str
    secret: str


def listed(stack: str) -> Keys:
    """Return every key and password by its name, with where it is used."""
    return of(access(stack).outputs, load_site(read_stack(stack)))


def api_key(stack: str, name: str) -> Secret:
    """Return one API key.

    Raises:
        InputError: there is none of that name.

    """
    return _one("the API keys", name, access(stack).outputs.api_keys)


def password(stack: str, name: str) -> Secret:
    """Return one password.

    Raises:
        InputError: there is none of that name.

    """
    return _one("the passwords", name, access(stack).outputs.passwords)


def _one(kind: str, name: str, made: dict[str, str]) -> Secret:
    if name not in made:
        known = suggestion(name, sorted(made)) if made else "run ./rackform up, which makes them"
        raise InputError(f"{name} is none of {kind} that the last up made: {known}")
    return Secret(name=name, secret=made[name])


def of(outputs: Outputs, site: Site) -> Keys:
    declared, made = site.edge.api_keys, outputs.api_keys
    names = [*declared, *(name for name in made if name not in declared)]
    return Keys(
        api_keys=tuple(
            Key(name=name, url=outputs.endpoint, state=_state(name in declared, name in made))
            for name in names
        ),
        passwords=tuple(
            Key(name=name, url=url, state=_state(True, name in outputs.passwords))  # noqa: FBT003 - as declared
            for name, url in _password_urls(site, urlsplit(outputs.endpoint).hostname or "")
        ),
    )


def _state(declared: bool, made: bool) -> str:  # noqa: FBT001 - two facts, four cases
    if declared:
        return IN_FORCE if made else TO_BE_MADE
    return TO_BE_WITHDRAWN


def _password_urls(site: Site, host: str) -> list[tuple[str, str]]:
    """Return who signs in, and where."""
    urls = []
    if has_operations(site):
        urls.append(("operator", f"https://{host}:{site.edge.operations_port}"))
    urls += [
        (key.replace("_", "-"), f"https://{host}:{front.port}")
        for key, front in fronts(site)
        if runs(key)
    ]
    return urls


def table(keys: Keys) -> Table:
    """Return the list as people read it."""
    rows = Table("", "name", "used at", "")
    for kind, found in (("API key", keys.api_keys), ("password", keys.passwords)):
        for key in found:
            rows.add_row(kind, key.name, key.url, key.state)
    return rows
