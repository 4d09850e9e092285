"""Engines on ONNX Runtime: the FP32 original, and the integer program as a portable graph.

The only module that imports onnxruntime, and only when an engine is made.
"""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.errors import ConfigError, OnnxError
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.engine import EngineSession
from intbert.runtime.padding import PaddedGroup, group_by_length

FLOAT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SPAN_OUTPUTS = ("start_logits", "end_logits")
INTEGER_INPUTS = ("token_ids", "type_ids")


@dataclass(frozen=True, kw_only=True)
class ActivationSize:
    """What one padded batch needs at once; ONNX Runtime does not say, so it is counted from the architecture."""

    channels: int
    intermediate: int
    heads: int

    def bytes(self, rows: int, columns: int) -> int:
        """FP32 bytes live at a layer's widest point: attention (Q, K, V, residual, two score maps) or FFN."""
        tokens = rows * columns
        attention = tokens * 4 * self.channels + 2 * rows * self.heads * columns * columns
        feed_forward = tokens * (2 * self.intermediate + 2 * self.channels)
        return 4 * max(attention, feed_forward)


class OnnxFloatEngine:
    """An ONNX file, FP32 or quantised, in ONNX Runtime. Sequences are padded together only a little (`padding.py`).

    An InferenceSession is shared by all workers (its `run` is thread-safe). With `pool_threads` there is one, whose
    pool of so many threads serves whoever computes, so the weights are held once; otherwise one for each thread count.
    """

    name = "onnxruntime"
    integer_only = False
    logit_scale = 1.0

    def __init__(
        self,
        model: Path | bytes,
        *,
        held_bytes: int,
        activation: ActivationSize,
        pool_threads: int | None = None,
        spin: bool = False,
    ) -> None:
        """held_bytes: of the weights in one InferenceSession.

        spin: let idle threads of one run busy-wait, faster alone and bad company for others.
        """
        self._model = model
        self._held_bytes = held_bytes
        self._activation = activation
        self._pool_threads = pool_threads
        self._spin = spin
        self._by_threads: dict[int, Any] = {}
        self._lock = Lock()
        self._sessions: list[OnnxFloatSession] = []

    @property
    def weights_bytes(self) -> int:
        """Of all InferenceSessions that exist (at least one)."""
        return self._held_bytes * max(1, len(self._by_threads))

    def session(self, threads: int) -> EngineSession:
        """Computes with `threads` threads, or with what the pool has free. ValueError for threads < 1."""
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        held = self._pool_threads or threads
        with self._lock:
            if held not in self._by_threads:
                self._by_threads[held] = open_session(self._model, held, spin=self._spin)
            session = OnnxFloatSession(self._by_threads[held], self._activation)
            self._sessions.append(session)
            return session

    def arena_bytes(self) -> int:
        """Counted, not measured: the largest padded batch of each session so far."""
        with self._lock:
            return sum(session.peak_bytes for session in self._sessions)


class OnnxFloatSession:
    """One worker's view of a shared InferenceSession."""

    def __init__(self, session: Any, activation: ActivationSize) -> None:
        names = [item.name for item in session.get_inputs()]
        if sorted(names) != sorted(FLOAT_INPUTS):
            raise ConfigError(f"the ONNX file has inputs {names}, expected {list(FLOAT_INPUTS)}; export it again")
        outputs = [item.name for item in session.get_outputs()]
        self._outputs = list(SPAN_OUTPUTS) if set(SPAN_OUTPUTS) <= set(outputs) else [outputs[0]]
        self._session = session
        self._activation = activation
        self.peak_bytes = 0
        self.padding_ratio = 0.0  # of the last run

    def run(self, batch: RaggedBatch) -> NDArray[Any]:
        """float32 logits: (sequences, labels), or (tokens, 2) for span QA."""
        groups = group_by_length(batch.lengths)
        computed = sum(len(group.members) * group.columns for group in groups)
        self.padding_ratio = 1 - batch.tokens / computed
        return self._run_spans(batch, groups) if len(self._outputs) == 2 else self._run_labels(batch, groups)

    def _run_labels(self, batch: RaggedBatch, groups: list[PaddedGroup]) -> NDArray[Any]:
        results = [self._run_group(batch, group)[0] for group in groups]
        logits = np.empty((batch.sequences, results[0].shape[1]), dtype=np.float32)
        for group, result in zip(groups, results, strict=True):
            logits[list(group.members)] = result
        return logits

    def _run_spans(self, batch: RaggedBatch, groups: list[PaddedGroup]) -> NDArray[Any]:
        logits = np.empty((batch.tokens, 2), dtype=np.float32)
        slices = list(batch.slices())
        for group in groups:
            for column, result in enumerate(self._run_group(batch, group)):
                for row, member in enumerate(group.members):
                    tokens = slices[member]
                    logits[tokens, column] = result[row, : tokens.stop - tokens.start]
        return logits

    def _run_group(self, batch: RaggedBatch, group: PaddedGroup) -> list[NDArray[Any]]:
        self.peak_bytes = max(self.peak_bytes, self._activation.bytes(len(group.members), group.columns))
        outputs: list[NDArray[Any]] = self._session.run(self._outputs, padded_inputs(batch, group))
        return outputs


