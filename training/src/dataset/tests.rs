//! What becomes of a shop's files, and what is said of those that can't be read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::array_value_to_string;
use gondola_inference::causes::with_causes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use url::Url;

use super::format::Format;
use super::matches::Match;
use super::{Dataset, DatasetConfig, names, table};
use crate::features;

/// A shop of three users and two items, of which a test may change files.
const USERS: &str = "cid,club,age\n1000,LEFT,43\n1001,,\n1002,RIGHT,20.5\n";
const ITEMS: &str = "aid,kind,weight\n0500100,shirt,0.5\n0500107,sock,2\n";
const SALES: &str = "when,cid,aid,price,chan\n\
                     2024-01-01,1000,0500100,22.36,2\n\
                     2024-01-02,1001,0500107,23.5,1\n\
                     2024-01-03,1002,0500100,1,2\n";

const CONFIG: &str = "
name: tiny
transactions: {file: tx.csv, user: cid, item: aid, time: when, price: price, store: chan}
users: {file: users.csv, key: cid, categorical: [club], numeric: [age]}
items: {file: items.csv, key: aid, categorical: [kind], numeric: [weight]}
features: {}
windows: {test_start: 2024-05-20}
";

struct Shop {
    folder: TempDir,
    config: String,
}

impl Shop {
    fn new() -> Self {
        let shop = Self {
            folder: tempfile::tempdir().unwrap(),
            config: CONFIG.to_owned(),
        };
        shop.with("users.csv", USERS)
            .with("items.csv", ITEMS)
            .with("tx.csv", SALES)
    }

    fn with(self, file: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(file), content).unwrap();
        self
    }

    /// A change of a file that is there.
    fn changed(self, file: &str, from: &str, to: &str) -> Self {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{text}");
        self.with(file, text.replacen(from, to, 1))
    }

    fn parquet(self, file: &str, columns: &[(&str, ArrayRef)]) -> Self {
        write_parquet(&self.path(file), columns);
        self
    }

    fn configured(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{from}");
        self.config = self.config.replace(from, to);
        self
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    async fn open(&self) -> Result<Dataset, String> {
        let yaml = self.path("dataset.yaml");
        fs::write(&yaml, &self.config).unwrap();
        let config = DatasetConfig::read(&yaml).map_err(|error| with_causes(&error))?;
        let url = Url::from_directory_path(self.folder.path()).unwrap();
        Dataset::open(config, &url)
            .await
            .map_err(|error| with_causes(&error))
    }

    /// The rows of a query over the opened files.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let dataset = self.open().await.unwrap();
        let batches = dataset.sql.sql(sql).await.unwrap().collect().await.unwrap();
        let row = |batch: &RecordBatch, row| {
            let cells = batch.columns().iter();
            cells
                .map(|cell| array_value_to_string(cell, row).unwrap())
                .collect::<Vec<_>>()
                .join(",")
        };
        batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(move |place| row(batch, place)))
            .collect()
    }

    #[track_caller]
    fn refuses(self, message: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let message = message.to_owned();
        async move {
            let found = self.open().await.err().unwrap_or_default();
            assert_eq!(found, message, "at {caller}");
        }
    }
}

