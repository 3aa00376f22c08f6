"""The messages of the library and of the command line say first what a value must be, plainly.

`python tests/support/messages.py` prints them all, to be read from top to bottom.
"""

from __future__ import annotations

import re

import pytest
from messages import messages, of_python, of_rust
from project import ROOT

# Words that say it in another way than "must be", and those that no colleague would say.
AVOIDED = re.compile(
    r"\b(should|shall|invalid|illegal|bad value|mend|by and by|"
    r"somebody|nobody|under way|broken off|likewise|the like|time-out|he|she)\b"
    r"|: [\w ]+ expected\b|\bexpected,",
    re.IGNORECASE,
)


def test_no_message_has_a_word_that_is_avoided() -> None:
    found = [str(message) for message in messages() if AVOIDED.search(message.text)]
    assert not found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("src/options.rs", 'must be "test" or "production"'),
        ("src/http/tls.rs", "its issuer is not trusted: if you trust it, give the issuer's"),
        ("src/capi/error.rs", "a field is missing, malformed or out of range"),
        ("src/field.rs", "is a decimal number, not an integer; remove its fraction"),
        ("python/skypostal/_arrow.py", "keep: {name} is secret, and not for the report"),
        ("python/skypostal/_cli/update.py", "Updated at {service.host}."),
    ],
)
def test_messages_are_found(path: str, text: str) -> None:
    found = (of_rust if path.endswith(".rs") else of_python)(ROOT / path)
    assert any(message.text.startswith(text) for message in found)


def test_no_documentation_is_taken_for_a_message() -> None:
    texts = [message.text for message in messages()]
    assert 300 < len(texts) < 1000
    assert not [text for text in texts if text.startswith(("Returns ", "A connection "))]
