"""What a microscope's numbers mean for the PSF and the image, in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.errors import ParameterError
from napari_deconv.optics.image_detail import measure_detail
from napari_deconv.optics.instrument import Instrument
from napari_deconv.optics.optical_path import OpticalPath
from napari_deconv.optics.presets import IMMERSION_INDEX
from napari_deconv.optics.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_deconv.optics.microscope import Microscope

Level = Literal["problem", "warning", "note", "fine"]
_ORDER: tuple[Level, ...] = ("problem", "warning", "note", "fine")

# Models of a perfect lens, in which depth, sample and coverslip do not enter.
WITHOUT_ABERRATION = ("born-wolf", "gaussian")
_SAME_INDEX = 1e-3
# Voxels over the largest that hold everything: from where amber, from where red.
_COARSE, _TOO_COARSE, _TOO_FINE = 1.01, 1.7, 0.25
# Peak over that without aberration: Marechal's limit of what counts as perfect, and worse.
_PERFECT, _POOR, _LOST = 0.8, 0.5, 0.15
_WORK = 600_000  # rays times planes that a look at the peak may take


@dataclass(frozen=True)
class Advice:
    """One thing to know about a set-up.

    Attributes
    ----------
    level
        "problem" (it will not work, or show what is not there), "warning" (it costs quality),
        "note" (good to know) or "fine" (checked, and right).
    words
        What it is and what to do.
    field
        The name of the field it is about: of ``Microscope``, ``"spacing"`` or ``"model"``; None
        for the whole.
    """

    level: Level
    words: str
    field: str | None = None


def advise(
    setup: Setup | Microscope, spacing: Sequence[float] | None = None, *, image: Any = None
) -> list[Advice]:
    """Look at a set-up and tell what to know and what to do, the worst first.

    Parameters
    ----------
    setup
        The set-up, or a microscope (widefield, Gibson-Lanni).
    spacing
        Size of the voxels (z, y, x) or pixels (y, x), um. The set-up's own where not given; with
        neither, voxels are not looked at.
    image
        The image that is to be restored, axes ``(..., Z,) Y, X``. Its finest details are held
        against those that the microscope can show. Only parts of it are read.

    Returns
    -------
    list of Advice
        Empty when there is nothing to say.
    """
    if not isinstance(setup, Setup):
        setup = Setup(setup)
    if spacing is None:
        spacing = setup.spacing
    found = [*_on_light(setup), *_on_model(setup), *_on_aberration(setup), *_on_aperture(setup)]
    try:
        band = setup.instrument().bands[0]
    except ParameterError as error:
        lacks_laser = setup.microscope.excitation_wavelength is None
        found.append(
            Advice("problem", str(error), "excitation_wavelength" if lacks_laser else None)
        )
    else:
        if spacing is not None:
            found += _on_voxels(setup, spacing)
        if spacing is not None and image is not None:
            found += _on_image(setup, band, spacing, image)
    return sorted(found, key=lambda each: _ORDER.index(each.level))


def _on_voxels(setup: Setup, spacing: Sequence[float]) -> Iterator[Advice]:
    """Hold the voxels against the largest that record all the microscope transmits."""
    instrument = setup.instrument()
    across = instrument.lateral_period() / 2
    needs = [("x", across, max(spacing[-2:]), min(spacing[-2:]))]
    if len(spacing) == 3:
        needs.append(("z", instrument.axial_period() / 2, spacing[0], spacing[0]))
    right = True
    for axis, enough, largest, smallest in needs:
        thing = "Pixels of" if axis == "x" else "Planes at distances of"
        if largest > _COARSE * enough:
            right = False
            factor = largest / enough
            level: Level = "problem" if factor > _TOO_COARSE else "warning"
            remedy = "zoom or magnification" if axis == "x" else "a smaller step in z"
            yield Advice(
                level,
                f"{thing} {largest:.3g} um are {factor:.2g} times too coarse: fine detail is lost "
                f"and turns into false patterns. Record at {_down(enough)} um or less "
                f"({remedy}).",
                "spacing",
            )
        elif smallest < _TOO_FINE * enough:
            right = False
            factor = math.floor(enough / smallest)
            remedy = f"bin {factor} x {factor}" if axis == "x" else f"every {factor}th would do"
            yield Advice(
                "note",
                f"{thing} {smallest:.3g} um are {enough / smallest:.2g} times finer than the "
                f"{_down(enough)} um that hold every detail: it costs light and time and shows no "
                f"more ({remedy}).",
                "spacing",
            )
    if right:
        limits = " x ".join(_down(enough) for _, enough, _, _ in reversed(needs))
        order = " (z x lateral)" if len(needs) == 2 else ""
        yield Advice(
            "fine", f"Voxels are fine enough: {limits} um{order} hold every detail.", "spacing"
        )


def _on_light(setup: Setup) -> Iterator[Advice]:
    scope = setup.microscope
    laser, emission = scope.excitation_wavelength, scope.emission_wavelength
    several = setup.modality == "two-photon"
    if laser is not None and not several and laser >= emission:
        yield Advice(
            "warning",
            f"The excitation ({laser:g} um) is not shorter than the emission ({emission:g} um), "
            "as it is for every dye: are the two exchanged?",
            "excitation_wavelength",
        )
    if laser is not None and several and laser <= emission:
        yield Advice(
            "warning",
            f"The laser ({laser:g} um) is not longer than the emission ({emission:g} um): two "
            "photons together need infrared, for instance 0.92 um.",
            "excitation_wavelength",
        )
    if setup.modality == "confocal":
        yield from _on_pinhole(scope.pinhole)


def _on_pinhole(pinhole: float) -> Iterator[Advice]:
    from scipy.special import j0, j1

    if pinhole >= 3:
        yield Advice(
            "warning",
            f"A pinhole of {pinhole:g} Airy units keeps out hardly any light from other planes: "
            "nearly a widefield image. 1 is the usual setting.",
            "pinhole",
        )
    elif pinhole < 0.5:
        # Of an Airy pattern, within a circle; 1.22 pi is where the first ring is dark.
        v = 1.2196698912665045 * math.pi * pinhole
        passed = 1 - float(j0(v)) ** 2 - float(j1(v)) ** 2
        yield Advice(
            "note",
            f"A pinhole of {pinhole:g} Airy units lets only {_percent(passed)} of the light in "
            "focus through (1 Airy unit: 84 %). With 0.6 to 1 the image has less noise, and "
            "restored it is sharper.",
            "pinhole",
        )


def _on_model(setup: Setup) -> Iterator[Advice]:
    if setup.model == "gaussian" and setup.microscope.numerical_aperture > 0.7:
        yield Advice(
            "note",
            f"A Gaussian has no rings and no cone of light above and below; at a numerical "
            f"aperture of {setup.microscope.numerical_aperture:g} much of the blur is there. "
            "Choose gibson-lanni to remove it.",
            "model",
        )


def _on_aperture(setup: Setup) -> Iterator[Advice]:
    scope = setup.microscope
    aperture, index = scope.numerical_aperture, scope.sample_index
    if aperture <= index or setup.model in WITHOUT_ABERRATION:
        return
    beyond = (
        f"The numerical aperture ({aperture:g}) is above the sample's index ({index:g}): the light "
        "beyond the critical angle comes only from within about a wavelength of the coverslip."
    )
    if scope.depth <= scope.emission_wavelength:
        yield Advice(
            "note",
            f"{beyond} For structures that lie deeper, set the depth.",
            "numerical_aperture",
        )
    else:
        yield Advice(
            "note",
            f"{beyond} At {scope.depth:g} um the objective works as one of {index:g} would.",
            "numerical_aperture",
        )


def _on_aberration(setup: Setup) -> Iterator[Advice]:
    scope = setup.microscope
    matched = abs(scope.sample_index - scope.immersion_index) < _SAME_INDEX
    if scope.depth > 0 and matched:
        yield Advice(
            "note",
            "The depth changes nothing: sample and immersion have the same index, so there is no "
            "spherical aberration.",
            "depth",
        )
    elif scope.depth > 0 and setup.model in WITHOUT_ABERRATION:
        yield Advice("note", "The depth changes nothing in this model.", "depth")
    elif scope.depth == 0 and not matched and setup.model not in WITHOUT_ABERRATION:
        yield Advice(
            "note",
            f"The indices of sample ({scope.sample_index:g}) and immersion "
            f"({scope.immersion_index:g}) differ, but the depth is 0, so the PSF is that at the "
            "coverslip. Set the depth of the structures that matter.",
            "depth",
        )
    yield from _on_peak(setup)


def _on_peak(setup: Setup) -> Iterator[Advice]:
    """Say how far the peak falls, and whether depth or what lies before the sample is to blame."""
    scope = setup.microscope
    left, exact = peak_left(scope)
    flawed = replace(scope, depth=0.0)  # the immersion and the coverslip alone
    layers_fit = OpticalPath(flawed).is_ideal
    layers = 1.0 if layers_fit else peak_left(flawed)[0]
    told = f"{'' if exact else 'less than '}{_percent(max(left, 0.01))} of the peak"
    if left >= _PERFECT:
        if layers < _PERFECT:
            yield Advice(
                "note",
                f"Coverslip and immersion make up for the aberration that comes with the depth: "
                f"{_percent(left)} of the peak are left.",
                "depth",
            )
        elif not layers_fit:
            yield Advice(
                "note",
                f"{_mismatches(scope)} It matters little: {_percent(left)} of the peak are left.",
                _mismatched(scope),
            )
        return
    level: Level = "problem" if left < _LOST else "warning" if left < _POOR else "note"
    if setup.model in WITHOUT_ABERRATION:
        yield Advice(
            "problem" if left < _POOR else "warning",
            f"This model leaves out the spherical aberration, which here leaves {told}. Choose "
            "gibson-lanni or richards-wolf.",
            "model",
        )
    if layers_fit or (scope.depth > 0 and layers > 0.5 * (1 + left)):
        yield Advice(
            level,
            f"At a depth of {scope.depth:g} um spherical aberration leaves {told}, as the indices "
            f"of sample ({scope.sample_index:g}) and immersion ({scope.immersion_index:g}) differ. "
            f"{_remedy(scope)}",
            "depth",
        )
    else:
        yield Advice(
            level,
            f"{_mismatches(scope)} Spherical aberration leaves {told}. Turn the correction collar, "
            "change the coverslip or immersion, or correct the number.",
            _mismatched(scope),
        )


def _mismatched(scope: Microscope) -> str:
    if abs(scope.immersion_index - scope.designed_immersion_index) > 1e-9:
        return "immersion_index"
    if abs(scope.coverslip_thickness - scope.coverslip_thickness_design) > 1e-9:
        return "coverslip_thickness"
    return "coverslip_index"


def _mismatches(scope: Microscope) -> str:
    """Say what the objective is not made for."""
    pairs = (
        ("immersion", scope.immersion_index, scope.designed_immersion_index, ""),
        ("coverslip", scope.coverslip_thickness, scope.coverslip_thickness_design, " um"),
        ("coverslip's index", scope.coverslip_index, scope.coverslip_index_design, ""),
    )
    told = [
        f"{what} is {is_:g}{unit} where the objective is made for {made:g}{unit}"
        for what, is_, made, unit in pairs
        if abs(is_ - made) > 1e-9
    ]
    return f"The {', the '.join(told)}."


def _remedy(scope: Microscope) -> str:
    """Say which immersion, or which mountant, would be better."""
    sample, immersion = scope.sample_index, scope.immersion_index
    name, index = min(IMMERSION_INDEX.items(), key=lambda item: abs(item[1] - sample))
    ways = []
    if abs(index - sample) < 0.7 * abs(immersion - sample):
        ways.append(f"an objective for {name} (index {index:g})")
    if immersion > 1.3:
        ways.append(f"a mountant of index {immersion:g}")
    ways.append("a correction collar")
    return (
        f"Better: {', '.join(ways[:-1])}{' or ' if len(ways) > 1 else ''}{ways[-1]}. Restore with "
        "the PSF of this very depth."
    )


def peak_left(microscope: Microscope) -> tuple[float, bool]:
    """Return how much of the peak aberration leaves, as a fraction of that without any.

    Of the detected light, on the exact intensity along the axis (as ``gibson-lanni`` has it),
    where it is brightest. In focus and without aberration it is 1: the Strehl ratio.

    Parameters
    ----------
    microscope
        The microscope.

    Returns
    -------
    float, bool
        The fraction, to about one per cent, and whether it is that; else it is below: so deep
        that counting the rays would take long.
    """
    exact = True
    while True:
        path = OpticalPath(microscope)
        if path.is_ideal:
            return 1.0, exact
        low, high = path.focal_range()
        wavelength = microscope.emission_wavelength
        period = wavelength / microscope.axial_aperture
        margin = period + (high - low) / 2
        first, last = low - margin, high + margin
        ends = np.array([first, last])
        rays = path.pupil_nodes(wavelength, ends, 0.0, evanescent=True)[0].size
        planes = int((last - first) / (period / 8)) + 2
        if planes * rays <= _WORK or microscope.depth < 1:
            break
        # The peak only falls with depth, so that at half of it is a bound.
        microscope, exact = replace(microscope, depth=microscope.depth / 2), False
    places = np.linspace(first, last, min(planes, max(64, _WORK // rays)))
    peak = Instrument(microscope).on_axis(places).max()
    return float(min(peak, 1.0)), exact


def _on_image(setup: Setup, band: float, spacing: Sequence[float], image: Any) -> Iterator[Advice]:
    """Hold the image's finest details against those that the microscope lets through."""
    detail = measure_detail(image if hasattr(image, "shape") else np.asarray(image), spacing[-2:])
    if detail is None or detail.finest <= 0:
        return
    scope = setup.microscope
    # What is seen in practice: the highest frequencies of a confocal image drown in noise.
    usual = min(band, 2 * scope.numerical_aperture / scope.emission_wavelength)
    shown = f"{1 / detail.finest:.2g} um"
    checkable = detail.highest > 1.15 * band
    if checkable and detail.finest > 1.1 * band and not detail.noise_is_even:
        yield Advice(
            "note",
            f"The image's noise is not that of a camera, or it holds details finer than the "
            f"{1 / band:.2g} um of this microscope. Use the image as it was recorded, before "
            "smoothing, sharpening or resampling; or check voxel size and numerical aperture.",
            "spacing",
        )
    elif checkable and detail.finest > 1.1 * band:
        yield Advice(
            "problem" if detail.finest > 1.4 * band else "warning",
            f"The image shows details finer than this microscope can: down to periods of {shown}, "
            f"where its limit is {1 / band:.2g} um. Check voxel size, numerical aperture and "
            "wavelength; or it was processed before.",
            "spacing",
        )
    elif detail.finest < min(usual * _least(detail.contrast), detail.highest / 2):
        yield Advice(
            "note",
            f"The image shows nothing finer than {shown}, though it has light enough, and this "
            f"microscope resolves {1 / usual:.2g} um. Was it binned or smoothed, are the voxels "
            "smaller than told, or is it mostly haze?",
            "spacing",
        )
    elif checkable and detail.noise_is_even and detail.finest > 0.5 * usual:
        yield Advice(
            "fine",
            f"The image's finest details (periods of {shown}) fit this microscope, whose limit is "
            f"{1 / band:.2g} um.",
            "spacing",
        )


def _least(contrast: float) -> float:
    """Return the fraction of the limit that even smooth objects reach with such contrast.

    From simulated discs (the smoothest of what was tried), with a third of it as margin.
    """
    return min(max(0.12 * (math.log10(max(contrast, 1.0)) - 2), 0.0), 0.45)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"


def _down(length: float) -> str:
    """Return a length to three digits, not rounded up."""
    unit = 10 ** (math.floor(math.log10(length)) - 2)
    return f"{math.floor(length / unit + 1e-9) * unit:.3g}"
