"""Options out of parameters: the registry's schema, as the shell writes it."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from napari_deconv.errors import ParameterError
from napari_deconv.registry import numbers_by_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_deconv.registry import Parameter

_DEST = "parameter:"
# A bound that nobody comes near only makes the help longer.
_NO_BOUND = 1e6
# Of docstrings: ``code``, :func:`~package.name`.
_MARKUP = re.compile(r"(?::\w+:)?`+(?:~[\w.]*\.)?([^`]*)`+")


class Parser(argparse.ArgumentParser):
    """argparse whose errors are this package's, and whose parameters are the registry's."""

    def __init__(self, prog: str, usage: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            usage=f"{prog} {usage}".replace("%", "%%"),
            description=description,
            epilog=epilog,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.parameters: dict[str, Parameter] = {}

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise ParameterError(f"{message} ({self.prog} --help shows what can be given)")

    def add_parameters(
        self, title: str, parameters: Mapping[str, Parameter], *, advanced_title: str = ""
    ) -> None:
        """Add an option for every parameter; the rarely used ones go to a group of their own."""
        groups: dict[str, Any] = {}
        rare_last = sorted(parameters.items(), key=lambda item: item[1].advanced)
        for name, parameter in rare_last:
            heading = advanced_title if parameter.advanced and advanced_title else title
            if heading not in groups:
                groups[heading] = self.add_argument_group(heading)
            _add(groups[heading], parameter)
            self.parameters[name] = parameter

    def parse(self, words: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
        """Return the plain arguments, and the values of the parameters that were given.

        The values are numbers where numbers were typed; whether they fit is checked where they
        are used, as for values that come from Python.

        Raises
        ------
        ParameterError
            When there is no such option.
        """
        joined = _join_numbers(words, self.parameters)
        namespace, unknown = self.parse_known_args(joined)
        for word in unknown:
            if word.startswith("-"):
                name = word.split("=")[0]
                known = suggest(name, self._option_string_actions)
                self.error(f"There is no option {name}.{known}")
            self.error(f"{word!r} is one word too many.")
        values = {
            name: from_text(self.parameters[name], text)
            for name, text in (
                (dest.removeprefix(_DEST), text)
                for dest, text in vars(namespace).items()
                if dest.startswith(_DEST)
            )
        }
        return namespace, values


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, 100) - 2
        super().__init__(prog, max_help_position=30, width=width)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean ...?" when something known is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def option(name: str) -> str:
    """Return a parameter's name as an option."""
    return "--" + name.replace("_", "-")


def _add(group: Any, parameter: Parameter) -> None:
    settings: dict[str, Any] = {
        "dest": _DEST + parameter.name,
        "default": argparse.SUPPRESS,
        "help": describe(parameter).replace("%", "%%"),
    }
    if parameter.kind is bool:
        group.add_argument(
            option(parameter.name), action=argparse.BooleanOptionalAction, **settings
        )
    else:
        group.add_argument(option(parameter.name), metavar=_metavar(parameter), **settings)


def _metavar(parameter: Parameter) -> str:
    words = list(parameter.choices)
    if parameter.allows_auto:
        words.insert(0, "auto")
    if parameter.allows_none:
        words.append("none")
    if parameter.keys is not None:
        words.append("J=X J=X ...")
    elif parameter.length is not None:
        words.append("Z Y X" if parameter.length in (0, 3) else " ".join("X" * parameter.length))
    elif parameter.kind is int:
        words.append("N")
    elif parameter.kind is float:
        words.append("X")
    elif not parameter.choices:
        words.append("TEXT")
    return "|".join(words)


def describe(parameter: Parameter) -> str:
    """Return a parameter's help with its bounds, unit and default."""
    low, high, unit = parameter.range.lower, parameter.range.upper, parameter.unit
    if high is not None and high >= _NO_BOUND:
        high = None
    facts = []
    if low is not None and high is not None:
        facts.append(f"{low:g} to {high:g}")
    elif low is not None or high is not None:
        facts.append(f"at least {low:g}" if low is not None else f"at most {high:g}")
    if unit:
        facts = [f"{facts[0]} {unit}"] if facts else [f"in {unit}"]
    if parameter.required:
        facts.append("required")
    elif parameter.default is not None and not (parameter.keys and not parameter.default):
        facts.append(f"default: {_text(parameter.default)}")
    text = _MARKUP.sub(r"\1", parameter.help)
    return f"{text} [{'; '.join(facts)}]" if facts else text


