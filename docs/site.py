"""What the site shows otherwise than its sources: an extension of griffe and a hook of mkdocs."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files, InclusionLevel
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound

# One or several names, and what they mean; what goes on is indented.
PARAMETER = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): (.+(?:\n {4}.+)*)", re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(\.\./[^)#]+)")
# A search finds first what explains a subject, then what mentions it; the reference has all words.
BOOSTS = {"network.md": 2, "retries.md": 2, "changelog.md": 0.2, "reference/": 0.2}


class Parameters(griffe.Extension):
    """Makes what a docstring says of each parameter an item of a list."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = PARAMETER.sub(r"\n- `\1`: \2", obj.docstring.value)


def outside(link: str, page: File) -> str | None:
    """The path in the repository of a link that leads out of docs."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page.src_uri), link))
    return path[len("../") :] if path.startswith("../") else None


def on_files(files: Files, config: Any) -> Files:
    """Adds each file of the repository that a page links to."""
    root = Path(config.config_file_path).parent
    for page in list(files.documentation_pages()):
        for link in LINK.findall(page.content_string):
            path = outside(link, page)
            if path and (root / path).is_file() and not files.get_file_from_path(path):
                for file in shown(path, root, config):
                    files.append(file)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    path = page.file.src_uri
    boost = BOOSTS.get(path, BOOSTS["reference/"] if path.startswith("reference/") else 1)
    page.meta.setdefault("search", {})["boost"] = boost

    def on_the_site(match: re.Match[str]) -> str:
        path = outside(match[1], page.file)
        if path is None:
            return match[1]
        up = "../" * page.file.src_uri.count("/")
        return up + (path if path.endswith(".md") else f"{path}.md")

    return LINK.sub(on_the_site, markdown)


def shown(path: str, root: Path, config: Any) -> list[File]:
    """A page of the same text; or of a file that is no page the file, and a page that shows it."""
    text = (root / path).read_text(encoding="utf-8")

    def hidden(uri: str, content: str) -> File:
        content = f"---\nsearch:\n  exclude: true\n---\n{content}"
        return File.generated(config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV)

    if path.endswith(".md"):
        return [hidden(path, text)]
    try:
        language = get_lexer_for_filename(path).aliases[0]
    except ClassNotFound:
        language = "text"
    name = posixpath.basename(path)
    about = f"# {name}\n\n`{path}` of the source: [take the file]({name})."
    page = hidden(f"{path}.md", f"{about}\n\n~~~~~{language}\n{text.rstrip()}\n~~~~~\n")
    return [File.generated(config, path, content=text), page]
