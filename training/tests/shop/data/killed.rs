//! A run that is killed, again and again.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use gondola_training::dataset::training::Scorer;
use gondola_training::report::Summary;

use super::*;

/// The example's configuration with what twenty items need: an index without lists, and no rare values.
fn write_config(folder: &Path) -> PathBuf {
    let mut config = example("h-and-m");
    config.training.two_tower.index = "Flat".to_owned();
    config.training.two_tower.nprobe = None;
    config.training.two_tower.text_index = "Flat".to_owned();
    config.training.two_tower.text_nprobe = None;
    config.training.scorers = vec![Scorer::Dlrm, Scorer::Forest];
    config.training.forest.leaf_pairs = 2;
    config.windows.training = 1;
    config.features.frequency_thresholds.clear();
    let path = folder.join("dataset.yaml");
    fs::write(&path, serde_saphyr::to_string(&config).unwrap()).unwrap();
    path
}

fn program(folder: &Path) -> Command {
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/models/tests/fixtures/clip");
    let mut program = Command::new(env!("CARGO_BIN_EXE_gondola-train"));
    program
        .arg("run")
        .args(["--config".as_ref(), write_config(folder).as_os_str()])
        .args(["--data".as_ref(), hm_files().as_os_str()])
        .args(["--encoder".as_ref(), encoder.as_os_str()])
        .args(["--report".as_ref(), folder.join("report").as_os_str()])
        .args(["--store", &format!("file://{}", folder.join("store").display())]);
    program
}

/// The names of stages, those that were only begun among them.
fn stages(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder.join("report/checkpoints"));
    let names = entries.into_iter().flatten().flatten();
    names
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// Kills the program when it has begun or ended a stage for the first time; whether it came to its end before.
fn run_until_killed(folder: &Path, seen: &mut BTreeSet<String>) -> bool {
    let mut child = program(folder).spawn().unwrap();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}, with {seen:?}");
            return true;
        }
        let found = stages(folder);
        if !found.is_subset(seen) {
            child.kill().unwrap();
            child.wait().unwrap();
            seen.extend(stages(folder));
            return false;
        }
        sleep(Duration::from_millis(1));
    }
}

/// What names the content of each bundle.
fn versions(folder: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder.join("report/summary.json")).unwrap();
    let summary: Summary = serde_json::from_str(&text).unwrap();
    let bundles = summary.bundles.into_iter();
    bundles.map(|bundle| (bundle.name, bundle.version)).collect()
}

#[test]
fn a_run_that_is_killed_at_every_stage_makes_what_it_would_have_made() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(program(whole.path()).status().unwrap().success());
    let (mut seen, mut kills) = (BTreeSet::new(), 0);
    while !run_until_killed(killed.path(), &mut seen) {
        kills += 1;
        assert!(kills < 100, "no end with {seen:?}");
    }
    assert!(kills >= 5, "killed {kills} times, with {seen:?}");
    assert_eq!(versions(killed.path()), versions(whole.path()));
    assert!(stages(killed.path()).is_empty(), "the run is over");
}
