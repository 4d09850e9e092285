"""Enough memory for training, checked before it starts rather than found out after an hour."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from intbert.builder.failure import MemoryShortageError

BYTES_PER_TRAINED_PARAMETER = 16  # FP32 weight, gradient and the two moments of AdamW
ACTIVATIONS_PER_CHANNEL = 34  # values that one encoder layer keeps a token and channel for its backward pass
PROCESS_BYTES = 2 * 2**30  # interpreter, libraries, compiled CPU primitives, data
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def training_bytes(model: PreTrainedModel, batch_tokens: int, sequence_tokens: int, *, bf16: bool) -> int:
    """A rough upper estimate of what training holds at once, in bytes."""
    config = model.config
    value_bytes = 2 if bf16 else 4
    linear = ACTIVATIONS_PER_CHANNEL * config.hidden_size
    scores = 3 * config.num_attention_heads * sequence_tokens
    activations = batch_tokens * config.num_hidden_layers * (linear + scores) * value_bytes
    parameters: int = model.num_parameters()
    return parameters * BYTES_PER_TRAINED_PARAMETER + int(activations)


def check_memory(model: PreTrainedModel, batch_examples: int, sequence_tokens: int, *, bf16: bool) -> None:
    """Raise MemoryShortageError when the estimate exceeds what is free on the device that will train."""
    need = training_bytes(model, batch_examples * sequence_tokens, sequence_tokens, bf16=bf16)
    free: int | None
    if torch.cuda.is_available():
        place, free = "GPU", torch.cuda.mem_get_info()[0]
    else:
        place, free = "main", free_bytes()
        need += PROCESS_BYTES
    if free is not None and need > free:
        raise MemoryShortageError(
            f"training needs about {need / 2**30:.1f} GiB of {place} memory, {free / 2**30:.1f} GiB are free; "
            f"lower the batch (now {batch_examples} examples) or the length of texts (now {sequence_tokens} tokens)"
        )


def free_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Main memory that this process may still take, by machine and control group. None where neither says."""
    known = [free for free in (_machine_free(meminfo), _cgroup_free(cgroup)) if free is not None]
    return min(known, default=None)


def _machine_free(meminfo: Path) -> int | None:
    if not meminfo.is_file():
        return None
    fields = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines() if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _cgroup_free(cgroup: Path) -> int | None:
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if not limit.is_file() or not used.is_file() or (text := limit.read_text(encoding="ascii").strip()) == "max":
        return None
    return max(0, int(text) - int(used.read_text(encoding="ascii")))
