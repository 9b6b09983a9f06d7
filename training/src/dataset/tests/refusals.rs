//! What is refused, in which words, and what does no harm.

use std::fs;

use super::*;

#[tokio::test]
async fn a_cell_that_makes_no_sense_is_reported_with_file_row_column_value_and_way_out() {
    let comma =
        "is not a number; write a point before the decimals and nothing between the thousands, as in 1234.5";
    let no_number = "is not a number; write it as 1234.5, and leave the cell empty where nothing is known";
    let large = "is beyond 3.4e38, which no model can hold; write what is meant, or leave the cell empty";
    let no_time = "is not a time; write it as 2024-01-31 or 2024-01-31T18:30:00";
    for (file, from, to, message) in [
        (
            "tx.csv",
            "23.5",
            "\"22,36\"",
            format!("tx.csv, row 2 (line 3), column \"price\": \"22,36\" {comma}"),
        ),
        (
            "tx.csv",
            "23.5",
            "\"1,234.56\"",
            format!("tx.csv, row 2 (line 3), column \"price\": \"1,234.56\" {comma}"),
        ),
        (
            "tx.csv",
            "22.36",
            "12 €",
            format!("tx.csv, row 1 (line 2), column \"price\": \"12 €\" {no_number}"),
        ),
        (
            "users.csv",
            "20.5",
            "None",
            format!("users.csv, row 3 (line 4), column \"age\": \"None\" {no_number}"),
        ),
        (
            "items.csv",
            "0.5",
            "1.8e308",
            format!("items.csv, row 1 (line 2), column \"weight\": \"1.8e308\" {large}"),
        ),
        (
            "items.csv",
            "0.5",
            "-inf",
            format!("items.csv, row 1 (line 2), column \"weight\": \"-inf\" {large}"),
        ),
        (
            "tx.csv",
            "2024-01-03",
            "31/01/2024",
            format!("tx.csv, row 3 (line 4), column \"when\": \"31/01/2024\" {no_time}"),
        ),
        (
            "tx.csv",
            "2024-01-03",
            "2024-02-30",
            format!("tx.csv, row 3 (line 4), column \"when\": \"2024-02-30\" {no_time}"),
        ),
        // A text with line breaks: the row's line is where an editor shows it.
        (
            "users.csv",
            "LEFT,43\n1001,,",
            "\"LEFT\nRIGHT\",43\n1001,,n/a",
            format!("users.csv, row 2 (line 4), column \"age\": \"n/a\" {no_number}"),
        ),
    ] {
        Shop::new().changed(file, from, to).refuses(&message).await;
    }
    let mut columns = sales(&[1.0, 1.0, f64::INFINITY]);
    let shop = Shop::new()
        .configured("tx.csv", "tx.parquet")
        .parquet("tx.parquet", &columns);
    shop.refuses(&format!("tx.parquet, row 3, column \"price\": \"inf\" {large}"))
        .await;
    columns[3].1 = texts(&["1", "2", "3,5"]);
    let shop = Shop::new()
        .configured("tx.csv", "tx.parquet")
        .parquet("tx.parquet", &columns);
    shop.refuses(&format!("tx.parquet, row 3, column \"price\": \"3,5\" {comma}"))
        .await;
}

#[tokio::test]
async fn a_file_that_is_something_else_is_refused_as_what_it_is() {
    let read = |what: &str| format!("cannot read tx.csv: {what}");
    for (content, message) in [
        (
            b"".as_slice(),
            "it is empty; write the columns' names into its first line",
        ),
        (b"\x1f\x8b\x08\0", "it is compressed by gzip; decompress it"),
        (b"\xff\xfew\0h\0e\0n\0", "it is text in UTF-16; save it in UTF-8"),
        (
            b"PK\x03\x04\x14",
            "it is a ZIP archive or a workbook of Excel; unpack it, or save its sheet as CSV in UTF-8",
        ),
        (
            b"PAR1\x15\x04",
            "it is a Parquet file; rename it to end in .parquet",
        ),
        (
            b"when;cid;aid;price;chan\n",
            "its first line is \"when;cid;aid;price;chan\"; separate cells by commas",
        ),
        (
            b"when,\xe9,aid\n",
            "its first line has bytes that are not UTF-8; save the file as UTF-8",
        ),
        (
            b"when,cid,aid,price,chan\n2024-01-01,1000,0500100,1\n",
            "row 1 (line 2) has 4 cells, but the first line names 5 columns; put cells that have commas inside into double quotes",
        ),
        (
            b"when,cid,aid,price,chan\n2024-01-01,1000,0500100,22,36,2\n",
            "row 1 (line 2) has 6 cells, but the first line names 5 columns; put cells that have commas inside into double quotes",
        ),
        (
            b"when,cid,aid,price,chan\n2024-01-01,1000,0500100,1,1\n2024-01-01,caf\xe9,0500100,1,1\n",
            "row 2 (line 3) has bytes in column \"cid\" that are not UTF-8; save the file as UTF-8",
        ),
        (
            b"when,cid,aid,price,chan\n2024-01-01,1000,0500100,1,\"1\n2024-01-01,1000,0500100,1,1\n",
            "row 1 (line 2) has a double quote that is never closed; close it, or write a quote inside of a cell twice",
        ),
        (
            b"when,cid,cid,price,chan,aid\n",
            "2 columns are called \"cid\"; give each a name of its own",
        ),
    ] {
        Shop::new().with("tx.csv", content).refuses(&read(message)).await;
    }
    Shop::new()
        .with("tx.csv", "when,,aid,price,chan\n2024-01-01,1000,0500100,1,1\n")
        .refuses("tx.csv has no column \"cid\"; it has [\"when\", \"\", \"aid\", \"price\", \"chan\"]")
        .await;
    Shop::new()
        .with("tx.csv", "when,cid,aid,price,chan\n")
        .refuses("tx.csv has no row with a user, an item and a time; it needs at least one")
        .await;
    Shop::new()
        .with("users.csv", "cid,club,age\n,a,1\n")
        .refuses("users.csv has no row with an id; it needs at least one")
        .await;
    Shop::new()
        .configured("tx.csv", "tx.csv.gz")
        .refuses("tx.csv.gz ends neither in .parquet nor in .csv; convert it to one of the two")
        .await;
}

