"""How a parameter is called and explained in a form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_deconv.registry import Parameter

# Of docstrings: ``code``, :func:`~package.name`.
_MARKUP = re.compile(r"(?::\w+:)?`+(?:~[\w.]*\.)?([^`]*)`+")
_ABBREVIATIONS = {"psf": "PSF", "na": "NA", "otf": "OTF"}


def title_of(parameter: Parameter) -> str:
    """Return a parameter's name as a label."""
    words = [_ABBREVIATIONS.get(word, word) for word in parameter.label.split()]
    words[0] = words[0][:1].upper() + words[0][1:]
    return " ".join(words)


def tooltip_of(parameter: Parameter) -> str:
    """Return what a parameter means, with its bounds and default, for a tooltip that wraps."""
    low, high = parameter.range.lower, parameter.range.upper
    facts = []
    if low is not None and high is not None:
        facts.append(f"{low:g} to {high:g}")
    elif low is not None:
        facts.append(f"at least {low:g}")
    elif high is not None:
        facts.append(f"at most {high:g}")
    unit = unit_of(parameter)
    if unit:
        facts = [f"{facts[0]} {unit}"] if facts else [f"in {unit}"]
    if not parameter.required and parameter.default not in (None, {}):
        facts.append(f"default: {text_of(parameter.default)}")
    text = _MARKUP.sub(r"\1", parameter.help)
    if facts and text:
        text += f"<br><i>{'; '.join(facts)}</i>"
    return f"<qt>{text}</qt>" if text else ""


def unit_of(parameter: Parameter) -> str:
    """Return the unit as it is shown."""
    return {"um": "µm"}.get(parameter.unit, parameter.unit)


def text_of(value: Any) -> str:
    """Return a value as a person would type it."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={text_of(item)}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return " ".join(text_of(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
