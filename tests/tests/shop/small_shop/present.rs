//! What users do and what the shop puts, in the next answer.

use gondola_models::features::{Cells as _, RawRow};
use gondola_models::pipeline::{RecommendRequest, SimilarRequest, SimilarTo, Variant};
use gondola_request::{
    BoughtRule, Change, DiversityRule, InteractionKind, ItemPatch, ItemRule, ItemState, Moment,
    PastInteraction, Rules, StatedRow, UserState, Value,
};

use super::{ITEMS, NOW, RULES_COLUMN, items, recommend, recommend_informed, some_user};

/// Two items of the shop.
const VEST: &str = "0108775044";
const OTHER: &str = "0108866015";

pub(super) fn follows_from_what_users_and_the_shop_do(variant: &Variant) {
    a_purchase_changes_the_next_answer(variant);
    a_dislike_takes_an_item_away_until_it_is_bought(variant);
    what_is_older_than_the_snapshot_changes_nothing(variant);
    a_user_who_was_deleted_is_nobody(variant);
    an_item_is_blocked_deleted_and_back(variant);
    an_item_follows_a_column_that_rules_alone_read(variant);
    a_row_that_says_nothing_new_is_not_kept(variant);
    rules_are_followed_until_they_are_taken_back(variant);
    rules_that_can_not_be_followed_are_refused_by_name(variant);
}

fn did(item: &str, kind: InteractionKind, at: Moment) -> PastInteraction {
    PastInteraction {
        item: item.into(),
        kind,
        at,
        price: Some(0.01),
    }
}

fn who_did(interactions: Vec<PastInteraction>) -> UserState {
    UserState {
        interactions,
        ..UserState::default()
    }
}

fn scores(variant: &Variant, user: &str, state: &UserState) -> Vec<(String, f32)> {
    let answer = recommend_informed(variant, user, state, 10);
    assert_eq!(answer.items.len(), 10);
    let scored = answer.items.iter();
    scored.map(|item| (item.item.to_string(), item.score)).collect()
}

fn a_purchase_changes_the_next_answer(variant: &Variant) {
    let user = some_user(variant);
    let before = scores(variant, &user, &UserState::default());
    let after = scores(
        variant,
        &user,
        &who_did(vec![did(VEST, InteractionKind::Purchase, NOW)]),
    );
    assert_ne!(
        before,
        after,
        "{}: recency and purchases are other ones",
        variant.name()
    );
    let stranger = who_did(vec![did(VEST, InteractionKind::Click, NOW)]);
    let answer = recommend_informed(variant, "a stranger who clicked", &stranger, 5);
    assert_eq!(answer.degraded, [], "somebody who did something is no stranger");
}

fn a_dislike_takes_an_item_away_until_it_is_bought(variant: &Variant) {
    let user = some_user(variant);
    let shown = |state: &UserState| items(&recommend_informed(variant, &user, state, 20));
    assert!(shown(&UserState::default()).contains(&OTHER.to_owned()));
    let dislike = did(OTHER, InteractionKind::Dislike, NOW);
    assert!(!shown(&who_did(vec![dislike.clone()])).contains(&OTHER.to_owned()));
    let purchase = did(OTHER, InteractionKind::Purchase, Moment(NOW.0 + 1));
    assert!(shown(&who_did(vec![dislike, purchase])).contains(&OTHER.to_owned()));
}

fn what_is_older_than_the_snapshot_changes_nothing(variant: &Variant) {
    let user = some_user(variant);
    let long_ago = Moment(946_684_800_000);
    let row = Some(StatedRow {
        columns: [("age", Value::Number(99.0))].into(),
        whole: true,
        at: long_ago,
        always: false,
    });
    let state = UserState {
        row: row.clone(),
        ..who_did(vec![did(VEST, InteractionKind::Purchase, long_ago)])
    };
    let untouched = scores(variant, &user, &UserState::default());
    assert_eq!(scores(variant, &user, &state), untouched);
    let stranger = recommend_informed(variant, "whom the snapshot lacks", &state, 5);
    assert_eq!(stranger.degraded, [], "of whom nothing else is known");
    let always = UserState {
        row: row.map(|row| StatedRow { always: true, ..row }),
        ..UserState::default()
    };
    assert_ne!(
        scores(variant, &user, &always),
        untouched,
        "a feature store's word counts however old it is"
    );
}

