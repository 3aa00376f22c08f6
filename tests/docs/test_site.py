"""The site: what is built, as far as its files tell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from c_library import CLibrary
from code_blocks import code_blocks
from project import ROOT, environment_of

from skypostal.sandbox import CUSTOMER_KEY, Sandbox

DOCS = ROOT / "docs"
LANDING = DOCS / "index.md"


class Page(HTMLParser):
    """A page's links, and the anchors that a link may lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.anchors.add(found.get("id") or "")
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")


def test_no_link_leads_nowhere(site: Path) -> None:
    # 404.html stands for any address, so its links begin at the root of a server.
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    links = [(path, urlsplit(link)) for path, page in pages.items() for link in page.links]
    assert len(links) > 1000
    for path, link in links:
        if link.scheme or link.netloc:
            continue
        target = (path.parent / unquote(link.path)).resolve() if link.path else path
        assert target.is_file(), f"{path}: {link.geturl()}"
        if link.fragment and target in pages:
            assert unquote(link.fragment) in pages[target].anchors, f"{path}: {link.geturl()}"


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = re.findall(
            r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="([^"]*)"', page.read_text()
        )
        assert [url for url in loaded if "//" in url] == [], page


def test_the_reference_of_python_is_written_from_the_stubs(site: Path) -> None:
    reference = (site / "reference" / "python.html").read_text()
    for text in ["customer_tax_number", "Every digit is sent", "Any number of threads may call"]:
        assert text in reference


def test_the_reference_of_c_has_an_anchor_for_each_name(site: Path) -> None:
    header = (ROOT / "include" / "skypostal.h").read_text()
    functions = re.findall(r"^SKYPOSTAL_API\s[^(;]*?(\w+)\(", header, re.MULTILINE)
    types = re.findall(r"^typedef struct \w+ (\w+);$", header, re.MULTILINE)
    constants = re.findall(r"^#define (SKYPOSTAL_\w+) [\d\"]", header, re.MULTILINE)
    assert len(functions) == header.count("\nSKYPOSTAL_API") > 70 and len(types) == 7

    page = (site / "reference" / "c.html").read_text()
    for name in functions + types + constants:
        assert page.count(f'id="{name}"') == 1, name
    for name in functions + types:
        assert f'<a href="#{name}" class="md-nav__link">' in page, name
    for comment in re.findall(r"^/\*\*\n \* (.+)$", header, re.MULTILINE):
        begin = re.split(r"[`\"]", comment)[0]
        assert begin in page, comment


def test_the_reference_of_cpp_has_an_anchor_for_each_class_and_member(site: Path) -> None:
    header = (ROOT / "include" / "skypostal.hpp").read_text()
    page = (site / "reference" / "cpp.html").read_text()
    for name in re.findall(r"^(?:enum )?class (\w+)", header, re.MULTILINE):
        assert page.count(f'id="{name}"') == 1, name
    documented = r"^    /\*\*(?:(?!\*/).)*\*/\n    [^\n(]*?(\w+)\("
    members = re.findall(documented, header, re.MULTILINE | re.DOTALL)
    assert len(members) > 60
    for name in members:
        assert re.search(rf'id="\w+\.(operator\.)?{name}"', page), name


def test_each_page_is_in_the_navigation_and_each_example_on_the_site(site: Path) -> None:
    landing = (site / "index.html").read_text()
    for page in DOCS.rglob("*.md"):
        link = page.relative_to(DOCS).with_suffix(".html").as_posix()
        assert f'href="{link}"' in landing or link == "index.html", link
    examples = [path for path in (ROOT / "examples").iterdir() if path.is_file()]
    assert len(examples) >= 10
    listed = (site / "examples.html").read_text()
    for example in examples:
        assert f'href="examples/{example.name}.html"' in listed, example.name
        assert (site / "examples" / example.name).read_bytes() == example.read_bytes()


def test_the_search_leaves_out_the_text_of_the_headers(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    texts = {entry["location"]: entry["text"] for entry in index["docs"]}
    for page in ["c", "cpp"]:
        sections = {
            at: text for at, text in texts.items() if at.startswith(f"reference/{page}.html#")
        }
        assert len(sections) > 60
        assert set(sections.values()) == {""}


def test_the_c_of_the_landing_page_runs(
    for_programs: None, c_library: CLibrary, sandbox: Sandbox, tmp_path: Path
) -> None:
    (block,) = code_blocks(LANDING, "c")
    source = tmp_path / "landing.c"
    source.write_text(block.code.replace("the customer's key", CUSTOMER_KEY))
    program = c_library.compile(source, "-std=c89")
    assert subprocess.run([program], capture_output=True, text=True).stdout == "New Name\n"
    sandbox.answer_next('[{"_verify": true, "customer_first_name": null}]')
    assert subprocess.run([program], capture_output=True, text=True).stdout == "(no first name)\n"


def test_the_command_of_the_landing_page_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    (block,) = [block for block in code_blocks(LANDING, "sh") if "skypostal update" in block.code]
    (tmp_path / "key.txt").write_text(CUSTOMER_KEY)
    (tmp_path / "key.txt").chmod(0o600)
    environment = environment_of(sandbox)
    del environment["SKYPOSTAL_CUSTOMER_KEY"], environment["SKYPOSTAL_CUSTOMER_BOX_ID"]
    environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environment["PATH"]])
    subprocess.run(["sh", "-ec", block.code], cwd=tmp_path, env=environment, check=True)
    assert sandbox.requests[-1].changes == {"customer_first_name": "New Name"}


@pytest.mark.parametrize("command", ["pip install .", "make install", "make release-build"])
def test_the_landing_page_installs_what_there_is(command: str) -> None:
    (block, *_) = code_blocks(LANDING, "sh")
    assert [line for line in block.code.splitlines() if line.startswith(command)]
    assert "pip install skypostal" not in block.code
