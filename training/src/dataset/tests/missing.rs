//! What is missing: empty cells, and NaN in all its places.

use std::fs;

use super::*;
use crate::dataset::remarks::LeftOut;

#[tokio::test]
async fn nan_in_parquet_is_null_however_few_other_values_there_are() {
    const SUMS: &str = "SELECT COUNT(*), COUNT(price), SUM(price), COUNT(store) FROM transactions";
    for (prices, wanted) in [
        (vec![9.99, NAN, 9.99, NAN], "4,2,19.98,0"),
        (vec![NAN, NAN, 9.99, NAN, NAN], "5,1,9.99,0"),
        (vec![9.99, 9.99, NAN], "3,2,19.98,0"),
        (vec![NAN, -NAN, NAN], "3,0,,0"),
    ] {
        let shop = Shop::new()
            .configured("tx.csv", "tx.parquet")
            .parquet("tx.parquet", &sales(&prices));
        assert_eq!(shop.rows(SUMS).await, [wanted]);
    }
}

/// Files of pyarrow, which leaves NaN out of the statistics: of 2,240 prices, 1,680 are 9.99 and the others
/// NaN; of 80 clubs, 53 are 1.0 and the others NaN.
#[tokio::test]
async fn nan_in_files_of_other_libraries_is_null() {
    let shop = Shop::new()
        .with(
            "tx.parquet",
            include_bytes!("../../../tests/fixtures/tables/nan_price.parquet"),
        )
        .with(
            "users.parquet",
            include_bytes!("../../../tests/fixtures/tables/nan_club.parquet"),
        )
        .configured("tx.csv", "tx.parquet")
        .configured("users.csv", "users.parquet");
    let prices = "SELECT COUNT(*), COUNT(price), CAST(SUM(price) * 100 + 0.5 AS BIGINT) FROM transactions";
    assert_eq!(shop.rows(prices).await, ["2240,1680,1678320"]);
    assert_eq!(
        shop.rows("SELECT COUNT(*), COUNT(club), MIN(club), MAX(club) FROM users")
            .await,
        ["80,53,1,1"]
    );
}

#[tokio::test]
async fn nan_is_null_in_every_part_of_a_table() {
    let shop = Shop::new().configured("tx.csv", "tx.parquet");
    let folder = shop.path("tx.parquet/year=2024");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("_SUCCESS"), "").unwrap();
    fs::write(shop.path("tx.parquet/_half-written.parquet"), "no table").unwrap();
    for (number, prices) in [[NAN, 5.0], [5.0, 5.0], [NAN, NAN]].iter().enumerate() {
        write_parquet(&folder.join(format!("part-{number}.parquet")), &sales(prices));
    }
    // A part from before there were prices.
    write_parquet(&folder.join("part-3.parquet"), &sales(&[1.0])[..3]);
    let sums = "SELECT COUNT(*), COUNT(price), SUM(price) FROM transactions";
    assert_eq!(shop.rows(sums).await, ["7,3,15.0"]);
}

#[tokio::test]
async fn nan_among_attributes_is_null_and_whole_floats_are_what_they_count() {
    let columns: [(&str, ArrayRef); 3] = [
        ("cid", doubles(&[1000.0, 1001.0, 1002.0])),
        ("club", doubles(&[1.0, NAN, 1.0])),
        ("age", doubles(&[NAN, 30.0, NAN])),
    ];
    let shop = Shop::new()
        .configured("users.csv", "users.parquet")
        .parquet("users.parquet", &columns);
    assert_eq!(
        shop.rows("SELECT * FROM users ORDER BY user_id").await,
        ["1000,1,", "1001,,30.0", "1002,1,"]
    );
}

#[tokio::test]
async fn nan_is_null_in_csv_and_rows_without_id_or_time_are_counted() {
    let shop = Shop::new()
        .changed("users.csv", "43", "NaN")
        .changed("users.csv", "RIGHT", "nan")
        .changed("tx.csv", "22.36", "NaN")
        .with(
            "tx.csv",
            format!("{SALES}NaN,1000,0500100,1,1\n2024-01-04,,0500100,1,1\n2024-01-04,1000,nan,1,1\n"),
        );
    assert_eq!(
        shop.rows("SELECT user_id, club, age FROM users ORDER BY 1").await,
        ["1000,LEFT,", "1001,,", "1002,,20.5"]
    );
    assert_eq!(shop.rows("SELECT COUNT(*) FROM transactions").await, ["3"]);
    let left_out = shop.open().await.unwrap().remarks.left_out;
    let file = "tx.csv".to_owned();
    assert_eq!(left_out, [LeftOut { file, rows: 3 }]);
}

#[tokio::test]
async fn times_of_floats_are_counted_since_1970_and_nan_is_none() {
    let mut columns = sales(&[1.0, 1.0, 1.0]);
    columns[0].1 = doubles(&[1_704_067_200.0, NAN, 1_704_067_200.0]);
    let shop = Shop::new()
        .configured("tx.csv", "tx.parquet")
        .parquet("tx.parquet", &columns);
    assert_eq!(
        shop.rows("SELECT DISTINCT at FROM transactions").await,
        ["2024-01-01T00:00:00"]
    );
    columns[0].1 = doubles(&[20_240_101.0; 3]);
    let shop = Shop::new()
        .configured("tx.csv", "tx.parquet")
        .parquet("tx.parquet", &columns);
    shop.refuses(
        "tx.parquet, row 1, column \"when\": \"20240101\" is not a time; write dates as 2024-01-31, or times in seconds, \
         milliseconds, microseconds or nanoseconds since 1970",
    )
    .await;
}