fn a_user_who_was_deleted_is_nobody(variant: &Variant) {
    let deleted = UserState {
        deleted: true,
        ..UserState::default()
    };
    let answer = recommend_informed(variant, &some_user(variant), &deleted, 5);
    assert_eq!(answer.items, recommend(variant, "nobody", 5).unwrap().items);
    assert_eq!(answer.degraded, recommend(variant, "nobody", 5).unwrap().degraded);
}

fn an_item_is_blocked_deleted_and_back(variant: &Variant) {
    let user = some_user(variant);
    let set = |state: Option<ItemState>| {
        let refused = variant.set_items(vec![(OTHER.into(), state)]);
        assert!(refused.is_empty(), "{refused:?}");
    };
    let shown = || items(&recommend(variant, &user, 20).unwrap());
    let similar = |to: &str| {
        variant.similar(&SimilarRequest {
            to: SimilarTo::Item(to.into()),
            k: Some(15),
        })
    };
    let before = shown();
    assert!(before.contains(&OTHER.to_owned()));
    set(Some(ItemState {
        blocked: true,
        ..ItemState::default()
    }));
    assert!(!shown().contains(&OTHER.to_owned()));
    assert!(!items(&similar(VEST).unwrap()).contains(&OTHER.to_owned()));
    assert!(similar(OTHER).is_ok(), "what is blocked is still in the catalog");
    set(Some(ItemState {
        deleted: true,
        ..ItemState::default()
    }));
    assert!(!shown().contains(&OTHER.to_owned()));
    let error = similar(OTHER).unwrap_err().to_string();
    assert!(error.starts_with("there is no item"), "{error}");
    set(None);
    assert_eq!(shown(), before);
}

/// As a shop's stock does.
fn an_item_follows_a_column_that_rules_alone_read(variant: &Variant) {
    let user = some_user(variant);
    let shown = || items(&recommend(variant, &user, 20).unwrap());
    let before = shown();
    let without = |value: Value| Rules {
        items: vec![ItemRule {
            column: RULES_COLUMN.to_owned(),
            allow: None,
            deny: vec![value],
        }],
        ..Rules::default()
    };
    let table = variant.items().table();
    let value = Value::from(table.row(table.find(OTHER).unwrap()).cell(RULES_COLUMN));
    variant.set_rules(Some(&without(value))).unwrap();
    assert!(!shown().contains(&OTHER.to_owned()), "as the snapshot has it");
    variant.set_rules(Some(&without(Value::Number(0.0)))).unwrap();
    assert_eq!(shown(), before);
    let update = ItemPatch {
        features: RawRow::from([(RULES_COLUMN, "0".into())]),
        blocked: None,
    };
    variant
        .check(&Change::PatchItem {
            item: OTHER.into(),
            update: update.clone(),
        })
        .unwrap();
    let put_before = variant.items().view().put_items().count();
    let row = StatedRow {
        columns: update.features,
        at: NOW,
        ..StatedRow::default()
    };
    set_row(variant, OTHER, row.clone());
    assert!(!shown().contains(&OTHER.to_owned()), "the text 0 is the number");
    assert_eq!(
        variant.items().view().put_items().count(),
        put_before,
        "no model reads it"
    );
    variant.set_rules(None).unwrap();
    assert_eq!(shown(), before);
    variant.set_rules(Some(&without(Value::Number(0.0)))).unwrap();
    assert!(
        !shown().contains(&OTHER.to_owned()),
        "rules come after it as well"
    );
    let one = StatedRow {
        columns: RawRow::from([(RULES_COLUMN, Value::Number(1.0))]),
        ..row
    };
    set_row(variant, OTHER, one);
    assert_eq!(shown(), before, "and it is back");
    variant.set_items(vec![(OTHER.into(), None)]);
    variant.set_rules(None).unwrap();
    assert_eq!(shown(), before);
}