/// Rows in groups of two, so that each group has statistics of its own.
fn write_parquet(path: &Path, columns: &[(&str, ArrayRef)]) {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

const NAN: f64 = f64::NAN;

/// Sales of which a test changes columns.
fn sales(prices: &[f64]) -> Vec<(&'static str, ArrayRef)> {
    let rows = prices.len();
    let users: Vec<String> = (0..rows).map(|row| format!("{}", 1000 + row % 3)).collect();
    vec![
        ("when", texts(&vec!["2024-01-01"; rows])),
        ("cid", Arc::new(StringArray::from_iter_values(users))),
        ("aid", texts(&vec!["0500100"; rows])),
        ("price", doubles(prices)),
        ("chan", doubles(&vec![NAN; rows])),
    ]
}

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

/// Files of pyarrow, which leaves NaN out of the statistics: of 2,240 prices, 1,680 are 9.99 and the others NaN; of 80 clubs, 53
/// are 1.0 and the others NaN.
#[tokio::test]
async fn nan_in_files_of_other_libraries_is_null() {
    let shop = Shop::new()
        .with(
            "tx.parquet",
            include_bytes!("../../tests/fixtures/tables/nan_price.parquet"),
        )
        .with(
            "users.parquet",
            include_bytes!("../../tests/fixtures/tables/nan_club.parquet"),
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
    assert_eq!(shop.open().await.unwrap().left_out, [("tx.csv".to_owned(), 3)]);
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
        "tx.parquet, row 1, column \"when\": \"20240101\" is no time; write dates as 2024-01-31, or times in seconds, \
         milliseconds, microseconds or nanoseconds since 1970",
    )
    .await;
}

#[tokio::test]
async fn ids_that_a_program_took_for_floats_are_the_whole_numbers_that_they_were() {
    let shop = Shop::new()
        .with(
            "tx.csv",
            SALES.replace(",1000,", ",1000.0,").replace(",1001,", ",1001.0,"),
        )
        .configured("users.csv", "users.parquet")
        .parquet(
            "users.parquet",
            &[
                ("cid", doubles(&[1000.0, 1001.0, 1002.0])),
                ("club", texts(&["a", "b", "c"])),
                ("age", doubles(&[1.0; 3])),
            ],
        );
    assert_eq!(
        shop.rows("SELECT user_id, club FROM transactions JOIN users USING (user_id) ORDER BY 1")
            .await,
        ["1000,a", "1001,b", "1002,c"]
    );
}

#[tokio::test]
async fn points_that_belong_to_ids_stay() {
    let shop = Shop::new()
        .with("users.csv", "cid,club,age\n7.0,a,1\n7.1,b,2\n")
        .with(
            "tx.csv",
            "when,cid,aid,price,chan\n2024-01-01,7.0,0500100,1,1\n2024-01-01,7.1,0500100,1,1\n",
        );
    assert_eq!(
        shop.rows("SELECT user_id FROM users ORDER BY 1").await,
        ["7.0", "7.1"]
    );
}

#[tokio::test]
async fn ids_that_floats_can_not_hold_are_refused_by_name() {
    let large = "is an id kept as a floating-point number, which is exact to 9007199254740992 only, so that ids of several may have \
                 become one; write ids as text or as 64-bit integers";
    let mut columns = sales(&[1.0, 1.0]);
    columns[1].1 = doubles(&[1000.0, 9_007_199_254_742_018.0]);
    let shop = Shop::new()
        .configured("tx.csv", "tx.parquet")
        .parquet("tx.parquet", &columns);
    shop.refuses(&format!(
        "tx.parquet, row 2, column \"cid\": \"9007199254742018\" {large}"
    ))
    .await;
    let shop = Shop::new().changed("users.csv", "1001", "9007199254742018.0");
    shop.refuses(&format!(
        "users.csv, row 2 (line 3), column \"cid\": \"9007199254742018.0\" {large}"
    ))
    .await;
    let shop = Shop::new().changed("items.csv", "0500107", "1.23457E+11");
    shop.refuses(
        "items.csv, row 2 (line 3), column \"aid\": \"1.23457E+11\" is an id that was rounded when it was written as a number; write ids \
         as text or as whole numbers",
    )
    .await;
    let mut columns = sales(&[1.0]);
    columns[2].1 = doubles(&[7.5]);
    let shop = Shop::new()
        .configured("tx.csv", "tx.parquet")
        .parquet("tx.parquet", &columns);
    shop.refuses(
        "tx.parquet, row 1, column \"aid\": \"7.5\" is a floating-point number with decimals, and no id; write ids as text or as whole \
         numbers",
    )
    .await;
}

#[tokio::test]
async fn large_ids_that_are_integers_stay_apart() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![
        9_007_199_254_742_017,
        9_007_199_254_742_018,
    ]));
    let mut columns = sales(&[1.0, 1.0]);
    columns[1].1 = ids.clone();
    let shop = Shop::new()
        .configured("tx.csv", "tx.parquet")
        .configured("users.csv", "users.parquet")
        .parquet("tx.parquet", &columns)
        .parquet(
            "users.parquet",
            &[
                ("cid", ids),
                ("club", texts(&["a", "b"])),
                ("age", doubles(&[1.0; 2])),
            ],
        );
    assert_eq!(
        shop.rows("SELECT COUNT(DISTINCT user_id) FROM transactions")
            .await,
        ["2"]
    );
}

#[tokio::test]
async fn ids_of_which_none_matches_are_an_error_for_items_and_for_users() {
    let alike = "write ids alike in both, with the same zeros, capitals and types";
    let lost_zeros = SALES.replace("0500", "500");
    Shop::new()
        .with("tx.csv", &lost_zeros)
        .refuses(&format!(
            "none of the 2 items in tx.csv is in items.csv: \"500100\" stands in column \"aid\" of the one, and \"0500100\" in column \
             \"aid\" of the other; {alike}"
        ))
        .await;
    let capitals = USERS.replace("\n1", "\nU");
    Shop::new()
        .with("users.csv", &capitals)
        .with("tx.csv", SALES.replace(",100", ",u00"))
        .refuses(&format!(
            "none of the 3 users in tx.csv is in users.csv: \"u000\" stands in column \"cid\" of the one, and \"U000\" in column \"cid\" \
             of the other; {alike}"
        ))
        .await;
}

