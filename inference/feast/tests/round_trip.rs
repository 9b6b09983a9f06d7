//! There and back with the real Feast: what it wrote is read as it says, and what is written here it reads back.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

mod shop;

use std::collections::BTreeSet;

use gondola_feast::*;
use gondola_request::{RawRow, Value};
use serde_json::Value as Json;

use crate::shop::{Feast, Redis};

// The ids of `tests/feast/shop.py`, one that was pushed, and one that is not there.
const CUSTOMERS: [&str; 7] = ["c0", "c1", "été", "", LONG, "pushed", "missing"];
const SHELVES: [&str; 4] = ["0", "-7", "2147483647", "1"];
const ARTICLES: [&str; 6] = ["0", "7", "-5", "108775015", "1099511627776", "1"];
// As many bytes as `*` has as a number.
const LONG: &str = "cccccccccccccccccccccccccccccccccccccccccc";

/// A store that Feast filled, and what is known of it.
struct Filled {
    redis: Redis,
    feast: Feast,
    registry: Registry,
    layout: KeyLayout,
}

impl Filled {
    fn new(version: u32) -> Self {
        let redis = Redis::start();
        let mut feast = Feast::start(&redis, version);
        let registry = Registry::read(&feast.fill()).unwrap();
        Self {
            redis,
            feast,
            registry,
            layout: KeyLayout {
                version: version.try_into().unwrap(),
                project: "shop".to_owned(),
            },
        }
    }

    fn views(&self, names: &[&str]) -> Result<EntityViews, ViewsError> {
        self.registry
            .project("shop")
            .unwrap()
            .views_of(names, Versioning::On)
    }

    /// Compares every value and event time of a view with what Feast says of them.
    #[track_caller]
    fn check(&mut self, view: &str, ids: &[&str]) {
        let views = self.views(&[view]).unwrap();
        let said = self.feast.read(view, ids);
        assert_eq!(said.as_object().unwrap().len(), views.columns.len());
        for (place, id) in ids.iter().enumerate() {
            let fields = self.redis.fields(&self.layout, &views, id);
            let found = views.read(id, &fields).unwrap();
            for (column, bytes) in views.columns.iter().zip(&fields) {
                let said = &said[&column.name];
                let what = format!("{} of {id}", column.name);
                check_message(bytes.as_deref(), said["messages"][place].as_str().unwrap(), &what);
                check_value(&found, column, &said["values"][place], &what);
                check_time(&found, &said["times"][place], &what);
            }
        }
    }
}

fn check_message(bytes: Option<&[u8]>, said: &str, what: &str) {
    let value = FeastValue::read(bytes.unwrap_or_default()).unwrap();
    assert_eq!(hex::encode(value.write()), said, "{what}");
}

fn check_value(found: &Found, column: &Column, said: &Json, what: &str) {
    let nothing = RawRow::default();
    let row = match found {
        Found::Row { row, .. } => row,
        Found::Nothing => &nothing,
    };
    match (row.get(&column.name), said) {
        (Value::Null, Json::Null) => {}
        (Value::Null, _) if column.value_type.column_kind().is_none() => {}
        (Value::Text(text), Json::String(said)) => assert_eq!(text, said, "{what}"),
        (Value::Number(number), Json::Bool(said)) => assert_eq!(*number, f64::from(*said), "{what}"),
        (Value::Number(number), Json::Number(said)) => {
            // `serde_json` does not always read the last bit as it was written.
            let said = said.as_f64().unwrap();
            assert!(
                number.to_bits().abs_diff(said.to_bits()) <= 1,
                "{what}: {number}, {said}"
            );
        }
        (value, said) => panic!("{what}: {value:?}, {said}"),
    }
}

fn check_time(found: &Found, said: &Json, what: &str) {
    let said = (said[0].as_i64().unwrap(), said[1].as_i64().unwrap());
    let time = match found {
        Found::Row { newest, .. } => newest.map(|time| (time.seconds(), i64::from(time.nanos()))),
        // Where there is nothing Feast says 1970.
        Found::Nothing => Some((0, 0)),
    };
    assert_eq!(time, Some(said), "{what}");
}

/// Everything, with keys of one version.
fn round_trip(version: u32) {
    let mut filled = Filled::new(version);
    filled.check("customer_scalars", &CUSTOMERS);
    filled.check("customer_lists", &CUSTOMERS);
    filled.check("article_features", &ARTICLES);
    filled.check("streamed", &CUSTOMERS);
    filled.check("streamed@v0", &CUSTOMERS);
    // Valid for a second, a month ago: Feast's readers take no notice.
    filled.check("shelf_features", &SHELVES);
    filled.check("loyalty", &CUSTOMERS);
    filled.check("loyalty@v0", &CUSTOMERS);
    versions_have_places_of_their_own(&filled);
    views_that_the_store_does_not_have_are_refused(&filled);
    a_scan_finds_every_article(&mut filled);
    what_is_not_there_is_nothing(&mut filled);
    feast_reads_what_is_written(&mut filled);
}

