"""`pyinfra INVENTORY pyinfra_deploys/fabric_link/deploy.py`; its settings: the hosts' data
`fabric_link`.
"""

from pyinfra.context import host

from pyinfra_deploys import registry

registry.DEPLOYS["fabric_link"].function()(
    registry.settings("fabric_link", host.data.get("fabric_link") or {})
)
