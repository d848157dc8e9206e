# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call, import-not-found"
"""The small steps of a stack's network as single passes over memory, in Triton.

On a GPU the products of a step take less time than what stands between them: bias, leaky ReLU,
dropout, pooling and their gradients, each of which reads and writes whole activations. Here each
such chain is one kernel, and so are the loss of a batch and the step of the optimiser. `fused` puts
them together; the plain path of `stack`, `losses` and `optimisers` is their oracle.

Conventions:
    Arrays are contiguous; the member comes first. Sums over rows are made in two stages of fixed
    order, so that a run ends the same bits every time.
    Dropout draws one byte for each activation from the member's own key, the step, the layer and
    the place of the activation, so what a member draws does not depend on the stack it is in, nor
    on whether the step is replayed.

References:
    The finaliser of the draws is lowbias32 of C. Wellons' search for integer hashes (2018).
"""

from __future__ import annotations

import triton
import triton.language as tl

LEAK = tl.constexpr(0.1)


@triton.jit
def _mixed(h):
    h ^= h >> 16
    h *= 0x7FEB352D
    h ^= h >> 15
    h *= 0x846CA68B
    h ^= h >> 16
    return h


@triton.jit
def _kept(keys, step, member, index, SALT: tl.constexpr, N_DROPPED: tl.constexpr):
    """Whether the activations at these places of a member stay."""
    key = tl.load(keys + member)
    now = tl.load(step).to(tl.uint32)
    one = _mixed(key.to(tl.uint32) + _mixed(now + SALT))
    two = _mixed((key >> 32).to(tl.uint32) ^ one)
    draws = _mixed(_mixed(index.to(tl.uint32) + one) ^ two)
    return (draws >> 24) >= N_DROPPED


@triton.jit
def _leaky(x):
    return tl.where(x > 0, x, LEAK * x)


@triton.jit
def _slope(y, FACTOR: tl.constexpr, N_DROPPED: tl.constexpr):
    """What a gradient is multiplied by, from the activation that came out."""
    at_zero = LEAK * FACTOR if N_DROPPED == 0 else 0.0
    return tl.where(y > 0, FACTOR, tl.where(y < 0, LEAK * FACTOR, at_zero))


