"""What a method, a PSF model and a parameter are: all of it read from signatures.

A method's keyword-only parameters, with their annotations and the lines of its numpydoc
docstring, are its schema. The dock's form, the shell's options, the checks in Python, the
provenance record and the tables in the documentation are all made from that one schema, so
nobody types a default, a bound or an explanation twice.
"""

# ruff: noqa: A002  (id is the word that people type)
from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import math
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from numbers import Integral
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from napari_deconv.errors import ParameterError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included; ``None`` leaves a side open."""

    lower: float | None = None
    upper: float | None = None
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number, as it is shown behind the field."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What the keys of numbers by whole-number key mean, and their bounds, both included."""

    lower: int
    upper: int
    what: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """Marks a parameter that waits under "More" in a dock."""


@dataclass(frozen=True, slots=True)
class WeightsOf:
    """Marks a word that names weights of a network: the package's, one's own, or a file."""

    network: str


def never(parameters: Mapping[str, Any]) -> bool:
    """Say that something is never needed, whatever the parameters are."""
    del parameters
    return False


def _always(parameters: Mapping[str, Any]) -> bool:
    del parameters
    return True


@dataclass(frozen=True, slots=True)
class Auto:
    """How ``"auto"`` becomes a value: ``resolve(data, blur, parameters)``.

    The engine calls it once for the whole image before the method runs, so that tiles agree
    and the record tells the value that was used. Among the parameters, ``iterations`` is what
    the user asked for, ``"auto"`` included. Data and blur are None unless ``needs_data``, and the
    blur, which takes time to make, is where ``needs_blur`` says of the parameters that it is of no
    use.
    """

    resolve: Callable[[Any, Any, Mapping[str, Any]], Any]
    needs_data: bool = True
    needs_blur: Callable[[Mapping[str, Any]], bool] = _always


@dataclass(frozen=True, slots=True)
class Search:
    """Marks a strength whose ``"auto"`` the engine finds by trying values between two bounds.

    Each is tried on a region of the image, and the one whose result has the least expected error
    is taken (:mod:`napari_deconv.engine.strength`). Where a step of the method itself is dear,
    ``method`` names another one that has the parameter, too, and tries it in its stead.
    """

    lower: float
    upper: float
    method: str = ""

    @property
    def middle(self) -> float:
        """The value between the bounds, by decades."""
        return math.sqrt(self.lower * self.upper)


class Chosen(float):
    """A number that was chosen among others, which it remembers.

    Attributes
    ----------
    values, scores
        What was tried, in rising order, and how good each was: the higher the better.
    score
        What the scores are, as it stands at the axis of a curve.
    """

    values: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    score: str = ""

    @classmethod
    def among(
        cls,
        number: float,
        values: typing.Iterable[float],
        scores: typing.Iterable[float],
        score: str,
    ) -> Chosen:
        """Return ``number`` with what it was chosen among."""
        made = cls(number)
        made.values, made.scores, made.score = tuple(values), tuple(scores), score
        return made


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
        Norm of what is expected to be wrong with it, relative to its own.
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


# How a dock presents the methods, in this order.
Group = Literal["fast", "linear", "statistical", "sparse", "learned"]


