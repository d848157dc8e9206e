"""`hitcore doctor`: what is installed here, what is missing, and what to do about it."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from hitcore.commands.terminal import print_json

LEAST_FREE_GB = 2.0
"""Free disk below which features of a catalogue will not fit."""

EXTRAS = {
    "streamlit": "the app: pip install 'hitcore[app]'",
    "ray": "features and experiments on a cluster: pip install 'hitcore[ray]'",
    "s3fs": "workspaces and songs at s3://…: pip install 'hitcore[s3]'",
    "pyspark": "play logs on Spark: pip install 'hitcore[spark]'",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """What."""
    state: str
    """How it is, in a few words."""
    ok: bool
    """Whether nothing need be done."""
    advice: str = ""
    """What to do about it, where something can be done."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Say what is installed, which weights and devices there are, and what to do about faults.

    Exit status 2 where something that hitcore needs is at fault; what is optional only gets advice.
    """
    findings = list(examine())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "ok" if finding.ok else "--"
            print(f"{mark}  {finding.subject}: {finding.state}")
            if finding.advice:
                print(f"      {finding.advice}")
    if any(not finding.ok for finding in findings):
        raise typer.Exit(2)


def examine() -> Iterator[Finding]:
    """Everything that is looked at, in order."""
    yield Finding("python", sys.version.split()[0], True)
    for package in ("hitcore", "torch", "librosa", "soundfile", "av", "duckdb"):
        yield _required(package)
    for package, advice in EXTRAS.items():
        found = _version(package)
        yield Finding(package, found or "not installed", True, "" if found else f"for {advice}")
    yield from _weights()
    yield _decoder()
    yield _device()
    yield _disk()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _required(package: str) -> Finding:
    found = _version(package)
    if found is not None:
        return Finding(package, found, True)
    return Finding(package, "not installed", False, f"pip install {package}, or `make app`")


def _weights() -> Iterator[Finding]:
    from hitcore import weights
    from hitcore.errors import WeightsError

    for name in weights.packaged():
        yield Finding(f"weights {name}", "shipped", True)
    for name in weights.REGISTRY:
        needed = name == "musicnn-mtt"
        if not weights.is_installed(name):
            advice = f"hitcore weights fetch {name}, or hitcore weights import {name} PATH"
            yield Finding(f"weights {name}", "not installed", not needed, advice)
            continue
        try:
            weights.load(name)
        except WeightsError as error:
            yield Finding(f"weights {name}", str(error), False, f"hitcore weights fetch {name}")
        else:
            yield Finding(f"weights {name}", "installed and whole", True)


def _decoder() -> Finding:
    """Decoding one made-up sound tells whether the decoding process works, and in which sandbox."""
    import numpy as np

    from hitcore.audio import Waveform, encode, load_audio, walls
    from hitcore.errors import HitcoreError

    try:
        load_audio(encode(Waveform(np.zeros(8000, np.float32), 8000)))
        stand = walls()
    except HitcoreError as error:
        advice = "the decoder runs in a process of its own: check limits on processes and memory"
        return Finding("decoder", str(error), False, advice)
    return Finding("decoder", f"works; {stand.sentence}", True, stand.advice)


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("device", f"cuda: {torch.cuda.get_device_name(0)}", True)
    return Finding("device", f"cpu, {torch.get_num_threads()} threads; no CUDA device", True)


def _disk() -> Finding:
    from hitcore import weights

    folder = next(
        p for p in (weights.cache_folder(), *weights.cache_folder().parents) if p.exists()
    )
    free_gb = shutil.disk_usage(folder).free / 1e9
    state = f"{free_gb:.1f} GB free at {Path(folder)}"
    if free_gb >= LEAST_FREE_GB:
        return Finding("disk", state, True)
    return Finding("disk", state, False, "free some, or set HITCORE_CACHE to another folder")
