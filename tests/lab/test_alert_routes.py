"""Every kind of route is told of an alert, over TLS and with its secret, by Alertmanager itself."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from images import builder
from monitoring import alertmanager
from provider.credentials import issue, make_ca
from provider.inputs import CertificateRequest
from remote.container_spec import TRUSTED
from stack.paths import store_dir
from tests.lab.alert_receivers import RECEIVERS
from tests.lab.bench import Bench, wait_until
from tests.unit.monitored import lab_site

pytestmark = pytest.mark.root

_HERE, _HOOK, _MAIL = "10.77.0.1", 9943, 465
_ROUTES = {
    "chat": {"kind": "webhook", "url": f"https://{_HERE}:{_HOOK}/hooks/rack"},
    "capability": {"kind": "webhook"},
    "phone": {"kind": "ntfy", "url": f"https://{_HERE}:{_HOOK}/topic"},
    "mail": {
        "kind": "email", "to": "ops@example.org", "smarthost": f"{_HERE}:{_MAIL}", "user": "rack",
    },
}  # fmt: skip
_ALERT = {
    "labels": {"alertname": "GpuTooHot", "severity": "critical", "node": "w1"},
    "annotations": {"summary": "GPU 0 of w1 is at 91 °C.", "advice": "See to the air."},
}


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """Return what came of one alert, once it came by all routes."""
    site, _ = lab_site(routes=_ROUTES)
    work = tmp_path_factory.mktemp("routes")
    ca, ca_key = make_ca("test")
    leaf = issue("receiver", CertificateRequest(addresses=[_HERE]), ca, ca_key)
    certificate, key, file = work / "tls.crt", work / "tls.key", work / "received"
    certificate.write_text(leaf.certificate, encoding="utf-8")
    key.write_text(leaf.key, encoding="utf-8")
    secrets = {name: f"of-{name}" for name in _ROUTES}
    secrets["capability"] = f"https://{_HERE}:{_HOOK}/capability?sig=%2Fa&b=c:d"
    digest = builder.build("monitoring", "default", store_dir(), print).digest
    addresses = [_HERE, str(site.nodes["head"].fabric_address)]
    with Bench(builder.unpack(digest, store_dir()), work, addresses) as bench:
        (bench.folder(TRUSTED.source) / "ca-certificates.crt").write_text(ca, encoding="utf-8")
        told = [_HERE, certificate, key, file, _HOOK, _MAIL]
        bench.script("receivers", RECEIVERS, *map(str, told))
        bench.start("alertmanager", alertmanager.alertmanager(site, secrets))
        url = f"http://{alertmanager.address(site)}{alertmanager.PATH}"
        wait_until(lambda: bool(bench.get(f"{url}/api/v2/status")), 60, bench.log())
        _raise(bench, f"{url}/api/v2/alerts")
        wait_until(lambda: len(_lines(file)) >= len(_ROUTES), 60, f"an alert by each route: {work}")
        yield _lines(file)


def _raise(bench: Bench, url: str) -> None:
    subprocess.run(
        ["ip", "netns", "exec", bench.namespace, "curl", "-sSf", "-H",
         "Content-Type: application/json", "-d", json.dumps([_ALERT]), url],
        check=True, capture_output=True,
    )  # fmt: skip


def _lines(file: Path) -> list[dict[str, Any]]:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def test_a_web_hook_gets_the_alert_and_its_token(received: list[dict[str, Any]]) -> None:
    (hook,) = [each for each in received if each.get("path") == "/hooks/rack"]
    assert hook["authorization"] == "Bearer of-chat"
    (alert,) = json.loads(hook["body"])["alerts"]
    assert (alert["status"], alert["labels"]) == ("firing", _ALERT["labels"])


def test_a_web_hook_whose_address_is_its_secret_gets_the_alert(
    received: list[dict[str, Any]],
) -> None:
    (hook,) = [each for each in received if each.get("path", "").startswith("/capability")]
    assert hook["path"] == "/capability?sig=%2Fa&b=c:d"
    assert not hook["authorization"]
    assert json.loads(hook["body"])["alerts"]


def test_an_ntfy_server_is_told_how_to_make_words_of_it(received: list[dict[str, Any]]) -> None:
    (topic,) = [each for each in received if each.get("path", "").startswith("/topic")]
    assert topic["authorization"] == "Bearer of-phone"
    assert "{{.annotations.summary}}" in parse_qs(urlsplit(topic["path"]).query)["message"][0]


def test_a_mail_server_gets_the_login_and_the_sentence(received: list[dict[str, Any]]) -> None:
    (mail,) = [each for each in received if "mail" in each]
    assert mail["login"] == "\0rack\0of-mail"
    assert "Subject: firing: GpuTooHot w1" in mail["mail"]
    assert "GPU 0 of w1 is at 91" in mail["mail"]
