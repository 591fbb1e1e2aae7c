"""Plug and play: restoration built around a denoiser."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.operators.conjugate_gradients import conjugate_gradients
from napari_deconv.operators.denoisers import denoisers
from napari_deconv.operators.gradients import seams
from napari_deconv.operators.slabs import inner, slabs, total
from napari_deconv.operators.spectra import is_circular, is_torus
from napari_deconv.operators.torus import energy, product, project_back, windowed_steps
from napari_deconv.registry import Advanced, Auto, Range, Search, Unit, method, never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.denoisers import Denoiser

    DenoiserName = str
else:
    DenoiserName = Literal[tuple(denoisers())]

# Half-quadratic splitting begins at this many times the image's noise and comes down to it in so
# many steps; some more follow, which hardly change anything.
_FIRST, _STEPS, _MORE = 8.0, 8, 2
# ADMM begins here. Where its change falls by less than this share, the penalty rises by a factor
# (Chan et al. 2017), until the denoiser is asked for so little that nothing could change any more.
_ADMM_FIRST, _ENOUGH, _RISE, _LAST = 4.0, 0.9, 1.6, 1e-3
# Conjugate gradients of a data step: relative residual to reach, and most steps towards it.
_TOLERANCE, _MOST_STEPS = 1e-3, 60
# Least penalty of a step in Fourier space, in units of |H|^2: what is left of the residual would
# count for more than the image where the blur hardly sees, and ADMM would carry it on.
_LEAST = 1e-4
# Steps of Newton's method to keep a sum, and how nearly.
_LEVELS, _SAME_SUM = 20, 1e-4


def _noise(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    """Return the standard deviation of what differs from pixel to pixel along both diagonals.

    Hardly any light does, since it has been blurred; a root mean square, because the median of an
    image of few photons is zero.
    """
    del blur, parameters
    detail = data[..., 1:, 1:] - data[..., 1:, :-1] - data[..., :-1, 1:] + data[..., :-1, :-1]
    found = float(detail.square().mean().sqrt()) / 2 if detail.numel() else 0.0
    return max(found, 1e-4 * float(data.square().mean().sqrt()), 1e-30)


@method(
    "plug-and-play",
    title="Plug and play",
    group="sparse",
    converges=True,
    cites=[
        "Venkatakrishnan et al. 2013, doi:10.1109/GlobalSIP.2013.6737048",
        "Chan et al. 2017, doi:10.1109/TCI.2016.2629286",
        "Zhang et al. 2022, doi:10.1109/TPAMI.2021.3088914",
    ],
    arrays=lambda _: (14.0, 2.0),
)
def plug_and_play(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 15,
    denoiser: DenoiserName = "wavelet",
    strength: Annotated[
        float | Literal["auto"], Range(1e-8, 1e2, logarithmic=True), Search(5e-3, 8.0)
    ] = "auto",
    scheme: Annotated[Literal["half-quadratic", "admm", "ista"], Advanced()] = "half-quadratic",
    positive: Annotated[bool, Advanced()] = True,
    noise: Annotated[
        float | Literal["auto"],
        Range(1e-30),
        Unit("counts"),
        Auto(_noise, needs_blur=never),
        Advanced(),
    ] = "auto",
) -> Iterator[tuple[Tensor, float]]:
    r"""For objects that a denoiser knows well; it deblurs and denoises by turns.

    .. math::
        x \leftarrow \arg\min_x \tfrac12 |Hx - y|^2 + \tfrac{\mu}{2} |x - v|^2, \qquad
        v \leftarrow D_\sigma(x), \qquad \mu = \lambda s^2 / \sigma^2

    with the noise s of the image. The denoiser D takes the place of a prior's proximal operator.
    ADMM (Venkatakrishnan et al. 2013) adds a dual variable, and raises :math:`\mu`, which lowers
    :math:`\sigma`, whenever its variables do not settle (Chan et al. 2017), so that it comes to
    rest around any denoiser. Half-quadratic splitting (Zhang et al. 2022) lowers :math:`\sigma`
    from eight times the noise to the noise itself in eight steps, and ends after two more. ISTA
    takes a gradient step in place of the first minimisation. Each step tells how much its variables
    still change.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take at most: more come closer to where nothing changes. Half-quadratic
        splitting ends by itself.
    denoiser
        What objects look like: even patches with sharp edges (tv), of few wavelets (wavelet), or
        patches that come back elsewhere (non-local-means).
    strength
        Weight of the denoiser against the image: larger is smoother, smaller keeps more noise.
        Automatic tries some on a region and takes the one with the least expected error.
    scheme
        How the two are brought together: with the image explained best (admm), in the fewest steps
        (half-quadratic), or in many small ones (ista).
    positive
        Keep negative values out of the result.
    noise
        Standard deviation s of the noise in the image; automatic measures it.
    """
    # ADMM's dual takes back the light that is added by cutting negative values off.
    cut = (_cut if scheme == "admm" else _positive) if positive else None
    denoise = _centred(denoisers()[denoiser](), blur, cut)
    schemes = {"half-quadratic": _half_quadratic, "admm": _admm, "ista": _ista}
    steps = schemes[scheme](data, blur, denoise, float(strength), float(noise))
    yield from islice(steps, iterations)


def _half_quadratic(
    data: Tensor, blur: Convolution, denoise: Denoiser, strength: float, noise: float
) -> Iterator[tuple[Tensor, float]]:
    """Split as in Zhang et al. 2022, equation 6: sigma falls by the same factor each step."""
    step = _DataStep(data, blur)
    v = blur.extend(data)
    for count in range(_STEPS + _MORE):
        times = _FIRST ** max(0.0, 1 - count / _STEPS)
        new = denoise(step(v, strength / times**2), times * noise)
        change = _length(new - v) / max(_length(new), 1e-30)
        v = new
        # While the noise level falls the result is not yet in question.
        yield v, max(change, 1 - 1 / times)


def _admm(
    data: Tensor, blur: Convolution, denoise: Denoiser, strength: float, noise: float
) -> Iterator[tuple[Tensor, float]]:
    """Split as in Chan et al. 2017, algorithm 1, with their adaptive rule for the penalty."""
    import torch

    step = _DataStep(data, blur)
    v = blur.extend(data)
    x, dual = v.clone(), torch.zeros_like(v)
    times, last = _ADMM_FIRST, float("inf")
    while True:
        penalty = strength / times**2
        new_x = step(v - dual, penalty)
        new_v = denoise(new_x + dual, times * noise)
        new_dual = dual + new_x - new_v
        pairs = ((x, new_x), (v, new_v), (dual, new_dual))
        change = sum(_length(new - old) for old, new in pairs) / max(_length(new_v), 1e-30)
        x, v, dual = new_x, new_v, new_dual
        risen = change >= _ENOUGH * last
        if risen:
            factor = min(_RISE, (times / _LAST) ** 2)
            times /= factor**0.5
            dual /= factor
        # What a new penalty moves says nothing about the old one.
        last = float("inf") if risen else change
        yield v, change


def _ista(
    data: Tensor, blur: Convolution, denoise: Denoiser, strength: float, noise: float
) -> Iterator[tuple[Tensor, float]]:
    """Take a gradient step of length 1/|H|^2, the inverse of the penalty, and denoise."""
    v = blur.extend(data)
    times = (strength / blur.norm_squared) ** 0.5
    while True:
        residual = blur(v, borrow=True).sub_(data)
        slope = blur.adjoint(residual, borrow=True)
        new = denoise(v - slope / blur.norm_squared, times * noise)
        change = _length(new - v) / max(_length(new), 1e-30)
        v = new
        yield v, change


class _DataStep:
    """The minimiser of ``|Hx - y|^2 + mu |x - v|^2`` over x."""

    def __init__(self, data: Tensor, blur: Convolution) -> None:
        self._data, self._blur = data, blur
        self._circular = is_circular(blur)
        self._added: Tensor | None = None
        if self._circular:
            self._back = blur.spectrum(data) * blur.otf.conj()

    def __call__(self, v: Tensor, mu: float) -> Tensor:
        """Divide in Fourier space where the object repeats itself, else iterate."""
        if not self._circular:
            return (self._windowed if is_torus(self._blur) else self._conjugate_gradients)(v, mu)
        spectrum = self._blur.spectrum(v)
        for s, b, h in slabs(spectrum, self._back, self._blur.otf):
            s.mul_(mu).add_(b).div_(h.real.square() + h.imag.square() + mu)
        return self._blur.from_spectrum(spectrum)

    def _windowed(self, v: Tensor, mu: float) -> Tensor:
        """Find what is to be added to v, beginning with what was added the last time.

        Where the blur does not see, v is right already.
        """
        import torch

        blur, mu = self._blur, max(mu, _LEAST * self._blur.norm_squared)
        left = blur(v, borrow=True)
        torch.sub(self._data, left, out=left)
        residual = project_back(blur, left).clone()
        ridge = torch.tensor(mu, dtype=blur.dtype, device=blur.device)
        inverse = (blur.otf.real.square() + blur.otf.imag.square()).add_(mu).reciprocal_()
        enough = _TOLERANCE**2 * energy(blur, residual, inverse)
        if self._added is None:
            self._added = torch.zeros_like(residual)
        else:
            residual -= product(blur, self._added, ridge)
        added = self._added

        def advance(direction: Tensor, length: float) -> None:
            added.add_(direction, alpha=length)

        steps = windowed_steps(blur, ridge, residual, inverse, advance, enough)
        for _ in islice(steps, _MOST_STEPS):
            pass
        return blur.from_spectrum(added).add_(v)

    def _conjugate_gradients(self, v: Tensor, mu: float) -> Tensor:
        """Begin at v, where all that the blur does not see is right already."""
        blur = self._blur

        def normal(d: Tensor) -> tuple[Tensor, float]:
            bent = blur.adjoint(blur(d, borrow=True), borrow=True).add_(d, alpha=mu)
            return bent, inner(bent, d)

        def advance(d: Tensor, length: float) -> None:
            x.add_(d, alpha=length)

        def itself(r: Tensor) -> tuple[Tensor, float]:
            return r, inner(r, r)

        residual = blur.adjoint(blur(v, borrow=True).neg_().add_(self._data))
        x, enough = v.clone(), _TOLERANCE**2 * inner(residual, residual)
        for _ in islice(
            conjugate_gradients(residual, advance, normal, itself, enough), _MOST_STEPS
        ):
            pass
        return x


def _centred(
    denoise: Denoiser, blur: Convolution, cut: Callable[[Tensor], Tensor] | None
) -> Denoiser:
    """Turn an extended object so that the image stands between its margins, not before them."""
    import torch

    places = [(axis, seam + 1) for axis, seam in enumerate(seams(blur)) if seam is not None]
    axes, shifts = [a for a, _ in places], [s for _, s in places]

    def denoised(x: Tensor, sigma: float) -> Tensor:
        if places:
            x = torch.roll(x, [-s for s in shifts], axes)
        x = denoise(x, sigma)
        if places:
            x = torch.roll(x, shifts, axes)
        return x if cut is None else cut(x)

    return denoised


def _cut(x: Tensor) -> Tensor:
    return x.clamp_(min=0)


def _positive(x: Tensor) -> Tensor:
    """Return the nearest image without negative values whose sum is that of x.

    To cut negative values off would add light with each step. What is taken off the others instead
    is found by Newton's method, which comes to its end in a few steps (Michelot 1986,
    doi:10.1007/BF00938486).
    """
    import torch

    wanted = total(x)
    if wanted <= 0:
        return x.clamp_(min=0)
    level = 0.0
    for _ in range(_LEVELS):
        excess, count = -wanted, 0
        for (part,) in slabs(x):
            above = (part - level).clamp_(min=0)
            excess += total(above)
            count += int(torch.count_nonzero(above))
        if excess <= _SAME_SUM * wanted:
            break
        level += excess / count
    return x.sub_(level).clamp_(min=0)


def _length(x: Tensor) -> float:
    return math.sqrt(inner(x, x))
