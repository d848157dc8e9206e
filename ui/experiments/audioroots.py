"""Folders of sound on the server's own disk that its owner lets visitors use.

HITCORE_AUDIO_ROOTS names them, separated like PATH; by default there is none. What is asked for is
resolved, links and all, before it is compared, and a folder that may not be used is refused in the
same words as one that does not exist, so that nobody can look around.
"""

import os
from pathlib import Path

from hitcore.errors import ParameterError

VARIABLE = "HITCORE_AUDIO_ROOTS"


def roots() -> list[Path]:
    """The folders whose content may be used, links resolved; empty by default."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    paths = [Path(name).expanduser() for name in named if name.strip()]
    return [path.resolve() for path in paths if path.is_absolute() and path.is_dir()]


def permitted(asked: str) -> Path:
    """The folder that a visitor asked for, if it lies below a root.

    Args:
        asked: A path from the root of the disk on, or below one of `roots`.

    Raises:
        ParameterError: there is no root, no such folder, or it lies elsewhere.
    """
    allowed = roots()
    if not allowed:
        raise ParameterError(
            f"no folder of sound is permitted here: its owner names some in {VARIABLE}"
        )
    try:
        for root in allowed:
            folder = (root / asked.strip()).resolve()  # an absolute path stands for itself
            if folder.is_dir() and any(folder.is_relative_to(each) for each in allowed):
                return folder
    except (OSError, ValueError, RuntimeError):
        pass  # a path that no disk can hold
    names = " or ".join(str(root) for root in allowed)
    raise ParameterError(f"{asked!r:.120}: a folder below {names} is expected")
