"""The devices that a test is run on: the CPU, and a GPU where there is one."""

from __future__ import annotations

import pytest

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
