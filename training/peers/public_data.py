"""Public data for the scoreboard: what a wheel holds, as Parquet files that Gondola reads.

    python -m peers.public_data movielens-100k UNPACKED DESTINATION
    python -m peers.public_data instacart-150k UNPACKED DESTINATION

UNPACKED is the folder out of the wheel, DESTINATION the folder that gets the Parquet files. Fetching, and checking what was
fetched, is `scripts/public-data.sh`'s business; nothing here reads the network.

Both sets have licences of their own, which is why none of their rows is part of this repository:

- MovieLens-100K belongs to GroupLens (University of Minnesota): free for research, not to be used commercially and not to
  be passed on without permission. https://grouplens.org/datasets/movielens/100k/
- The Instacart rows are a sample of "The Instacart Online Grocery Shopping Dataset 2017", for non-commercial use.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

# The first day of every customer of Instacart's sample: a Sunday, because the sample counts weekdays from Sunday.
INSTACART_FIRST_WEEK = pd.Timestamp("2017-01-01")


def movielens_100k(unpacked: Path) -> dict[str, pd.DataFrame]:
    """Ratings, movies and users. The zip code is left out: no model here should learn from where a person lives."""
    ratings = _typed_table(unpacked / "ml-100k.inter")
    movies = _typed_table(unpacked / "ml-100k.item")
    users = _typed_table(unpacked / "ml-100k.user")
    genres = movies["class"].fillna("")
    return {
        "ratings": pd.DataFrame(
            {
                "user_id": ratings["user_id"],
                "item_id": ratings["item_id"],
                "rating": ratings["rating"].astype("float32"),
                "timestamp": pd.to_datetime(ratings["timestamp"].astype("float64").astype("int64"), unit="s"),
            }
        ),
        "movies": pd.DataFrame(
            {
                "item_id": movies["item_id"],
                "title": movies["movie_title"],
                # Two movies have none.
                "release_year": pd.to_numeric(movies["release_year"], errors="coerce").astype("Int32"),
                "genre": genres.str.split().str.get(0),
                "genres": genres,
            }
        ),
        "users": pd.DataFrame(
            {
                "user_id": users["user_id"],
                "age": users["age"].astype("int32"),
                "gender": users["gender"],
                "occupation": users["occupation"],
            }
        ),
    }


def instacart_150k(unpacked: Path) -> dict[str, pd.DataFrame]:
    """One row a bought product; and the products, of which nothing but their numbers is known.

    The data has no dates, only the days since a customer's previous order (30 stands for 30 and more). So each customer
    gets a calendar of their own: the first order lies in one and the same week, on its weekday and at its hour, and each
    later one as many days after it as the gaps add up to. Orders of one customer are in their true order; the times of two
    customers compare only as "so long after their first order".
    """
    rows = pd.read_csv(unpacked / "df_sample.csv", index_col=0)
    orders = rows.drop_duplicates("order_id").sort_values(["user_id", "order_number"]).set_index("order_id")
    times = _order_times(orders)
    rows = rows.sort_values(["user_id", "order_number", "add_to_cart_order"])
    return {
        "purchases": pd.DataFrame(
            {
                "user_id": rows["user_id"].astype(str),
                "item_id": rows["product_id"].astype(str),
                "order_id": rows["order_id"].astype(str),
                "timestamp": rows["order_id"].map(times),
                "order_number": rows["order_number"].astype("int32"),
                "position_in_cart": rows["add_to_cart_order"].astype("int32"),
                "reordered": rows["reordered"].astype(bool),
            }
        ),
        "products": pd.DataFrame({"item_id": sorted(set(rows["product_id"].astype(str)))}),
    }


def _order_times(orders: pd.DataFrame) -> pd.Series:
    """When each order was, on its customer's own calendar, by order: never before the customer's previous order."""
    customer = orders["user_id"]
    first_weekday = orders["order_dow"].groupby(customer).transform("first")
    days = orders["days_since_prior_order"].fillna(0).groupby(customer).cumsum()
    times = (
        INSTACART_FIRST_WEEK
        + pd.to_timedelta(first_weekday + days, unit="D")
        + pd.to_timedelta(orders["order_hour_of_day"], unit="h")
    )
    # Gaps are whole days: two orders of one day can come with their hours swapped.
    return times.groupby(customer).cummax()


def _typed_table(path: Path) -> pd.DataFrame:
    """A tab-separated file whose header says types, such as `user_id:token`; everything is read as text."""
    table = pd.read_csv(path, sep="\t", dtype=str)
    return table.rename(columns=lambda name: name.partition(":")[0])


SETS: dict[str, Callable[[Path], dict[str, pd.DataFrame]]] = {
    "movielens-100k": movielens_100k,
    "instacart-150k": instacart_150k,
}


def write(tables: dict[str, pd.DataFrame], destination: Path) -> None:
    """Writes each table as a Parquet file. Times are in microseconds, the finest that every reader of Parquet knows."""
    destination.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
        fields = [
            f.with_type(pa.timestamp("us")) if pa.types.is_timestamp(f.type) else f for f in arrow.schema
        ]
        pq.write_table(arrow.cast(pa.schema(fields)), destination / f"{name}.parquet")


def main() -> None:
    """Reads the arguments, and writes the set that they name."""
    parser = argparse.ArgumentParser(prog="peers.public_data", description="Public data as Parquet files")
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("unpacked", type=Path)
    parser.add_argument("destination", type=Path)
    arguments = parser.parse_args()
    write(SETS[arguments.set](arguments.unpacked), arguments.destination)


if __name__ == "__main__":
    main()
