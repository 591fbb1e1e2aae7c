"""Tables of methods, models and parameters for the documentation, read from the registry.

A hook of mkdocs: a page asks for a table with a comment, ``<!-- table: methods -->``, and gets
what the registry knows at that moment. Nothing about a parameter is typed a second time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_deconv.registry import Entry, Parameter

MARKER = re.compile(r"^<!-- table: ([a-z-]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put each table in its place."""
    return MARKER.sub(lambda found: TABLES[found[1]](), markdown)


def methods() -> str:
    """List every method in one table, then describe each with its parameters."""
    from napari_deconv.registry import methods

    entries = methods().values()
    rows = [
        (f"[`{entry.id}`](#{entry.id})", entry.title, "yes" if entry.iterative else "no")
        for entry in entries
    ]
    return "\n\n".join(
        [table(("Method", "Title", "Iterative"), rows), *(section(entry) for entry in entries)]
    )


def psf_models() -> str:
    """Describe every PSF model."""
    from napari_deconv.registry import psf_models

    return "\n\n".join(section(entry, level=3) for entry in psf_models().values())


def modalities() -> str:
    """Describe every modality."""
    from napari_deconv.registry import modalities

    return "\n\n".join(section(entry, level=3) for entry in modalities().values())


def microscope() -> str:
    """Tabulate the fields of a microscope."""
    from napari_deconv.optics.microscope import Microscope
    from napari_deconv.registry import parameters_of

    return parameter_table(parameters_of(Microscope))


def options() -> str:
    """Tabulate what `restore` takes beside the method's own parameters."""
    from napari_deconv.engine.options import Options
    from napari_deconv.registry import parameters_of

    return parameter_table(parameters_of(Options))


TABLES: dict[str, Callable[[], str]] = {
    "methods": methods,
    "psf-models": psf_models,
    "modalities": modalities,
    "microscope": microscope,
    "options": options,
}


def section(entry: Entry, level: int = 2) -> str:
    """Describe one entry: what it is, where it comes from, its parameters."""
    parts = [f"{'#' * level} {entry.title} {{ #{entry.id} }}", f"`{entry.id}`. {entry.summary}"]
    if entry.parameters:
        parts.append(parameter_table(entry.parameters))
    if entry.cites:
        parts.append("Source: " + "; ".join(entry.cites) + ".")
    return "\n\n".join(parts)


def parameter_table(parameters: Mapping[str, Parameter]) -> str:
    """Tabulate parameters: default, what is allowed, what it means."""
    rows = [
        (f"`{name}`", default_of(item), allowed_by(item), item.help)
        for name, item in parameters.items()
    ]
    return table(("Parameter", "Default", "Allowed", "Meaning"), rows)


def default_of(parameter: Parameter) -> str:
    """Write the default as it would be typed."""
    if parameter.required:
        return "needed"
    if isinstance(parameter.default, str):
        return f'`"{parameter.default}"`'
    return f"`{parameter.default}`"


def allowed_by(parameter: Parameter) -> str:
    """Say in words what may be put in."""
    low, high = parameter.range.lower, parameter.range.upper
    words = [f'`"{choice}"`' for choice in parameter.choices]
    if not words and parameter.kind in (int, float):
        number = "whole number" if parameter.kind is int else "number"
        if parameter.length:
            number = f"{parameter.length} {number}s"
        bounds = {
            (False, False): "",
            (True, False): f" from {low}",
            (False, True): f" up to {high}",
            (True, True): f" from {low} to {high}",
        }[low is not None, high is not None]
        words.append(f"{number}{bounds}{f' {parameter.unit}' if parameter.unit else ''}")
    elif not words:
        words.append("yes or no" if parameter.kind is bool else parameter.kind.__name__)
    if parameter.allows_auto:
        words.append('`"auto"`')
    if parameter.allows_none:
        words.append("`None`")
    return ", ".join(words)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(escape(cell) for cell in line) + " |" for line in lines)


def escape(cell: str) -> str:
    """Keep a cell in its column."""
    return cell.replace("|", "\\|").replace("\n", " ")
