"""A YAML file in which every value knows its line."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_POWER_OF_TEN = (
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
_LARGEST = 1 << 20  # bytes; a recipe takes a thousand


@dataclass(frozen=True)
class Field:
    """One value of a file.

    Attributes
    ----------
    value
        A dict or list of fields, or a plain value.
    line
        Where it stands, from 1.
    name
        What leads to it, such as ``psf.microscope``; empty for the whole file.
    path
        The file.
    """

    value: Any
    line: int
    name: str
    path: Path

    def wrong(self, words: str) -> FileError:
        """Return the error that says what is wrong here."""
        return FileError(f"{self.path}, line {self.line}: {words}")

    def plain(self) -> Any:
        """Return the value without its lines."""
        if isinstance(self.value, dict):
            return {key: each.plain() for key, each in self.value.items()}
        if isinstance(self.value, list):
            return [each.plain() for each in self.value]
        return self.value

    def named(self, known: Iterable[str] | None = None) -> dict[str, Field]:
        """Return the fields of a mapping by name.

        Raises
        ------
        FileError
            When it is no mapping, or has a name that is not known.
        """
        if not isinstance(self.value, dict):
            raise self.wrong(
                f"{self.name or 'a recipe'} is {self.plain()!r}, but has to be names with values, "
                'such as "method: richardson-lucy".'
            )
        names = None if known is None else list(known)
        for name, each in self.value.items():
            if names is not None and name not in names:
                close = difflib.get_close_matches(str(name), names, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."
                where = f" in {self.name}" if self.name else ""
                raise each.wrong(f"there is no {name!r}{where}. {hint}")
        return dict(self.value)

    def items(self) -> list[Field]:
        """Return the fields of a list.

        Raises
        ------
        FileError
            When it is none.
        """
        if not isinstance(self.value, list):
            raise self.wrong(f"{self.name} has to be a list, each entry behind a dash.")
        return list(self.value)

    def word(self) -> str:
        """Return a word.

        Raises
        ------
        FileError
            When it is anything else.
        """
        if not isinstance(self.value, str) or not self.value:
            raise self.wrong(f"{self.name} is {self.plain()!r}, but has to be a word.")
        return self.value

    def file(self) -> Path:
        """Return a file's path; a relative one starts in the recipe's folder."""
        return self.path.parent / Path(self.word()).expanduser()

    def over(self, shared: Field | None) -> Field:
        """Return this mapping with what it does not tell taken from a shared one."""
        if shared is None or not (isinstance(self.value, dict) and isinstance(shared.value, dict)):
            return self
        return Field(shared.value | self.value, self.line, self.name, self.path)


def read(path: Path) -> Field:
    """Read a YAML file.

    Raises
    ------
    FileError
        When it cannot be read, is no YAML, or gives a name twice.
    """
    import yaml

    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no recipe: it is not text.") from error
    if len(raw) > _LARGEST:
        raise FileError(f"{path} is no recipe: it is larger than a megabyte.")
    loader = _loader()(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise FileError(f"{path} is empty.")
        return _field(node, loader, "", path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise FileError(f"{path}{line}: this is not YAML ({error.problem}).") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FileError(f"{path}: this is not YAML ({error}).") from error
    finally:
        loader.dispose()


@cache
def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """PyYAML takes 1e-3 for a word, since it has no point; nobody else does."""

    Loader.add_implicit_resolver(*_POWER_OF_TEN)
    return Loader


def _field(node: Any, loader: Any, name: str, path: Path) -> Field:
    import yaml

    line = node.start_mark.line + 1
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = {}
        for key_node, each in node.value:
            key = loader.construct_object(key_node, deep=True)
            at = key_node.start_mark.line + 1
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                raise FileError(f"{path}, line {at}: {key!r} is no name. Put it in quotes.")
            if key in value:
                first = value[key].line
                raise FileError(f"{path}, line {at}: {key!r} was given in line {first} already.")
            inner = _field(each, loader, f"{name}.{key}" if name else str(key), path)
            value[key] = Field(inner.value, at, inner.name, path)
    elif isinstance(node, yaml.SequenceNode):
        value = [_field(each, loader, name, path) for each in node.value]
    else:
        value = loader.construct_object(node)
    return Field(value, line, name, path)


def written(values: Mapping[str, Any], heading: str) -> str:
    """Return the text of a YAML file: short lists in one line, names in the order given."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Writes lists of numbers in one line, and indents those of mappings."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def sequence(dumper: Any, value: list[Any]) -> Any:
        flow = not any(isinstance(each, (dict, list)) for each in value)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)

    Dumper.add_representer(list, sequence)
    Dumper.add_implicit_resolver(*_POWER_OF_TEN)
    text: str = yaml.dump(
        dict(values), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=96
    )
    return "".join(f"# {line}\n" for line in heading.splitlines()) + text
