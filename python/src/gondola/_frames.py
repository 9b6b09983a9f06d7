"""Data frames in and out: pandas, polars and pyarrow by what their objects can do, none of them imported before it is needed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypeVar

Library: TypeAlias = Literal["pandas", "polars", "pyarrow"]
T = TypeVar("T")


def library_of(value: Any) -> Library | None:
    """The library whose object it is, if it is one of a library of frames."""
    root = type(value).__module__.partition(".")[0]
    if root == "pandas":
        return "pandas"
    if root == "polars":
        return "polars"
    return "pyarrow" if root == "pyarrow" else None


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame, or of a list of mappings; what is missing is ``None``."""
    match library_of(frame):
        case "pandas":
            rows = frame.to_dict("records")
        case "polars":
            rows = frame.to_dicts()
        case "pyarrow":
            rows = frame.to_pylist()
        case None:
            rows = list(frame)
    if not all(isinstance(row, Mapping) for row in rows):
        raise TypeError(
            f"{type(frame).__name__} has no rows with names; "
            "give a frame of pandas, polars or pyarrow, or a list of mappings"
        )
    return [{name: None if is_missing(value) else value for name, value in row.items()} for row in rows]


def entries_of(values: Any, kind: type[T]) -> list[T | Mapping[str, Any]]:
    """The rows of a frame; of a list, values of `kind` as they are and mappings as rows."""
    if library_of(values) is not None:
        return list(rows_of(values))
    return [value if isinstance(value, kind) else rows_of([value])[0] for value in values]


def ids_of(values: Any, column: str) -> list[str]:
    """The ids in a column of a frame, in a series or in a list."""
    library = library_of(values)
    if library is not None and hasattr(values, "columns"):
        names = values.column_names if library == "pyarrow" else list(values.columns)
        if column not in names:
            raise ValueError(f"the frame has no column {column!r}; name the one with the ids: column=...")
        values = values[column]
    if isinstance(values, str):
        raise TypeError("a list of ids is needed, not one; write [id]")
    plain_values = values.to_pylist() if library == "pyarrow" else values
    return [identifier(value) for value in plain_values]


def frame(columns: Mapping[str, list[Any]], library: Library) -> Any:
    """A frame of that library."""
    module = load(library, f"frames of {library}")
    if library == "pyarrow":
        return module.table(dict(columns))
    return module.DataFrame(dict(columns))


def load(module: str, what: str) -> Any:
    """A module that not everybody has."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ModuleNotFoundError(f"{what} need {name}: pip install {name}", name=name) from error


def identifier(value: Any) -> str:
    """An id as text. Whole numbers are written out; a 7.0, from a column with gaps, would be a guess."""
    value = plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"{value!r} is no id; ids are texts or whole numbers")


def plain(value: Any) -> Any:
    """A value as JSON has it: of numpy's scalars their content, of what is missing ``None``."""
    if is_missing(value):
        return None
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def is_missing(value: Any) -> bool:
    """Whether it is one of the ways in which libraries write that nothing is known."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    # A NaN is the one number that is not itself. Arrays compare element by element, and are no values.
    return isinstance(value, float) and value != value
