"""Songs for builds under test: cheap ones, and some that hang, crash or fail."""

import hashlib
import os
import signal
import time
from pathlib import Path

import numpy as np

from hitcore.audio import Waveform
from hitcore.errors import AudioError

SECONDS = 3
SAMPLE_RATE = 22_050


def read_noise(workspace: Path, source: str) -> Waveform:
    """Three seconds of noise that follow from the source's name."""
    seed = int.from_bytes(hashlib.sha256(source.encode()).digest()[:4], "big")
    samples = np.random.default_rng(seed).normal(0, 0.1, SECONDS * SAMPLE_RATE)
    return Waveform(samples.astype(np.float32), SAMPLE_RATE)


def read_slowly(workspace: Path, source: str) -> Waveform:
    """The same, so slowly that a build can be interrupted."""
    time.sleep(0.1)
    return read_noise(workspace, source)


def read_trouble(workspace: Path, source: str) -> Waveform:
    """Noise, or what the source's name asks for."""
    if source == "hang":
        time.sleep(3600)
    if source == "stuck":
        # Nothing in this process can interrupt it: the signal is blocked, as in C code.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(3600)
    if source == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if source == "bug":
        raise ZeroDivisionError("division by zero")
    if source == "corrupt":
        raise AudioError("the file is no sound file")
    return read_noise(workspace, source)
