"""Open WebUI on the running twin, through the edge: as a person in a browser, and by its API."""

import json
import secrets
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from cli.access import Access, access
from tests.lab.appliance import STACK, configure, on, preview, pulumi, up
from tests.lab.browser import ChatPage, chromium

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

_PATH = "rackform:site.frontends.open_webui"
_PROMPT = "What is the capital of France?"


@dataclass(frozen=True)
class WebUi:
    """The page, and somebody who is signed in."""

    url: str
    email: str
    password: str
    client: httpx.Client

    def signed_in(self) -> httpx.Client:
        answer = self.client.post(
            "/api/v1/auths/signin", json={"email": self.email, "password": self.password}
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        self.client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self.client.cookies.clear()
        return self.client


def _client(reached: Access, url: str) -> httpx.Client:
    trust = ssl.create_default_context(cafile=str(reached.ca_file))
    return httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=180)


@pytest.fixture(scope="module")
def admin(report: dict[str, Any]) -> Iterator[WebUi]:
    """Return the page and its administrator; where the stack has no Open WebUI, it gets one."""
    if "open_webui" not in access(report["stack"]).outputs.frontends:
        configure("frontends.open_webui.node", "head")
        up()
    reached = access(report["stack"])
    given = reached.outputs.frontends["open_webui"]
    with _client(reached, given["url"]) as client:
        yield WebUi(given["url"], given["user"], given["password"], client)


@pytest.fixture
def somebody(admin: WebUi, report: dict[str, Any]) -> Iterator[WebUi]:
    """Return a user whom the administrator has just added, and who was never here before."""
    with _client(access(report["stack"]), admin.url) as client:
        yield _added(admin, "user", client)


def _added(admin: WebUi, role: str, client: httpx.Client) -> WebUi:
    email, password = f"{secrets.token_hex(4)}@rackform.example", secrets.token_urlsafe(16)
    added = admin.signed_in().post(
        "/api/v1/auths/add",
        json={"name": "Somebody", "email": email, "password": password, "role": role},
    )
    assert added.status_code == httpx.codes.OK, added.text
    return WebUi(admin.url, email, password, client)


def test_a_person_signs_in_picks_the_model_and_sees_its_words_as_they_come(
    admin: WebUi, report: dict[str, Any]
) -> None:
    person = _added(admin, "admin", admin.client)  # to whom alone "What's New" is shown
    with chromium() as driver:
        page = ChatPage(driver, person.url)
        page.sign_in(person.email, person.password)
        page.dismiss_the_news()
        page.pick(report["model"])
        grown = page.ask(_PROMPT)
        shot = page.shoot("open-webui")
    # The page samples, and the model is small: words it has, but not the same ones each time.
    assert len(grown) > 3, "the answer came in one piece"
    assert len(grown[-1].split()) > 1
    assert shot.stat().st_size > 10_000


@pytest.mark.parametrize("path", ["/api/models", "/api/v1/users/", "/api/v1/chats/"])
def test_a_stranger_sees_nothing(admin: WebUi, report: dict[str, Any], path: str) -> None:
    with _client(access(report["stack"]), admin.url) as stranger:
        answer = stranger.get(path)
    assert answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


def test_nobody_signs_up_by_himself(admin: WebUi, report: dict[str, Any]) -> None:
    stranger = {"name": "x", "email": "x@rackform.example", "password": secrets.token_urlsafe(16)}
    with _client(access(report["stack"]), admin.url) as client:
        answer = client.post("/api/v1/auths/signup", json=stranger)
    assert answer.status_code == httpx.codes.FORBIDDEN


def test_everybody_who_may_sign_in_sees_the_clusters_models_and_no_others(
    somebody: WebUi, report: dict[str, Any]
) -> None:
    listed = somebody.signed_in().get("/api/models").json()["data"]
    assert [model["id"] for model in listed] == [report["model"]]


def test_an_answer_streams_through_edge_and_page(somebody: WebUi, report: dict[str, Any]) -> None:
    asked = {
        "model": report["model"],
        "messages": [{"role": "user", "content": _PROMPT}],
        "stream": True,
        "max_tokens": 24,
        "temperature": 0,
    }
    client = somebody.signed_in()
    with client.stream("POST", "/api/chat/completions", json=asked) as answer:
        assert answer.status_code == httpx.codes.OK
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    chunks = [json.loads(line) for line in lines if line.startswith("{")]
    words = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices")]
    assert len([word for word in words if word]) > 3
    assert "Paris" in "".join(words)


