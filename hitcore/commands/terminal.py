"""What commands share: JSON on standard output, progress on standard error or in a file."""

import json
import os
import sys
import time
from typing import Any


def print_json(document: Any) -> None:
    """One JSON document on standard output and nothing else; NaN must be None by now."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # A terminal of another encoding, or a name that has none.
        text = json.dumps(document, indent=2, allow_nan=False)
    print(text)


def clock(seconds: float | None) -> str:
    """Seconds as people read them; unknown where None or infinite.

    Example:
        >>> clock(75), clock(3700), clock(float("inf"))
        ('1:15', '1:01:40', 'unknown')
    """
    if seconds is None or seconds == float("inf"):
        return "unknown"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class ProgressLine:
    """Progress on standard error where somebody watches, else a line now and then; and in a file.

    Args:
        path: A file that always holds the latest state as JSON; None for no file.
    """

    QUIET_INTERVAL_S = 10.0

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._live = sys.stderr.isatty()
        self._last = 0.0

    def show(self, stage: str, fraction: float, eta_s: float | None, message: str) -> None:
        """Tell how far things are."""
        if self._path is not None:
            self._write(stage, fraction, eta_s, message)
        text = f"{stage} {100 * fraction:.0f} %, {clock(eta_s)} left, {message}"
        now = time.monotonic()
        if self._live:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif now - self._last > self.QUIET_INTERVAL_S:
            self._last = now
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line that was drawn on."""
        if self._live:
            print(file=sys.stderr)

    def _write(self, stage: str, fraction: float, eta_s: float | None, message: str) -> None:
        from hitcore.files import write_atomic

        state = {
            "stage": stage,
            "fraction": fraction,
            "eta_s": None if eta_s == float("inf") else eta_s,
            "message": message,
            "pid": os.getpid(),
        }
        assert self._path is not None, "called where there is a file"
        write_atomic(self._path, json.dumps(state))
