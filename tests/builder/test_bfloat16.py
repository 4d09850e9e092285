"""bfloat16 only where the processor has instructions for it."""

import pytest
import torch

from intbert.builder.bfloat16 import in_bfloat16


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"bf16": True}, True)],
)
def test_emulated_bfloat16_is_not_used(
    capabilities: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor that would emulate it trains in FP32; so does a recipe that doesn't want it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    wanted, unwanted = True, False
    assert in_bfloat16(wanted) is expected
    assert not in_bfloat16(unwanted)
