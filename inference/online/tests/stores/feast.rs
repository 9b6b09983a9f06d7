//! Users and items whose rows are in Feast: what Feast wrote into a real Redis, and what it reads back there. That bytes mean the same to the real Feast
//! is held by `gondola-feast`.

use std::collections::BTreeMap;
use std::time::Duration;

use gondola_feast::{
    AbsentColumns, EntityViews, EventTime, Found, KeyLayout, KeyVersion, Registry, Versioning,
};
use gondola_online::redis::Redis;
use gondola_online::redis::feast::FeastEntities;
use gondola_online::{OnlineStore, Seen, Written};
use gondola_request::{Change, ItemId, ItemUpdate, Moment, RawRow, UserUpdate, Value};
use redis::FromRedisValue as _;
use serde::Deserialize;

use crate::server::RedisServer;
use crate::suite;

const NOW: Moment = Moment(1_800_000_000_123);

/// A key of Feast's, and its hash, in hexadecimal digits.
#[derive(Deserialize)]
struct Dumped {
    key: String,
    fields: BTreeMap<String, String>,
}

fn sample(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../feast/tests/samples");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

fn customers() -> FeastEntities {
    entities("customer_features")
}

pub(crate) fn articles() -> FeastEntities {
    entities("article_features")
}

fn entities(view: &str) -> FeastEntities {
    let registry = Registry::read(&sample("registry.pb")).unwrap();
    let project = registry.project("shop").unwrap();
    let views: EntityViews = project.views_of(&[view], Versioning::Off).unwrap();
    FeastEntities {
        layout: KeyLayout {
            version: KeyVersion::V3,
            project: "shop".to_owned(),
        },
        views,
        key_ttl: Some(Duration::from_secs(1000)),
    }
}

/// Everything that Feast had written when the samples were made.
async fn restore(server: &RedisServer) {
    let dumped: Vec<Dumped> = serde_json::from_slice(&sample("redis_dump.json")).unwrap();
    let bytes = |digits: &str| hex::decode(digits).unwrap();
    for Dumped { key, fields } in dumped {
        let mut set = redis::cmd("HSET");
        set.arg(bytes(&key));
        for (field, value) in &fields {
            set.arg(bytes(field)).arg(bytes(value));
        }
        server.send(set).await;
    }
}

/// What Feast's readers find of an entity.
async fn in_feast(server: &RedisServer, feast: &FeastEntities, id: &str) -> Option<RawRow> {
    let key = feast.layout.redis_key(&feast.views.entity_key(id).unwrap());
    let mut read = redis::cmd("HMGET");
    read.arg(key).arg(feast.views.hash_fields());
    let values = Vec::<Option<Vec<u8>>>::from_redis_value(server.send(read).await).unwrap();
    match feast.views.read(id, &values).unwrap() {
        Found::Nothing => None,
        Found::Row { row, .. } => Some(row),
    }
}

fn update(features: &[(&str, Value)]) -> UserUpdate {
    UserUpdate {
        features: RawRow(
            features
                .iter()
                .map(|(column, value)| ((*column).to_owned(), value.clone()))
                .collect(),
        ),
        history: None,
    }
}

#[tokio::test]
async fn rows_of_users_are_read_where_feast_wrote_them_and_written_where_it_reads() {
    let server = RedisServer::start(&[]).await;
    restore(&server).await;
    let store = server.store().with_feast_users(customers());
    let state = store.user(&"cust1_0001".into()).await.unwrap().unwrap();
    let row = state.row.unwrap();
    assert!(row.whole && row.always);
    assert_eq!(row.at, Moment(1_793_534_401_123), "Feast's event time");
    assert_eq!(row.columns.get("age"), &Value::Number(21.0));
    assert_eq!(row.columns.get("club"), &Value::from("PRE-CREATE"));
    assert_eq!(row.columns.get("recent"), &Value::Null, "no model reads a list");
    assert_eq!(store.user(&"missing".into()).await.unwrap(), None);

    let put = Change::PutUser {
        user: "new".into(),
        update: update(&[("age", Value::Number(40.0)), ("club", "ACTIVE".into())]),
    };
    let patch = Change::PatchUser {
        user: "cust1_0001".into(),
        update: update(&[("age", Value::Number(22.0))]),
    };
    let interaction = suite::interaction("cust1_0001", "e1", "108775015", None);
    let outcome = store.write(&[put, patch, interaction], NOW).await.unwrap();
    assert_eq!(outcome.written, [Written::Taken, Written::Taken, Written::Taken]);
    let new = in_feast(&server, &customers(), "new").await.unwrap();
    assert_eq!(new.get("age"), &Value::Number(40.0));
    assert_eq!(new.get("fn"), &Value::Null, "a put replaces the row");
    let patched = in_feast(&server, &customers(), "cust1_0001").await.unwrap();
    assert_eq!(patched.get("age"), &Value::Number(22.0));
    assert_eq!(
        patched.get("club"),
        &Value::from("PRE-CREATE"),
        "a patch leaves the rest"
    );
    let state = store.user(&"cust1_0001".into()).await.unwrap().unwrap();
    assert_eq!(state.interactions.len(), 1, "beside Feast's row");

    store
        .write(&[Change::DeleteUser { user: "new".into() }], NOW)
        .await
        .unwrap();
    assert_eq!(in_feast(&server, &customers(), "new").await, None);
    assert!(store.user(&"new".into()).await.unwrap().unwrap().deleted);
}

#[tokio::test]
async fn what_feast_could_not_read_is_refused_by_name() {
    let server = RedisServer::start(&[]).await;
    let store = server.store().with_feast_users(customers());
    let refused = async |features: &[(&str, Value)]| {
        let put = Change::PutUser {
            user: "anna".into(),
            update: update(features),
        };
        match store.write(&[put], NOW).await.unwrap().written.remove(0) {
            Written::Refused { problem } => problem,
            other => panic!("{other:?}"),
        }
    };
    let unknown = refused(&[("shoe_size", Value::Number(43.0))]).await;
    assert!(
        unknown.starts_with("shoe_size is a column of none of the feature views of customer_id"),
        "{unknown}"
    );
    let fraction = refused(&[("age", Value::Number(1.5))]).await;
    assert!(
        fraction.starts_with("feature age of feature view customer_features for anna"),
        "{fraction}"
    );
    assert_eq!(in_feast(&server, &customers(), "anna").await, None);
}

pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(30);

fn ids(mut items: Vec<ItemId>) -> Vec<String> {
    items.sort();
    items.iter().map(ItemId::to_string).collect()
}

/// Writes into an article's hash as Feast does: a column, and a time.
async fn push(server: &RedisServer, id: &str, price: f32, seconds: i64) {
    let feast = articles();
    let row = RawRow::from([("price", Value::Number(f64::from(price)))]);
    let time = EventTime::new(seconds, 0).unwrap();
    let fields = feast
        .views
        .fields_of(id, &row, time, AbsentColumns::Stay)
        .unwrap();
    let mut set = redis::cmd("HSET");
    set.arg(feast.layout.redis_key(&feast.views.entity_key(id).unwrap()));
    for (field, value) in fields {
        set.arg(field).arg(value);
    }
    server.send(set).await;
}

async fn price(store: &Redis, item: &str) -> Option<Value> {
    let state = store.items(&[item.into()]).await.unwrap().remove(0)?;
    let row = state.row?;
    assert!(row.always && !row.whole, "over what the snapshot alone has");
    Some(row.columns.get("price").clone())
}

#[tokio::test]
async fn items_that_feast_writes_are_found_by_looking_again() {
    let server = RedisServer::start(&[]).await;
    restore(&server).await;
    let store = server.store().with_feast_items(articles(), LOOK_EVERY);
    assert_eq!(store.look_every(), Some(LOOK_EVERY));
    let (all, seen) = store.unannounced(&Seen::default()).await.unwrap();
    let all = ids(all);
    assert_eq!(all.len(), 12, "all of them, and no customers: {all:?}");
    let (none, seen) = store.unannounced(&seen).await.unwrap();
    assert_eq!(none, []);

    let known = all[0].clone();
    push(&server, &known, 2.5, 1_900_000_000).await;
    push(&server, "4711", 7.0, 1_900_000_000).await;
    let gone = articles();
    let mut delete = redis::cmd("DEL");
    delete.arg(gone.layout.redis_key(&gone.views.entity_key(&all[1]).unwrap()));
    server.send(delete).await;
    let (changed, seen) = store.unannounced(&seen).await.unwrap();
    let mut wanted = vec![known.clone(), "4711".to_owned(), all[1].clone()];
    wanted.sort();
    assert_eq!(ids(changed), wanted);
    assert_eq!(price(&store, &known).await, Some(Value::Number(2.5)));
    assert_eq!(price(&store, "4711").await, Some(Value::Number(7.0)));
    assert_eq!(store.items(&[all[1].as_str().into()]).await.unwrap(), [None]);
    assert_eq!(store.unannounced(&seen).await.unwrap().0, []);
}

#[tokio::test]
async fn items_are_put_where_feast_reads_them_and_blocked_where_we_do() {
    let server = RedisServer::start(&[]).await;
    restore(&server).await;
    let store = server.store().with_feast_items(articles(), LOOK_EVERY);
    let features = RawRow::from([("price", Value::Number(1.5))]);
    let put = Change::PutItem {
        item: "4711".into(),
        update: ItemUpdate {
            features: features.clone(),
            blocked: true,
        },
    };
    let no_id = Change::PutItem {
        item: "new".into(),
        update: ItemUpdate {
            features,
            blocked: false,
        },
    };
    let outcome = store.write(&[put, no_id], NOW).await.unwrap();
    assert_eq!(outcome.written[0], Written::Taken);
    let Written::Refused { problem } = &outcome.written[1] else {
        panic!("{:?}", outcome.written[1]);
    };
    assert!(
        problem.starts_with("the id new is not a whole number"),
        "{problem}"
    );
    let row = in_feast(&server, &articles(), "4711").await.unwrap();
    assert_eq!(row.get("price"), &Value::Number(1.5));
    let state = store.items(&["4711".into()]).await.unwrap().remove(0).unwrap();
    assert!(state.blocked && !state.deleted);
    assert_eq!(state.row.unwrap().at, Moment(NOW.0));

    let delete = Change::DeleteItem { item: "4711".into() };
    store.write(&[delete], NOW).await.unwrap();
    assert_eq!(in_feast(&server, &articles(), "4711").await, None);
    let state = store.items(&["4711".into()]).await.unwrap().remove(0).unwrap();
    assert!(state.deleted && state.row.is_none());
}

#[tokio::test]
async fn one_item_that_can_not_be_read_costs_no_other() {
    let server = RedisServer::start(&[]).await;
    let store = server.store().with_feast_items(articles(), LOOK_EVERY);
    push(&server, "1", 1.0, 1_900_000_000).await;
    push(&server, "2", 2.0, 1_900_000_000).await;
    let feast = articles();
    let key = |id: &str| feast.layout.redis_key(&feast.views.entity_key(id).unwrap());
    let field = feast.views.hash_fields().remove(0);
    let mut damage = redis::cmd("HSET");
    damage.arg(key("1")).arg(field).arg(b"\xff\xff\xff");
    server.send(damage).await;
    let mut other_type = redis::cmd("SET");
    other_type.arg(key("3")).arg("something else");
    server.send(other_type).await;
    let (found, _) = store.unannounced(&Seen::default()).await.unwrap();
    assert_eq!(ids(found), ["1", "2"]);
    let states = store.items(&["1".into(), "3".into(), "07".into()]).await.unwrap();
    assert_eq!(states, [None, None, None]);
    assert_eq!(price(&store, "2").await, Some(Value::Number(2.0)));
}
