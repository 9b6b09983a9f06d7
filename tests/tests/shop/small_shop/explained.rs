//! Why items are in an answer, or where they were lost.

use gondola_collaborative::Settings;
use gondola_models::pipeline::Variant;
use gondola_request::{ExplainRequest, Explanation, Fate, ItemRule, Rules, Source, UserState, Value};

use super::{ITEMS, items, put_user, recommend, recommend_informed, some_user};
use gondola_models::features::RawRow;
use gondola_models::pipeline::{PurchaseUpdate, UserUpdate};

/// What the configuration of these tests blocks.
const BLOCKED: &str = "0108775015";

fn explain(variant: &Variant, user: &str, items: &[String], k: usize) -> Vec<Explanation> {
    explain_informed(variant, user, &UserState::default(), items, k)
}

fn explain_informed(
    variant: &Variant,
    user: &str,
    state: &UserState,
    items: &[String],
    k: usize,
) -> Vec<Explanation> {
    let request = ExplainRequest {
        user: user.into(),
        items: items.iter().map(|item| item.as_str().into()).collect(),
        k: Some(k),
        parts: true,
    };
    let explanations = variant.explain(&request, Some(state)).unwrap();
    assert_eq!(explanations.items.len(), items.len());
    explanations.items
}

pub(super) fn says_what_became_of_items(variant: &Variant) {
    what_is_shown_has_the_scores_and_places_of_the_answer(variant);
    every_trained_source_names_what_the_user_has_not_bought(variant);
    what_is_lost_says_where(variant);
    what_the_user_dislikes_or_rules_keep_out_says_so(variant);
    a_part_is_what_the_score_would_lack_without_the_input(variant);
}

/// The same is asked for a user of whom the age is known, and for one of whom only that is not.
pub(super) fn a_part_is_what_the_score_would_lack_without_the_input(variant: &Variant) {
    let user = |features: RawRow| {
        let history = None;
        put_user(variant, UserUpdate { features, history }).unwrap()
    };
    let status = || ("club_member_status", Value::from("ACTIVE"));
    let whole = user(RawRow::from([status(), ("age", Value::Number(63.0))]));
    let ageless = user(RawRow::from([status()]));
    let all = items(&recommend(variant, &some_user(variant), ITEMS).unwrap());
    let explained = explain_informed(variant, "somebody", &whole, &all, 5);
    let without = explain_informed(variant, "somebody", &ageless, &all, 5);
    for (explained, without) in explained.iter().zip(&without) {
        let lacks = explained.score.unwrap() - without.score.unwrap();
        let part = explained.parts.iter().find(|part| part.input == "user.age");
        let adds = part.map_or(0.0, |part| part.adds);
        assert!(
            (adds - lacks).abs() < 1e-5,
            "{adds} but {lacks} for {}",
            explained.item
        );
        let sizes: Vec<f32> = explained.parts.iter().map(|part| part.adds.abs()).collect();
        assert!(sizes.is_sorted_by(|one, next| one >= next), "{sizes:?}");
        assert!(explained.parts.iter().all(|part| part.adds != 0.0));
    }
}

fn what_is_shown_has_the_scores_and_places_of_the_answer(variant: &Variant) {
    let user = some_user(variant);
    let answer = recommend(variant, &user, 5).unwrap();
    let explained = explain(variant, &user, &items(&answer), 5);
    for (place, (explained, shown)) in explained.iter().zip(&answer.items).enumerate() {
        assert_eq!(
            (&explained.item, explained.fate, explained.rank, explained.score),
            (&shown.item, Fate::Shown, Some(place + 1), Some(shown.score))
        );
        assert!(!explained.sources.is_empty());
        let near = explained.sources.iter().find(|at| at.source == Source::TwoTower);
        // What was not sold lately is not in the index.
        assert!(near.is_none_or(|near| (1..=ITEMS).contains(&near.place)));
    }
    let near = explained.iter().flat_map(|explained| &explained.sources);
    assert!(near.into_iter().any(|at| at.source == Source::TwoTower));
}

fn every_trained_source_names_what_the_user_has_not_bought(variant: &Variant) {
    let users = variant.users().table();
    let mut named = std::collections::BTreeSet::new();
    for user in 0..users.len() {
        let user = users.id(user);
        let all = items(&recommend(variant, user, ITEMS).unwrap());
        for explained in explain(variant, user, &all, 5) {
            let bought = explained
                .sources
                .iter()
                .any(|at| at.source == Source::BoughtBefore);
            for at in explained.sources {
                if let Source::Trained(name) = at.source {
                    assert!(!bought, "{name} names {}, which {user} bought", explained.item);
                    named.insert(name);
                }
            }
        }
    }
    let all: Vec<&str> = super::sources().iter().map(Settings::bundle).collect();
    let missing: Vec<&&str> = all.iter().filter(|name| !named.contains(**name)).collect();
    assert!(missing.is_empty(), "sources that name nothing: {missing:?}");
}

fn what_is_lost_says_where(variant: &Variant) {
    let user = some_user(variant);
    let all = items(&recommend(variant, &user, ITEMS).unwrap());
    let asked = [all[1].clone(), BLOCKED.to_owned(), "no-such".to_owned()];
    let [below, blocked, unknown] = explain(variant, &user, &asked, 1).try_into().unwrap();
    assert_eq!((below.fate, below.rank), (Fate::BelowOthers, Some(2)));
    assert_eq!((blocked.fate, blocked.rank), (Fate::Blocked, None));
    assert!(blocked.score.is_some(), "every item has a score");
    assert_eq!((unknown.fate, unknown.score), (Fate::Unknown, None));
    assert!(unknown.sources.is_empty());
    let [alone] = explain(variant, &user, &["no-such".to_owned()], 1)
        .try_into()
        .unwrap();
    assert_eq!(alone, unknown);
}

fn what_the_user_dislikes_or_rules_keep_out_says_so(variant: &Variant) {
    let bought = "0108775044";
    let purchase = PurchaseUpdate {
        item: bought.into(),
        purchases: 3.0,
        days_since_last: 1.0,
        recent_purchases: None,
    };
    let update = UserUpdate {
        features: RawRow::default(),
        history: Some(vec![purchase]),
    };
    let buyer = put_user(variant, update).unwrap();
    let asked = [bought.to_owned()];
    let fate = || explain_informed(variant, "buyer", &buyer, &asked, ITEMS)[0].clone();
    let sources: Vec<Source> = fate().sources.iter().map(|at| at.source.clone()).collect();
    assert_eq!(sources, [Source::TwoTower, Source::BoughtBefore]);
    assert!(items(&recommend_informed(variant, "buyer", &buyer, ITEMS)).contains(&asked[0]));

    let none = ItemRule {
        column: super::RULES_COLUMN.to_owned(),
        allow: Some(vec![Value::Text("of no department".to_owned())]),
        deny: Vec::new(),
    };
    let rules = Rules {
        items: vec![none],
        ..Rules::default()
    };
    variant.set_rules(Some(&rules)).unwrap();
    assert_eq!(fate().fate, Fate::AgainstRules);
    variant.set_rules(None).unwrap();
    assert_eq!(fate().fate, Fate::Shown);
}
