"""The status of a row, in the journal and in the report."""

from __future__ import annotations

UPDATED, REFUSED, FAILED, BAD = "updated", "refused", "failed", "bad"
