"""Look again: contrast that varies, and whether restorations foretell what was held back.

What the identification finds possible errs mainly by what it takes objects to be. Here it is asked
again by others who err otherwise: the same fit on spectra that trust lively places more
(``contrast``), and the restoring network, which knows objects by their edges and not by their
spectrum. PSFs are drawn from all that the fits leave possible; the image is restored from one half
of its data with each, and the other half tells how likely it is (``halves``). The PSF given is
between the one that came in and the one that comes out, and only where it foretells better.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_deconv.identification import contrast, estimate, mixture, spectrum
from napari_deconv.identification.fit import Fit
from napari_deconv.identification.halves import Halves
from napari_deconv.identification.mixture import Mixture
from napari_deconv.identification.optics import pupils

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_deconv.identification.estimate import Answer, Estimates

# How many PSFs are judged, and how many times the image is parted to judge each: what one parting
# says of a PSF depends on its noise.
DRAWS, PARTINGS = 40, 2
# What the network's objects are not is worth more than noise: likelihoods count this much less.
TEMPER = 40.0
# The share of what comes out; the rest is what came in.
SHARE = 0.75


def refined(
    planes: Tensor,
    seen: spectrum.Spectrum,
    made: Estimates,
    answer: Answer,
    amplitude: float,
    *,
    seed: int = 0,
    say: Callable[[float, str], None] = lambda share, doing: None,
) -> tuple[Estimates, Answer]:
    """Return estimates and answer, refined where that foretells held-out data better.

    Parameters
    ----------
    planes
        Grey values (frames, y, x) at the trained cutoff.
    seen
        Their spectrum.
    made, answer
        What the identification found.
    amplitude
        Largest coefficient, waves.
    seed
        Of draws, and of the noise that parts the image.
    say
        Called with the share done and what is being done.

    Returns
    -------
    tuple
        Estimates and answer; those that came in, themselves, where nothing is better.
    """
    import torch

    model = pupils(spectrum.CUTOFF, estimate.SHAPE)
    noise = (seen.noise * float(planes.double().var((-2, -1)).mean())) ** 0.5
    say(0.75, "fitting to lively places")
    others = [
        estimate.estimates(planes, each, amplitude, seed=seed).fit
        for each in contrast.spectra(planes, seen)
    ]
    fits = [made.fit, *others]
    pool = mixture.together([(1 / len(fits), each) for each in fits])
    random = torch.Generator().manual_seed(seed)
    drawn = pool.coefficients[torch.multinomial(pool.weights, DRAWS, True, generator=random)]
    with torch.no_grad():
        first, other = (
            [
                Halves(planes, noise, estimate.SHAPE, seed=seed + number)
                for number in range(begin, begin + PARTINGS)
            ]
            for begin in (0, PARTINGS)
        )
        surprises = []
        for number, psf in enumerate(model.psf(drawn)):
            say(0.8 + 0.12 * number / DRAWS, "restoring, and foretelling what was held back")
            surprises.append(_surprise(first, psf))
        found = Mixture(drawn, torch.softmax(-torch.stack(surprises) / TEMPER, 0))
        weighed = estimate.with_fit(made, found, seen, amplitude)
        best, expected, _ = estimate.answer(weighed)
        # Judged by other noise than what the draws were chosen by.
        before, after = (_surprise(other, each.psf(model)) for each in (answer[0], best))
        if after >= before:
            return made, answer
        new = mixture.together([(1 - SHARE, answer[0]), (SHARE, best)])
        expected = (1 - SHARE) * answer[1] + SHARE * expected
        told = _told(made, weighed, new.psf(model))
    return told, (new, expected, estimate.confidence_of(expected, made.before))


def _surprise(partings: list[Halves], psf: Tensor) -> Tensor:
    """Return the mean surprise of a PSF over all partings."""
    import torch

    return torch.stack([each.foretold(psf) for each in partings]).mean()


def _told(made: Estimates, weighed: Estimates, psf: Tensor) -> Estimates:
    """Return estimates whose candidates are the old and the new, the one nearest to a PSF first."""
    import torch

    model = pupils(spectrum.CUTOFF, estimate.SHAPE)
    came = Mixture(made.upright(), made.weights)
    both = mixture.together([(1 - SHARE, came), (SHARE, weighed.fit)])
    psfs = model.psf(both.coefficients).flatten(1)
    nearest = (psfs - psf.flatten()).square().sum(1).argmin()
    order = torch.argsort(both.weights, descending=True)
    order = torch.cat([nearest[None], order[order != nearest]])
    coefficients, weights = both.coefficients[order], both.weights[order]
    # One is turned as surely as the others are nearer to it when it is turned.
    nearer = torch.cdist(psfs.flip(1), psfs) < torch.cdist(psfs, psfs)
    return replace(
        weighed,
        found=Fit(coefficients, torch.log(weights), coefficients[:, None]),
        weights=weights,
        flips=(nearer.float() @ both.weights)[order],
    )
