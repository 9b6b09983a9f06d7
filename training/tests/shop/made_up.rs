//! A made-up shop: sales that look like chance and are the same each time.

use std::fs;
use std::path::Path;

const PURCHASES: usize = 60_000;

/// What its files mean.
pub const CONFIG: &str = "
name: many purchases
transactions: {file: sales.csv, user: customer, item: article, time: day, price: price, store: channel}
items: {file: articles.csv, key: article, categorical: [kind, color]}
features: {user_attributes: [kind, color]}
windows: {test_start: 2020-09-03}
";

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// Sales as a shop writes them, day by day: prices with many decimals, a few users who buy a lot, times that many
/// purchases share.
pub fn sales() -> Vec<String> {
    let mut chance = Chance(7);
    let sale = |place: usize| {
        let day = place * 700 / PURCHASES;
        let date = chrono::NaiveDate::from_ymd_opt(2018, 9, 20).unwrap() + chrono::Days::new(day as u64);
        let user = chance.below(3_000) * chance.below(3_000) / 3_000;
        let price = (1 + chance.below(1_000_000)) as f64 / 16_384_057.0;
        format!(
            "{date},customer-{user},{:010},{price},{}",
            chance.below(800),
            1 + chance.below(2)
        )
    };
    (0..PURCHASES).map(sale).collect()
}

/// The shop with its sales in so many files.
pub fn shop(folder: &Path, sales: &[String], files: usize) {
    let articles = (0..900).map(|item| format!("{item:010},kind {},color {}", item % 37, item % 11));
    let articles: Vec<String> = ["article,kind,color".to_owned()]
        .into_iter()
        .chain(articles)
        .collect();
    fs::write(folder.join("articles.csv"), articles.join("\n")).unwrap();
    let parts = folder.join("sales.csv");
    fs::create_dir(&parts).unwrap();
    for (number, rows) in sales.chunks(sales.len().div_ceil(files)).enumerate() {
        let rows = format!("day,customer,article,price,channel\n{}\n", rows.join("\n"));
        fs::write(parts.join(format!("{number}.csv")), rows).unwrap();
    }
}
