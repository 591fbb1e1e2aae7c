"""Spinning disk: many pinholes at once, and a camera behind them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_deconv.errors import ParameterError
from napari_deconv.optics.lasers import excitation_wavelength
from napari_deconv.registry import Advanced, Range, Unit, modality

if TYPE_CHECKING:
    from napari_deconv.optics.intensity import Intensity, Light
    from napari_deconv.optics.microscope import Microscope

NEIGHBOURS = 36  # holes that count one by one: five rings of a hexagonal lattice
RINGS = 5  # Airy units around a cone of light that its diffraction rings take


@modality(
    "spinning-disk",
    title="Spinning disk",
    cites=[
        "Tanaami et al. 2002, Appl. Opt. 41:4704",
        "Egner, Andresen and Hell 2002, J. Microsc. 206:24",
    ],
)
def spinning_disk(
    microscope: Microscope,
    light: Light,
    *,
    pinhole_diameter: Annotated[float, Range(0.0, 1000.0), Unit("um")] = 50.0,
    pinhole_pitch: Annotated[float, Range(0.1, 10000.0), Unit("um")] = 250.0,
    magnification: Annotated[float, Range(0.1, 1000.0)] = 100.0,
    microlenses: Annotated[bool, Advanced()] = True,
) -> Intensity:
    """Turn a disk of pinholes between sample and camera: confocal, with light through neighbours.

    ``h = h_em * (h_ex (x) A)``, where A is how often a place on the disk is a hole while another
    one is lit: a disc for the own hole, and one for each neighbour. The camera stands still while
    the disk turns, so the holes average the excitation, whereas in a confocal microscope the
    pinhole averages the emission. Neighbours lie on a hexagonal lattice, all of whose directions
    go by while the disk turns: they become rings, and from the sixth on an even background.
    Both hold to 0.1 % of the PSF.

    Parameters
    ----------
    microscope
        With the laser's wavelength. Its pinhole in Airy units does not enter.
    light
        Of the point.
    pinhole_diameter
        Diameter of a hole, on the disk: 50 in the common ones (Yokogawa).
    pinhole_pitch
        Distance between neighbouring holes, on the disk: 250 in the common ones (Yokogawa).
    magnification
        From sample to disk: that of the objective, as a rule. 1 if diameter and pitch are given
        as they appear in the sample.
    microlenses
        Whether lenses send the laser through the middle of each hole; without them it fills the
        holes evenly, which widens the excitation by another disc.

    Raises
    ------
    ParameterError
        When the microscope has no excitation wavelength, or holes overlap.
    """
    if pinhole_diameter >= pinhole_pitch:
        raise ParameterError(
            f"pinhole_diameter is {pinhole_diameter:g} um, but has to be below pinhole_pitch, "
            f"which is {pinhole_pitch:g} um: holes must not overlap."
        )
    laser = excitation_wavelength(microscope, "spinning disk")
    radius, pitch = pinhole_diameter / 2 / magnification, pinhole_pitch / magnification
    rings, density, beyond = neighbours(pitch)
    # Where the cone of light of the outermost plane and its rings end: the light of holes farther
    # apart than two of these does not meet.
    defocus = float(abs(light.z - light.focus).max())
    rings_end = RINGS * microscope.airy_unit
    end = defocus * math.tan(microscope.half_angle) + rings_end
    rings = [(holes, distance) for holes, distance in rings if distance < 2 * end]
    if beyond > 2 * end:
        density, beyond = 0.0, rings[-1][1] if rings else 0.0
    margin = max(beyond, rings_end) + 2 * (radius + microscope.airy_unit)
    excitation, emission = light(microscope.emission_wavelength, lasers=[laser], margin=margin)
    lit = excitation.blur_disc(radius)
    if not microlenses:
        lit = lit.blur_disc(radius)
    image: Intensity = emission * (lit.repeated(rings, density, beyond) if rings else lit)
    return image


def neighbours(pitch: float) -> tuple[list[tuple[float, float]], float, float]:
    """Return the rings (holes, distance) of a hexagonal lattice around a hole.

    Also its density, and the radius within which the hole and these neighbours have that density:
    beyond it, holes count as spread evenly.
    """
    a, b = np.indices((9, 9)) - 4
    squares = (a * a + a * b + b * b).ravel()
    counts = np.bincount(squares)
    rings, holes = [], 1
    for square in np.flatnonzero(counts)[1:]:
        if holes > NEIGHBOURS:
            break
        rings.append((float(counts[square]), pitch * math.sqrt(square)))
        holes += counts[square]
    density = 2 / (math.sqrt(3) * pitch**2)
    return rings, density, math.sqrt(holes / (math.pi * density))
