"""What the Trainer reports, as lines for people; stdout stays free for results."""

from collections.abc import Callable, Mapping
from typing import Any

from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Say = Callable[[str], None]
SHOWN = ("loss", "eval_loss", "eval_accuracy", "train_runtime")


class SayLogs(TrainerCallback):
    """Passes every log entry to `say`."""

    def __init__(self, name: str, say: Say) -> None:
        self._name, self._say = name, say

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Trainer's hook."""
        figures = ", ".join(f"{key} {float(logs[key]):.4g}" for key in SHOWN if logs and key in logs)
        if figures:
            self._say(f"{self._name}: step {state.global_step} of {state.max_steps}, {figures}")


def report_to(trainer: Trainer, name: str, say: Say, *, progress: bool) -> None:
    """A progress bar, or lines where nobody watches."""
    trainer.remove_callback(PrinterCallback)
    if not progress:
        trainer.add_callback(SayLogs(name, say))
