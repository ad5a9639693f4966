"""`python -m monitoring.dashboards`: write the dashboards that are committed."""

from monitoring.dashboards import render
from monitoring.grafana import DASHBOARDS

if __name__ == "__main__":
    DASHBOARDS.mkdir(parents=True, exist_ok=True)
    for path in DASHBOARDS.glob("*.json"):
        path.unlink()
    for name, text in render().items():
        (DASHBOARDS / f"{name}.json").write_text(text, encoding="utf-8")
