"""Where what is kept lies on every host."""

MODELS = "/srv/models"
"""A folder a model; what serves it has it as `/models`."""
DATA = "/var/lib/rackform"
"""A folder for each program that keeps something."""
METRICS = f"{DATA}/metrics"
"""Metrics that a program leaves on a node as files (*.prom); the node exporter passes them on."""
