"""SIGTERM ends a training run after the step under way, with a checkpoint; the same command resumes it."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlhf.training.processes import any_of_us

#: Status of a process that was asked to end, as shells write it: 128 + SIGTERM.
STOPPED = 143


class Stop(TrainerCallback):
    """Remembers a SIGTERM, and lets the step under way end with a checkpoint."""

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self.is_requested = False

    @classmethod
    @contextlib.contextmanager
    def on_sigterm(cls) -> Iterator[Stop]:
        """Take over SIGTERM inside the block."""
        stop = cls()

        def remember(number: int, frame: FrameType | None) -> None:
            stop.is_requested = True

        previous = signal.signal(signal.SIGTERM, remember)
        try:
            yield stop
        finally:
            signal.signal(signal.SIGTERM, previous)

    def leave_if_requested(self) -> None:
        """End the process if it was asked to end.

        Raises:
            SystemExit: it was (status 143).
        """
        if self.is_requested:
            print("stopped by SIGTERM; the same command resumes this run", file=sys.stderr)
            raise SystemExit(STOPPED)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Save and stop after this step; processes that train together stop together."""
        self.is_requested = any_of_us(self.is_requested)
        if self.is_requested:
            control.should_save = control.should_training_stop = True
