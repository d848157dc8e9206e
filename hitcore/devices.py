"""Where to compute: a device by name, or a clear word why it is not to be had."""

import torch

from hitcore.errors import EngineError, ParameterError


def torch_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name; None for a GPU where there is one, else the CPU.

    Args:
        name: `cpu`, `cuda` or `cuda:N`.

    Raises:
        ParameterError: the name is none of those.
        EngineError: there is no such device here.

    Example:
        >>> torch_device("cpu")
        device(type='cpu')
        >>> torch_device("abacus")
        Traceback (most recent call last):
        hitcore.errors.ParameterError: device 'abacus': cpu, cuda or cuda:N is expected
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise ParameterError(f"device {str(name)!r}: cpu, cuda or cuda:N is expected")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            f"device {chosen} is asked for, but no CUDA device is here (or this torch has no CUDA "
            "support): take cpu"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise EngineError(
            f"device {chosen} is asked for, but there are {torch.cuda.device_count()} CUDA devices"
        )
    return chosen
