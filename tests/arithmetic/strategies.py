"""Hypothesis strategies of integer arrays whose values crowd at the limits, where arithmetic breaks."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

S8 = (-127, 127)
S16 = (-32768, 32767)
S32 = (-(2**31), 2**31 - 1)
SUM22 = (-(2**21) + 1, 2**21 - 1)


def integers(limits: tuple[int, int]) -> st.SearchStrategy[int]:
    """Any value within the limits, the limits and the values around zero more often."""
    low, high = limits
    special = [value for value in (low, low + 1, -1, 0, 1, high - 1, high) if low <= value <= high]
    return st.one_of(st.integers(low, high), st.sampled_from(special))


def arrays(
    limits: tuple[int, int], shape: int | tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] = 16
) -> st.SearchStrategy[NDArray[np.int64]]:
    """int64 arrays of such values."""
    return hnp.arrays(np.int64, shape, elements=integers(limits), fill=st.nothing())
