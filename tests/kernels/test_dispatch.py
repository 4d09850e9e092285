"""Which kernel sets a build has, in which order, and what it says about the others."""

import platform

import pytest

from intbert import _kernels
from intbert.errors import KernelError
from intbert.runtime.native import choose_kernels

BY_MACHINE = {
    "x86_64": ["avx512_vnni", "avx_vnni", "avx2", "portable"],
    "aarch64": ["neon_dotprod", "neon", "portable"],
}


def test_known_sets_of_this_architecture() -> None:
    """Best first; an architecture without vector code has the portable set."""
    assert _kernels.known() == BY_MACHINE.get(platform.machine(), ["portable"])


def test_available_sets_keep_the_order() -> None:
    """What this CPU can run is what is known, in the same order, and the first one is the default."""
    assert _kernels.available() == [name for name in _kernels.known() if name in _kernels.available()]
    assert choose_kernels(None) == _kernels.available()[0]


@pytest.mark.parametrize("name", sorted({name for names in BY_MACHINE.values() for name in names}))
def test_sets_that_cannot_run_are_refused(name: str) -> None:
    """One of another architecture does not exist; one that this CPU lacks is not supported."""
    if name in _kernels.available():
        assert choose_kernels(name) == name
        return
    reason = "is not supported by this CPU" if name in _kernels.known() else "does not exist"
    with pytest.raises(KernelError, match=rf"'{name}' {reason}; supported here: .*portable"):
        choose_kernels(name)
