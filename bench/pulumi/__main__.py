"""The host state of the benchmark's nodes as a Pulumi program, and nothing else."""

import json
import os
from pathlib import Path

from components.resources import HostState
from pyinfra_deploys.registry import sources

for name, host in json.loads(Path(os.environ["BENCH_HOSTS"]).read_text()).items():
    HostState(
        name,
        connection=host["connection"],
        deploys=host["deploys"],
        sources={deploy: sources(deploy) for deploy in host["deploys"]},
    )
