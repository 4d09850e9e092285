"""What a run leaves: a JSON document, complete enough to judge it, and the classes that read it again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model at one shape and number of threads. Lists have one entry a round."""

    model: str
    batch: int
    tokens: int
    threads: int
    times_ms: Mapping[str, Sequence[float]]  # engine -> median of its runs in that round
    peak_gops: Sequence[float] = ()  # of the register loop, in the same rounds; empty where there is none

    @property
    def shape(self) -> str:
        """ "8x128"."""
        return f"{self.batch}x{self.tokens}"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Mixed lengths: real tokens a second, one entry a round."""

    model: str
    threads: int
    batch: int
    padded_over_real: float
    tokens_per_s: Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident bytes of a fresh process after loading and one pass at 1x128; one entry a process."""

    model: str
    engine: str
    peak_bytes: Sequence[int]
    bytes: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Products:
    """The fused products of one layer alone, in turns with the peak."""

    model: str
    kernels: str
    rows: int
    peak_gops: float
    gops: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Shares of the time of all threads, by operation."""

    model: str
    batch: int
    tokens: int
    threads: int
    kernels: str
    median_ms: float
    shares: Mapping[str, float]
    gops: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Document:
    """One run."""

    format: int = FORMAT
    measured_at: str
    command: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    cases: Sequence[Case] = ()
    streams: Sequence[Stream] = ()
    memory: Sequence[Memory] = ()
    products: Sequence[Products] = ()
    profiles: Sequence[Profile] = ()
    agreement: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # model -> engine -> correlation
    failures: Mapping[str, str] = field(default_factory=dict)  # what could not be measured, and why
    idle_cpu_share: float = 0.0  # processor time that engines took while another one was measured

    def save(self, path: Path) -> None:
        """Write it as JSON; a reader never sees half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(_rounded(asdict(self)), indent=1) + "\n", encoding="utf-8")
        draft.rename(path)

    @classmethod
    def load(cls, path: Path) -> "Document":
        """Read one. ValueError when it has another format."""
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw.get("format") != FORMAT:
            raise ValueError(f"{path} has format {raw.get('format')!r}, this version reads {FORMAT}; measure again")
        kinds: dict[str, type[Any]] = {
            "cases": Case,
            "streams": Stream,
            "memory": Memory,
            "products": Products,
            "profiles": Profile,
        }
        lists = {name: tuple(kind(**item) for item in raw[name]) for name, kind in kinds.items()}
        return cls(**{**raw, **lists})


def _rounded(value: Any) -> Any:
    """Six significant digits: more would be noise in a file that people compare."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
