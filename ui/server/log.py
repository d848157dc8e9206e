"""The server's log: one line for each event, with no title of a song and nobody's name or number.

Every line goes through one formatter, those of Streamlit and the web server too. Of an exception
it takes the class and the place in the code: its message may quote what a visitor brought. What
went wrong last is kept in memory for the operators' page.
"""

import logging
import sys
import time
import traceback
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ui.server.streamlit_private import log_through_root

ROOT = Path(__file__).resolve().parents[2]
LOGGER = logging.getLogger("hitcore.server")
N_FAULTS = 20
"""So many of the last warnings and errors are kept."""


@dataclass(frozen=True)
class Fault:
    """Something that went wrong."""

    when: float
    """Seconds since 1970."""
    line: str
    """As it stands in the log."""


FAULTS: deque[Fault] = deque(maxlen=N_FAULTS)
"""What went wrong last, the latest at the end."""

EVENTS: Counter[str] = Counter()
"""How often each event has happened since the server was started."""


def event(name: str, **figures: float | str | None) -> None:
    """Note that something happened, with figures or words of our own.

    Args:
        name: What happened, in a word or two of this code; never a visitor's text.
        figures: Numbers, and words of this code. Fractions are rounded.
    """
    EVENTS[name] += 1
    LOGGER.info(_line(name, figures))


def warn(name: str, **figures: float | str | None) -> None:
    """Note something that an operator has to mend."""
    EVENTS[name] += 1
    LOGGER.warning(_line(name, figures))


def fault(name: str, error: BaseException) -> None:
    """Note that something went wrong: the class of the error and where it arose."""
    EVENTS[name] += 1
    LOGGER.error(name, exc_info=error)


class OneLine(logging.Formatter):
    """Formats a record as one line, and an exception as its class and place.

    Example:
        >>> record = logging.LogRecord("hitcore", 20, "", 0, "two\\nlines %d", (1,), None)
        >>> OneLine().format(record).split(" ", 2)[2]
        'INFO two lines 1'
    """

    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """The record on one line: time (UTC), level, message."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", self.converter(record.created))
        words = [moment, record.levelname, _message(record)]
        if record.exc_info and record.exc_info[1] is not None:
            words.append(place_of(record.exc_info[1]))
        return " ".join(" ".join(words).split())


def place_of(error: BaseException) -> str:
    """The class of an exception, and the last place of this project that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT)]
    own = [frame for frame in own if "site-packages" not in frame.filename]
    frame = next(reversed(own or frames), None)
    place = "" if frame is None else f" at {Path(frame.filename).name}:{frame.lineno}"
    return f"{type(error).__name__}{place}"


def _message(record: logging.LogRecord) -> str:
    """What a record says; Streamlit quotes what visitors brought in some of its own."""
    own = record.name.startswith(("hitcore", "ui"))
    return record.getMessage() if own or not record.exc_info else "uncaught error"


class _Remember(logging.Handler):
    """Keeps what went wrong for the operators' page."""

    def emit(self, record: logging.LogRecord) -> None:
        FAULTS.append(Fault(record.created, self.format(record)))


def set_up(stream: TextIO | None = None) -> None:
    """Send everything that is logged to a stream (standard error), in lines of this form."""
    logging.raiseExceptions = False  # a line that cannot be written is not told with its cause
    shown = logging.StreamHandler(stream or sys.stderr)
    shown.setFormatter(OneLine())
    kept = _Remember(logging.WARNING)
    kept.setFormatter(OneLine())
    for handler in (shown, kept):
        handler.addFilter(_is_for_operators)
    logging.getLogger().handlers[:] = [shown, kept]
    LOGGER.setLevel(logging.INFO)
    log_through_root()
    logging.captureWarnings(True)


def _is_for_operators(record: logging.LogRecord) -> bool:
    """Not what the web server says of each connection, with its address."""
    talk = record.name.startswith(("uvicorn", "websockets")) and record.levelno < logging.WARNING
    return not talk


def _line(name: str, figures: dict[str, float | str | None]) -> str:
    words = [name]
    for key, value in figures.items():
        shown = f"{value:.3g}" if isinstance(value, float) else value
        words.append(f"{key}={shown}")
    return " ".join(words)
