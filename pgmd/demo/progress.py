"""What the demo tells while it works: one line that moves on a terminal, ten lines elsewhere."""

from __future__ import annotations

import threading
from typing import TextIO


class Progress:
    """Counts towards a total and shows it. Threads may share one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._moves = stream.isatty()
        self._lock = threading.Lock()
        self._label = ""
        self._total = self._done = self._shown = 0

    def say(self, text: str) -> None:
        """Show a line."""
        print(text, file=self._stream, flush=True)

    def start(self, label: str, total: int) -> None:
        """Begin to count to *total*."""
        with self._lock:
            self._label, self._total, self._done, self._shown = label, total, 0, 0

    def advance(self, count: int = 1) -> None:
        """Count *count* more as done."""
        with self._lock:
            self._done += count
            step = self._done * (100 if self._moves else 10) // self._total
            if step > self._shown:
                self._shown = step
                self._show()

    def _show(self) -> None:
        line = f"{self._label}: {self._done:,} of {self._total:,}"
        last = self._done >= self._total
        # A line that moves starts at the left again, until it is complete.
        before, after = ("\r", "\n" if last else "") if self._moves else ("", "\n")
        print(f"{before}{line}", end=after, file=self._stream, flush=True)
