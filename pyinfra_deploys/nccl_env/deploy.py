"""`pyinfra INVENTORY pyinfra_deploys/nccl_env/deploy.py`; its settings: the hosts' data
`nccl_env`.
"""

from pyinfra.context import host

from pyinfra_deploys import registry

registry.DEPLOYS["nccl_env"].function()(
    registry.settings("nccl_env", host.data.get("nccl_env") or {})
)
