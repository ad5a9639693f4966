"""`pyinfra INVENTORY pyinfra_deploys/nvidia_driver/deploy.py`; its settings: the hosts' data
`nvidia_driver`.
"""

from pyinfra.context import host

from pyinfra_deploys import registry

registry.DEPLOYS["nvidia_driver"].function()(
    registry.settings("nvidia_driver", host.data.get("nvidia_driver") or {})
)
