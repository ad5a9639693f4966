"""`pyinfra INVENTORY pyinfra_deploys/firewall/deploy.py`; its settings: the hosts' data
`firewall`.
"""

from pyinfra.context import host

from pyinfra_deploys import registry

registry.DEPLOYS["firewall"].function()(
    registry.settings("firewall", host.data.get("firewall") or {})
)
