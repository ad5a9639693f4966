"""`pyinfra INVENTORY pyinfra_deploys/base/deploy.py`; its settings: the hosts' data
`base`.
"""

from pyinfra.context import host

from pyinfra_deploys import registry

registry.DEPLOYS["base"].function()(registry.settings("base", host.data.get("base") or {}))
