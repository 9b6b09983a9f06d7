use serde_json::json;

use super::*;
use crate::fixtures::{DAY, Daily, START, World, evidence, settings, spec};

const SAME: Daily = Daily {
    users: 2000,
    buyers: 200,
    clicks: 6000,
};

fn shown(days: u32, arms: [Daily; 2]) -> String {
    let mut world = World::new(&spec());
    let step = world.run(START, START + DAY * days, arms);
    let evidence = evidence(1, days, arms);
    page(&View {
        pipeline: "shop/home",
        settings: &settings(&spec()),
        step: &step,
        evidence: Some(&evidence),
        now: START + DAY * days,
        statistics: "statistics.json",
    })
}

#[test]
fn the_verdict_stands_at_the_top() {
    let better = Daily { buyers: 240, ..SAME };
    assert!(shown(4, [SAME, SAME]).contains("No decision yet: 40% of the planned users"));
    assert!(shown(8, [SAME, better]).contains("Ready to promote: arm dlrm is better in purchase"));
}

#[test]
fn every_part_is_there_and_nothing_comes_from_outside() {
    let page = shown(8, [SAME, SAME]);
    for part in [
        "What would change this verdict",
        "purchase of dlrm against rf",
        "Arms",
        "Guardrails",
        "Sample ratio",
        "Ramp",
        "Operations",
        "Data health",
        "statistics.json",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    for foreign in ["http://", "https://", "<script", "NaN", "inf"] {
        assert!(!page.contains(foreign), "{foreign} is there");
    }
}

#[test]
fn names_are_text_and_no_markup() {
    let entry = Entry {
        link: "?a&b=\"".to_owned(),
        pipeline: "<b>".to_owned(),
        name: "<b>&\"".to_owned(),
        phase: "Running",
        sentence: "a < b".to_owned(),
    };
    let page = index(&[entry]);
    for text in [
        "\"?a&amp;b=&quot;\"",
        "<td>&lt;b&gt;</td>",
        "&lt;b&gt;&amp;&quot;",
        "a &lt; b",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn a_page_without_any_data_says_so() {
    let mut world = World::new(&spec());
    world.ready.clear();
    let step = world.step(START, None);
    let page = page(&View {
        pipeline: "shop/home",
        settings: &settings(&json!(spec())),
        step: &step,
        evidence: None,
        now: START,
        statistics: "statistics.json",
    });
    assert!(page.contains("Not begun: waits for rf and dlrm."));
}
