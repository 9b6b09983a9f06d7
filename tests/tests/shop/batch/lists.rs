//! What a batch left in its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::Float32Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// One user's row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct List {
    pub(crate) user: String,
    /// Each with the bits of its score.
    pub(crate) items: Vec<(String, u32)>,
    pub(crate) degraded: Vec<String>,
    pub(crate) bundles: BTreeMap<String, String>,
}

/// Every object by its path. What a killed process was writing has a `#` in its name, and is no object.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let below = files_below(&name, &path);
            files.extend(below);
        } else if !name.contains('#') {
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

fn files_below(name: &str, folder: &Path) -> impl Iterator<Item = (String, Vec<u8>)> {
    files(folder)
        .into_iter()
        .map(move |(path, bytes)| (format!("{name}/{path}"), bytes))
}

/// All rows of a finished batch, in the order of its manifest.
pub(crate) fn read(folder: &Path) -> Vec<List> {
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let files = manifest["files"].as_array().unwrap();
    let paths = files.iter().map(|file| file["path"].as_str().unwrap());
    paths.flat_map(|path| rows(&folder.join(path))).collect()
}

fn rows(path: &Path) -> Vec<List> {
    let mut rows = Vec::new();
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let list = |name: &str, row| column(name).as_list::<i32>().value(row);
        let bundles = column("bundles").as_struct();
        for row in 0..batch.num_rows() {
            let scores = list("scores", row);
            let scores = scores.as_primitive::<Float32Type>().values().iter();
            let items = texts(&list("items", row)).into_iter();
            let digests = bundles.fields().iter().zip(bundles.columns());
            rows.push(List {
                user: column("user").as_string::<i32>().value(row).to_owned(),
                items: items.zip(scores.map(|score| score.to_bits())).collect(),
                degraded: texts(&list("degraded", row)),
                bundles: digests
                    .map(|(role, digests)| (role.name().clone(), texts(digests)[row].clone()))
                    .collect(),
            });
        }
    }
    rows
}

fn texts(array: &ArrayRef) -> Vec<String> {
    let texts = array.as_string::<i32>();
    (0..texts.len()).map(|at| texts.value(at).to_owned()).collect()
}