fn versions_have_places_of_their_own(filled: &Filled) {
    let stored = |view| filled.views(&[view]).unwrap().views[0].stored_as.clone();
    assert_eq!(stored("loyalty"), "loyalty_v1");
    assert_eq!(stored("loyalty@latest"), "loyalty_v1");
    assert_eq!(stored("loyalty@V1"), "loyalty_v1");
    assert_eq!(stored("loyalty@v0"), "loyalty");
    let error = filled.views(&["loyalty@v5"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "feature view loyalty has no version 5 in the registry; it has 0, 1"
    );
}

fn views_that_the_store_does_not_have_are_refused(filled: &Filled) {
    for (names, message) in [
        (
            &["offline_only"][..],
            "feature view offline_only is not online; set online=True",
        ),
        (
            &["disabled"],
            "feature view disabled is disabled; run `feast feature-views enable",
        ),
        (
            &["of_nobody"],
            "feature view of_nobody has no join key, and needs one alone",
        ),
        (
            &["of_pairs"],
            "feature view of_pairs has join keys customer_id, article_id, and needs one alone",
        ),
        (
            &["computed"],
            "computed is an on-demand feature view, and can't be read from the store",
        ),
        (
            &["loyalty@5"],
            "project shop has no feature view loyalty@5; it has article_features, ",
        ),
        (
            &["customer_scalars", "streamed"],
            "feature spend is in feature view streamed and in customer_scalars; leave one",
        ),
    ] {
        let error = filled.views(names).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

fn a_scan_finds_every_article(filled: &mut Filled) {
    let views = filled.views(&["article_features"]).unwrap();
    let keys = filled.redis.scan(&filled.layout.scan_pattern(&["article_id"]));
    let found = keys.iter().map(|key| {
        let entity = filled.layout.parse(&["article_id"], key).unwrap();
        views.id_of(&entity).unwrap()
    });
    let found: BTreeSet<String> = found.collect();
    let expected: BTreeSet<String> = ARTICLES[..5].iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(found, expected);
}

fn what_is_not_there_is_nothing(filled: &mut Filled) {
    let views = filled.views(&["customer_scalars", "loyalty"]).unwrap();
    let missing = filled.redis.fields(&filled.layout, &views, "missing");
    assert_eq!(views.read("missing", &missing).unwrap(), Found::Nothing);
    // Known, and nothing is known of it but when.
    let nulls = filled.redis.fields(&filled.layout, &views, "été");
    let Found::Row { row, newest } = views.read("été", &nulls).unwrap() else {
        panic!("nothing")
    };
    assert_eq!(
        row,
        RawRow::from([("tier", "".into()), ("level", Value::Number(3.0))])
    );
    // Of two views the newer event time.
    assert_eq!(newest, Some(EventTime::new(1_793_538_000, 123_463_000).unwrap()));
}

/// A row whose columns are those of `customer_scalars` that the data plane can write.
fn a_row() -> RawRow {
    RawRow::from([
        ("orders", Value::Number(-3.0)),
        ("points", Value::Number(9_007_199_254_740_992.0)),
        ("spend", Value::Number(0.1)),
        ("discount", Value::Number(0.25)),
        ("member", Value::Number(1.0)),
        ("club", "été".into()),
        ("account", "6ba7b810-9dad-11d1-80b4-00c04fd430c8".into()),
    ])
}

fn feast_reads_what_is_written(filled: &mut Filled) {
    let views = filled.views(&["customer_scalars"]).unwrap();
    let time = EventTime::new(1_793_600_000, 5_000).unwrap();
    for (id, row) in [("c1", a_row()), ("new", a_row()), ("c0", RawRow::default())] {
        let fields = views.fields_of(id, &row, time, AbsentColumns::AreNull).unwrap();
        filled.redis.set(&filled.layout, &views, id, &fields);
        let fields = filled.redis.fields(&filled.layout, &views, id);
        let expected = Found::Row {
            row,
            newest: Some(time),
        };
        assert_eq!(views.read(id, &fields).unwrap(), expected);
    }
    filled.check("customer_scalars", &["c1", "new", "c0", "pushed", "missing"]);
    let said = filled.feast.read("customer_scalars", &["new", "c0"]);
    assert_eq!(said["orders"]["values"], serde_json::json!([-3, null]));
    assert_eq!(said["member"]["values"], serde_json::json!([true, null]));
    assert_eq!(said["club"]["values"], serde_json::json!(["été", null]));
    assert_eq!(
        said["club"]["times"][0],
        serde_json::json!([1_793_600_000, 5_000])
    );
    // One column alone leaves the others of its view as they are, and other views too.
    let one = RawRow::from([("club", "GOLD".into())]);
    let later = EventTime::new(1_793_700_000, 0).unwrap();
    let fields = views.fields_of("new", &one, later, AbsentColumns::Stay).unwrap();
    assert_eq!(fields.len(), 2);
    filled.redis.set(&filled.layout, &views, "new", &fields);
    let said = filled.feast.read("customer_scalars", &["new"]);
    assert_eq!(said["club"]["values"][0], "GOLD");
    assert_eq!(said["orders"]["values"][0], -3);
    filled.check("customer_lists", &["c0", "c1", "new"]);
    filled.check("loyalty", &["c0", "c1", "new"]);
}

#[test]
fn rows_go_there_and_back_with_keys_of_version_3() {
    round_trip(3);
}

#[test]
fn rows_go_there_and_back_with_keys_of_version_2() {
    round_trip(2);
}
