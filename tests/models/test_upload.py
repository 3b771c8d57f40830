"""Matrices that are raised to float32 part by part are the same on a GPU as where they came from."""

from __future__ import annotations

import pytest
import torch

from circuitstore.models import bits
from circuitstore.models.bits import raised

WIDTH = 64


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [1, 7, 14, 15, 50])
def test_parts_arrive_as_they_were(monkeypatch, dtype, rows):
    """Fewer rows than a part, whole parts and a rest; each part is used after the next was sent off."""
    monkeypatch.setattr(bits, "RAISED_BYTES_ELSEWHERE", 7 * 4 * WIDTH)
    matrix = torch.randn(rows, WIDTH).to(dtype)
    busy = torch.randn(4096, 4096, device="cuda")
    arrived = []
    for start, part in raised(matrix, torch.device("cuda")):
        for _ in range(20):  # the device is behind the host, so an early overwrite would be seen
            busy = busy @ busy / busy.norm()
        assert start == sum(map(len, arrived))
        arrived.append(part.clone())
    torch.testing.assert_close(torch.cat(arrived).cpu(), matrix.float(), rtol=0, atol=0)


@pytest.mark.gpu
def test_a_reader_that_stops_early(monkeypatch):
    """What was on its way arrives or is dropped, and memory is free for others."""
    monkeypatch.setattr(bits, "RAISED_BYTES_ELSEWHERE", 7 * 4 * WIDTH)
    matrix = torch.randn(100, WIDTH).bfloat16()
    for _ in range(10):
        first = next(iter(raised(matrix, torch.device("cuda"))))[1].clone()
        torch.testing.assert_close(first.cpu(), matrix[:7].float(), rtol=0, atol=0)
