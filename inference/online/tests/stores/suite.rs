//! What every online store promises.

use std::time::Duration;

use gondola_online::store::MAX_INTERACTIONS;
use gondola_online::{News, OnlineStore, Position, Written};
use gondola_request::{
    Change, Interaction, InteractionKind, ItemId, ItemPatch, ItemRule, ItemState, ItemUpdate, Moment,
    PurchaseUpdate, RawRow, Rules, UserId, UserState, UserUpdate, Value,
};

/// Runs the whole suite.
pub(crate) async fn run(store: &dyn OnlineStore) {
    a_user_who_is_put_is_read_and_a_patch_changes_columns_alone(store).await;
    a_user_who_is_deleted_is_forgotten_until_the_next_put(store).await;
    items_are_put_patched_blocked_and_deleted(store).await;
    an_event_counts_once_and_another_with_its_id_is_refused(store).await;
    the_earliest_interactions_go_first(store).await;
    rules_stand_until_they_are_replaced_or_deleted(store).await;
    news_name_what_changed_after_it_did(store).await;
}

const NOW: Moment = Moment(1_764_460_800_000);
const LATER: Moment = Moment(1_764_460_860_000);

fn row(values: &[(&str, Value)]) -> RawRow {
    RawRow(
        values
            .iter()
            .map(|(column, value)| ((*column).to_owned(), value.clone()))
            .collect(),
    )
}

pub(crate) fn put_user(user: &str, values: &[(&str, Value)]) -> Change {
    Change::PutUser {
        user: user.into(),
        update: UserUpdate {
            features: row(values),
            history: None,
        },
    }
}

pub(crate) fn interaction(user: &str, event: &str, item: &str, at: Option<i64>) -> Change {
    Change::Interaction(Interaction {
        event_id: event.to_owned(),
        user: user.into(),
        item: item.into(),
        kind: InteractionKind::Purchase,
        event_time: at.map(Moment),
        price: None,
        unit: None,
        request_id: None,
    })
}

async fn write(store: &dyn OnlineStore, changes: &[Change], now: Moment) -> Vec<Written> {
    store.write(changes, now).await.unwrap().written
}

async fn user(store: &dyn OnlineStore, id: &str) -> UserState {
    store.user(&id.into()).await.unwrap().unwrap_or_default()
}

async fn item(store: &dyn OnlineStore, id: &str) -> Option<ItemState> {
    store.items(&[id.into()]).await.unwrap().remove(0)
}

async fn a_user_who_is_put_is_read_and_a_patch_changes_columns_alone(store: &dyn OnlineStore) {
    assert_eq!(store.user(&"anna".into()).await.unwrap(), None);
    let history = vec![PurchaseUpdate {
        item: "milk".into(),
        purchases: 2.0,
        days_since_last: 3.0,
        recent_purchases: None,
    }];
    let put = Change::PutUser {
        user: "anna".into(),
        update: UserUpdate {
            features: row(&[
                ("age", Value::Number(0.1)),
                ("club", "ACTIVE".into()),
                ("city", Value::Null),
            ]),
            history: Some(history.clone()),
        },
    };
    assert_eq!(write(store, &[put], NOW).await, [Written::Taken]);
    let patch = Change::PatchUser {
        user: "anna".into(),
        update: UserUpdate {
            features: row(&[("club", "".into()), ("été", "ü\n\"".into())]),
            history: None,
        },
    };
    write(store, &[patch], LATER).await;
    let anna = user(store, "anna").await;
    let stated = anna.row.unwrap();
    assert!(stated.whole);
    assert_eq!(stated.at, LATER);
    assert_eq!(
        stated.columns,
        row(&[
            ("age", Value::Number(0.1)),
            ("city", Value::Null),
            ("club", "".into()),
            ("été", "ü\n\"".into())
        ])
    );
    assert_eq!(anna.history, Some(history.clone()));

    write(store, &[put_user("anna", &[("age", Value::Number(40.0))])], LATER).await;
    let anna = user(store, "anna").await;
    assert_eq!(anna.row.unwrap().columns, row(&[("age", Value::Number(40.0))]));
    assert_eq!(anna.history, Some(history), "a put without a history leaves it");

    let patch = Change::PatchUser {
        user: "berta".into(),
        update: UserUpdate {
            features: row(&[("age", Value::Number(1.0))]),
            history: None,
        },
    };
    write(store, &[patch], NOW).await;
    assert!(
        !user(store, "berta").await.row.unwrap().whole,
        "a patch stands over the snapshot"
    );
}

