"""The strongest response of filters over all bins, without keeping all responses: for processors.

Patches are taken one by one, and a filter of one bin is slid over some bins at a time, so that
responses stay in the cache of one core until the largest is taken. Tall filters go by way of the
spectrum over the bins. A filter of 38 bins and 7 frames takes 266 products at each of 59 places,
and only the largest response is kept; but over the bins a convolution is a product of spectra: one
complex matrix product over the 7 frames gives the spectrum of all responses, and two real ones turn
it back. Counted from the middle place, they give an even part (cosines) and an odd one (sines),

    response[n] = even[n] - odd[n]        response[-n] = even[n] + odd[n]

so the larger of each pair is `even + |odd|`. In all that is a quarter of the products, and as exact
in single precision as the sum of 266 of them.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

# Responses of one patch that stay in the cache of one core.
_BINS_AT_ONCE = 24
_FILTERS_AT_ONCE = 17


def strongest_over_bins(x: Tensor, weight: Tensor) -> Tensor:
    """The maximum over the bins of a convolution without padding; differentiable.

    Shape:
        x `(n_patches, n_bins, n_frames)`, weight `(n_out, 1, height, width)` ->
        `(n_patches, n_out, n_frames - width + 1)`.

    Example:
        >>> x, weight = torch.rand(2, 9, 8), torch.rand(3, 1, 4, 5)
        >>> direct = torch.conv2d(x.unsqueeze(1), weight).amax(dim=2)
        >>> bool(torch.isclose(strongest_over_bins(x, weight), direct, atol=1e-5).all())
        True
    """
    if weight.shape[2] == 1:
        return torch.cat([_of_low_filters(patch, weight) for patch in torch.split(x, 1)])
    n_bins, n_places = x.shape[1], x.shape[1] - weight.shape[2] + 1
    filters = _filter_spectra(weight, n_bins, n_places // 2)
    ways_back = _ways_back(n_bins, n_places // 2, x)
    return torch.cat(
        [
            _of_tall_filters(patch, filters, ways_back, n_places)
            for patch in torch.split(torch.fft.rfft(x, dim=1), 1)
        ]
    )


def _of_low_filters(x: Tensor, weight: Tensor) -> Tensor:
    parts = torch.split(x.unsqueeze(1), _BINS_AT_ONCE, dim=2)
    return torch.stack([functional.conv2d(part, weight).amax(dim=2) for part in parts]).amax(dim=0)


def _of_tall_filters(
    spectra: Tensor, filters: Tensor, ways_back: tuple[Tensor, Tensor], n_places: int
) -> Tensor:
    cosines, sines = (way.expand(len(spectra), -1, -1) for way in ways_back)
    windows = spectra.unfold(2, filters.shape[3] // 2, 1).transpose(2, 3)
    windows = torch.cat([windows.real, windows.imag], dim=2)
    n_pairs = (n_places + 1) // 2
    strongest = []
    for part in torch.split(filters, _FILTERS_AT_ONCE, dim=2):
        responses = torch.matmul(part.flatten(1, 2), windows)  # real parts, then imaginary ones
        real, imaginary = responses.flatten(2).chunk(2, dim=2)
        even, odd = torch.bmm(cosines, real), torch.bmm(sines, imaginary)
        # An even number of places leaves the last one without its counterpart.
        both = torch.cat([odd[:, :n_pairs].abs(), odd[:, n_pairs:]], dim=1).add_(even)
        strongest.append(both.amax(dim=1).view(len(spectra), part.shape[2], -1))
    return torch.cat(strongest, dim=1)


def _filter_spectra(weight: Tensor, n_bins: int, middle: int) -> Tensor:
    """Filters as matrices for each frequency: real and imaginary parts in, the same out.

    Shape:
        weight `(n_out, 1, height, width)` -> `(n_bins // 2 + 1, 2, n_out, 2 * width)`.
    """
    spectra = torch.fft.rfft(weight[:, 0], n=n_bins, dim=1).conj().transpose(0, 1)
    # The response at the place `middle` becomes number 0.
    angles = 2 * math.pi / n_bins * (torch.arange(n_bins // 2 + 1) * middle % n_bins)
    shift = torch.polar(torch.ones_like(angles), angles).to(spectra)
    spectra = spectra * shift[:, None, None]
    real, imaginary = spectra.real, spectra.imag
    out_real = torch.cat([real, -imaginary], dim=2)
    return torch.stack([out_real, torch.cat([imaginary, real], dim=2)], dim=1)


def _ways_back(n_bins: int, furthest: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse transform to the places 0 to `furthest`: `(furthest + 1, n_bins // 2 + 1)`."""
    frequencies = torch.arange(n_bins // 2 + 1)
    turns = torch.arange(furthest + 1)[:, None] * frequencies % n_bins
    angles = 2 * math.pi / n_bins * turns.double()
    # All frequencies but the first, and the last of an even number, stand for two.
    counts = torch.where((frequencies == 0) | (2 * frequencies == n_bins), 1.0, 2.0) / n_bins
    return (angles.cos() * counts).to(like), (angles.sin() * counts).to(like)
