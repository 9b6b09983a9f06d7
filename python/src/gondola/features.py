"""A features bundle as what models read: the rows of users and items, encoded, and pairs of them.

A model trains on exactly what it will be given when it serves: indexes into vocabularies, and numbers that were filled and
scaled (`inference/models/src/features/` is the same in Rust). A test holds the scores of a model in Python against those that
it gives when it serves. pandas and pyarrow are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import _frames
from .bundles import Bundle
from .errors import BundleError

_UNKNOWN = 1
_AFFINITY = "affinity_"


class Features:
    """What a features bundle says of users, items and pairs of them."""

    def __init__(self, bundle: Bundle) -> None:
        if bundle.manifest.kind != "features":
            raise BundleError(
                f"{bundle.manifest.name} is a bundle of kind {bundle.manifest.kind}, not features"
            )
        self._numpy = _frames.load("numpy", "features")
        self._pandas = _frames.load("pandas", "features")
        self._bundle = bundle
        self._workflow = bundle.json("workflow.json")
        self._by_category: dict[str, _Sums] = {}
        #: The features' cut-off date: what was known on it.
        self.as_of: str = bundle.json("schema.json")["as_of"]
        #: Raw rows of users by their ids, as the shop's data have them.
        self.users = bundle.table("users.parquet").set_index("user_id")
        #: Raw rows of items by their ids.
        self.items = bundle.table("items.parquet").set_index("item_id")
        self._encoded = {"user": self._rows("user", self.users), "item": self._rows("item", self.items)}
        self._bought = bundle.table("history.parquet")
        self._by_pair = self._sums(self._bought["item_row"], len(self.items))

    @property
    def history(self) -> Any:
        """What users bought until then: user, item, purchases, recent_purchases, days_since_last."""
        bought = self._bought
        return self._pandas.DataFrame(
            {
                "user": self.users.index.to_numpy()[bought["user_row"]],
                "item": self.items.index.to_numpy()[bought["item_row"]],
                "purchases": bought["purchases"],
                "recent_purchases": bought["recent_purchases"],
                "days_since_last": bought["days_since_last"],
            }
        )

    @property
    def inputs(self) -> list[str]:
        """The inputs of a model, in order."""
        names = [f"{side}.{column}" for side in ("user", "item") for column in self._columns(side)]
        return names + [f"pair.{step['column']}" for step in self._workflow["pair"]]

    @property
    def categorical(self) -> list[str]:
        """Those of the inputs that are indexes."""
        return [f"{side}.{name}" for side in ("user", "item") for name in self._workflow[side]["categorical"]]

    def pairs(self, users: Sequence[str], items: Sequence[str]) -> Any:
        """What a model reads of pairs of a user and an item: a frame with a column for each input, in order.

        :param users: an id of the bundle for each pair, and `items` alike.
        """
        rows = {}
        for side, ids in (("user", _ids(users)), ("item", _ids(items))):
            known = (self.users if side == "user" else self.items).index
            rows[side] = known.get_indexer(ids)
            if (rows[side] < 0).any():
                raise KeyError(f"the bundle has no {side} {ids[int((rows[side] < 0).argmax())]!r}")
        parts = [self._encoded[side].iloc[rows[side]].reset_index(drop=True) for side in ("user", "item")]
        pair = {
            f"pair.{column['column']}": self._number(column, self._pair(column["column"], **rows))
            for column in self._workflow["pair"]
        }
        return self._pandas.concat([*parts, self._pandas.DataFrame(pair)], axis=1)

    def _columns(self, side: str) -> list[str]:
        workflow = self._workflow[side]
        return [*workflow["categorical"], *(column["column"] for column in workflow["numeric"])]

    def _rows(self, side: str, raw: Any) -> Any:
        workflow = self._workflow[side]
        encoded = {
            f"{side}.{column}": self._indexes(side, column, raw[column]) for column in workflow["categorical"]
        }
        for column in workflow["numeric"]:
            encoded[f"{side}.{column['column']}"] = self._number(column, raw[column["column"]])
        return self._pandas.DataFrame(encoded, index=raw.index)

    def _indexes(self, side: str, column: str, values: Any) -> Any:
        vocabulary = self._bundle.table(f"vocabulary/{side}.{column}.parquet")
        place = dict(zip(vocabulary["value"], vocabulary["index"].astype("int64"), strict=True))
        indexes = values.map(place).fillna(_UNKNOWN).where(values.notna(), 0)
        return indexes.astype("int32").to_numpy()

    def _number(self, column: Any, values: Any) -> Any:
        numpy = self._numpy
        setting: Any
        values = numpy.asarray(values, dtype="float64")
        values = numpy.where(numpy.isfinite(values), values, numpy.nan)
        for operation in column["operations"]:
            [(name, setting)] = {operation: None}.items() if isinstance(operation, str) else operation.items()
            match name:
                case "fill":
                    values = numpy.where(numpy.isnan(values), setting, values)
                case "clip":
                    values = numpy.clip(values, setting["minimum"], setting["maximum"])
                case "log":
                    values = numpy.log1p(numpy.maximum(values, 0))
                case "normalise":
                    values = (values - setting["mean"]) / setting["standard_deviation"]
                case _:
                    raise BundleError(
                        f"the workflow has an operation {name}, which this package does not know"
                    )
        return numpy.nan_to_num(values, nan=0.0).astype("float32")

    def _pair(self, name: str, user: Any, item: Any) -> Any:
        if not name.startswith(_AFFINITY):
            # Who never bought an item did so no times; how long ago that is nobody can say.
            nothing = self._numpy.nan if name == "days_since_last" else 0.0
            return self._by_pair.of(name, user, item, nothing)
        categories = self._encoded["item"][f"item.{name.removeprefix(_AFFINITY)}"].to_numpy()
        if name not in self._by_category:
            of_purchases = categories[self._bought["item_row"]]
            self._by_category[name] = self._sums(of_purchases, int(categories.max()) + 1)
        found = self._by_category[name].of("purchases", user, categories[item], 0.0)
        return self._numpy.where(categories[item] == 0, 0.0, found)

    def _sums(self, of: Any, width: int) -> _Sums:
        """The purchases of each user, added up by what `of` says of each."""
        columns = self._bought[["purchases", "recent_purchases", "days_since_last"]].astype("float64")
        keys = self._bought["user_row"].to_numpy().astype("int64") * width + self._numpy.asarray(of)
        return _Sums(self._numpy, columns.groupby(keys).sum(), width)


class _Sums:
    """Sums by user and something else, looked up many at a time."""

    def __init__(self, numpy: Any, sums: Any, width: int) -> None:
        self._numpy = numpy
        self._keys = sums.index.to_numpy()
        self._columns = {name: sums[name].to_numpy() for name in sums.columns}
        self._width = width

    def of(self, column: str, user: Any, other: Any, nothing: float) -> Any:
        keys = user.astype("int64") * self._width + other
        places = self._numpy.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return self._numpy.where(self._keys[places] == keys, self._columns[column][places], nothing)


def _ids(values: Iterable[Any]) -> list[str]:
    return [_frames.identifier(value) for value in values]
