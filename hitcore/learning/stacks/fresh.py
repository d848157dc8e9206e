"""The stack of some members as it stands before training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from hitcore.learning.batches import group_key
from hitcore.learning.settings import Member, TrainConfig, network_of
from hitcore.learning.stacks.devicedata import DeviceData
from hitcore.learning.stacks.stack import Normalisation, Stack
from hitcore.networks.hitnet import HitNet, initialise, start_from

log = logging.getLogger(__name__)


def fresh_stack(
    members: Sequence[Member], data: DeviceData, config: TrainConfig, precision: str
) -> Stack:
    """The members' networks with the first weights of their seeds.

    Args:
        members: Members of one network shape; those of one group stand together.
        data: The data, on the device.
        config: Settings.
        precision: Type of the products; auto is bfloat16 on CUDA, float32 elsewhere.
    """
    device = data.device
    units = [_unit_of(member, data, config) for member in members]
    networks = [_network(m, u, data, config) for m, u in zip(members, units, strict=True)]
    keys = [group_key(member, config) for member in members]
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"
    return fastest(device)(
        networks,
        [order[key] for key in keys],
        _normalisation("mel", members, data, config) if networks[0].audio is not None else None,
        _normalisation("tags", members, data, config) if networks[0].tag is not None else None,
        torch.tensor(units, device=device),
        device,
        getattr(torch, precision),
    )


def _network(member: Member, unit: float, data: DeviceData, config: TrainConfig) -> HitNet:
    network = initialise(network_of(member, data.source, config), member.seed)
    if config.centre_output:
        start_from(network, float(_truth(member, data).mean()) / unit)
    return network


def _unit_of(member: Member, data: DeviceData, config: TrainConfig) -> float:
    return float(_truth(member, data).std()) if config.standardise else 1.0


def _truth(member: Member, data: DeviceData) -> NDArray[np.float64]:
    return np.asarray(data.source.y, np.float64)[member.songs["train"]]


def _normalisation(
    name: str, members: Sequence[Member], data: DeviceData, config: TrainConfig
) -> Normalisation:
    moments = [data.statistics(name, m.songs["train"]) for m in members]
    mean, scale = (torch.stack(values) for values in zip(*moments, strict=True))
    if not config.standardise:
        mean, scale = torch.zeros_like(mean), torch.ones_like(scale)
    return Normalisation(mean, scale)


@lru_cache(maxsize=8)
def fastest(device: torch.device) -> type[Stack]:
    """The kind of stack that this device runs fastest."""
    if device.type == "cpu":
        return Stack
    try:
        from hitcore.learning.stacks.gpu.fused import FusedStack, try_out

        try_out(device)
    except Exception as error:  # no Triton, no compiler, too old a card: all mean no
        log.warning(
            "the fused kernels cannot be used (%s): plain steps are taken, which are slower",
            " ".join(f"{type(error).__name__}: {error}".split())[:300],
        )
        return Stack
    return FusedStack
