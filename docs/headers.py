"""The reference of the C and the C++ header: a hook of mkdocs.

A line `::: include/NAME` of a page becomes what the comments of that header say, with an anchor for
each name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

HEADER = re.compile(r"^::: (include/\S+)$", re.MULTILINE)
COMMENT_LINE = re.compile(r"^ *(?: \*(?: |$)|/\*\*? ?)", re.MULTILINE)
# A comment with what it is about, which an empty line ends.
IN_C = re.compile(
    r"^/\*\*\s(?P<text>(?:(?!\*/).)*?)\s*\*/\n"
    r"(?P<code>(?:#define|typedef|SKYPOSTAL_API)\b.*?)\n(?=\n)",
    re.DOTALL | re.MULTILINE,
)
NAME_IN_C = re.compile(r"#define (\w+)|\(\*(\w+)\)|(\w+)\(|struct \w+ (\w+);")
# An enumeration as a whole, anything else up to its body or what it is initialised with.
IN_CPP = re.compile(
    r"^(?P<indent>(?: {4})?)/\*\*\s(?P<text>(?:(?!\*/).)*?)\s*\*/\n"
    r"(?P<code>enum [^}]*\}|.*?)(?=\s*(?:;|\{|\n? *: \w+_?\())",
    re.DOTALL | re.MULTILINE,
)
NAME_IN_CPP = re.compile(r"(?:class|enum class) (\w+)|(operator[^(]+)\(|(\w+)\(")
CODE_BLOCK = re.compile(r"(?:^ {4}.*\n|^\n(?= {4}))+", re.MULTILINE)
# In the text at the top of a header, which is plain: **out, _free, clear(), kind::misuse.
CODE_WORD = re.compile(
    r"(?<![\w<:.*/`])(?:\*{1,2}\w+|\w*(?:_|::)\w+(?:::\w+)*(?:\(\))?|\w+\(\))(?!\w|\*|\.\w)"
)


class Item(NamedTuple):
    """Something that a header declares."""

    name: str
    code: str
    text: str


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    root = Path(config.config_file_path).parent

    def reference(match: re.Match[str]) -> str:
        header = (root / match[1]).read_text(encoding="utf-8")
        return in_c(header) if match[1].endswith(".h") else in_cpp(header)

    return HEADER.sub(reference, markdown)


def in_c(header: str) -> str:
    items = [
        Item(name_of(NAME_IN_C, match["code"]), match["code"], plain(match["text"]))
        for match in IN_C.finditer(header)
    ]
    constants = [item for item in items if item.code.startswith("#define SKYPOSTAL_")]
    versions = [item for item in constants if "_VERSION" in item.name]
    deliveries = [item for item in constants if "_DELIVERY_" in item.name]
    results = [item for item in constants if item not in versions + deliveries]
    functions = [item for item in items if item.code.startswith("SKYPOSTAL_API")]
    declared = " ".join(item.code for item in functions)
    types = [item for item in items if item.code.startswith("typedef")]
    # In the order in which a program needs them.
    types.sort(key=lambda item: re.search(rf"\b{item.name}\b", declared).start())  # type: ignore[union-attr]

    parts = [conventions(header), table("Result codes", results), table("Delivery", deliveries)]
    rest = list(functions)
    for kind in types:
        parts.append(section(2, kind))
        methods = [item for item in rest if item.name.startswith(f"{kind.name}_")]
        parts += [section(3, item, label=item.name[len(kind.name) + 1 :]) for item in methods]
        rest = [item for item in rest if item not in methods]
    parts.append("## Versions and texts\n")
    parts += [section(3, item) for item in versions + rest]
    return linked("\n".join(parts), {item.name for item in items})


def in_cpp(header: str) -> str:
    types: dict[str, dict[str, list[Item]]] = {}
    functions: dict[str, list[Item]] = {}
    for match in IN_CPP.finditer(header):
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        name, text = name_of(NAME_IN_CPP, code), code_words(plain(match["text"]))
        if match["indent"]:
            owner = next(reversed(types))
            name = f"{owner}::{name}"
            # The values of an enumeration are shown with it.
            if not types[owner][owner][0].code.startswith("enum"):
                types[owner].setdefault(name, []).append(Item(name, code, text))
        elif re.match(r"(?:template.*\s)?(?:enum )?class", code):
            types[name] = {name: [Item(name, code, text)]}
        else:
            functions.setdefault(name, []).append(Item(name, code, text))
    parts = [conventions(header)]
    for owner, members in types.items():
        for name, items in members.items():
            level, label = (2, name) if name == owner else (3, name[len(owner) + 2 :])
            parts.append(section(level, *items, label=label, language="cpp"))
    parts.append("## Versions and texts\n")
    parts += [section(3, *items, language="cpp") for items in functions.values()]
    return "\n".join(parts)


def name_of(pattern: re.Pattern[str], code: str) -> str:
    match = pattern.search(code)
    assert match, code
    return next(group for group in match.groups() if group)


def plain(comment: str) -> str:
    return COMMENT_LINE.sub("", comment).strip()


def conventions(header: str) -> str:
    """Returns the comment at the top, without the lines that are for those that change it."""
    text = plain(header[: header.index("*/")]).partition("\n\n")[2]
    text = text.partition("\n\nWritten by cbindgen")[0] + "\n"
    language = "c" if "int main(void)" in text else "cpp"
    parts, at = [], 0
    for block in CODE_BLOCK.finditer(text):
        code = re.sub("^ {4}", "", block[0], flags=re.MULTILINE).strip()
        parts += [code_words(text[at : block.start()]), f"\n```{language}\n{code}\n```\n\n"]
        at = block.end()
    parts.append(code_words(text[at:]))
    return "## Conventions\n\n" + excluded("".join(parts))


def code_words(text: str) -> str:
    return CODE_WORD.sub(r"`\g<0>`", text)


def excluded(text: str) -> str:
    """Its words are not searched: the guides use them too, and say more.

    Not a div: the search takes the end of one within for the end of this one.
    """
    return f'<section data-search-exclude markdown="1">\n\n{text.strip()}\n\n</section>\n'


def table(title: str, items: Iterable[Item]) -> str:
    rows = ["| name | number | meaning |", "|---|---:|---|"]
    for item in items:
        number, text = item.code.split()[-1], item.text.replace("\n", " ")
        rows.append(f'| <span id="{item.name}">`{item.name}`</span> | {number} | {text} |')
    return f"## {title}\n\n" + excluded("\n".join(rows))


def section(level: int, *items: Item, label: str = "", language: str = "c") -> str:
    """A heading with an anchor, and below it each declaration with what its comment says.

    The label is what the table of contents shows.
    """
    name = items[0].name
    anchor = re.sub(r"\W+", ".", name).strip(".")
    label = label or re.sub("^skypostal_", "", name)
    heading = f'{"#" * level} `{name}` {{ #{anchor} data-toc-label="{label}" }}\n\n'
    parts = []
    for item in items:
        code = item.code.replace("SKYPOSTAL_API", "").strip()
        parts.append(f"```{language}\n{code}\n```\n\n{indented_code(item.text, language)}\n")
    return heading + excluded("\n".join(parts))


def indented_code(text: str, language: str) -> str:
    def block(match: re.Match[str]) -> str:
        code = re.sub("^ {4}", "", match[0], flags=re.MULTILINE).strip()
        return f"```{language}\n{code}\n```\n"

    return text if "```" in text else CODE_BLOCK.sub(block, text + "\n")


def linked(markdown: str, names: set[str]) -> str:
    """Makes each name that stands in the text a link to its anchor."""
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    for at in range(0, len(parts), 2):
        lines = parts[at].split("\n")
        parts[at] = "\n".join(
            line if line.startswith("#") else link_names(line, names) for line in lines
        )
    return "".join(parts)


def link_names(line: str, names: set[str]) -> str:
    def link(match: re.Match[str]) -> str:
        return f"[{match[0]}](#{match[1]})" if match[1] in names else match[0]

    return re.sub(r"(?<!\">)`(\w+)`", link, line)
