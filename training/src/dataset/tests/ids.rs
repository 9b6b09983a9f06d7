//! Ids: what they are, and whether those of one file are those of another.

use super::*;
use crate::dataset::remarks::FileColumn;

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
    let whole_floats = shop.open().await.unwrap().remarks.whole_floats;
    let (file, column) = ("tx.csv".to_owned(), "cid".to_owned());
    assert_eq!(whole_floats, [FileColumn { file, column }]);
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
            "none of the 2 items in tx.csv is in items.csv: \"500100\" is in column \"aid\" of the one, and \"0500100\" in column \
             \"aid\" of the other; {alike}"
        ))
        .await;
    let capitals = USERS.replace("\n1", "\nU");
    Shop::new()
        .with("users.csv", &capitals)
        .with("tx.csv", SALES.replace(",100", ",u00"))
        .refuses(&format!(
            "none of the 3 users in tx.csv is in users.csv: \"u000\" is in column \"cid\" of the one, and \"U000\" in column \"cid\" \
             of the other; {alike}"
        ))
        .await;
}

#[tokio::test]
async fn ids_of_which_few_match_are_reported_with_one_that_does_not() {
    let few = SALES.replace(",1001,", ",2001,").replace(",1002,", ",2002,");
    let dataset = Shop::new().with("tx.csv", few).open().await.unwrap();
    let told: Vec<(String, String)> = dataset
        .remarks
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
    assert_eq!(dataset.remarks.matches[0].notice(), None);
    assert_eq!(
        dataset.remarks.matches[1].notice().unwrap(),
        "users.csv has only 1 of the 3 users who bought something; it lacks \"2001\", for example. If that is not meant, write ids \
         alike in all files: nothing else is known of the others now"
    );
}

#[tokio::test]
async fn ids_that_seem_to_be_written_in_two_ways_are_reported_however_few_they_are() {
    let more = "2024-01-04,1000,NEW,1,1\n2024-01-04,1000,500107,1,1\n2024-01-04,u7.0,0500107,1,1\n";
    let shop = Shop::new()
        .with("tx.csv", format!("{SALES}{more}"))
        .with("users.csv", format!("{USERS}U7,LEFT,1\n"));
    let dataset = shop.open().await.unwrap();
    let notices: Vec<String> = dataset.remarks.matches.iter().filter_map(Match::notice).collect();
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
