//! Users whose rows are in Feast: what Feast wrote into a real Redis, and what it reads back there. That bytes mean the same to the real Feast
//! is held by `gondola-feast`.

use std::collections::BTreeMap;

use gondola_feast::{EntityViews, Found, KeyLayout, KeyVersion, Registry, Versioning};
use gondola_online::redis::feast::FeastEntities;
use gondola_online::{OnlineStore, Written};
use gondola_request::{Change, Moment, RawRow, UserUpdate, Value};
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
    let registry = Registry::read(&sample("registry.pb")).unwrap();
    let project = registry.project("shop").unwrap();
    let views: EntityViews = project.views_of(&["customer_features"], Versioning::Off).unwrap();
    FeastEntities {
        layout: KeyLayout {
            version: KeyVersion::V3,
            project: "shop".to_owned(),
        },
        views,
        key_ttl: Some(std::time::Duration::from_secs(1000)),
    }
}

/// Everything that Feast had written when the samples were made.
async fn restore(server: &RedisServer) {
    let dumped: Vec<Dumped> = serde_json::from_slice(&sample("redis_dump.json")).unwrap();
    let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let bytes = |digits: &str| hex::decode(digits).unwrap();
    for Dumped { key, fields } in dumped {
        let mut set = redis::cmd("HSET");
        set.arg(bytes(&key));
        for (field, value) in &fields {
            set.arg(bytes(field)).arg(bytes(value));
        }
        let () = set.query_async(&mut connection).await.unwrap();
    }
}

/// What Feast's readers find of a customer.
async fn in_feast(server: &RedisServer, id: &str) -> Option<RawRow> {
    let feast = customers();
    let key = feast.layout.redis_key(&feast.views.entity_key(id).unwrap());
    let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut read = redis::cmd("HMGET");
    read.arg(key).arg(feast.views.hash_fields());
    let values: Vec<Option<Vec<u8>>> = read.query_async(&mut connection).await.unwrap();
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
    let new = in_feast(&server, "new").await.unwrap();
    assert_eq!(new.get("age"), &Value::Number(40.0));
    assert_eq!(new.get("fn"), &Value::Null, "a put replaces the row");
    let patched = in_feast(&server, "cust1_0001").await.unwrap();
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
    assert_eq!(in_feast(&server, "new").await, None);
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
    assert_eq!(in_feast(&server, "anna").await, None);
}
