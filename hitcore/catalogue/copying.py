"""Taking a workspace to an address of fsspec, and back."""

import shutil
from pathlib import Path, PurePosixPath

from hitcore.catalogue.workspace import Workspace, new_workspace
from hitcore.errors import DataError, ParameterError
from hitcore.remote import Mirror, is_address

_MARKER, _UNFINISHED = "workspace.json", ".copying"
_STAYS = {"ledger.sqlite", "ledger.sqlite-journal", "ledger.sqlite-wal", "ledger.sqlite-shm"}
"""What belongs to the machine that drives."""


def copy_workspace(source: str, target: str) -> Workspace:
    """Copy a workspace from a folder to an address or back; the copy.

    The ledger stays: runs that are done are known by their folders. A copy to an address that was
    broken off is begun again by the same call.

    Raises:
        ParameterError: neither of the two is an address, or both are.
        DataError: there is no workspace at `source`, or something is at `target`.
        StoreError: the store does not answer or refuses.
    """
    if is_address(source) == is_address(target):
        raise ParameterError(
            "one of the two is an address such as s3://bucket/w, the other a folder; folders are "
            "copied with `cp -a`"
        )
    if is_address(target):
        return _taken(Workspace.open(source), Mirror.of(target))
    place = Workspace.open(source)
    assert place.mirror is not None, "opened at an address"
    with new_workspace(target) as made:
        _brought(place.mirror, made.path)
    return Workspace.open(target)


def _taken(workspace: Workspace, mirror: Mirror) -> Workspace:
    there = mirror.sizes(mirror.folder, deep=True)
    if there and _UNFINISHED not in there:
        raise DataError(f"{mirror.address} holds other things: give an address that holds none")
    taking = Mirror(mirror.address, workspace.path)
    note = workspace.path / _UNFINISHED
    try:
        note.touch()
        taking.push(note)
        files = [path for path in sorted(workspace.path.rglob("*")) if path.is_file()]
        inside = {path: path.relative_to(workspace.path).as_posix() for path in files}
        wanted = [path for path, name in inside.items() if name != _MARKER and _travels(name)]
        taking.push(*wanted, workspace.path / _MARKER)
        taking.remove(note)
    finally:
        note.unlink(missing_ok=True)
    shutil.rmtree(mirror.folder, ignore_errors=True)  # copies of what was there before
    return Workspace.open(mirror.address)


def _brought(mirror: Mirror, folder: Path) -> None:
    """Fetch all that lies at the address into a folder, past the copies that are here."""
    Mirror(mirror.address, folder).fetch(
        *(folder / name for name in mirror.sizes(mirror.folder, deep=True) if _travels(name))
    )


def _travels(name: str) -> bool:
    """Whether a file goes along: not what is unfinished, and not the ledger.

    Example:
        >>> _travels("songs.parquet"), _travels("runs/.3f2a.work/state.npz")
        (True, False)
    """
    hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
    return not hidden and name not in _STAYS and "/parts/" not in name
