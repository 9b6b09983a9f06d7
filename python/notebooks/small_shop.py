"""A small shop for notebooks and tests: some households of The Complete Journey, with their last 20 days kept apart.

    small_shop.py DATA OUTPUT

OUTPUT gets the shop's files as they were on the day `TODAY`, a configuration of the data set, and in `afterwards.parquet` what
was bought from that day on: what a model has to foresee.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HOUSEHOLDS = 400
TODAY = datetime.datetime(2017, 12, 12)

# A training of a minute: fewer passes, fewer trees, fewer windows of time; and every model of who buys what.
CONFIGURATION = """
training:
  scorers: [dlrm, forest]
  sources:
  - {model: ease}
  - {model: slim}
  - {model: rp3beta}
  - {model: item_knn}
  - {model: user_knn}
  - {model: als, dimension: 16, rounds: 5}
  - {model: bpr, dimension: 16, rounds: 5}
  - {model: sasrec, dimension: 16, epochs: 2}
  - {model: popularity}
  two_tower: {epochs: 2}
  forest: {trees: 40}
"""
WINDOWS = ("test_start: 2017-12-12\n  training: 4", "test_start: 2017-11-22\n  training: 2")


def main(data: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    tables = {
        name: pq.read_table(data / f"{name}.parquet") for name in ("transactions", "demographics", "products")
    }
    bought = tables["transactions"]
    households = pc.unique(bought["household_id"]).sort()[:HOUSEHOLDS]
    bought = bought.filter(pc.is_in(bought["household_id"], households))
    time = pc.cast(bought["transaction_timestamp"], pa.timestamp("us"))
    before = pc.less(time, pa.scalar(TODAY, pa.timestamp("us")))
    known = pc.unique(bought["product_id"])
    products, people = tables["products"], tables["demographics"]
    pq.write_table(bought.filter(before), output / "transactions.parquet")
    pq.write_table(products.filter(pc.is_in(products["product_id"], known)), output / "products.parquet")
    pq.write_table(
        people.filter(pc.is_in(people["household_id"], households)), output / "demographics.parquet"
    )
    afterwards = bought.filter(pc.invert(before)).select(
        ["household_id", "product_id", "transaction_timestamp"]
    )
    pq.write_table(afterwards.rename_columns(["user", "item", "time"]), output / "afterwards.parquet")

    example = Path(__file__).parents[2] / "examples/complete-journey/dataset.yaml"
    configuration = example.read_text()
    assert WINDOWS[0] in configuration, f"{example} has other windows now"
    (output / "dataset.yaml").write_text(configuration.replace(*WINDOWS) + CONFIGURATION)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
