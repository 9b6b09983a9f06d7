from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from peers.public_data import instacart_150k, movielens_100k, write


def movielens(folder: Path) -> Path:
    (folder / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t2\t3\t881250949\n"
    )
    (folder / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "2\tToy Story\t1995\tAnimation Comedy\n3\tunknown\t\tunknown\n"
    )
    (folder / "ml-100k.user").write_text(
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n7\t24\tM\tother\t85711\n"
    )
    return folder


def test_movielens_is_three_tables_with_times_that_every_reader_knows(tmp_path: Path) -> None:
    write(movielens_100k(movielens(tmp_path)), tmp_path / "out")
    ratings = pq.read_table(tmp_path / "out/ratings.parquet")
    assert ratings.schema.field("timestamp").type == pa.timestamp("us")
    assert str(ratings["timestamp"][0]) == "1997-12-04 15:55:49"
    movies = pq.read_table(tmp_path / "out/movies.parquet").to_pylist()
    assert movies[0] == {
        "item_id": "2",
        "title": "Toy Story",
        "release_year": 1995,
        "genre": "Animation",
        "genres": "Animation Comedy",
    }
    assert movies[1]["release_year"] is None
    assert pq.read_schema(tmp_path / "out/users.parquet").names == ["user_id", "age", "gender", "occupation"]


def test_orders_lie_as_far_apart_as_their_gaps_add_up_to(tmp_path: Path) -> None:
    (tmp_path / "df_sample.csv").write_text(
        ",order_id,user_id,order_number,order_dow,order_hour_of_day,days_since_prior_order,product_id,"
        "add_to_cart_order,reordered\n"
        "0,12,1,3,4,9,0.0,5,1.0,1.0\n"
        "1,10,1,1,2,8,,5,2.0,0.0\n"
        "2,10,1,1,2,8,,6,1.0,0.0\n"
        "3,11,1,2,4,10,2.0,7,1.0,0.0\n"
    )
    purchases = instacart_150k(tmp_path)["purchases"]
    assert purchases["item_id"].tolist() == ["6", "5", "7", "5"]
    # The third order is of the second's day, by its hour before it: it stays behind it.
    assert purchases["timestamp"].tolist() == [
        pd.Timestamp("2017-01-03 08:00"),
        pd.Timestamp("2017-01-03 08:00"),
        pd.Timestamp("2017-01-05 10:00"),
        pd.Timestamp("2017-01-05 10:00"),
    ]