@dataclass(frozen=True)
class Parameter:
    """One parameter: what may be put in, in which unit, and what it means.

    ``kind`` is the type of a single value; ``length`` counts the values of a tuple, where 0 is
    any number of them, and is None for a single value; ``keys`` tells of numbers by whole-number
    key, such as ``{5: 0.05, 8: -0.1}``, which may be written ``"5=0.05 8=-0.1"``. ``choices`` are
    words that may stand for, or beside, such values. ``weights`` is the network whose weights a
    word names.
    """

    name: str
    kind: type
    default: Any
    help: str = ""
    unit: str = ""
    range: Range = field(default_factory=Range)
    choices: tuple[str, ...] = ()
    allows_auto: bool = False
    allows_none: bool = False
    length: int | None = None
    keys: Keys | None = None
    advanced: bool = False
    auto: Auto | None = None
    search: Search | None = None
    weights: str = ""

    @property
    def required(self) -> bool:
        """Whether the caller has to give a value."""
        return self.default is inspect.Parameter.empty

    @property
    def label(self) -> str:
        """The name as a person reads it."""
        return self.name.replace("_", " ")

    def check(self, value: Any) -> Any:
        """Return ``value`` in the parameter's own type.

        Raises
        ------
        ParameterError
            When it is of another kind, not among the choices or out of bounds.
        """
        if value is None and self.allows_none:
            return None
        if isinstance(value, str) and value == "auto" and self.allows_auto:
            return value
        if isinstance(value, str) and value in self.choices:
            return value
        if self.choices and (self.kind is str or isinstance(value, str)):
            known = ", ".join(self.choices)
            raise ParameterError(f"{self.name} is {value!r}, but has to be one of: {known}.")
        if self.keys is not None:
            return self._check_keyed(self.keys, value)
        if self.length is not None:
            return self._check_tuple(value)
        if self.kind is bool:
            if not isinstance(value, bool):
                raise ParameterError(f"{self.name} is {value!r}, but has to be True or False.")
            return value
        if self.kind in (int, float):
            return self._check_number(value)
        if not isinstance(value, self.kind):
            raise ParameterError(f"{self.name} is {value!r}, but has to be a {self.kind.__name__}.")
        return value

    def _check_tuple(self, value: Any) -> tuple[Any, ...]:
        try:
            items = tuple(value)
        except TypeError:
            items = (value,) if self.length == 0 else ()
        if isinstance(value, str) or not items or (self.length and len(items) != self.length):
            count = f"{self.length} numbers" if self.length else "numbers, one for each axis"
            raise ParameterError(f"{self.name} is {value!r}, but needs {count}.")
        return tuple(self._check_number(item) for item in items)

    def _check_keyed(self, keys: Keys, value: Any) -> dict[int, Any]:
        try:
            items = numbers_by_key(value) if isinstance(value, str) else dict(value)
            # JSON makes strings of keys.
            numbers = [(int(k) if isinstance(k, str) else k, v) for k, v in items.items()]
        except (TypeError, ValueError):
            raise ParameterError(
                f"{self.name} is {value!r}, but has to be numbers by {keys.what}, "
                'such as "5=0.05 8=-0.1".'
            ) from None
        for key, _ in numbers:
            whole = isinstance(key, Integral) and not isinstance(key, bool)
            if not whole or not keys.lower <= key <= keys.upper:
                raise ParameterError(
                    f"{self.name} has the {keys.what} {key!r}, but has to have whole numbers "
                    f"between {keys.lower} and {keys.upper}."
                )
        each = dataclasses.replace(self, keys=None)
        return {
            int(key): dataclasses.replace(each, name=f"{self.name}[{key}]")._check_number(number)
            for key, number in sorted(numbers)
        }

    def _check_number(self, value: Any) -> Any:
        auto = ', or "auto"' if self.allows_auto else ""
        wanted = "a whole number" if self.kind is int else "a number"
        try:
            number = self.kind(value)
            fits = not isinstance(value, (str, bool)) and math.isfinite(number) and number == value
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise ParameterError(f"{self.name} is {value!r}, but has to be {wanted}{auto}.")
        low, high = self.range.lower, self.range.upper
        if (low is not None and number < low) or (high is not None and number > high):
            unit = f" {self.unit}" if self.unit else ""
            if low is not None and high is not None:
                bounds = f"between {low:g} and {high:g}{unit}"
            else:
                bounds = f"at least {low:g}{unit}" if low is not None else f"at most {high:g}{unit}"
            raise ParameterError(f"{self.name} is {value!r}, but has to be {bounds}{auto}.")
        return number


def parameters_of(
    source: Callable[..., Any], *, skip: tuple[str, ...] = ()
) -> dict[str, Parameter]:
    """Read the parameters of a function's or dataclass's signature and docstring.

    Parameters
    ----------
    source
        A function, of which only keyword-only parameters count, or a dataclass.
    skip
        Names to leave out.

    Returns
    -------
    dict of str to Parameter
        In the order of the signature.
    """
    keyword_only = not inspect.isclass(source)
    helps = _docstring_helps(source)
    return {
        name: _read(name, _hint(source, parameter), parameter.default, helps.get(name, ""))
        for name, parameter in inspect.signature(source).parameters.items()
        if name not in skip and (not keyword_only or parameter.kind is parameter.KEYWORD_ONLY)
    }


