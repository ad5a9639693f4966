"""Where each part listens, on the fabric address of its node: fixed, below the ephemeral range."""

PROMETHEUS = 9090
ALERTMANAGER = 9093
NODE_EXPORTER = 9100
TOKEN_PROBE = 9105
BLACKBOX = 9115
SMOKEPING = 9374
GPU_EXPORTER = 9400