async fn a_user_who_is_deleted_is_forgotten_until_the_next_put(store: &dyn OnlineStore) {
    let id = "carla";
    write(
        store,
        &[
            put_user(id, &[("age", Value::Number(1.0))]),
            interaction(id, "e1", "milk", None),
        ],
        NOW,
    )
    .await;
    assert_eq!(user(store, id).await.interactions.len(), 1);
    write(store, &[Change::DeleteUser { user: id.into() }], NOW).await;
    let deleted = user(store, id).await;
    assert!(deleted.deleted);
    assert_eq!((deleted.row, deleted.interactions.len()), (None, 0));
    write(store, &[put_user(id, &[("age", Value::Number(2.0))])], NOW).await;
    let again = user(store, id).await;
    assert!(!again.deleted);
    assert_eq!(again.row.unwrap().columns, row(&[("age", Value::Number(2.0))]));
}

async fn items_are_put_patched_blocked_and_deleted(store: &dyn OnlineStore) {
    assert_eq!(item(store, "milk").await, None);
    let put = Change::PutItem {
        item: "milk".into(),
        update: ItemUpdate {
            features: row(&[("brand", "x".into())]),
            blocked: true,
        },
    };
    write(store, &[put], NOW).await;
    let milk = item(store, "milk").await.unwrap();
    assert!(milk.blocked && !milk.deleted);
    assert_eq!(milk.row.unwrap().columns, row(&[("brand", "x".into())]));

    let patch = |features: RawRow, blocked| Change::PatchItem {
        item: "milk".into(),
        update: ItemPatch { features, blocked },
    };
    write(store, &[patch(RawRow::default(), Some(false))], NOW).await;
    write(store, &[patch(row(&[("type", "y".into())]), None)], NOW).await;
    let milk = item(store, "milk").await.unwrap();
    assert!(!milk.blocked);
    assert_eq!(
        milk.row.unwrap().columns,
        row(&[("brand", "x".into()), ("type", "y".into())])
    );

    write(store, &[Change::DeleteItem { item: "milk".into() }], NOW).await;
    let milk = item(store, "milk").await.unwrap();
    assert!(milk.deleted);
    assert_eq!(milk.row, None);

    let block = Change::PatchItem {
        item: "bread".into(),
        update: ItemPatch {
            features: RawRow::default(),
            blocked: Some(true),
        },
    };
    write(store, &[block], NOW).await;
    let bread = item(store, "bread").await.unwrap();
    assert!(bread.blocked);
    assert_eq!(
        bread.row, None,
        "what only blocks an item says nothing of its row"
    );
    let mut known = store.known_items().await.unwrap();
    known.sort();
    assert_eq!(known, [ItemId::from("bread"), ItemId::from("milk")]);
    assert_eq!(
        store.items(&["bread".into(), "none".into()]).await.unwrap()[1],
        None
    );
}