#[tokio::test]
async fn ids_of_which_few_match_are_told_with_one_that_does_not() {
    let few = SALES.replace(",1001,", ",2001,").replace(",1002,", ",2002,");
    let dataset = Shop::new().with("tx.csv", few).open().await.unwrap();
    let told: Vec<(String, String)> = dataset
        .matches
        .iter()
        .map(|found| (found.title(), found.counts()))
        .collect();
    let line = |title: &str, counts: &str| (title.to_owned(), counts.to_owned());
    assert_eq!(
        told,
        [
            line(
                "items that were sold, and how many of them items.csv has",
                "2, 2 (100.0 %)"
            ),
            line(
                "users who bought, and how many of them users.csv has",
                "3, 1 (33.3 %)"
            ),
        ]
    );
    assert_eq!(dataset.matches[0].notice(), None);
    assert_eq!(
        dataset.matches[1].notice().unwrap(),
        "users.csv has only 1 of the 3 users who bought something; it lacks \"2001\", for example. If that is not meant, write ids \
         alike in all files: nothing else is known of the others now"
    );
}

#[tokio::test]
async fn ids_that_seem_to_be_written_in_two_ways_are_told_however_few_they_are() {
    let more = "2024-01-04,1000,NEW,1,1\n2024-01-04,1000,500107,1,1\n2024-01-04,u7.0,0500107,1,1\n";
    let shop = Shop::new()
        .with("tx.csv", format!("{SALES}{more}"))
        .with("users.csv", format!("{USERS}U7,LEFT,1\n"));
    let dataset = shop.open().await.unwrap();
    let notices: Vec<String> = dataset.matches.iter().filter_map(Match::notice).collect();
    let alike = "If they are the same, write them alike in all files: nothing else is known of them now";
    let differ = "has ids that differ in zeros at the beginning, capitals, spaces or .0 alone";
    assert_eq!(
        notices,
        [
            format!(
                "items.csv lacks 1 items that were sold, but {differ}, as \"0500107\" for \"500107\". {alike}"
            ),
            format!(
                "users.csv lacks 1 users who bought something, but {differ}, as \"U7\" for \"u7.0\". {alike}"
            ),
        ]
    );
}

#[tokio::test]
async fn a_cell_that_can_not_be_meant_is_told_with_file_row_column_value_and_way_out() {
    let comma =
        "is no number; write a point before the decimals and nothing between the thousands, as in 1234.5";
    let no_number = "is no number; write it as 1234.5, and leave the cell empty where nothing is known";
    let large = "is beyond 3.4e38, which no model can hold; write what is meant, or leave the cell empty";
    let no_time = "is no time; write it as 2024-01-31 or 2024-01-31T18:30:00";
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
            "it is a Parquet file; let its name end in .parquet",
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
async fn bytes_that_are_no_text_do_no_harm_in_columns_that_nobody_asks_for() {
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
            message.starts_with("cannot read tx.parquet: it is no Parquet file that can be read; if it was cut short, copy it again: "),
            "{message}"
        );
    }
    fs::write(shop.path("tx.parquet"), SALES).unwrap();
    assert_eq!(
        shop.open().await.err().unwrap(),
        "cannot read tx.parquet: it is no Parquet file; let its name end in .csv if it is CSV, or else convert it"
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

#[tokio::test]
async fn the_names_of_features_are_those_of_the_tables_that_are_computed() {
    let shop = Shop::new().configured(
        "features: {}",
        "features: {user_attributes: [kind], windows_days: [7, 14]}",
    );
    let dataset = shop.open().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let tables = features::compute(&dataset, "2024-05-20".parse().unwrap(), out.path())
        .await
        .unwrap();
    let config = &dataset.config;
    let users = config.users.as_ref().unwrap();
    for (path, computed, entity) in [
        (&tables.users, names::of_users(config), users),
        (&tables.items, names::of_items(config), &config.items),
    ] {
        let own = entity.columns().into_iter().map(str::to_owned);
        let wanted: BTreeSet<String> = computed.into_iter().chain(own).collect();
        let found = table::columns(path, Format::Parquet).unwrap();
        assert_eq!(found.len(), wanted.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted);
    }
}
