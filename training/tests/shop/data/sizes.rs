//! Data that are large in an uncommon way: one customer who bought nearly everything, and more than there is room for.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::process::Command;

use gondola_models::features::History;

use super::*;

/// The last day before [`CUT_OFF`].
const DAY: &str = "2020-09-15";

/// Adds purchases of one customer to the transactions of a shop; gives the customer's id and what all of these cost.
fn buy(shop: &Path, purchases: u32) -> (String, f64) {
    let path = shop.join("transactions_train.csv");
    let text = fs::read_to_string(&path).unwrap();
    let ids = |column: usize| {
        text.lines()
            .skip(1)
            .map(move |row| row.split(',').nth(column).unwrap())
    };
    let customer = ids(1).next().unwrap().to_owned();
    let items: Vec<&str> = ids(2).collect();
    let mut out = BufWriter::new(File::options().append(true).open(&path).unwrap());
    let mut cents = 0;
    for number in 0..purchases {
        let (item, price) = (items[number as usize % items.len()], number % 90 + 10);
        writeln!(out, "{DAY},{customer},{item},0.{price},1").unwrap();
        cents += u64::from(price);
    }
    out.flush().unwrap();
    (customer, cents as f64 / 100.0)
}

/// A user's number of purchases, what they cost, and what the history counts.
fn activity(snapshot: &Snapshot, user: &str) -> (f64, f64, f64) {
    let row = snapshot.users.find(user).unwrap();
    let number = |column| snapshot.users.row(row).cell(column).as_number().unwrap();
    let counted = |history: &History| {
        let bought = history.of(row).iter();
        bought.map(|purchase| f64::from(purchase.purchases)).sum()
    };
    (
        number("purchases"),
        number("monetary"),
        counted(&snapshot.history),
    )
}

#[tokio::test]
async fn a_customer_of_two_million_purchases_is_counted_to_the_cent() {
    let shop = shop();
    let (customer, _) = buy(shop.path(), 0);
    let before = snapshot(shop.path()).await;
    let (bought, spent, _) = activity(&before, &customer);
    let (_, cost) = buy(shop.path(), 2_000_000);
    let after = snapshot(shop.path()).await;
    let (purchases, monetary, counted) = activity(&after, &customer);
    assert_eq!((purchases, counted), (bought + 2e6, bought + 2e6));
    assert!(
        (monetary - spent - cost).abs() < 1e-6,
        "{monetary} is not {spent} and {cost}"
    );
    let another = before.users.id(before.users.len() - 1);
    assert_ne!(another, customer);
    assert_eq!(activity(&before, another), activity(&after, another));

    // Nearly every draw of a negative meets this customer, who has bought nearly everything.
    let dataset = open(example("h-and-m"), shop.path()).await.unwrap();
    let window = Window::read(&dataset, day(CUT_OFF), day("2020-09-23"))
        .await
        .unwrap();
    let refused = labels::label(&window.pairs(&dataset, &after), &after, 30.0, 1).unwrap_err();
    let message = chain(&refused);
    assert!(
        message.contains(&format!(
            "user {customer:?} has 99 % of all activity before the cut-off"
        )) && message.ends_with("leave that user out of the transactions"),
        "{message}"
    );
}

/// On a disk of 1 MiB of its own, which only the child sees: `unshare` gives it mounts of its own.
#[test]
fn a_disk_that_is_full_while_queries_spill_is_named_with_ways_out() {
    let (shop, out) = (shop(), tempfile::tempdir().unwrap());
    buy(shop.path(), 500_000);
    let spilled = out.path().join("spilled");
    fs::create_dir(&spilled).unwrap();
    let mount = "mount -t tmpfs -o size=1m none \"$TMPDIR\" && exec \"$@\"";
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let url = |path: PathBuf| Url::from_directory_path(path).unwrap().to_string();
    let run = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount, "sh"])
        .arg(env!("CARGO_BIN_EXE_gondola-train"))
        .args(["run", "--query-memory-mib", "32", "--query-partitions", "4"])
        .args(["--config", "../examples/h-and-m/dataset.yaml"])
        .args([
            "--data",
            &path(shop.path().to_owned()),
            "--encoder",
            &path(hm_files()),
        ])
        .args(["--store", &url(out.path().join("store"))])
        .args(["--report", &path(out.path().join("report"))])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TMPDIR", &spilled)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success(), "{said}");
    let line = said
        .lines()
        .find(|line| line.starts_with("error:"))
        .unwrap_or(&said);
    let full = format!("the disk below {} is full", spilled.display());
    assert!(
        line.contains(&full)
            && line.contains("No space left on device")
            && line.contains("--query-memory-mib"),
        "{said}"
    );
    assert_eq!(said.matches("No space left").count(), 1, "{said}");
    let published = fs::read_dir(out.path().join("store")).map_or(0, Iterator::count);
    assert_eq!(published, 0, "nothing is published");
}
