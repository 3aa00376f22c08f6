"""The error that ends a release with one line."""

from __future__ import annotations


class Problem(Exception):
    """Says in one line what is wrong and what to do."""
