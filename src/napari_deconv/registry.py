"""What a method, a PSF model and a modality are: registered functions, with their parameters.

Their parameters are read from their signatures: see :mod:`napari_deconv.parameters`, whose marks
are to be had here, too.
"""

# ruff: noqa: A002  (id is the word that people type)
from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from napari_deconv.errors import ParameterError
from napari_deconv.parameters import (
    Advanced,
    Auto,
    Chosen,
    Keys,
    Parameter,
    Range,
    Search,
    Unit,
    WeightsOf,
    check_parameters,
    never,
    numbers_by_key,
    parameters_of,
    suggest,
)

__all__ = [
    "SLOW_STEPS",
    "Advanced",
    "Auto",
    "Chosen",
    "Entry",
    "FoundPsf",
    "Group",
    "Keys",
    "Method",
    "Modality",
    "Parameter",
    "Planes",
    "PsfModel",
    "Range",
    "Search",
    "Unit",
    "WeightsOf",
    "check_parameters",
    "find",
    "method",
    "methods",
    "modalities",
    "modality",
    "never",
    "numbers_by_key",
    "parameters_of",
    "psf_model",
    "psf_models",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Planes:
    """Where a method may look for the PSF.

    Attributes
    ----------
    images
        Array (n, y, x): all of one PSF, the liveliest first; or those of a z-stack in order.
    spacing
        Voxel size, um, (y, x) or (z, y, x); None where nobody knows.
    focus
        Which plane of a z-stack to look at; None for planes of one PSF.
    """

    images: Any
    spacing: Sequence[float] | None
    focus: int | None = None


@dataclass(frozen=True)
class FoundPsf:
    """A PSF that a method found in the image.

    Attributes
    ----------
    psf
        Array (y, x), sum 1, origin at ``n // 2``; or a :class:`~napari_deconv.VariantPsf` of the
        part of the image that was looked at.
    error
        What restoring is to be told of what may be wrong with it: a norm, relative to its own.
    verdict
        What it is worth, in plain words.
    reliable
        Whether the image told anything at all.
    record
        All that was found besides, as plain values.
    """

    psf: Any
    error: float
    verdict: str
    reliable: bool
    record: Mapping[str, Any]


# Most steps of a method that gets on slowly: without momentum, detail comes some ten times later.
SLOW_STEPS = 500
# How a dock presents the methods, in this order.
Group = Literal["fast", "linear", "statistical", "sparse", "learned"]


@dataclass(frozen=True)
class Entry:
    """A registered function under its id, with what its signature and docstring tell."""

    id: str
    title: str
    cites: tuple[str, ...]
    function: Callable[..., Any]

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, in one line."""
        return " ".join((inspect.getdoc(self.function) or "").split("\n\n")[0].split())

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The keyword parameters by name."""
        return _parameters(self.function)


@dataclass(frozen=True)
class Method(Entry):
    """A restoration method.

    Attributes
    ----------
    needs_psf
        Whether a point spread function has to be given.
    ndim
        Numbers of spatial dimensions it works on.
    iterative
        Whether it is a generator of estimates (else it returns one).
    halo, margin
        How far beyond a tile it has to see, in sizes of the PSF; and at the least, in voxels.
    rim
        What a method with a margin sees beyond the image's own borders, in voxels: the image in
        a mirror.
    grid
        Voxels whose multiples a tile has to start at, along each axis, and an extended estimate
        has to have.
    arrays
        Float32 arrays it holds beyond its data and the operator's own, as a function of its
        parameters: (on the estimate's grid, on the data's grid). For the memory forecast.
    floats
        Float32 values that it holds beside those arrays, as a function of its parameters and the
        estimate's shape, for a method that works on a large image in parts.
    seconds
        Seconds of one step, and of all that comes before the first, as a function of its
        parameters, the estimate's shape and the device, for a method whose steps are not alike;
        the others are timed at work.
    group
        Where a dock presents it: fast previews, linear filters and iterations, statistical ones
        for photons, sparse ones with a prior, learned ones.
    converges
        Whether more steps only bring it closer to one result, so that it may run until nothing
        changes; the others bring detail and then noise, and have to be stopped in time.
    schedule
        Steps that it takes where their number is automatic, as a function of its parameters, for
        a method that plans them ahead; the others are told when to stop.
    most
        Most steps that an automatic number may come to, as a function of its parameters: more for
        plain steps than for those with momentum.
    warning
        What anyone who uses it has to know, in plain words; empty for most.
    finds_psf
        Finds the PSF in the image where none is given, which is then restored plane by plane:
        ``finds_psf(planes, parameters)`` with :class:`Planes` and the method's parameters.
    finding
        Seconds that this takes, as a function of the parameters and the pixels of a plane that is
        looked at.
    """

    group: Group = "linear"
    converges: bool = False
    needs_psf: bool = True
    ndim: tuple[int, ...] = (2, 3)
    halo: float = 1.0
    margin: int = 0
    rim: int = 0
    grid: int = 1
    arrays: Callable[[Mapping[str, Any]], tuple[float, float]] = lambda _: (1.0, 1.0)
    floats: Callable[[Mapping[str, Any], Sequence[int], str], float] | None = None
    seconds: Callable[[Mapping[str, Any], Sequence[int], str], tuple[float, float]] | None = None
    schedule: Callable[[Mapping[str, Any]], int] | None = None
    most: Callable[[Mapping[str, Any]], int] = lambda _: 100
    warning: str = ""
    finds_psf: Callable[..., FoundPsf] | None = None
    finding: Callable[[Mapping[str, Any], int], float] | None = None

    @property
    def iterative(self) -> bool:
        """Whether the method yields estimate after estimate.

        Beside an estimate it may yield, in a tuple, how far it still is from its result (or None)
        and, third, the terms of what it minimises by name. It may yield None while it prepares
        its first estimate: that is no step, but a chance to be cancelled.
        """
        return inspect.isgeneratorfunction(self.function)


@dataclass(frozen=True)
class PsfModel(Entry):
    """A model of the point spread function.

    Attributes
    ----------
    foci
        Where along z the light may be brightest, ``foci(microscope, **parameters)`` in um from
        the lowest to the highest; None where the layers alone decide.
    """

    foci: Callable[..., tuple[float, float]] | None = None


@dataclass(frozen=True)
class Modality(Entry):
    """A way of illuminating and detecting, which turns single PSFs into the instrument's."""


_methods: dict[str, Method] = {}

_psf_models: dict[str, PsfModel] = {}

_modalities: dict[str, Modality] = {}


def method(
    id: str,
    *,
    title: str,
    cites: tuple[str, ...] | list[str] = (),
    group: Group,
    converges: bool = False,
    needs_psf: bool = True,
    ndim: tuple[int, ...] = (2, 3),
    halo: float = 1.0,
    margin: int = 0,
    rim: int = 0,
    grid: int = 1,
    arrays: Callable[[Mapping[str, Any]], tuple[float, float]] = lambda _: (1.0, 1.0),
    floats: Callable[[Mapping[str, Any], Sequence[int], str], float] | None = None,
    seconds: Callable[[Mapping[str, Any], Sequence[int], str], tuple[float, float]] | None = None,
    schedule: Callable[[Mapping[str, Any]], int] | None = None,
    most: Callable[[Mapping[str, Any]], int] = lambda _: 100,
    warning: str = "",
    finds_psf: Callable[..., FoundPsf] | None = None,
    finding: Callable[[Mapping[str, Any], int], float] | None = None,
) -> Callable[[F], F]:
    """Register a generator of estimates, or a function that returns one, as a method."""

    def register(function: F) -> F:
        entry = Method(
            id,
            title,
            tuple(cites),
            function,
            group,
            converges,
            needs_psf,
            ndim,
            halo,
            margin,
            rim,
            grid,
            arrays,
            floats,
            seconds,
            schedule,
            most,
            warning,
            finds_psf,
            finding,
        )
        return _add(_methods, entry, function)

    return register


def psf_model(
    id: str,
    *,
    title: str,
    cites: tuple[str, ...] | list[str] = (),
    foci: Callable[..., tuple[float, float]] | None = None,
) -> Callable[[F], F]:
    """Register a PSF model."""
    return lambda function: _add(
        _psf_models, PsfModel(id, title, tuple(cites), function, foci), function
    )


def modality(
    id: str,
    *,
    title: str,
    cites: tuple[str, ...] | list[str] = (),
) -> Callable[[F], F]:
    """Register an imaging modality."""
    return lambda function: _add(_modalities, Modality(id, title, tuple(cites), function), function)


def methods() -> dict[str, Method]:
    """Return every restoration method by its id."""
    _load("napari_deconv.methods")
    return dict(_methods)


def psf_models() -> dict[str, PsfModel]:
    """Return every PSF model by its id."""
    _load("napari_deconv.optics")
    return dict(_psf_models)


def modalities() -> dict[str, Modality]:
    """Return every imaging modality by its id."""
    _load("napari_deconv.optics")
    return dict(_modalities)


E_ = TypeVar("E_", bound=Entry)


def find(entries: Mapping[str, E_], id: str, kind: str) -> E_:
    """Look ``id`` up, or say what is known instead.

    Raises
    ------
    ParameterError
        When it is not there; the message lists what is.
    """
    if id in entries:
        return entries[id]
    known = ", ".join(sorted(entries))
    raise ParameterError(f"There is no {kind} {id!r}.{suggest(id, entries)} Known: {known}.")


def _add(entries: dict[str, E_], entry: E_, function: F) -> F:
    previous = entries.get(entry.id)
    if previous is not None and previous.function.__module__ != function.__module__:
        raise ValueError(f"{entry.id!r} is registered twice, by {previous.function.__module__}")
    entries[entry.id] = entry
    return function


@cache
def _load(package: str) -> None:
    """Import every module of a package, so that its decorators have run."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package}.{module.name}")


@cache
def _parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    return parameters_of(function)
