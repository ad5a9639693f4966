"""The containers of the edge, as their programs need them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge import limits
from edge.caddyfile import FOLDER, KEYS, OPERATOR, RAY, Door, caddyfile
from remote import host_folders
from remote.container_spec import TRUSTED, ContainerParts, HostFile, Mount, Readiness

USER = "997:997"
"""The user of images/edge; its caddy may bind to ports below 1024."""
DATA = f"{host_folders.DATA}/edge"
"""Certificates that an authority gave; only there with `acme`."""


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What stands in the files beside the Caddyfile."""

    keys: Mapping[str, str]
    """Name → API key."""
    operator_hash: str
    """bcrypt of the operator's password."""
    ray_token: str
    certificates: Mapping[str, tuple[str, str]]
    """tls, own → (certificate, key), PEM."""


def edge(door: Door, secrets: Secrets) -> ContainerParts:
    """Caddy: certificates, keys and passwords; streams pass as they come."""
    keys = "".join(f'"Bearer {key}" {name}\n' for name, key in secrets.keys.items())
    texts = {
        f"{FOLDER}/Caddyfile": caddyfile(door),
        KEYS: keys,
        OPERATOR: f"operator {secrets.operator_hash}\n",
        RAY: f'header_up Authorization "Bearer {secrets.ray_token}"\n',
    }
    for name, (certificate, key) in secrets.certificates.items():
        texts |= {f"{FOLDER}/{name}.crt": certificate, f"{FOLDER}/{name}.key": key}
    acme = [Mount(source=DATA, target="/data", read_only=False), TRUSTED]
    return ContainerParts(
        command=["caddy", "run", "--config", f"{FOLDER}/Caddyfile", "--adapter", "caddyfile"],
        user=USER,
        files={path: HostFile(content=text) for path, text in texts.items()},
        mounts=acme if door.tls == "acme" else [],
        ready=Readiness(kind="tcp", target=[door.address, str(door.port)]),
    )


def key_limits(requests_per_minute: int, port: int) -> ContainerParts:
    """HAProxy, as far as it counts requests; what it counts is gone when it starts anew."""
    config = f"{limits.FOLDER}/haproxy.cfg"
    return ContainerParts(
        command=["/usr/sbin/haproxy", "-db", "-f", config],
        user=USER,
        files={config: HostFile(content=limits.limits(requests_per_minute, port))},
        ready=Readiness(kind="tcp", target=["127.0.0.1", str(port)]),
    )
