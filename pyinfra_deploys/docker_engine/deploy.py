"""`pyinfra INVENTORY pyinfra_deploys/docker_engine/deploy.py`; its settings: the hosts' data
`docker_engine`.
"""

from pyinfra.context import host

from pyinfra_deploys import registry

registry.DEPLOYS["docker_engine"].function()(
    registry.settings("docker_engine", host.data.get("docker_engine") or {})
)
