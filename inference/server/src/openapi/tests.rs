use std::collections::BTreeSet;

use gondola_request::{Interaction, ItemPatch, ItemUpdate, Rules, UserUpdate};
use serde::de::DeserializeOwned;

use super::operations::{
    example_answer, example_explain, example_explained, example_interactions, example_item, example_items,
    example_outcomes, example_patch, example_rules, example_similar, example_user,
};
use super::*;
use crate::http::changes::BatchItem;
use crate::http::explanations::ExplainBody;

fn shown(view: View) -> BTreeSet<String> {
    let document = document(view);
    let paths = document["paths"].as_object().unwrap();
    paths.keys().cloned().collect()
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let sources = [
        include_str!("../http.rs"),
        include_str!("../http/explanations.rs"),
        include_str!("../http/changes.rs"),
    ];
    let routes = sources
        .into_iter()
        .flat_map(|source| source.split(".route(").skip(1))
        .filter_map(|rest| rest.split(',').next());
    let constants = [
        ("REPORT_PATH", gondola_wire::router_report::REPORT_PATH),
        ("openapi::PATH", PATH),
    ];
    let routes: BTreeSet<String> = routes
        .map(|route| {
            let named = constants.iter().find(|(name, _)| *name == route.trim());
            named
                .map_or(route.trim().trim_matches('"'), |(_, path)| path)
                .to_owned()
        })
        .collect();
    assert_eq!(shown(View::default()), routes);
}

#[test]
fn a_port_for_questions_shows_no_more_than_it_serves() {
    let view = View {
        questions_alone: true,
        ..View::default()
    };
    let expected = crate::ports::QUESTIONS
        .into_iter()
        .filter(|path| !path.starts_with("/gondola"));
    assert_eq!(shown(view), expected.map(str::to_owned).collect());
}

#[test]
fn credentials_are_in_the_document_where_they_are_wanted() {
    let none = document(View::default());
    assert_eq!(none["paths"]["/v1/recommend"]["get"]["security"], json!([]));
    let both = document(View {
        keys: true,
        tokens: true,
        ..View::default()
    });
    let security = json!([{"apiKey": []}, {"token": []}]);
    assert_eq!(both["paths"]["/v1/recommend"]["get"]["security"], security);
    assert_eq!(both["paths"]["/readyz"]["get"]["security"], json!([]));
    assert_eq!(
        both["components"]["securitySchemes"].as_object().unwrap().len(),
        2
    );
}

#[test]
fn examples_are_what_the_server_takes() {
    #[track_caller]
    fn check<T: DeserializeOwned>(example: Value) {
        serde_json::from_value::<T>(example).unwrap();
    }
    check::<UserUpdate>(example_user());
    check::<ItemUpdate>(example_item());
    check::<ExplainBody>(example_explain());
    check::<ItemPatch>(example_patch());
    check::<Rules>(example_rules());
    check::<Vec<BatchItem>>(example_items()["items"].clone());
    check::<Vec<Interaction>>(example_interactions()["interactions"].clone());
    for outcome in example_outcomes()["outcomes"].as_array().unwrap() {
        gondola_events::intake::read(outcome.clone()).unwrap();
    }
    // What is answered has fields that the schema knows, and all that it requires.
    let document = document(View::default());
    for (body, example) in [
        ("AnswerBody", example_answer()),
        ("AnswerBody", example_similar()),
        ("ExplainedBody", example_explained()),
    ] {
        let schema = &document["components"]["schemas"][body];
        let fields = example.as_object().unwrap();
        assert!(
            fields.keys().all(|field| !schema["properties"][field].is_null()),
            "{fields:?}"
        );
        let required = schema["required"].as_array().unwrap();
        assert!(
            required
                .iter()
                .all(|field| fields.contains_key(field.as_str().unwrap())),
            "{required:?}"
        );
    }
}
