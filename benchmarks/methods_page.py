"""Writes what ``methods.py`` has measured as tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MARKS = "<!-- tables: begin -->", "<!-- tables: end -->"


def write(cells: dict[str, dict[str, Any]], page: Path | None) -> None:
    """Print the tables, and put them between the marks of a page."""
    text = tables(cells)
    print(text)
    if page:
        before, rest = page.read_text().split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        page.write_text(f"{before}{MARKS[0]}\n\n{text}\n{MARKS[1]}{after}")


def tables(cells: dict[str, dict[str, Any]]) -> str:
    """Return one table of all, one of how near automatic is to the best, and one a case."""
    names = list(dict.fromkeys(cell["case"] for cell in cells.values()))
    lines = list(dict.fromkeys(cell["row"] for cell in cells.values()))
    at = {(cell["case"], cell["row"]): cell for cell in cells.values()}
    text = ["## At a glance", "", "PSNR in dB.", ""]
    text += markdown(
        ["", *names],
        [
            [line, *(_number(at.get((name, line), {}), "psnr", 2) for name in names)]
            for line in lines
        ],
    )
    text += verdicts(cells)
    header = ["", "PSNR", "SSIM", "SNR", "seconds", "MB", "best PSNR", "at"]
    for name in names:
        body = [columns(line, at[name, line]) for line in lines if (name, line) in at]
        text += ["", f"## {name[0].upper()}{name[1:]}", "", *markdown(header, body)]
    return "\n".join(text) + "\n"


def columns(line: str, cell: dict[str, Any]) -> list[str]:
    """Return a row of a data set's table."""
    if "error" in cell:
        return [line, cell["error"].split("\n")[0][:60], *[""] * 6]
    scores = [
        _number(cell, name, digits) for name, digits in (("psnr", 2), ("ssim", 3), ("snr", 2))
    ]
    seconds, memory, best = cell.get("seconds"), cell.get("memory"), cell.get("best")
    return [
        line,
        *scores,
        "" if seconds is None else f"{seconds:.2g}",
        "" if memory is None else f"{memory / 1e6:.0f}",
        _number(best, "psnr", 2) if best else "",
        f"{best['of'].replace('_', ' ')} {best['value']:.3g}" if best else "",
    ]


def verdicts(cells: dict[str, dict[str, Any]]) -> list[str]:
    """Return how often automatic is near the best, and ours first among the same methods."""
    text = []
    own = [c for c in cells.values() if c["package"] == "ours" and "best" in c]
    near = [c for c in own if c["psnr"] >= c["best"]["psnr"] - 0.3]
    if own:
        words = "Automatic parameters end within 0.3 dB of the best setting found in"
        text += ["", f"{words} {len(near)} of {len(own)} cells."]
    contests, beaten = 0, []
    for name in dict.fromkeys(c["case"] for c in cells.values()):
        here = [c for c in cells.values() if c["case"] == name and "psnr" in c]
        for like in dict.fromkeys(c["like"] for c in here if c["package"] != "ours"):
            same = [c for c in here if c["like"] == like]
            ours = [c["psnr"] for c in same if c["package"] == "ours"]
            first = max((c for c in same if c["package"] != "ours"), key=lambda c: c["psnr"])
            contests += bool(ours)
            if ours and max(ours) < first["psnr"] - 0.1:
                theirs = f"{first['row']} {first['psnr']:.2f}"
                beaten.append(f"- {name}, {like}: {max(ours):.2f}, but {theirs}")
    if contests:
        ahead = contests - len(beaten)
        words = "With defaults, ours is first among the same methods, or within 0.1 dB of it, in"
        text += ["", f"{words} {ahead} of {contests} comparisons.", "", *beaten]
    return text


def markdown(header: list[str], body: list[list[str]]) -> list[str]:
    """Return the lines of a table."""
    rule = ["---", *["--:"] * (len(header) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *body)]


def _number(cell: dict[str, Any], name: str, digits: int) -> str:
    return f"{cell[name]:.{digits}f}" if name in cell else "–"