def _sources(client: httpx.Client, model: str, text: str, question: str) -> list[str]:
    """Return the passages of a document that go to the model with a question."""
    sent = client.post(
        "/api/v1/files/",
        params={"process_in_background": "false"},
        files={"file": ("notes.txt", text.encode(), "text/plain")},
    )
    assert sent.status_code == httpx.codes.OK, sent.text
    asked = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "files": [{"type": "file", "id": sent.json()["id"]}],
        "max_tokens": 16,
    }
    answer = client.post("/api/chat/completions", json=asked)
    assert answer.status_code == httpx.codes.OK, answer.text
    passages: list[str] = answer.json()["sources"][0]["document"]
    return passages


def test_a_short_document_reaches_the_model_whole(somebody: WebUi, report: dict[str, Any]) -> None:
    text = "The code word is aubergine."
    sources = _sources(somebody.signed_in(), report["model"], text, "What is the code word?")
    assert sources == [text]


def test_of_a_long_document_the_model_gets_the_passages_that_the_question_is_about(
    somebody: WebUi, report: dict[str, Any]
) -> None:
    """By what the site embeds with: the question shares no word with the passage."""
    subjects = {
        "The parliament debates the annual budget and its taxes.": 16,
        "Bakers knead dough and let it rise before it goes into the oven.": 14,
        "A flat wheel is lifted off the ground by a jack, and its nuts are loosened.": 12,
        "Astronomers measure how far galaxies are by their red shift.": 16,
        "Choirs rehearse cantatas and fugues in the evening.": 18,
        "Glaciers carve valleys and leave moraines of gravel.": 18,
    }
    text = "\n\n".join(" ".join([line] * times) for line, times in subjects.items())
    assert len(text) > 5000
    sources = _sources(
        somebody.signed_in(), report["model"], text, "How do I change a tyre on my car?"
    )
    assert "jack" in sources[0]
    assert sum(map(len, sources)) < len(text) * 0.75


def test_its_secrets_are_in_no_environment_and_on_no_command_line(admin: WebUi) -> None:
    shown = on("head", "docker inspect open-webui; ps -ww -e -o args")
    assert shown.status == 0, shown.text
    assert "open-webui" in shown.out
    assert admin.password not in shown.out


def _new_chat(webui: WebUi, title: str) -> None:
    chat = {"title": title, "models": [], "messages": [],
            "history": {"messages": {}, "currentId": None}}  # fmt: skip
    made = webui.signed_in().post("/api/v1/chats/new", json={"chat": chat})
    assert made.status_code == httpx.codes.OK, made.text


def _titles(webui: WebUi) -> list[str]:
    return [chat["title"] for chat in webui.signed_in().get("/api/v1/chats/?page=1").json()]


def test_another_setting_makes_the_container_anew_and_keeps_users_and_chats(
    somebody: WebUi, admin: WebUi
) -> None:
    _new_chat(somebody, "kept")
    before = on("head", "docker inspect --format '{{.Id}}' open-webui").out
    configure("frontends.open_webui.admin_email", "other@rackform.example")
    operations, _ = preview()
    assert set(operations) == {"open-webui-container", "verification-run"}
    up()
    assert on("head", "docker inspect --format '{{.Id}}' open-webui").out != before
    assert _titles(somebody) == ["kept"]
    assert admin.signed_in()


def test_one_that_is_removed_leaves_its_data_and_comes_back_with_it(
    somebody: WebUi, admin: WebUi
) -> None:
    _new_chat(somebody, "kept too")
    gone = pulumi("config", "rm", "--path", _PATH, "--stack", STACK)
    assert gone.status == 0, gone.text
    up()
    assert "open-webui" not in on("head", "docker ps --all --format '{{.Names}}'").out
    with pytest.raises(httpx.HTTPError):
        httpx.get(admin.url, verify=False, trust_env=False)  # noqa: S501 - nobody is to answer
    assert on("head", "test -s /var/lib/rackform/open-webui/webui.db").status == 0
    configure("frontends.open_webui.node", "head")
    up()
    assert _titles(somebody) == ["kept too"]
