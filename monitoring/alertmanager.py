"""Alertmanager: who is told of alerts, and its container. Pure.

An ntfy server of 2.10 or newer makes words of Alertmanager's JSON by the templates in the address.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from monitoring.place import home, operations_url
from monitoring.prometheus import USER, Tree
from monitoring.rule import to_yaml
from remote import host_folders
from remote.container_spec import TRUSTED, ContainerParts, HostFile, Mount, Readiness
from stack import doors
from stack.schema import Site
from stack.services import Route

PATH = "/alertmanager"
DATA = f"{host_folders.DATA}/alertmanager"
_FOLDER = "/etc/alertmanager"
_NOBODY = "-"
"""The receiver of what no route takes; no route can be named so."""
_SUBJECT = "{{ .Status }}: {{ range .Alerts }}{{ .Labels.alertname }} {{ .Labels.node }} {{ end }}"
_TLS_FROM_THE_START = ":465"
_NTFY_TITLE = "{{.status}}: {{.commonLabels.alertname}}"
_NTFY_TEXT = "{{range .alerts}}{{.annotations.summary}} {{.annotations.advice}}\n{{end}}"


def address(site: Site) -> str:
    """Return host:port; Alertmanager answers below PATH there."""
    return f"{home(site)}:{doors.ALERTMANAGER}"


def alertmanager(site: Site, secrets: Mapping[str, str]) -> ContainerParts:
    """Return the container.

    Args:
        site: the site.
        secrets: route → placeholder of its secret: a token, a mail password, or the address of a
            web hook that has no other.

    """
    assert site.monitoring  # noqa: S101 - as above
    routes = site.monitoring.routes
    return ContainerParts(
        command=[
            "prometheus-alertmanager",
            f"--config.file={_FOLDER}/alertmanager.yml",
            "--storage.path=/data",
            f"--web.listen-address={address(site)}",
            f"--web.external-url={operations_url(site, PATH)}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ],
        user=USER,
        files={
            f"{_FOLDER}/alertmanager.yml": HostFile(content=config(routes, secrets)),
            **{
                _secret_file(name): HostFile(content=held)
                for name, held in secrets.items()
                if not _is_address(routes[name])
            },
        },
        mounts=[Mount(source=DATA, target="/data", read_only=False), TRUSTED],
        ready=Readiness(kind="tcp", target=address(site).split(":"), timeout_s=60),
    )


def config(routes: Mapping[str, Route], secrets: Mapping[str, str]) -> str:
    """Return the configuration: every alert goes to every route.

    Alerts of one kind are told together, soon: a fault is told within 90 s, and its end likewise.
    A node that is lost raises several; who is told of it need not hear of its exporters too.
    """
    receivers = [_receiver(name, route, secrets.get(name)) for name, route in routes.items()]
    return to_yaml(
        {
            "route": {
                "receiver": _NOBODY,
                "group_by": ["alertname", "severity"],
                "group_wait": "5s",
                "group_interval": "15s",
                "repeat_interval": "4h",
                "routes": [{"receiver": name, "continue": True} for name in routes],
            },
            "inhibit_rules": [
                {
                    "source_matchers": ['alertname="RayNodeMissing"'],
                    "target_matchers": ['alertname="TargetDown"'],
                    "equal": ["node"],
                }
            ],
            "receivers": [{"name": _NOBODY}, *receivers],
        }
    )


def _receiver(name: str, route: Route, secret: str | None) -> Tree:
    if _is_address(route):
        return {"name": name, "webhook_configs": [{"url": secret, "send_resolved": True}]}
    file = _secret_file(name) if secret else None
    if route.kind == "email":
        return {"name": name, "email_configs": [_email(route, file)]}
    hook: Tree = {
        "url": _ntfy_url(str(route.url)) if route.kind == "ntfy" else str(route.url),
        "send_resolved": True,
    }
    if file:
        hook["http_config"] = {"authorization": {"credentials_file": file}}
    return {"name": name, "webhook_configs": [hook]}


def _is_address(route: Route) -> bool:
    """Whether the route's secret is where it leads to: Alertmanager reads that from no file."""
    return route.kind == "webhook" and route.url is None


def _email(route: Route, password_file: str | None) -> Tree:
    mail: Tree = {
        "to": route.to,
        "from": route.sender or route.to,
        "smarthost": route.smarthost,
        # Else it asks for STARTTLS where TLS was from the start, and sends nothing.
        "require_tls": not str(route.smarthost).endswith(_TLS_FROM_THE_START),
        "headers": {"Subject": _SUBJECT},
        "send_resolved": True,
    }
    if password_file:
        mail |= {
            "auth_username": route.user or route.sender or route.to,
            "auth_password_file": password_file,
        }
    return mail


def _ntfy_url(url: str) -> str:
    parts = urlsplit(url)
    asked = {"tpl": "1", "title": _NTFY_TITLE, "message": _NTFY_TEXT}
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in asked.items())
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, query]))))


def _secret_file(route: str) -> str:
    return f"{_FOLDER}/secrets/{route}"
