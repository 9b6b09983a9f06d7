//! A variant whose networks run in tensors, many users at a time.

use std::path::Path;
use std::sync::Arc;

use gondola_models::device::Device;
use gondola_models::features::{RawRow, UserId, Value};
use gondola_models::pipeline::{
    Answer, BoughtRule, Degradation, RecommendRequest, RequestError, Stage, UserUpdate, Variant,
};
use gondola_request::{InformedRequest, UserState};
use gondola_training::run::RunConfig;

use super::{ITEMS, items, load, load_on, put_item, put_user, recommend, recommend_informed};

/// How far scores of tensors may be from those of kernels.
const TOLERANCE: f32 = 1e-4;

/// The same items, with nearly the same scores: of as few items retrieval is exact on the processor too.
pub(super) async fn answers_are_those_of_the_processor(folder: &Path, config: &RunConfig, scorer: &str) {
    let processor = load(folder, config, scorer, BoughtRule::Keep).await;
    let device = load_on(Device::CpuTensors, folder, config, scorer, BoughtRule::Keep).await;
    assert!(device.has_device() && !processor.has_device());
    everybody_is_answered_alike(&processor, &device);
    for variant in [&processor, &device] {
        put(variant);
    }
    everybody_is_answered_alike(&processor, &device);
    one_wrong_request_costs_no_other_its_answer(&device);
}

fn put(variant: &Variant) {
    let text = RawRow::from([
        ("prod_name", "Item A".into()),
        ("product_type_name", "Vest top".into()),
    ]);
    for id in ["new-item", "0108775044"] {
        put_item(variant, id, text.clone()).unwrap();
    }
}

fn new_user(variant: &Variant) -> UserState {
    let update = UserUpdate {
        features: RawRow::from([("age", Value::Number(31.0))]),
        history: None,
    };
    put_user(variant, update).unwrap()
}

fn everybody_is_answered_alike(processor: &Variant, device: &Variant) {
    let table = processor.users().table();
    let mut users: Vec<UserId> = (0..table.len()).map(|row| table.id(row).into()).collect();
    users.push(UserId::from("nobody"));
    let together = device.recommend_all(&users, Some(ITEMS)).unwrap();
    assert_eq!(together.len(), users.len());
    for (user, together) in users.iter().zip(&together) {
        let wanted = recommend(processor, user.as_str(), ITEMS).unwrap();
        check_alike(together, &wanted);
        let alone = recommend(device, user.as_str(), ITEMS).unwrap();
        assert_eq!(alone.items, together.items, "{user}: to the bit");
        let stages: Vec<Stage> = alone.timing.iter().map(|timing| timing.stage).collect();
        let wanted: Vec<Stage> = wanted.timing.iter().map(|timing| timing.stage).collect();
        assert_eq!(stages, wanted);
    }
}

/// The same items in the same order, but for those whose scores are within the tolerance.
#[track_caller]
fn check_alike(found: &Answer, wanted: &Answer) {
    assert_eq!(found.degraded, wanted.degraded);
    assert_eq!(found.items.len(), wanted.items.len());
    for (found, wanted) in found.items.iter().zip(&wanted.items) {
        assert!(
            (found.score - wanted.score).abs() < TOLERANCE,
            "{found:?} is not {wanted:?}"
        );
    }
    let (mut found, mut wanted) = (items(found), items(wanted));
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

fn one_wrong_request_costs_no_other_its_answer(device: &Variant) {
    let state = Arc::new(new_user(device));
    let request = |user: &str, k| InformedRequest {
        request: RecommendRequest {
            user: user.into(),
            k: Some(k),
        },
        state: (user == "new-user").then(|| Arc::clone(&state)),
    };
    let requests = [
        request("new-user", 3),
        request("new-user", 1000),
        request("nobody", 5),
    ];
    let answers = device.recommend_each(&requests);
    let first = answers[0].as_ref().unwrap();
    assert_eq!(
        first.items,
        recommend_informed(device, "new-user", &state, 3).items
    );
    assert!(matches!(
        answers[1],
        Err(RequestError::Count { k: 1000, most: ITEMS })
    ));
    let last = answers[2].as_ref().unwrap();
    assert_eq!(last.degraded, [Degradation::UnknownUser]);
    assert_eq!(last.items, recommend(device, "nobody", 5).unwrap().items);
}