@triton.jit
def _song_windows(
    mel, songs, shift, scale, out, n_songs, song_size, n_rows_each,
    N_MELS: tl.constexpr, SPAN: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Standardised windows of frames: row (song, t) holds frames t to t + kernel - 1."""
    group = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    known = row < n_songs * n_rows_each
    inside = known[:, None] & (column < SPAN)[None, :]
    song = tl.load(songs + group * n_songs + row // n_rows_each, known, 0)
    song = tl.maximum(song, 0).to(tl.int64)
    source = song * song_size + (row % n_rows_each) * N_MELS
    value = tl.load(mel + source[:, None] + column[None, :], inside, 0.0).to(tl.float32)
    place = group * N_MELS + column % N_MELS
    factor = tl.load(scale + place, column < SPAN, 0.0)
    value = value * factor[None, :] + tl.load(shift + place, column < SPAN, 0.0)[None, :]
    at = out + group * n_songs * n_rows_each * SPAN + row[:, None].to(tl.int64) * SPAN
    tl.store(at + column[None, :], value.to(out.dtype.element_ty), inside)


@triton.jit
def _windows(
    x, out, n_each, n_in_each, n_frames, n_windows, N_IN: tl.constexpr, SPAN: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Windows of frames side by side, for each member and song."""
    member = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n_each
    row = index // SPAN
    source = (row // n_windows * n_frames + row % n_windows) * N_IN + index % SPAN
    value = tl.load(x + member * n_in_each + source, inside, 0.0)
    tl.store(out + member * n_each + index, value, inside)


@triton.jit
def _windows_back(
    by_out, by_x, n_each, n_out_each, n_frames, n_windows, N_IN: tl.constexpr,
    KERNEL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Each frame's gradient is the sum over the windows that hold it."""
    member = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n_each
    row, channel = index // N_IN, index % N_IN
    song, frame = row // n_frames, row % n_frames
    total = tl.zeros([BLOCK], tl.float32)
    for k in tl.static_range(KERNEL):
        window = frame - k
        source = ((song * n_windows + window) * KERNEL + k) * N_IN + channel
        here = inside & (window >= 0) & (window < n_windows)
        total += tl.load(by_out + member * n_out_each + source, here, 0.0).to(tl.float32)
    tl.store(by_x + member * n_each + index, total.to(by_x.dtype.element_ty), inside)


@triton.jit
def _pool(
    z, bias, y, offsets, strides, keys, step, n_rows, n_frames, n_pooled,
    N_OUT: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
    SALT: tl.constexpr, N_DROPPED: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    """The larger of two frames, bias, leaky ReLU, dropout."""
    member = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    inside = (row < n_rows)[:, None] & (column < N_OUT)[None, :]
    stride = tl.load(strides + member)
    source = (row // n_pooled * n_frames + 2 * (row % n_pooled)).to(tl.int64) * stride
    at = z + tl.load(offsets + member) + source[:, None] + column[None, :]
    even = tl.load(at, inside, 0.0).to(tl.float32)
    odd = tl.load(at + stride, inside, 0.0).to(tl.float32)
    shift = tl.load(bias + member * N_OUT + column, column < N_OUT, 0.0).to(tl.float32)
    value = _leaky(tl.maximum(even, odd) + shift[None, :])
    index = row[:, None] * N_OUT + column[None, :]
    if N_DROPPED > 0:
        kept = _kept(keys, step, member, index, SALT, N_DROPPED)
        value = tl.where(kept, value * FACTOR, 0.0)
    tl.store(y + member * n_rows * N_OUT + index, value.to(y.dtype.element_ty), inside)


@triton.jit
def _pool_back(
    gradient, z, y, by_z, by_bias, offsets, strides, n_rows, n_frames, n_pooled,
    N_OUT: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, LOOPS: tl.constexpr,
    ODD: tl.constexpr, N_DROPPED: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, WIDTH)
    stride = tl.load(strides + member)
    start = tl.load(offsets + member)
    kind = by_z.dtype.element_ty
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    for loop in range(LOOPS):
        row = (tl.program_id(0) * LOOPS + loop) * ROWS + tl.arange(0, ROWS)
        inside = (row < n_rows)[:, None] & (column < N_OUT)[None, :]
        index = member * n_rows * N_OUT + row[:, None] * N_OUT + column[None, :]
        frame = row % n_pooled
        source = (row // n_pooled * n_frames + 2 * frame).to(tl.int64) * stride
        place = start + source[:, None] + column[None, :]
        first = tl.load(z + place, inside, 0.0) >= tl.load(z + place + stride, inside, 0.0)
        value = tl.load(gradient + index, inside, 0.0).to(tl.float32)
        value *= _slope(tl.load(y + index, inside, 0.0).to(tl.float32), FACTOR, N_DROPPED)
        tl.store(by_z + place, tl.where(first, value, 0.0).to(kind), inside)
        tl.store(by_z + place + stride, tl.where(first, 0.0, value).to(kind), inside)
        if ODD:  # a last frame without a partner is in no pair
            last = inside & (frame == n_pooled - 1)[:, None]
            tl.store(by_z + place + 2 * stride, tl.zeros([ROWS, WIDTH], kind), last)
        total += value
    part = member * tl.num_programs(0) + tl.program_id(0)
    tl.store(by_bias + part * N_OUT + column, tl.sum(total, 0), column < N_OUT)


@triton.jit
def _activate(
    x, bias, keys, step, n_each, N_OUT: tl.constexpr, BLOCK: tl.constexpr,
    SALT: tl.constexpr, N_DROPPED: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    """Bias, leaky ReLU and dropout, in place."""
    member = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n_each
    at = x + member * n_each + index
    shift = tl.load(bias + member * N_OUT + index % N_OUT, inside, 0.0).to(tl.float32)
    value = _leaky(tl.load(at, inside, 0.0).to(tl.float32) + shift)
    if N_DROPPED > 0:
        kept = _kept(keys, step, member, index, SALT, N_DROPPED)
        value = tl.where(kept, value * FACTOR, 0.0)
    tl.store(at, value.to(x.dtype.element_ty), inside)


@triton.jit
def _activate_back(
    gradient, y, by_x, by_bias, n_rows, N_OUT: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, LOOPS: tl.constexpr, N_DROPPED: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, WIDTH)
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    for loop in range(LOOPS):
        row = (tl.program_id(0) * LOOPS + loop) * ROWS + tl.arange(0, ROWS)
        inside = (row < n_rows)[:, None] & (column < N_OUT)[None, :]
        index = member * n_rows * N_OUT + row[:, None] * N_OUT + column[None, :]
        value = tl.load(gradient + index, inside, 0.0).to(tl.float32)
        value *= _slope(tl.load(y + index, inside, 0.0).to(tl.float32), FACTOR, N_DROPPED)
        tl.store(by_x + index, value.to(by_x.dtype.element_ty), inside)
        total += value
    part = member * tl.num_programs(0) + tl.program_id(0)
    tl.store(by_bias + part * N_OUT + column, tl.sum(total, 0), column < N_OUT)


@triton.jit
def _head(
    x, bias, weight, last_bias, score, keys, step, n_rows, N_OUT: tl.constexpr,
    WIDTH: tl.constexpr, ROWS: tl.constexpr,
    SALT: tl.constexpr, N_DROPPED: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    """Bias, leaky ReLU, dropout, one last unit and its leaky ReLU."""
    member = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    here = column < N_OUT
    inside = (row < n_rows)[:, None] & here[None, :]
    index = row[:, None] * N_OUT + column[None, :]
    shift = tl.load(bias + member * N_OUT + column, here, 0.0).to(tl.float32)
    by = tl.load(weight + member * N_OUT + column, here, 0.0).to(tl.float32)
    value = tl.load(x + member * n_rows * N_OUT + index, inside, 0.0).to(tl.float32)
    value = _leaky(value + shift[None, :])
    if N_DROPPED > 0:
        kept = _kept(keys, step, member, index, SALT, N_DROPPED)
        value = tl.where(kept, value * FACTOR, 0.0)
    total = tl.sum(value * by[None, :], 1) + tl.load(last_bias + member).to(tl.float32)
    tl.store(score + member * n_rows + row, _leaky(total), row < n_rows)


@triton.jit
def _head_back(
    gradient, x, bias, weight, score, by_x, by_bias, by_weight, by_last, keys, step, n_rows,
    N_OUT: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, LOOPS: tl.constexpr,
    SALT: tl.constexpr, N_DROPPED: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, WIDTH)
    here = column < N_OUT
    shift = tl.load(bias + member * N_OUT + column, here, 0.0).to(tl.float32)
    by = tl.load(weight + member * N_OUT + column, here, 0.0).to(tl.float32)
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    of_weight = tl.zeros([ROWS, WIDTH], tl.float32)
    of_last = tl.zeros([ROWS], tl.float32)
    for loop in range(LOOPS):
        row = (tl.program_id(0) * LOOPS + loop) * ROWS + tl.arange(0, ROWS)
        inside = (row < n_rows)[:, None] & here[None, :]
        index = row[:, None] * N_OUT + column[None, :]
        before = tl.load(x + member * n_rows * N_OUT + index, inside, 0.0).to(tl.float32)
        before += shift[None, :]
        share = tl.where(before > 0, FACTOR, LEAK * FACTOR)
        if N_DROPPED > 0:
            kept = _kept(keys, step, member, index, SALT, N_DROPPED)
            share = tl.where(kept, share, 0.0)
        at = member * n_rows + row
        out = tl.load(gradient + at, row < n_rows, 0.0)
        out *= tl.where(tl.load(score + at, row < n_rows, 0.0) > 0, 1.0, LEAK)
        value = out[:, None] * by[None, :] * share
        target = by_x + member * n_rows * N_OUT + index
        tl.store(target, value.to(by_x.dtype.element_ty), inside)
        total += value
        of_weight += out[:, None] * before * share
        of_last += out
    part = member * tl.num_programs(0) + tl.program_id(0)
    tl.store(by_bias + part * N_OUT + column, tl.sum(total, 0), here)
    tl.store(by_weight + part * N_OUT + column, tl.sum(of_weight, 0), here)
    tl.store(by_last + part, tl.sum(of_last, 0))


@triton.jit
def _batch_loss(
    score, y, permitted, margin, rank_weight, loss, by_score, n_songs, SIZE: tl.constexpr
):
    """Eq. 3 over the permitted pairs of a batch, and its gradient."""
    member = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, SIZE)
    inside = i < n_songs
    start = member * n_songs
    score_i, y_i = (tl.load(score + start + i, inside, 0.0), tl.load(y + start + i, inside, 0.0))
    both = inside[:, None] & inside[None, :] & (i[:, None] < i[None, :])
    at = permitted + start * n_songs + i[:, None] * n_songs + i[None, :]
    pairs = tl.load(at, both, 0).to(tl.float32)
    sign = tl.where(y_i[:, None] >= y_i[None, :], 1.0, -1.0)
    short = tl.load(margin + member) - sign * (score_i[:, None] - score_i[None, :])
    hinge = tl.maximum(short, 0.0) * pairs
    partners = tl.sum(pairs, 1) + tl.sum(pairs, 0)
    n_pairs = tl.maximum(tl.sum(partners, 0) / 2, 1.0)
    miss = score_i - y_i
    w = tl.load(rank_weight + member)
    rated = tl.sum(partners * miss * miss, 0) / (2 * n_pairs)
    tl.store(loss + member, (1 - w) * rated + w * tl.sum(tl.sum(hinge, 1), 0) / n_pairs)
    pull = tl.where(short >= 0, sign * pairs, 0.0)
    pull = tl.sum(pull, 0) - tl.sum(pull, 1)
    gradient = ((1 - w) * partners * miss + w * pull) / n_pairs
    tl.store(by_score + start + i, gradient, inside)


@triton.jit
def _adagrad(value, total, gradient, copy, rate, n_each, COPIES: tl.constexpr, BLOCK: tl.constexpr):
    member = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n_each
    at = member * n_each + index
    slope = tl.load(gradient + at, inside, 0.0).to(tl.float32)
    sum_now = tl.load(total + at, inside, 1.0) + slope * slope
    now = tl.load(value + at, inside, 0.0) - tl.load(rate + member) * slope / tl.sqrt(sum_now)
    tl.store(total + at, sum_now, inside)
    tl.store(value + at, now, inside)
    if COPIES:
        tl.store(copy + at, now.to(copy.dtype.element_ty), inside)


@triton.jit
def _adam(
    value, mean, square, gradient, copy, size, unbiased, active, n_each,
    BETA1: tl.constexpr, BETA2: tl.constexpr, EPSILON: tl.constexpr,
    COPIES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n_each
    at = member * n_each + index
    moved = tl.load(active + member)
    slope = tl.load(gradient + at, inside, 0.0).to(tl.float32)
    first, second = tl.load(mean + at, inside, 0.0), tl.load(square + at, inside, 0.0)
    first += (slope - first) * (moved * (1 - BETA1))
    second += (slope * slope - second) * (moved * (1 - BETA2))
    spread = tl.sqrt(second) / tl.load(unbiased + member) + EPSILON
    now = tl.load(value + at, inside, 0.0) - tl.load(size + member) * first / spread
    tl.store(mean + at, first, inside)
    tl.store(square + at, second, inside)
    tl.store(value + at, now, inside)
    if COPIES:
        tl.store(copy + at, now.to(copy.dtype.element_ty), inside)
