"""`pyinfra INVENTORY pyinfra_deploys/watchdog/deploy.py`; its settings: the hosts' data
`watchdog`.
"""

from pyinfra.context import host

from pyinfra_deploys import registry

registry.DEPLOYS["watchdog"].function()(
    registry.settings("watchdog", host.data.get("watchdog") or {})
)
