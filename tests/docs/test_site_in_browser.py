"""The site in Chromium, from its folder: what a reader sees, finds and copies."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from code_blocks import code_blocks
from project import ROOT

pytestmark = pytest.mark.toolchains

PAGES = sorted(
    path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
    for path in (ROOT / "docs").rglob("*.md")
)
# Words, and what they lead to first.
SEARCHED = {
    "proxy": "network.html",
    "retry": "retries.html",
    "timeout": "retries.html",
    "idempotent": "recipes.html",
    "certificate": "network.html",
    "Excel": "bulk.html",
    "skypostal_client_cancel": "reference/c.html#skypostal_client_cancel",
}
# Pages with charts, and how many.
CHARTS = {"index.html": 2, "benchmarks.html": 2, "many.html": 1}
# Pages that show commands with their prompt and output.
CONSOLES = [
    page for page in PAGES if code_blocks(ROOT / "docs" / Path(page).with_suffix(".md"), "console")
]


@pytest.fixture(scope="module")
def browser(site: Path) -> Iterator[Browser]:
    with Browser(site) as browser:
        yield browser


def test_the_browser_leaves_no_file_behind(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        with Browser(site) as browser:
            browser.open("index.html")
            assert os.listdir(folder)
        assert os.listdir(folder) == []


def wait_for(browser: Browser, script: str) -> Any:
    """Returns what a script returns, as soon as that is something."""
    deadline = time.monotonic() + 10
    while not (found := browser.run(script)):
        assert time.monotonic() < deadline, script
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_the_screen(browser: Browser, width: int) -> None:
    browser.resize(width)
    for page in PAGES:
        browser.open(page)
        seen = browser.run("return document.documentElement.scrollWidth")
        assert seen <= width, page
        assert browser.complaints() == [], page
        images = "return [...document.images].every(image => image.complete && image.naturalWidth)"
        assert wait_for(browser, images), page


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", CHARTS)
def test_the_letters_of_the_charts_can_be_read(browser: Browser, page: str, width: int) -> None:
    """Letters have 13 pixels in a chart that is shown in its own width."""
    browser.resize(width)
    browser.open(page)
    shown = browser.run(
        "return [...document.querySelectorAll('article img')].map("
        "image => image.getBoundingClientRect().width / image.naturalWidth)"
    )
    assert len(shown) == CHARTS[page] and min(shown) * 13 >= 10


def test_each_page_with_a_chart_is_looked_at() -> None:
    drawn = {
        path.with_suffix(".html").name: len(re.findall(r"^!\[", path.read_text(), re.MULTILINE))
        for path in (ROOT / "docs").glob("*.md")
    }
    assert {page: number for page, number in drawn.items() if number} == CHARTS


@pytest.mark.parametrize("word", SEARCHED)
def test_the_search_finds_what_explains_a_word(browser: Browser, word: str) -> None:
    browser.resize(1280)
    browser.open("reliability.html")
    field = browser.driver.find_element("css selector", "[data-md-component=search-query]")
    field.send_keys(word)
    # A page stands with its sections: the first link is the page's.
    links = wait_for(
        browser,
        "return [...document.querySelectorAll('.md-search-result__item:first-child a')]"
        ".map(link => link.href)",
    )
    found = [re.sub(r"\?h=[^#]*", "", link) for link in links]
    assert found[0].endswith(SEARCHED[word].partition("#")[0])
    assert any(link.endswith(SEARCHED[word]) for link in found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_toggle_changes_light_and_dark(browser: Browser, scheme: str) -> None:
    browser.resize(1280)
    browser.prefer(scheme)
    browser.open("index.html")
    browser.run("localStorage.clear()")
    browser.open("index.html")
    background = "return getComputedStyle(document.body).backgroundColor"
    before = browser.run(background)
    assert (before == "rgb(255, 255, 255)") is (scheme == "light")
    for label in browser.driver.find_elements("css selector", "label.md-header__button[title]"):
        if label.is_displayed() and label.get_attribute("title") in ("Dark", "Light"):
            label.click()
            break
    wait_for(browser, f"return getComputedStyle(document.body).backgroundColor != '{before}'")
    browser.run("localStorage.clear()")
    browser.prefer("light")


@pytest.mark.parametrize("page", CONSOLES)
def test_copied_is_the_command_without_its_prompt_and_output(browser: Browser, page: str) -> None:
    browser.resize(1280)
    browser.open(page)
    browser.run(
        "window.copied = [];"
        "document.addEventListener('copy', () => copied.push(String(getSelection())))"
    )
    blocks = code_blocks(ROOT / "docs" / Path(page).with_suffix(".md"), "console")
    buttons = browser.driver.find_elements("css selector", ".language-console button")
    assert len(buttons) == len(blocks)
    for button, block in zip(buttons, blocks):
        browser.run("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        typed = re.findall(r"^\$ (.+)$", block.code, re.MULTILINE)
        assert typed and browser.run("return copied.pop()").splitlines() == typed


def test_the_tabs_of_the_landing_page_change(browser: Browser) -> None:
    browser.resize(390)
    browser.open("index.html")
    shown = (
        "return [...document.querySelectorAll('.tabbed-block')].map(each => each.offsetHeight > 0)"
    )
    assert browser.run(shown) == [True, False, False]
    browser.driver.find_elements("css selector", ".tabbed-labels label")[1].click()
    assert browser.run(shown) == [False, True, False]
