"""A short soak; ``make soak`` runs a long one."""

from __future__ import annotations

import pytest
import soak


def test_every_outcome_is_true_under_random_faults(capsys: pytest.CaptureFixture[str]) -> None:
    soak.soak(calls=2000, seed=2)
    assert "accepted" in capsys.readouterr().out