async fn an_event_counts_once_and_another_with_its_id_is_refused(store: &dyn OnlineStore) {
    let id = "dora";
    let first = interaction(id, "e1", "milk", None);
    let outcomes = write(
        store,
        &[first.clone(), first.clone(), interaction(id, "e1", "bread", None)],
        NOW,
    )
    .await;
    assert_eq!(outcomes, [Written::Taken, Written::Duplicate, Written::Conflict]);
    assert_eq!(write(store, &[first], LATER).await, [Written::Duplicate]);
    assert_eq!(
        write(store, &[interaction(id, "e2", "bread", Some(5))], NOW).await,
        [Written::Taken]
    );
    let interactions = user(store, id).await.interactions;
    let items: Vec<&str> = interactions.iter().map(|done| done.item.as_str()).collect();
    assert_eq!(items, ["bread", "milk"], "the earliest first");
    assert_eq!(interactions[1].at, NOW);
    assert_eq!(interactions[0].kind, InteractionKind::Purchase);
}

async fn the_earliest_interactions_go_first(store: &dyn OnlineStore) {
    let id = "emma";
    let many = MAX_INTERACTIONS + MAX_INTERACTIONS / 5;
    let events =
        (0..many).map(|number| interaction(id, &format!("e{number}"), "milk", Some(1_000 + number as i64)));
    let events: Vec<Change> = events.collect();
    for events in events.chunks(400) {
        write(store, events, NOW).await;
    }
    let interactions = user(store, id).await.interactions;
    let kept = interactions.len();
    assert!(
        (MAX_INTERACTIONS..MAX_INTERACTIONS * 11 / 10 + 1).contains(&kept),
        "{kept}"
    );
    assert_eq!(interactions.last().unwrap().at, Moment(1_000 + many as i64 - 1));
    assert_eq!(interactions[0].at, Moment(1_000 + (many - kept) as i64));
}

async fn rules_stand_until_they_are_replaced_or_deleted(store: &dyn OnlineStore) {
    assert_eq!(store.rules().await.unwrap(), None);
    let mut position = store.position().await.unwrap();
    let rules = Rules {
        limit: Some(7),
        items: vec![ItemRule {
            column: "market".to_owned(),
            allow: Some(vec!["DE".into(), Value::Null]),
            deny: vec![Value::Number(0.0)],
        }],
        ..Rules::default()
    };
    assert_eq!(
        write(store, &[Change::PutRules(rules.clone())], NOW).await,
        [Written::Taken]
    );
    assert_eq!(store.rules().await.unwrap(), Some(rules));
    let News::Changed { rules, .. } = store.news(&mut position).await.unwrap() else {
        panic!("nothing was lost");
    };
    assert!(rules, "the news name the rules");
    assert_eq!(write(store, &[Change::DeleteRules], NOW).await, [Written::Taken]);
    assert_eq!(store.rules().await.unwrap(), None);
}

/// All news until there are none.
pub(crate) async fn all_news(store: &dyn OnlineStore, position: &mut Position) -> (Vec<UserId>, Vec<ItemId>) {
    let (mut all_users, mut all_items) = (Vec::new(), Vec::new());
    loop {
        match store.news(position).await.unwrap() {
            News::Lost => panic!("nothing was lost"),
            News::Changed { users, items, .. } if users.is_empty() && items.is_empty() => {
                return (all_users, all_items);
            }
            News::Changed { users, items, .. } => {
                all_users.extend(users);
                all_items.extend(items);
            }
        }
    }
}

async fn news_name_what_changed_after_it_did(store: &dyn OnlineStore) {
    let mut position = store.position().await.unwrap();
    let outcome = store
        .write(
            &[
                put_user("frieda", &[]),
                Change::DeleteItem { item: "soap".into() },
                interaction("gerda", "e1", "milk", None),
            ],
            NOW,
        )
        .await
        .unwrap();
    let (users, items) = tokio::time::timeout(Duration::from_secs(10), all_news(store, &mut position))
        .await
        .unwrap();
    assert_eq!(users, [UserId::from("frieda"), UserId::from("gerda")]);
    assert_eq!(items, [ItemId::from("soap")]);
    assert!(
        position >= outcome.position,
        "whoever waits for a change knows when it is here"
    );
}
