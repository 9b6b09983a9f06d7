"""A shop's features in the real Feast, for the test that holds gondola-feast against it.

    python shop.py FOLDER REDIS_PORT KEY_VERSION

makes a feature repository in FOLDER, with an online store in the Redis at REDIS_PORT, and does what each line of its input says:

    fill        apply, materialize and push, with two versions of one view
    read VIEW ID...     what Feast answers for these ids

Each answer is one line of JSON: {"views": [...]} or {"columns": {NAME: {"values": [...], "messages": [...], "times": [...]}}}, where a
message is the feast.types.Value in hex and a time is [seconds, nanoseconds].
"""

import datetime
import json
import os
import sys
import uuid
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, StreamFeatureView, ValueType
from feast.data_source import KafkaSource
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.data_source import PushMode
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp, Uuid

PROJECT = "shop"
UTC = datetime.timezone.utc
THEN = datetime.datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = THEN + datetime.timedelta(hours=1, microseconds=7)
END = THEN + datetime.timedelta(days=1)
BIG = 9007199254740992

# By view: its key, and for each feature its type in Feast and in Arrow, and a value for each entity.
CUSTOMERS = ["c0", "c1", "été", "", "c" * 42]
ARTICLES = [0, 7, -5, 108775015, 2**40]
SCALARS = {
    "orders": (Int32, pa.int32(), [0, -1, None, 2**31 - 1, -(2**31)]),
    "points": (Int64, pa.int64(), [0, -1, None, BIG, -BIG]),
    "spend": (Float64, pa.float64(), [0.0, -0.1, None, 1e300, 5e-324]),
    "discount": (Float32, pa.float32(), [0.0, 0.1, None, 3.4028234663852886e38, -1.5]),
    "member": (Bool, pa.bool_(), [False, True, None, True, False]),
    "club": (String, pa.string(), ["", "ACTIVE", None, "été", "x" * 5000]),
    "raw": (Bytes, pa.binary(), [b"", b"\x00\xff", None, b"x", b"\n"]),
    "joined": (UnixTimestamp, pa.timestamp("us", "UTC"), [THEN, THEN, None, LATER, THEN]),
    "account": (Uuid, pa.string(), ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", None, None, None, None]),
}
LISTS = {
    "recent": (Array(Int64), pa.list_(pa.int64()), [[], [1], None, [2**62, -1], [0]]),
    "sizes": (Array(Int32), pa.list_(pa.int32()), [[], [1], None, [-1, 2], [0]]),
    "embedding": (Array(Float32), pa.list_(pa.float32()), [[], [0.5], None, [0.1, -0.1], [0.0]]),
    "prices": (Array(Float64), pa.list_(pa.float64()), [[], [0.1], None, [0.1, -0.1], [0.0]]),
    "labels": (Array(String), pa.list_(pa.string()), [[], [""], None, ["a", "é"], ["b"]]),
    "answers": (Array(Bool), pa.list_(pa.bool_()), [[], [True], None, [False, True], [False]]),
    "blobs": (Array(Bytes), pa.list_(pa.binary()), [[], [b"\xff"], None, [b"a", b"b"], [b"c"]]),
}
ARTICLE = {
    "price": (Float32, pa.float32(), [0.0, 0.1, None, 12.5, 1e-3]),
    "group": (String, pa.string(), ["", "Shoes", None, "été", "Garment"]),
    "sales": (Int32, pa.int32(), [0, 1, None, 3, 4]),
}
TIER = {"tier": (String, pa.string(), ["gold", "", None, "silver", "tin"])}
LEVEL = {"tier": (String, pa.string(), ["GOLD", None, "", "SILVER", "TIN"]), "level": (Int64, pa.int64(), [1, 2, 3, None, 0])}

# By a key of 32 bits, and of a view that is valid for a second alone.
SHELVES = [0, -7, 2**31 - 1]
SHELF = {"height": (Float64, pa.float64(), [0.5, None, -1.0])}

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
article = Entity(name="article", join_keys=["article_id"], value_type=ValueType.INT64)
shelf = Entity(name="shelf", join_keys=["shelf_no"], value_type=ValueType.INT32)
KEYS = {
    "customer_id": (customer, String, pa.string(), CUSTOMERS),
    "article_id": (article, Int64, pa.int64(), ARTICLES),
    "shelf_no": (shelf, Int32, pa.int32(), SHELVES),
}


def stream(batch):
    """A stream that nobody reads, and the file that is materialized in its place."""
    return KafkaSource(
        name="customer_stream",
        batch_source=batch,
        kafka_bootstrap_servers="127.0.0.1:9",
        topic="customers",
        timestamp_field="event_timestamp",
        message_format=JsonFormat(schema_json="customer_id string, spend double, event_timestamp timestamp"),
    )


def schema(key, features):
    """The columns of a view, with its key."""
    fields = [Field(name=key, dtype=KEYS[key][1])]
    return fields + [Field(name=feature, dtype=dtype) for feature, (dtype, _, _) in features.items()]


class Shop:
    """A feature repository, and its store."""

    def __init__(self, folder, port, key_version):
        self.folder = Path(folder)
        (self.folder / "feature_store.yaml").write_text(
            f"""
project: {PROJECT}
provider: local
registry:
  path: {self.folder}/registry.pb
  enable_online_feature_view_versioning: true
online_store:
  type: redis
  connection_string: 127.0.0.1:{port}
offline_store:
  type: file
entity_key_serialization_version: {key_version}
"""
        )
        self.store = FeatureStore(repo_path=folder)

    def source(self, name, key, features, time):
        """A Parquet file of these features, true at this time."""
        _, _, key_type, ids = KEYS[key]
        columns = {key: pa.array(ids, key_type)}
        for feature, (_, arrow, values) in features.items():
            columns[feature] = pa.array(values, arrow)
        columns["event_timestamp"] = pa.array([time] * len(ids), pa.timestamp("us", "UTC"))
        path = self.folder / f"{name}.parquet"
        pq.write_table(pa.table(columns), path)
        return FileSource(name=f"{name}_file", path=str(path), timestamp_field="event_timestamp")

    def view(self, name, key, features, source, kind=FeatureView, **more):
        entity, _, _, _ = KEYS[key]
        return kind(name=name, entities=[entity], schema=schema(key, features), source=source, **more)

    def fill(self):
        scalars = self.source("scalars", "customer_id", SCALARS, THEN)
        push = PushSource(name="customer_push", batch_source=scalars)
        lists = self.source("lists", "customer_id", LISTS, LATER)
        articles = self.source("articles", "article_id", ARTICLE, THEN)
        shelves = self.source("shelves", "shelf_no", SHELF, THEN)
        first = self.source("loyalty_0", "customer_id", TIER, THEN)
        views = [
            self.view("customer_scalars", "customer_id", SCALARS, push),
            self.view("customer_lists", "customer_id", LISTS, lists),
            self.view("article_features", "article_id", ARTICLE, articles),
            self.view("shelf_features", "shelf_no", SHELF, shelves, ttl=datetime.timedelta(seconds=1)),
            self.view("streamed", "customer_id", {"spend": SCALARS["spend"]}, stream(scalars), StreamFeatureView),
            self.view("loyalty", "customer_id", TIER, first),
        ]
        self.store.apply([customer, article, shelf, *views, *self.unreadable(views[0], first)])
        readable = [view.name for view in views]
        self.store.materialize(THEN - datetime.timedelta(days=1), END, feature_views=readable)
        second = self.source("loyalty_1", "customer_id", LEVEL, LATER)
        self.store.apply([self.view("loyalty", "customer_id", LEVEL, second)])
        self.store.materialize(THEN - datetime.timedelta(days=1), END, feature_views=["loyalty"])
        self.push()
        return {"registry": str(self.folder / "registry.pb")}

    def unreadable(self, view, source):
        """Views that are not in the store, or not of one entity."""

        @on_demand_feature_view(sources=[view], schema=[Field(name="twice", dtype=Float64)])
        def computed(rows: pd.DataFrame) -> pd.DataFrame:
            return pd.DataFrame({"twice": rows["spend"] * 2})

        return [
            self.view("offline_only", "customer_id", TIER, source, online=False),
            self.view("disabled", "customer_id", TIER, source, enabled=False),
            FeatureView(name="of_nobody", entities=[], schema=schema("customer_id", TIER)[1:], source=source, online=True),
            FeatureView(name="of_pairs", entities=[customer, article], schema=schema("customer_id", TIER), source=source),
            computed,
        ]

    def push(self):
        """A newer row for c1, and a row for somebody new."""
        columns = {feature: [values[0]] * 2 for feature, (_, _, values) in SCALARS.items()}
        rows = pd.DataFrame({"customer_id": ["c1", "pushed"], **columns, "event_timestamp": [LATER, LATER]})
        self.store.push("customer_push", rows, to=PushMode.ONLINE)

    def read(self, view, *ids):
        name, _, version = view.partition("@v")
        definition = (
            self.store.registry.get_feature_view_by_version(name, PROJECT, int(version))
            if version
            else self.store.registry.get_any_feature_view(name, PROJECT)
        )
        key = definition.entity_columns[0].name
        rows = [{key: id if key == "customer_id" else int(id)} for id in ids]
        features = [f"{view}:{field.name}" for field in definition.features]
        answer = self.store.get_online_features(features=features, entity_rows=rows)
        values = answer.to_dict()
        columns = {}
        for name, result in zip(answer.proto.metadata.feature_names.val, answer.proto.results):
            if name != key:
                columns[name] = {
                    "values": [plain(value) for value in values[name]],
                    "messages": [value.SerializeToString().hex() for value in result.values],
                    "times": [[time.seconds, time.nanos] for time in result.event_timestamps],
                }
        return {"columns": columns}


def plain(value):
    """A value as JSON has it; what JSON does not have is shown as text."""
    if isinstance(value, uuid.UUID):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str, list)) else repr(value)


def main():
    # Feast talks on the output as well: what it says goes to the errors.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    shop = Shop(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        answer = shop.fill() if command == "fill" else shop.read(*arguments)
        print(json.dumps(answer, default=repr), file=answers, flush=True)


if __name__ == "__main__":
    main()
