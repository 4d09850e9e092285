"""Where training may compute in bfloat16: on processors with instructions for it. Elsewhere it is emulated, slowly."""

import torch

INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of torch.cpu.get_capabilities(), the last one of AArch64


def in_bfloat16(wanted: bool, /) -> bool:
    """Whether to, where a recipe wants it (`bf16`)."""
    if not wanted:
        return False
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in INSTRUCTIONS)