def check_parameters(
    owner: str, parameters: Mapping[str, Parameter], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Check ``values`` against ``parameters`` and fill in the defaults.

    Raises
    ------
    ParameterError
        When a name is unknown, a required one is missing or a value does not fit.
    """
    for name in values:
        if name not in parameters:
            raise ParameterError(f"{owner} has no parameter {name!r}.{_suggest(name, parameters)}")
    checked: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in values:
            checked[name] = parameter.check(values[name])
        elif parameter.required:
            raise ParameterError(f"{owner} needs a value for {name!r}: {parameter.help}")
        else:
            checked[name] = dict(parameter.default) if parameter.keys else parameter.default
    return checked


def numbers_by_key(text: str) -> dict[int, float]:
    """Read ``"5=0.05, 8=-0.1"``.

    Raises
    ------
    ValueError
        When it is anything else, or has a key twice.
    """
    items = [part.split("=") for part in re.sub(r"\s*=\s*", "=", text.replace(",", " ")).split()]
    numbers = {int(key): float(number) for key, number in items}
    if len(numbers) < len(items):
        raise ValueError("a key comes twice")
    return numbers


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
    warning
        What anyone who uses it has to know, in plain words; empty for most.
    finds_psf
        Finds the PSF in the image where none is given, which is then restored plane by plane:
        ``finds_psf(planes, parameters)`` with :class:`Planes` and the method's parameters.
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
    warning: str = ""
    finds_psf: Callable[..., FoundPsf] | None = None

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
    warning: str = "",
    finds_psf: Callable[..., FoundPsf] | None = None,
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
            warning,
            finds_psf,
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
    raise ParameterError(f"There is no {kind} {id!r}.{_suggest(id, entries)} Known: {known}.")


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


def _suggest(name: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _docstring_helps(source: Callable[..., Any]) -> dict[str, str]:
    from docstring_parser.numpydoc import parse

    parsed = parse(inspect.getdoc(source) or "")
    return {
        name.strip(): " ".join((item.description or "").split())
        for item in parsed.params
        for name in item.arg_name.split(",")
    }


def _hint(source: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Evaluate one annotation; the others may name types that are known to type checkers only."""
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    return eval(parameter.annotation, vars(importlib.import_module(source.__module__)))


def _read(name: str, hint: Any, default: Any, help_: str) -> Parameter:
    """Turn one annotation into a parameter."""
    extras: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        extras = tuple(rest)
    choices: list[str] = []
    kinds: list[Any] = []
    allows_none = False
    for part in _alternatives(hint):
        if get_origin(part) is Annotated:
            inner, *rest = get_args(part)
            extras += tuple(rest)
            part = inner
        if part is types.NoneType:
            allows_none = True
        elif get_origin(part) is Literal:
            choices += get_args(part)
        else:
            kinds.append(part)
    allows_auto = bool(kinds) and "auto" in choices
    if allows_auto:
        choices.remove("auto")
    kind: Any = kinds[0] if kinds else str

    def extra(cls: type) -> Any:
        return next((item for item in extras if isinstance(item, cls)), None)

    length = keys = None
    if get_origin(kind) is tuple:
        items = get_args(kind)
        length, kind = (0 if items[-1] is Ellipsis else len(items)), items[0]
    elif get_origin(kind) is Mapping:
        _, kind = get_args(kind)
        keys = extra(Keys) or Keys(0, 2**31, "key")

    return Parameter(
        name=name,
        kind=kind,
        default=default,
        help=help_,
        unit=getattr(extra(Unit), "symbol", ""),
        range=extra(Range) or Range(),
        choices=tuple(choices),
        allows_auto=allows_auto,
        allows_none=allows_none,
        length=length,
        keys=keys,
        advanced=extra(Advanced) is not None,
        auto=extra(Auto),
        search=extra(Search),
        weights=getattr(extra(WeightsOf), "network", ""),
    )


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return get_args(hint)
    return (hint,)
