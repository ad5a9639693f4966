"""Debian's Chromium without a screen, and Open WebUI as a person meets it in there."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support import expected_conditions as seen
from selenium.webdriver.support.ui import WebDriverWait

from stack.paths import ROOT, state_dir

SHOTS = state_dir() / "log" / "screenshots"
"""What the browser showed; kept after the tests."""
_WAIT_S = 90
_ANSWER_S = 180
_LONG = 30
"""Times that an answer was seen to grow which are enough."""
_ANSWER = (By.CSS_SELECTOR, "#response-content-container")
_SELECTOR = (By.ID, "model-selector-model-button")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900",
            "--no-proxy-server", "--lang=en")  # fmt: skip


@contextmanager
def chromium() -> Iterator[WebDriver]:
    """Start Chromium, installed if it is missing; the site's own CA is checked by other tests."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [ROOT / "engine" / "apt-install", SHOTS.parent / "apt.log", "chromium", "chromium-driver"],
        check=True,
        timeout=600,
    )
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.accept_insecure_certs = True
    for option in _OPTIONS:
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()


class ChatPage:
    """Open WebUI's page; every step ends when the page shows what it was for."""

    def __init__(self, driver: WebDriver, url: str) -> None:
        self._driver = driver
        self._wait = WebDriverWait(driver, _WAIT_S)
        driver.get(url)

    def sign_in(self, email: str, password: str) -> None:
        field = self._wait.until(
            seen.element_to_be_clickable((By.CSS_SELECTOR, "input[type=email]"))
        )
        field.send_keys(email)
        self._driver.find_element(By.CSS_SELECTOR, "input[type=password]").send_keys(
            password, Keys.ENTER
        )
        self._wait.until(seen.presence_of_element_located((By.ID, "chat-input")))

    def dismiss_the_news(self) -> None:
        """Close "What's New", which opens over all else at an administrator's first visit."""
        button = (By.XPATH, '//button[contains(., "Okay, Let\'s Go!")]')
        self._wait.until(seen.element_to_be_clickable(button)).click()
        self._wait.until(seen.invisibility_of_element_located(button))

    def pick(self, model: str) -> None:
        self._wait.until(seen.element_to_be_clickable(_SELECTOR)).click()
        option = (By.CSS_SELECTOR, f"[role=option][data-value='{model}']")
        self._wait.until(seen.element_to_be_clickable(option)).click()
        chosen = seen.text_to_be_present_in_element_attribute(
            _SELECTOR, "aria-label", f"Selected model: {model}"
        )
        self._wait.until(chosen)

    def ask(self, prompt: str) -> list[str]:
        """Send a prompt and return the answer as it was seen to grow, until it is whole or long.

        A small model that is sampled does not always find an end.
        """
        field = self._wait.until(seen.element_to_be_clickable((By.ID, "chat-input")))
        field.send_keys(prompt, Keys.ENTER)
        grown: list[str] = []
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            shown = self._answer()
            if shown and (not grown or shown != grown[-1]):
                grown.append(shown)
            if grown and (self._finished() or len(grown) >= _LONG):
                return grown
            time.sleep(0.05)
        raise AssertionError(f"no answer within {_ANSWER_S} s; seen: {grown[-1:]}")

    def shoot(self, name: str) -> Path:
        file = SHOTS / f"{name}.png"
        assert self._driver.save_screenshot(str(file))
        return file

    def _answer(self) -> str:
        try:
            return " ".join(found.text for found in self._driver.find_elements(*_ANSWER)).strip()
        except StaleElementReferenceException:
            return ""

    def _finished(self) -> bool:
        """Say whether the answer has got its buttons, which it has once it is whole."""
        return bool(self._driver.find_elements(By.CSS_SELECTOR, ".copy-response-button"))