def padded_inputs(batch: RaggedBatch, group: PaddedGroup) -> dict[str, NDArray[np.int64]]:
    """The named inputs of BERT's usual ONNX export, each (members, columns) int64; padding is masked."""
    shape = (len(group.members), group.columns)
    ids, mask, types = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    slices = list(batch.slices())
    for row, member in enumerate(group.members):
        tokens = slices[member]
        length = tokens.stop - tokens.start
        ids[row, :length] = batch.token_ids[tokens]
        types[row, :length] = batch.type_ids[tokens]
        mask[row, :length] = 1
    return dict(zip(FLOAT_INPUTS, (ids, mask, types), strict=True))


class OnnxIntegerEngine:
    """The integer program as an ONNX graph of standard operators (`onnx_graph.py`): one sequence a run, no padding."""

    name = "onnx-integer"
    integer_only = True

    def __init__(self, model: Path | bytes, *, logit_scale: float, weights_bytes: int) -> None:
        self._model = model
        self.logit_scale = logit_scale
        self.weights_bytes = weights_bytes

    def session(self, threads: int) -> EngineSession:
        """Graph optimisations stay on: they may not change integers, and `verify` checks that they don't."""
        return OnnxIntegerSession(open_session(self._model, threads, spin=False))

    def arena_bytes(self) -> int:
        """Not counted: this engine is the proof of portability and a fallback, no variant of the service."""
        return 0


class OnnxIntegerSession:
    """One thread's InferenceSession of the integer graph."""

    def __init__(self, session: Any) -> None:
        inputs = {item.name: item.type for item in session.get_inputs()}
        if sorted(inputs) != sorted(INTEGER_INPUTS):
            raise ConfigError(f"the integer graph has inputs {sorted(inputs)}, expected {sorted(INTEGER_INPUTS)}")
        self._dtype = np.int32 if "tensor(int32)" in inputs.values() else np.int64
        self._session = session

    def run(self, batch: RaggedBatch) -> NDArray[Any]:
        """int32 logits: (sequences, labels), or (tokens, 2) for span QA."""
        rows = [self._run_one(batch.token_ids[tokens], batch.type_ids[tokens]) for tokens in batch.slices()]
        return np.concatenate(rows)

    def _run_one(self, token_ids: NDArray[np.int32], type_ids: NDArray[np.int32]) -> NDArray[Any]:
        ids, types = token_ids.astype(self._dtype), type_ids.astype(self._dtype)
        logits: NDArray[Any] = self._session.run(None, {"token_ids": ids, "type_ids": types})[0]
        return logits.reshape(-1, logits.shape[-1])


def open_session(model: Path | bytes, threads: int, *, spin: bool) -> Any:
    """An InferenceSession on the CPU with exactly `threads` threads, operators one after another.

    OnnxError for a graph that ONNX Runtime can't load.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    onnxruntime = _import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False  # a plan for each input shape; ours all differ
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    options.add_session_config_entry(
        "session.use_device_allocator_for_initializers", "1"
    )  # no arena growth for weights
    options.add_session_config_entry("session.x64quantprecision", "1")  # else 8-bit sums saturate without VNNI
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a dozen unrelated types, one for each status code of the library
        raise OnnxError(f"ONNX Runtime can't load the graph: {error}; build the package again") from error


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("this variant runs in ONNX Runtime: install intbert[onnx]") from error
    return onnxruntime
