"""Common objectives, dyes and mounting media, to start a microscope from.

The figures are plain facts, each found in several places: numerical apertures and kinds of
immersion as they are engraved on objectives of many makers; peaks of emission as the makers of the
dyes and the public databases of fluorescent proteins publish them; laser lines as common confocal
microscopes have them; refractive indices at 23 degrees Celsius as makers of immersion liquids and
mounting media and handbooks give them. They are starting values: one's own objective, filters
and mountant go before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Immersion = Literal["air", "water", "silicone oil", "glycerol", "oil"]

# At 23 degrees Celsius, in green to yellow light.
IMMERSION_INDEX: dict[Immersion, float] = {
    "air": 1.0,
    "water": 1.333,
    "silicone oil": 1.406,
    "glycerol": 1.451,  # 80 % in water, as objectives for glycerol are made for
    "oil": 1.515,
}


@dataclass(frozen=True)
class Objective:
    """What an objective tells of a microscope.

    Attributes
    ----------
    name
        As it is shown: magnification, numerical aperture and immersion.
    magnification
        As it is engraved. The PSF does not depend on it, the size of a camera's pixel in the
        sample does.
    numerical_aperture
        As it is engraved.
    immersion
        What is between it and the coverslip or sample.
    coverslip
        Thickness of coverslip it is made for, um; 0 for one that dips into the sample's water.
    """

    name: str
    magnification: float
    numerical_aperture: float
    immersion: Immersion
    coverslip: float = 170.0

    @property
    def fields(self) -> dict[str, float]:
        """Values for ``Microscope``, by its own names."""
        return {
            "numerical_aperture": self.numerical_aperture,
            "immersion_index": IMMERSION_INDEX[self.immersion],
            "coverslip_thickness": self.coverslip,
            "coverslip_thickness_design": self.coverslip,
        }


@dataclass(frozen=True)
class Dye:
    """What a dye or fluorescent protein tells of a microscope.

    Attributes
    ----------
    name
        As it is shown.
    excitation
        The common laser line that excites it well, um.
    emission
        The peak of its emission, um. The middle of the emission filter, where it is known, is
        closer to the light that is detected.
    """

    name: str
    excitation: float
    emission: float

    @property
    def fields(self) -> dict[str, float]:
        """Values for ``Microscope``, by its own names."""
        return {"excitation_wavelength": self.excitation, "emission_wavelength": self.emission}


@dataclass(frozen=True)
class Sample:
    """What the mounted sample tells of a microscope.

    Attributes
    ----------
    name
        As it is shown.
    sample_index
        Its refractive index.
    note
        What to know before relying on it; empty for most.
    """

    name: str
    sample_index: float
    note: str = ""

    @property
    def fields(self) -> dict[str, float]:
        """Values for ``Microscope``, by its own names."""
        return {"sample_index": self.sample_index}


def objectives() -> dict[str, Objective]:
    """Return common objectives by name, from air to oil, each kind by magnification."""
    made = [
        _objective(magnification, aperture, immersion)
        for immersion, kinds in _OBJECTIVES.items()
        for magnification, aperture in kinds
    ]
    made += [
        Objective(
            f"{m:g}x / {aperture:g} water dipping, no coverslip", m, aperture, "water", coverslip=0
        )
        for m, aperture in _DIPPING
    ]
    made += [Objective(f"{m:g}x / {na:g} oil, TIRF", m, na, "oil") for m, na in _TIRF]
    return {each.name: each for each in made}


def dyes() -> dict[str, Dye]:
    """Return common dyes and fluorescent proteins by name, from blue to infrared."""
    return {name: Dye(name, *light) for name, light in sorted(_DYES.items(), key=_by_emission)}


def samples() -> dict[str, Sample]:
    """Return common mounting media by name, from water to resin, by refractive index."""
    return {each.name: each for each in sorted(_SAMPLES, key=lambda each: each.sample_index)}


def _objective(magnification: float, aperture: float, immersion: Immersion) -> Objective:
    name = f"{magnification:g}x / {aperture:g} {immersion.removesuffix(' oil')}"
    return Objective(name, magnification, aperture, immersion)


def _by_emission(item: tuple[str, tuple[float, float]]) -> tuple[float, str]:
    return item[1][1], item[0]


# Magnification and numerical aperture.
_OBJECTIVES: dict[Immersion, tuple[tuple[float, float], ...]] = {
    "air": (
        (2.5, 0.08),
        (4, 0.16),
        (4, 0.2),
        (5, 0.15),
        (10, 0.3),
        (10, 0.45),
        (20, 0.5),
        (20, 0.75),
        (20, 0.8),
        (40, 0.6),
        (40, 0.75),
        (40, 0.95),
        (60, 0.95),
        (63, 0.75),
    ),
    "water": ((25, 0.8), (40, 1.1), (40, 1.15), (40, 1.2), (60, 1.2), (60, 1.27), (63, 1.2)),
    "silicone oil": ((30, 1.05), (40, 1.25), (60, 1.3), (100, 1.35)),
    "glycerol": ((63, 1.3),),
    "oil": (
        (25, 0.8),
        (40, 1.3),
        (40, 1.4),
        (60, 1.4),
        (60, 1.42),
        (63, 1.4),
        (100, 1.25),
        (100, 1.3),
        (100, 1.4),
        (100, 1.45),
    ),
}

_DIPPING = (
    (10, 0.3),
    (16, 0.8),
    (20, 0.5),
    (20, 1.0),
    (25, 1.05),
    (25, 1.1),
    (40, 0.8),
    (60, 1.0),
    (63, 1.0),
    (100, 1.1),
)

_TIRF = ((60, 1.49), (60, 1.5), (63, 1.46), (100, 1.46), (100, 1.49))

# Laser line and peak of emission, um.
_DYES: dict[str, tuple[float, float]] = {
    "Alexa Fluor 405": (0.405, 0.421),
    "TagBFP": (0.405, 0.457),
    "DAPI": (0.405, 0.461),
    "Hoechst 33258": (0.405, 0.461),
    "Hoechst 33342": (0.405, 0.461),
    "mTurquoise2": (0.445, 0.474),
    "Cerulean": (0.445, 0.475),
    "ECFP": (0.445, 0.477),
    "GFP (EGFP)": (0.488, 0.507),
    "GCaMP": (0.488, 0.512),
    "Fluo-4": (0.488, 0.516),
    "MitoTracker Green": (0.488, 0.516),
    "mNeonGreen": (0.488, 0.517),
    "Alexa Fluor 488": (0.488, 0.519),
    "FITC": (0.488, 0.519),
    "Atto 488": (0.488, 0.523),
    "YFP (EYFP)": (0.514, 0.527),
    "Venus": (0.514, 0.528),
    "Alexa Fluor 532": (0.532, 0.554),
    "Alexa Fluor 555": (0.543, 0.565),
    "Cy3": (0.543, 0.570),
    "JF549": (0.561, 0.571),
    "Alexa Fluor 546": (0.543, 0.573),
    "TMRM": (0.543, 0.573),
    "Atto 550": (0.543, 0.576),
    "tdTomato": (0.561, 0.581),
    "TagRFP": (0.561, 0.584),
    "mScarlet": (0.561, 0.594),
    "MitoTracker Red CMXRos": (0.561, 0.599),
    "Alexa Fluor 568": (0.561, 0.603),
    "mRFP1": (0.561, 0.607),
    "mCherry": (0.561, 0.610),
    "Texas Red": (0.594, 0.615),
    "Alexa Fluor 594": (0.594, 0.617),
    "Propidium iodide": (0.561, 0.617),
    "mKate2": (0.561, 0.633),
    "Atto 647N": (0.640, 0.664),
    "JF646": (0.640, 0.664),
    "MitoTracker Deep Red": (0.640, 0.665),
    "Cy5": (0.640, 0.666),
    "Alexa Fluor 647": (0.640, 0.668),
    "SiR": (0.640, 0.674),
    "DRAQ5": (0.640, 0.697),
    "iRFP713": (0.685, 0.713),
    "Alexa Fluor 750": (0.730, 0.775),
    "Cy7": (0.730, 0.776),
}

_HARDENED = "It rises for days while hardening, and makers' figures differ by up to 0.05."
_SAMPLES = (
    Sample("Water", 1.333),
    Sample("PBS", 1.334),
    Sample("Agarose gel, 1 %", 1.334),
    Sample("Expanded gel in water", 1.334),
    Sample("Live cells in culture medium, near the coverslip", 1.337),
    Sample("Live cells, deep in cytoplasm", 1.37, "Cytoplasm varies from 1.35 to 1.39."),
    Sample("Live tissue", 1.38, "Tissues vary from 1.36 to 1.41."),
    Sample("Glycerol 50 % in water", 1.398),
    Sample("Glycerol 80 % in water", 1.451),
    Sample("Glycerol 90 % in PBS", 1.459),
    Sample("Glycerol", 1.473),
    Sample("Thiodiethanol 97 %", 1.515),
    Sample("Soft mountant, glycerol based", 1.45),
    Sample("Hardened mountant, 1.47", 1.47, _HARDENED),
    Sample("Hardened mountant, polyvinyl alcohol", 1.49, _HARDENED),
    Sample("Hardened mountant, matched to glass", 1.52, _HARDENED),
    Sample("Resin or balsam", 1.53),
    Sample("Cleared tissue, urea based (Scale)", 1.38),
    Sample("Cleared tissue, hydrogel (CLARITY)", 1.46),
    Sample("Cleared tissue, aqueous (CUBIC)", 1.49),
    Sample("Cleared tissue, solvent (BABB, ethyl cinnamate, dibenzyl ether)", 1.56),
)
