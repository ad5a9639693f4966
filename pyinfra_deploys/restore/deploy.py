"""`pyinfra INVENTORY pyinfra_deploys/restore/deploy.py`; its settings: the hosts' data
`restore`.
"""

from pyinfra.context import host

from pyinfra_deploys import registry

registry.DEPLOYS["restore"].function()(registry.settings("restore", host.data.get("restore") or {}))
