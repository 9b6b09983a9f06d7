//! What `gondola-inference preview` refuses, and the way out that it names.

use std::path::Path;
use std::process::Command;

use gondola_events::event::{Drawn, Exposure};
use gondola_events::place::Kind;
use gondola_events::table::encode_exposures;
use gondola_events::unit::UnitKey;

const MANIFEST: &str = "../../examples/complete-journey/experiment.yaml";
const BASE: &str = "shop/complete-journey";

/// A store with so many exposures, of which each has these items.
fn logged(folder: &Path, exposures: usize, items: &[&str]) {
    let key = UnitKey::new(b"0123456789abcdef").unwrap();
    std::fs::write(folder.join("unit-key"), "0123456789abcdef").unwrap();
    std::fs::create_dir_all(folder.join("store")).unwrap();
    let drawn = |item: &&str| Drawn {
        item: (*item).into(),
        chance: 0.5,
    };
    let exposure = |number: usize| {
        let unit = key.hash(&number.to_string());
        Exposure {
            time: jiff::Timestamp::constant(1_793_577_600, 0),
            id: Exposure::id_of("dlrm-vs-forest", 1, unit, "r"),
            experiment: "dlrm-vs-forest".into(),
            epoch: 1,
            revision: "abc".into(),
            arm: "forest".into(),
            arm_bucket: 1,
            traffic_bucket: 1,
            unit,
            request: "r".into(),
            fallback: false,
            latency: 3,
            model: "v1".into(),
            drawn: items.iter().map(drawn).collect(),
        }
    };
    let rows: Vec<Exposure> = (0..exposures).map(exposure).collect();
    if let Some(first) = rows.first() {
        let kind = Kind::Exposures {
            experiment: "dlrm-vs-forest".into(),
            epoch: 1,
        };
        let file = folder
            .join("store")
            .join(BASE)
            .join(kind.file(first.time, "router-a", 0));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, encode_exposures(&rows).unwrap()).unwrap();
    }
}

/// What is said where it is refused.
fn refused(folder: &Path, manifest: &str, more: &[&str]) -> String {
    let store = format!("file://{}", folder.join("store").display());
    let output = Command::new(env!("CARGO_BIN_EXE_gondola-inference"))
        .args([
            "preview",
            "--file",
            manifest,
            "--events-url",
            &store,
            "--store",
            &store,
        ])
        .arg("--unit-key")
        .arg(folder.join("unit-key"))
        .arg("--cache")
        .arg(folder.join("cache"))
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    said
}

#[track_caller]
fn check(exposures: usize, items: &[&str], manifest: &str, more: &[&str], message: &str) {
    let folder = tempfile::tempdir().unwrap();
    logged(folder.path(), exposures, items);
    let said = refused(folder.path(), manifest, more);
    assert!(said.contains(message), "{said} does not say {message:?}");
}

#[test]
fn a_log_without_exposures_or_propensities_is_refused_with_the_way_out() {
    let dlrm = ["--variant", "dlrm"];
    check(
        0,
        &[],
        MANIFEST,
        &dlrm,
        "has no exposures of experiment dlrm-vs-forest, epoch 1, of pipeline shop/complete-journey; name another --epoch",
    );
    check(
        3,
        &["a"],
        MANIFEST,
        &["--variant", "dlrm", "--arm", "dlrm"],
        "has no exposures to units of arm dlrm",
    );
    check(
        3,
        &[],
        MANIFEST,
        &dlrm,
        "none of the 3 exposures of experiment dlrm-vs-forest, epoch 1, has propensities, since their orders were not drawn by chance; set \
         spec.ordering.sampling",
    );
}

#[test]
fn what_is_to_be_previewed_must_be_there() {
    check(
        3,
        &["a"],
        "../../examples/complete-journey/pipeline.yaml",
        &["--variant", "dlrm"],
        "has no spec.experiment; add the one whose traffic was logged",
    );
    check(
        3,
        &["a"],
        MANIFEST,
        &["--variant", "better"],
        "variant better is not in the manifest, which has dlrm, forest",
    );
    check(
        3,
        &["a"],
        MANIFEST,
        &["--variant", "dlrm", "--bundle", "source/ease=ease@stable"],
        "variant dlrm has no bundle of the role source/ease; it has features, retrieval, scorer",
    );
    check(
        3,
        &["a"],
        MANIFEST,
        &["--variant", "dlrm", "--bundle", "forest@canary"],
        "give ROLE=REFERENCE, for example scorer=forest@canary",
    );
}

#[test]
fn a_bundle_that_is_not_there_is_named() {
    check(
        3,
        &["a"],
        MANIFEST,
        &["--variant", "dlrm", "--bundle", "scorer=dlrm@canary"],
        "cannot fetch the bundles of variant dlrm",
    );
}
