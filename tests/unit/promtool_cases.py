"""Cases of alerts as the file that `promtool test rules` reads."""

from typing import Any

from monitoring.rule import EVALUATION_S, Alert
from tests.unit.alert_cases import Case


def promtool_test(cases: tuple[Case, ...], alerts: tuple[Alert, ...], rules: str) -> dict[str, Any]:
    """Return the file that `promtool test rules` reads; `rules` is the rule file's name."""
    known = {alert.name: alert for alert in alerts}
    return {
        "rule_files": [rules],
        "evaluation_interval": f"{EVALUATION_S}s",
        "tests": [_test(number, case, known[case.alert]) for number, case in enumerate(cases)],
    }


def _test(number: int, case: Case, alert: Alert) -> dict[str, Any]:
    labels = {"severity": alert.severity.value, **alert.labels, **case.labels}
    raised = {
        "exp_labels": labels,
        "exp_annotations": {**alert.annotations(), "summary": case.says},
    }
    return {
        "name": f"{number} {case.alert}",
        "interval": "10s",
        "input_series": [{"series": key, "values": values} for key, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{case.at_s}s",
                "alertname": case.alert,
                "exp_alerts": [raised] if case.says else [],
            }
        ],
    }