def from_text(parameter: Parameter, text: Any) -> Any:
    """Turn what was typed into the parameter's kind of value, as far as it looks like one."""
    if not isinstance(text, str):  # --flag and --no-flag
        return text
    if text.lower() == "none" and parameter.allows_none:
        return None
    if text in parameter.choices or (text == "auto" and parameter.allows_auto):
        return text
    if parameter.keys is not None:
        return numbers_by_key(text) if _is_keyed(text) else text
    if parameter.length is not None and _is_number(text):
        return tuple(_number(parameter, part) for part in _parts(text))
    return _number(parameter, text)


def _number(parameter: Parameter, text: str) -> Any:
    """Return a number where one is wanted and typed; else the text, for the check to refuse."""
    if parameter.kind not in (int, float):
        return text
    try:
        return float(text) if parameter.kind is float else _whole(text)
    except ValueError:
        return text


def _whole(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _parts(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _join_numbers(words: Iterable[str], parameters: Mapping[str, Parameter]) -> list[str]:
    """Make ``--spacing 0.2 0.1 0.1 image.tif`` one word and a file.

    argparse would either want a fixed count of numbers or swallow the file.
    """
    tests: dict[str, Callable[[str], bool]] = {
        option(name): _is_keyed if each.keys else _is_number
        for name, each in parameters.items()
        if each.length is not None or each.keys is not None
    }
    joined: list[str] = []
    numbers: list[str] | None = None
    belongs: Callable[[str], bool] = _is_number
    for word in words:
        if numbers is not None and belongs(word):
            numbers.append(word)
            continue
        if numbers:
            joined[-1] += "=" + ",".join(numbers)
        numbers, belongs = ([], tests[word]) if word in tests else (None, _is_number)
        joined.append(word)
    if numbers:
        joined[-1] += "=" + ",".join(numbers)
    return joined


def _is_number(word: str) -> bool:
    try:
        return all(float(part) is not None for part in _parts(word)) and bool(_parts(word))
    except ValueError:
        return False


def _is_keyed(word: str) -> bool:
    try:
        return bool(numbers_by_key(word))
    except ValueError:
        return False


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return " ".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def options_for(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> list[str]:
    """Return the words that give ``values``; defaults are left out."""
    words: list[str] = []
    for name, value in values.items():
        parameter = parameters[name]
        if value == parameter.default:
            continue
        if parameter.kind is bool:
            words.append(option(name) if value else "--no-" + option(name)[2:])
        elif isinstance(value, Mapping):
            words += [option(name), *(f"{key}={number!r}" for key, number in value.items())]
        elif isinstance(value, (tuple, list)):
            words += [option(name), *(repr(item) for item in value)]
        else:
            words += [option(name), "none" if value is None else str(value)]
    return words


def restore_command(
    method: str, image: str, output: str, *, psf: str | None = None, **options: Any
) -> str:
    """Return the shell command that does what ``restore(image, method, psf, **options)`` does.

    Parameters
    ----------
    method
        Id of the method.
    image, output, psf
        Names of the files.
    **options
        The method's and the engine's parameters; those at their default are left out.

    Returns
    -------
    str
        One line, quoted for the shell.

    Raises
    ------
    ParameterError
        When the method or an option is unknown.
    """
    from napari_deconv.engine.options import parameters_for
    from napari_deconv.registry import find, methods

    parameters = parameters_for(find(methods(), method, "method"))
    unknown = [name for name in options if name not in parameters]
    if unknown:
        raise ParameterError(f"{method} has no parameter {unknown[0]!r}.")
    words = ["napari-deconv", "restore", method, image]
    words += ["--psf", psf] if psf is not None else []
    words += options_for(parameters, options)
    return shlex.join([*words, "-o", output])
