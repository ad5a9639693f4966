"""Alerts as a person meets them: each has words, a page that helps, and cases that try it."""

import re

import pytest
import yaml

from monitoring.alerts import machines
from monitoring.rule import Record, rules_yaml
from monitoring.rules import alerts, groups
from planner.power import circuits_power, nodes_power
from stack.paths import ROOT
from tests.unit.alert_cases import CASES, monitored_site
from tests.unit.monitored import lab_site

RUNBOOKS = ROOT / "docs" / "runbooks"
SITE, PLAN = monitored_site()
ALERTS = {alert.name: alert for alert in alerts(SITE, PLAN)}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_has_a_case_that_raises_it_and_one_that_does_not(name: str) -> None:
    assert {bool(case.says) for case in CASES if case.alert == name} == {True, False}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_names_a_page_that_tells_what_to_do(name: str) -> None:
    page = RUNBOOKS / f"{ALERTS[name].runbook}.md"
    text = page.read_text(encoding="utf-8")
    assert f"`{name}`" in text, f"{page.name} does not say what {name} is"
    for part in ("**See.**", "**Check.**", "**Mend.**"):
        assert part in text


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_speaks_in_sentences(name: str) -> None:
    alert = ALERTS[name]
    for words in (alert.summary, alert.advice):
        assert re.fullmatch(r"[A-Za-z{/].+\.", words)
    assert "{{" not in alert.advice


def test_the_index_of_runbooks_lists_every_page_and_no_other() -> None:
    listed = re.findall(r"\]\(([a-z0-9-]+\.md)\)", (RUNBOOKS / "README.md").read_text("utf-8"))
    pages = {page.name for page in RUNBOOKS.glob("*.md")} - {"README.md"}
    assert sorted(listed) == sorted(pages)


def test_no_alert_waits_so_long_that_90_s_cannot_hold() -> None:
    """Scrape, evaluation and Alertmanager's wait take 25 s; windows of loss up to 25 s more."""
    for name in ("GpuTooHot", "LinkLost", "MtuMismatch", "EngineWithoutTokens", "RayNodeMissing"):
        assert ALERTS[name].for_s <= 30, name


def test_the_limit_of_the_site_is_the_limit_of_the_rule() -> None:
    site, planned = lab_site(alerts={"gpu_temperature_c": 78})
    (hot,) = [alert for alert in alerts(site, planned) if alert.name == "GpuTooHot"]
    assert hot.expr == "DCGM_FI_DEV_GPU_TEMP > 78 < 200"


def test_a_model_in_one_stage_has_no_bubbles() -> None:
    site, planned = lab_site()
    whole = planned.model_copy(
        update={"models": tuple(m.model_copy(update={"pipeline": 1}) for m in planned.models)}
    )
    assert "PipelineBubbles" in {alert.name for alert in alerts(site, planned)}
    assert "PipelineBubbles" not in {alert.name for alert in alerts(site, whole)}


def test_where_nobody_watches_no_alert_misses_the_watchdog() -> None:
    site, planned = lab_site()
    alone = site.model_copy(update={"watchdog": None})
    assert "WatchdogMissing" in {alert.name for alert in alerts(site, planned)}
    assert not {name for alert in alerts(alone, planned) if "Watchdog" in (name := alert.name)}


def test_a_circuits_measured_power_is_the_planned_one_when_all_cards_draw_what_is_planned() -> None:
    planned = {each.circuit: each.full_w for each in circuits_power(SITE, nodes_power(SITE, {}))}
    measured: dict[str, float] = dict.fromkeys(planned, 0.0)
    board_w = nodes_power(SITE, {})[0].gpu_limit_w
    for rule in machines.power(SITE).rules:
        if isinstance(rule, Record) and rule.record == machines.NODE_WATTS:
            found = re.match(r"([\d.]+) \+ ([\d.]+) \* sum", rule.expr)
            assert found
            base, each = map(float, found.groups())
            cards = SITE.nodes[rule.labels["node"]].gpu_count
            measured[rule.labels["circuit"]] += base + each * cards * board_w
    assert measured == pytest.approx(planned, rel=0.01)


def test_the_rule_file_is_the_same_for_the_same_site() -> None:
    again, planned = monitored_site()
    text = rules_yaml(groups(SITE, PLAN))
    assert text == rules_yaml(groups(again, planned))
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    assert all(rule["labels"]["severity"] for rule in rules if "alert" in rule)
