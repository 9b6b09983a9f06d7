//! Other people's packages: a task's folder is written, each package answers it in a Python of its own, and what they leave is read.
//!
//! What is in the folder, and what a package leaves, is said by `training/peers/README.md`. The Python side comes with this program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::array::{ArrayRef, AsArray, Float32Array, Int64Array, UInt32Array};
use arrow::datatypes::UInt32Type;
use arrow::record_batch::RecordBatch;
use gondola_models::features::table::read_parquet;
use parquet::arrow::ArrowWriter;
use serde::Deserialize;
use serde_json::json;

use super::contender::{Asked, Contender, Cost, Lists};
use super::task::{Purchases, TOP, Task};
use crate::progress;

/// The Python package that asks others, file by file.
const PEERS: [(&str, &str); 17] = [
    ("__init__.py", include_str!("../../peers/__init__.py")),
    ("__main__.py", include_str!("../../peers/__main__.py")),
    ("answers.py", include_str!("../../peers/answers.py")),
    ("catalogue.py", include_str!("../../peers/catalogue.py")),
    ("compare.py", include_str!("../../peers/compare.py")),
    ("memory.py", include_str!("../../peers/memory.py")),
    ("model.py", include_str!("../../peers/model.py")),
    ("ranking.py", include_str!("../../peers/ranking.py")),
    ("space.py", include_str!("../../peers/space.py")),
    ("task.py", include_str!("../../peers/task.py")),
    ("tuning.py", include_str!("../../peers/tuning.py")),
    (
        "packages/__init__.py",
        include_str!("../../peers/packages/__init__.py"),
    ),
    (
        "packages/implicit.py",
        include_str!("../../peers/packages/implicit.py"),
    ),
    (
        "packages/recpack.py",
        include_str!("../../peers/packages/recpack.py"),
    ),
    (
        "packages/rectools.py",
        include_str!("../../peers/packages/rectools.py"),
    ),
    (
        "packages/rectools_transformer.py",
        include_str!("../../peers/packages/rectools_transformer.py"),
    ),
    ("packages/sansa.py", include_str!("../../peers/packages/sansa.py")),
];

/// The exit code of a package of which some models have no answers.
const SOME_FAILED: i32 = 1;

/// What a package says of a model.
#[derive(Deserialize)]
struct Facts {
    package: String,
    version: String,
    model: String,
    settings: serde_json::Value,
    trials: Vec<serde_json::Value>,
    tuning_seconds: f64,
    fit_seconds: Vec<f64>,
    answer_seconds: Vec<f64>,
    peak_memory_bytes: u64,
}

/// Has each package answer the task; `folder` is made anew.
pub fn ask(task: &Task, packages: &[String], python: &Path, folder: &Path) -> anyhow::Result<Asked> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write_task(task, folder)?;
    let program = tempfile::tempdir().context("cannot make a folder for the Python side")?;
    write_program(program.path())?;
    let mut missing = Vec::new();
    for package in packages {
        let spinner = progress::spinner("other people's models");
        missing.extend(run(package, python, program.path(), folder)?);
        spinner.finish();
    }
    Ok(Asked {
        contenders: read_answers(&folder.join("answers"))?,
        missing,
    })
}