/// A feature store has a row for every item, and most of them are the snapshot's: they must not take the places of those that are put.
fn a_row_that_says_nothing_new_is_not_kept(variant: &Variant) {
    let row = variant.items().table().find(OTHER).unwrap();
    let table = variant.items().table();
    let columns: Vec<(String, Value)> = table
        .columns()
        .iter()
        .map(|column| (column.clone(), Value::from(table.row(row).cell(column))))
        .collect();
    let as_feast_has_it = |value: &Value| match value {
        Value::Number(number) => Value::Number(f64::from(*number as f32)),
        other => other.clone(),
    };
    let same = columns
        .iter()
        .map(|(column, value)| (column.clone(), as_feast_has_it(value)));
    let row = StatedRow {
        columns: RawRow(same.collect()),
        always: true,
        ..StatedRow::default()
    };
    let put = || {
        variant
            .items()
            .view()
            .put_items()
            .filter(|item| item.id.as_str() == OTHER)
            .count()
    };
    set_row(variant, OTHER, row.clone());
    assert_eq!(put(), 0);
    let mut other = row.clone();
    other
        .columns
        .0
        .insert("mean_price".to_owned(), Value::Number(0.5));
    set_row(variant, OTHER, other);
    assert_eq!(put(), 1, "as it is not what the snapshot says");
    set_row(variant, OTHER, row);
    assert_eq!(put(), 0, "as it is again");
}

fn set_row(variant: &Variant, item: &str, row: StatedRow) {
    let state = ItemState {
        row: Some(row),
        ..ItemState::default()
    };
    let refused = variant.set_items(vec![(item.into(), Some(state))]);
    assert!(refused.is_empty(), "{refused:?}");
}

fn rules_are_followed_until_they_are_taken_back(variant: &Variant) {
    let user = some_user(variant);
    let shown = |state: &UserState| {
        let request = RecommendRequest {
            user: user.as_str().into(),
            k: None,
        };
        items(&variant.recommend_informed(&request, Some(state)).unwrap())
    };
    let bought = who_did(vec![did(OTHER, InteractionKind::Purchase, NOW)]);
    let before = shown(&bought);
    let no_vest_tops = Rules {
        limit: Some(13),
        items: vec![ItemRule {
            column: "product_type_name".to_owned(),
            allow: None,
            deny: vec!["Vest top".into()],
        }],
        ..Rules::default()
    };
    variant.check_rules(&no_vest_tops).unwrap();
    variant.set_rules(Some(&no_vest_tops)).unwrap();
    let after = shown(&UserState::default());
    assert_eq!(after.len(), 13, "{before:?}, {after:?}");
    assert!(!after.contains(&VEST.to_owned()), "a vest top");
    let nothing_twice = Rules {
        already_bought: Some(BoughtRule::Remove),
        ..no_vest_tops
    };
    variant.set_rules(Some(&nothing_twice)).unwrap();
    let stranger = |kind| {
        let state = who_did(vec![did(OTHER, kind, NOW)]);
        items(&recommend_informed(variant, "a stranger", &state, ITEMS))
    };
    assert!(
        !stranger(InteractionKind::Purchase).contains(&OTHER.to_owned()),
        "bought since the snapshot"
    );
    assert!(
        stranger(InteractionKind::View).contains(&OTHER.to_owned()),
        "only looked at"
    );
    let similar = variant.similar(&SimilarRequest {
        to: SimilarTo::Item(OTHER.into()),
        k: Some(10),
    });
    assert!(!items(&similar.unwrap()).contains(&VEST.to_owned()));
    let two_kinds = Rules {
        diversity: Some(DiversityRule {
            column: "product_type_name".to_owned(),
            most: 1,
        }),
        items: vec![ItemRule {
            column: "product_type_name".to_owned(),
            allow: Some(vec!["Vest top".into(), "Dress".into()]),
            deny: Vec::new(),
        }],
        ..Rules::default()
    };
    variant.set_rules(Some(&two_kinds)).unwrap();
    assert_eq!(
        shown(&UserState::default()).len(),
        2,
        "one of each kind that is allowed"
    );
    variant.set_rules(None).unwrap();
    assert_eq!(shown(&bought), before);
}

fn rules_that_can_not_be_followed_are_refused_by_name(variant: &Variant) {
    let refused = |rules: Rules| variant.check_rules(&rules).unwrap_err().to_string();
    let limit = Rules {
        limit: Some(0),
        ..Rules::default()
    };
    assert_eq!(refused(limit), "the rule limit is 0; give 1 to 20");
    let column = Rules {
        items: vec![ItemRule {
            column: "weather".to_owned(),
            allow: None,
            deny: Vec::new(),
        }],
        ..Rules::default()
    };
    assert!(refused(column).starts_with("there is no item feature \"weather\"; there are ["));
    let diversity = Rules {
        diversity: Some(DiversityRule {
            column: "mean_price".to_owned(),
            most: 1,
        }),
        ..Rules::default()
    };
    assert!(refused(diversity).starts_with("there is no item feature \"mean_price\"; there are ["));
}
