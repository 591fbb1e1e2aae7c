"""Ways to restore, to be tried beside each other: around what automatic finds, or by method."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_deconv.engine.options import parameters_for
from napari_deconv.registry import find, methods

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_deconv.registry import Method, Parameter

# Of a strength and of a number of iterations, against what automatic finds.
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
ITERATIONS = (0.25, 0.5, 1.0, 2.0, 4.0)
# Where both are varied: nine pictures are enough to look at, and to wait for.
FEWER_STRENGTHS = (0.1, 1.0, 10.0)
FEWER_ITERATIONS = (0.5, 1.0, 2.0)
# Of a method's own parameters, those that the engine gives.
_FILLED_IN = ("background", "gain", "read_noise", "seed", "iterations")


@dataclass(frozen=True)
class Setting:
    """One way to restore.

    Parameters
    ----------
    method
        Id of a method.
    options
        Its parameters and options, as for :func:`napari_deconv.restore`.
    times
        Factors by parameter: the value used is so many times the one that the method takes with
        ``options`` alone, where what may be automatic is.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)

    @property
    def automatic(self) -> Setting:
        """The setting that the factors refer to."""
        known = parameters_for(methods()[self.method])
        auto = {name: "auto" for name in self.times if known[name].allows_auto}
        return Setting(self.method, {**self.options, **auto})


def main_strength(method: Method) -> Parameter | None:
    """Return the parameter that decides how smooth a method's result is, when it has one."""
    for parameter in method.parameters.values():
        single = parameter.kind is float and parameter.length is None
        if single and not parameter.advanced and parameter.range.logarithmic:
            return parameter
    return None


def grid(
    method: str,
    options: Mapping[str, Any] | None = None,
    *,
    strengths: Sequence[float] | None = None,
    iterations: Sequence[float] | None = None,
) -> list[list[Setting]]:
    """Return settings of one method around what automatic finds.

    Parameters
    ----------
    method
        Id of a method.
    options
        What all settings share.
    strengths
        Factors of the strength, for a method that has one: the columns.
    iterations
        Factors of the number of iterations, for a method that is to be stopped in time: the rows,
        or where there is no strength the columns. A method that approaches one result has none.

    Returns
    -------
    list of rows of Setting
        In the order of the factors.
    """
    entry = find(methods(), method, "method")
    strength = main_strength(entry)
    stopped = entry.iterative and not entry.converges
    if strengths is None:
        strengths = FEWER_STRENGTHS if stopped else STRENGTHS
    if iterations is None:
        iterations = ITERATIONS if strength is None else FEWER_ITERATIONS
    across = [{strength.name: f} for f in strengths] if strength is not None else [{}]
    down = [{"iterations": f} for f in iterations] if stopped else [{}]
    if strength is None:
        across, down = down, across
    return [[_factors(method, dict(options or {}), row | each) for each in across] for row in down]


def each_method(
    ids: Iterable[str], options: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Setting]:
    """Return one setting for each method, automatic where ``options`` (by method) say nothing."""
    return [Setting(id_, (options or {}).get(id_, {})) for id_ in ids]


def multiplied(setting: Setting, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a setting's options with numbers in place of the factors, within their bounds.

    Parameters
    ----------
    setting
        A setting with factors.
    found
        Parameters as the setting without factors used them. What else was automatic of the
        method's own stays as it was found, so that nothing but the factors tells the two apart.
    """
    entry = methods()[setting.method]
    known, options = parameters_for(entry), dict(setting.options)
    for name, parameter in entry.parameters.items():
        if name not in _FILLED_IN and options.get(name, parameter.default) == "auto":
            options[name] = _short(found[name])
    for name, factor in setting.times.items():
        number, bounds = _short(float(found[name]) * factor), known[name].range
        low, high = bounds.lower, bounds.upper
        number = min(max(number, -math.inf if low is None else low), high or math.inf)
        options[name] = max(1, round(number)) if known[name].kind is int else number
    return options


def _short(value: Any) -> Any:
    """Return a number with the digits that a person would type."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _factors(method: str, options: Mapping[str, Any], times: Mapping[str, float]) -> Setting:
    """Return a setting with factors; where all of them are 1, the automatic one itself."""
    setting = Setting(method, options, times)
    return setting.automatic if all(factor == 1 for factor in times.values()) else setting