fn write_program(folder: &Path) -> anyhow::Result<()> {
    for (name, text) in PEERS {
        let path = folder.join("peers").join(name);
        let parent = path.parent().context("a file is in a folder")?;
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn write_task(task: &Task, folder: &Path) -> anyhow::Result<()> {
    let rules = json!({
        "users": task.users, "items": task.items, "k": task.k, "tuned_at": TOP, "trials": task.trials,
        "seeds": task.seeds, "seen": task.seen, "models": null,
    });
    let path = folder.join("task.json");
    fs::write(&path, serde_json::to_vec_pretty(&rules)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    for (name, purchases) in [
        ("train.parquet", &task.train),
        ("tune.parquet", &task.tuned_on),
        ("known.parquet", &task.known),
    ] {
        write_table(&folder.join(name), columns(purchases))?;
    }
    let asked = UInt32Array::from_iter_values(task.test.keys().copied());
    write_table(&folder.join("ask.parquet"), vec![("user", Arc::new(asked))])
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn columns(purchases: &Purchases) -> Columns {
    let pairs = || purchases.pairs.iter();
    vec![
        (
            "user",
            Arc::new(UInt32Array::from_iter_values(pairs().map(|pair| pair.user))),
        ),
        (
            "item",
            Arc::new(UInt32Array::from_iter_values(pairs().map(|pair| pair.item))),
        ),
        (
            "time",
            Arc::new(Int64Array::from_iter_values(pairs().map(|pair| pair.time))),
        ),
        (
            "count",
            Arc::new(Float32Array::from_iter_values(pairs().map(|pair| pair.count))),
        ),
    ]
}

fn write_table(path: &Path, columns: Columns) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let batch = RecordBatch::try_from_iter(columns)?;
        let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Runs one package; gives what is missing, in words.
fn run(package: &str, python: &Path, program: &Path, folder: &Path) -> anyhow::Result<Option<String>> {
    let mut command = Command::new(python);
    command.args(["-m", "peers", package]).arg(folder);
    command
        .env("PYTHONPATH", program)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = command.stdout(Stdio::null()).output();
    let ran = ran.with_context(|| format!("cannot run {}; name a Python with --python", python.display()))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let last = said
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("nothing");
    match ran.status.code() {
        Some(0) => Ok(None),
        Some(SOME_FAILED..=3) => Ok(Some(format!("{package}: {last}"))),
        _ => bail!(
            "{} -m peers {package} failed ({}): {last}",
            python.display(),
            ran.status
        ),
    }
}

/// Every model that left its facts, in the order of their names.
fn read_answers(folder: &Path) -> anyhow::Result<Vec<Contender>> {
    let wrong = || format!("cannot read {}", folder.display());
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(wrong)?;
    let folders: Result<Vec<PathBuf>, _> = entries
        .map(|entry| Ok::<_, std::io::Error>(entry?.path()))
        .collect();
    let mut folders = folders.with_context(wrong)?;
    folders.sort();
    let done = folders.iter().filter(|folder| folder.join("facts.json").exists());
    done.map(|folder| read_model(folder)).collect()
}

fn read_model(folder: &Path) -> anyhow::Result<Contender> {
    let path = folder.join("facts.json");
    let facts = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let facts: Facts =
        serde_json::from_slice(&facts).with_context(|| format!("cannot use {}", path.display()))?;
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    files.sort();
    let mean = |seconds: &[f64]| seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
    Ok(Contender {
        name: facts.model,
        maker: format!("{} {}", facts.package, facts.version),
        settings: facts.settings,
        cost: Cost {
            trials: facts.trials.len(),
            tuning_seconds: facts.tuning_seconds,
            fit_seconds: mean(&facts.fit_seconds),
            answer_seconds: mean(&facts.answer_seconds),
            peak_memory_bytes: Some(facts.peak_memory_bytes),
        },
        lists: files
            .iter()
            .map(|file| read_lists(file))
            .collect::<Result<_, _>>()?,
    })
}

fn read_lists(path: &Path) -> anyhow::Result<Lists> {
    let batch = read_parquet(path)?;
    let numbers = |name: &str| {
        let column = batch.column_by_name(name);
        let column = column.and_then(|column| column.as_primitive_opt::<UInt32Type>());
        column.with_context(|| format!("{} has no column {name} of whole numbers", path.display()))
    };
    let (users, items) = (numbers("user")?, numbers("item")?);
    let mut lists = Lists::new();
    for (user, item) in users.values().iter().zip(items.values()) {
        lists.entry(*user).or_default().push(*item);
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_python_side_comes_with_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut there = BTreeSet::new();
        for part in ["", "packages"] {
            for entry in fs::read_dir(folder.join(part)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "py") {
                    let name = path.strip_prefix(&folder).unwrap().display().to_string();
                    there.insert(name);
                }
            }
        }
        // What fetches public data answers no task.
        assert!(there.remove("public_data.py"));
        let brought: BTreeSet<String> = PEERS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(there, brought);
    }
}
