"""What a parameter is: all of it read from the signature of a function.

Keyword-only parameters, with their annotations and the lines of the numpydoc docstring, are a
schema. The dock's form, the shell's options, the checks in Python, the provenance record and the
tables in the documentation are all made from that one schema, so nobody types a default, a bound
or an explanation twice.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Annotated, Any, Literal, get_args, get_origin

from napari_deconv.errors import ParameterError


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
    the user asked for, ``"auto"`` included, and ``psf_error`` is the engine's option. Data and blur
    are None unless ``needs_data``, and the blur, which takes time to make, is where ``needs_blur``
    says of the parameters that it is of no use.
    """

    resolve: Callable[[Any, Any, Mapping[str, Any]], Any]
    needs_data: bool = True
    needs_blur: Callable[[Mapping[str, Any]], bool] = _always


@dataclass(frozen=True, slots=True)
class Search:
    """Marks a strength whose ``"auto"`` the engine finds by trying values between two bounds.

    Each is tried on a region of the image, and the one whose result has the least expected error
    is taken (:mod:`napari_deconv.engine.strength`); smaller ones than the lower bound only where
    the PSF is said to be exact. Where a step of the method itself is dear, ``method`` names another
    one that has the parameter, too, and tries it in its stead.
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
            raise ParameterError(f"{owner} has no parameter {name!r}.{suggest(name, parameters)}")
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


def suggest(name: str, known: typing.Iterable[str]) -> str:
    """Return a sentence that asks for the known word that is most like a name, if one is."""
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