#[tokio::test]
async fn a_byte_order_mark_an_unnamed_column_and_windows_lines_do_no_harm() {
    let shop = Shop::new()
        .with("tx.csv", format!("\u{feff}{}", SALES.replace('\n', "\r\n")))
        .with(
            "items.csv",
            ITEMS
                .replace("aid,", ",aid,")
                .replace("\n05", "\n0,05")
                .replace("shirt", "\"shirt, \"\"red\"\"\""),
        );
    assert_eq!(shop.rows("SELECT SUM(price) FROM transactions").await, ["46.86"]);
    assert_eq!(
        shop.rows("SELECT kind FROM items ORDER BY 1").await,
        ["shirt, \"red\"", "sock"]
    );
}

#[tokio::test]
async fn bytes_that_are_not_text_do_no_harm_in_columns_that_nobody_asks_for() {
    let shop = Shop::new().with(
        "items.csv",
        b"aid,kind,weight,note\n0500100,a,1,caf\xe9\n".as_slice(),
    );
    assert_eq!(shop.rows("SELECT kind FROM items").await, ["a"]);
}

#[tokio::test]
async fn a_parquet_file_that_was_cut_short_is_named() {
    let shop = Shop::new()
        .configured("tx.csv", "tx.parquet")
        .parquet("tx.parquet", &sales(&[1.0, 2.0, 3.0]));
    let whole = fs::read(shop.path("tx.parquet")).unwrap();
    for length in [4, 12, whole.len() / 2, whole.len() - 1] {
        fs::write(shop.path("tx.parquet"), &whole[..length]).unwrap();
        let message = shop.open().await.err().unwrap();
        assert!(
            message.starts_with("cannot read tx.parquet: it is not a Parquet file that can be read; if it was cut short, copy it again: "),
            "{message}"
        );
    }
    fs::write(shop.path("tx.parquet"), SALES).unwrap();
    assert_eq!(
        shop.open().await.err().unwrap(),
        "cannot read tx.parquet: it is not a Parquet file; rename it to end in .csv if it is CSV, or convert it"
    );
}

#[tokio::test]
async fn a_folder_without_parts_is_refused() {
    let shop = Shop::new();
    fs::remove_file(shop.path("tx.csv")).unwrap();
    fs::create_dir(shop.path("tx.csv")).unwrap();
    shop.refuses("tx.csv is a folder without files that end in .csv; put the parts of the table there")
        .await;
}

#[tokio::test]
async fn a_row_that_never_ends_is_refused_before_it_fills_memory() {
    let mut text = SALES.replace(",1000,", ",\"1000,");
    text.push_str(&"2024-01-04,1000,0500100,1,1\n".repeat(700_000));
    Shop::new()
        .with("tx.csv", text)
        .refuses(
            "cannot read tx.csv: row 1 (line 2) has a double quote that is never closed; close it, or write a quote inside of a cell twice",
        )
        .await;
}

/// Every byte of a file of 1,660, each damaged in three ways: what can still be read is a table, and
/// everything else an error.
#[test]
fn no_damaged_byte_of_a_parquet_file_is_a_panic() {
    let whole = include_bytes!("../../../tests/fixtures/tables/nan_club.parquet");
    let file = tempfile::NamedTempFile::new().unwrap();
    let (mut read, mut refused) = (0, 0);
    for (place, damage) in (0..whole.len()).flat_map(|place| [0x01, 0x80, 0xff].map(|damage| (place, damage)))
    {
        let mut damaged = whole.to_vec();
        damaged[place] ^= damage;
        fs::write(file.path(), damaged).unwrap();
        let rows = table::rows(file.path(), Format::Parquet, &["cid", "club", "age"]);
        match rows.and_then(|rows| rows.collect::<Result<Vec<_>, _>>()) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        read > 100 && refused > 1000,
        "{read} were read, {refused} refused"
    );
}
