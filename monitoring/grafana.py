"""What the container of Grafana runs: settings, datasource, dashboards. Pure."""

from pathlib import Path

from monitoring.place import home, operations_url, prometheus_url
from remote import host_folders
from remote.container_spec import ContainerParts, HostFile, Mount, Readiness
from stack.doors import GRAFANA
from stack.schema import Site

PATH = "/grafana"
"""Where the edge's operations port offers it."""
DASHBOARDS = Path(__file__).parent / "files" / "dashboards"
"""What `python -m monitoring.dashboards` writes."""
DATASOURCE_UID = "rackform-prometheus"

_USER = "472:0"
"""The user of Grafana's own image."""
_PASSWORD = "/run/secrets/grafana_admin_password"  # noqa: S105 - the file's path
_PROVISIONING = "/etc/grafana/provisioning"
_BOARDS = "/etc/rackform/dashboards"

_STAYS_HERE = {
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
}
"""Nothing is asked of, or sent to, Grafana's makers."""

_CLOSED = {
    "GF_AUTH_ANONYMOUS_ENABLED": "false",
    # The edge's own password comes as basic authentication, and is none of Grafana's users.
    "GF_AUTH_BASIC_ENABLED": "false",
    "GF_SECURITY_COOKIE_SECURE": "true",
    "GF_USERS_ALLOW_SIGN_UP": "false",
}


def grafana(
    site: Site, *, password: str, data_dir: str = f"{host_folders.DATA}/grafana"
) -> ContainerParts:
    """Return Grafana on the node of Prometheus, served below PATH.

    The password is the administrator's, and is taken when the data folder is empty; a later change
    is made in Grafana.
    """
    address = home(site)
    return ContainerParts(
        command=["/run.sh"],  # the image's own: it reads the variables that end in __FILE
        user=_USER,
        environment={
            **_STAYS_HERE,
            **_CLOSED,
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": f"{_BOARDS}/overview.json",
            "GF_SECURITY_ADMIN_PASSWORD__FILE": _PASSWORD,
            "GF_SERVER_HTTP_ADDR": address,
            "GF_SERVER_HTTP_PORT": str(GRAFANA),
            "GF_SERVER_ROOT_URL": operations_url(site, f"{PATH}/"),
            "GF_SERVER_SERVE_FROM_SUB_PATH": "true",
        },
        files={
            _PASSWORD: HostFile(content=password),
            f"{_PROVISIONING}/datasources/rackform.yaml": HostFile(
                content=datasources(prometheus_url(site))
            ),
            f"{_PROVISIONING}/dashboards/rackform.yaml": HostFile(content=_PROVIDERS),
            **{
                f"{_BOARDS}/{path.name}": HostFile(content=path.read_text(encoding="utf-8"))
                for path in sorted(DASHBOARDS.glob("*.json"))
            },
        },
        mounts=[Mount(source=data_dir, target="/var/lib/grafana", read_only=False)],
        ready=Readiness(kind="tcp", target=[address, str(GRAFANA)], timeout_s=180),
    )


def datasources(url: str) -> str:
    """Return the one datasource, by the identifier that the dashboards name."""
    return f"""\
apiVersion: 1
prune: true
datasources:
  - name: Prometheus
    uid: {DATASOURCE_UID}
    type: prometheus
    access: proxy
    url: {url}
    isDefault: true
    editable: false
    jsonData:
      httpMethod: POST
      timeInterval: 10s
"""


_PROVIDERS = f"""\
apiVersion: 1
providers:
  - name: rackform
    folder: Rackform
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options:
      path: {_BOARDS}
"""
