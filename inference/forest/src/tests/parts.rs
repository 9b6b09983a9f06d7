//! Every sample, taken apart in several ways, against the walk.

use super::samples::{SAMPLES, json, matrix};
use super::*;
use crate::parts::{LANES, LeafSet};

/// Predictions for rows of which each part is asked on its own.
fn parted(forest: &Forest, path: Path, widths: &[usize], rows: &[f32]) -> Vec<f64> {
    let on_path = Forest {
        path,
        ..forest.clone()
    };
    let parted = on_path.parted(widths).expect("the trees are small");
    let (columns, mut out) = (forest.columns().len(), Vec::new());
    for rows in rows.chunks(LANES * columns) {
        let count = rows.len() / columns;
        let value = |lane: usize, column: usize| match rows.get(lane * columns + column) {
            Some(value) => forest.columns().encode(column, *value),
            None => 0,
        };
        // What each part leaves is found alone, and put together in the end.
        let (mut first, mut of_parts) = (0, Vec::new());
        for (part, width) in widths.iter().enumerate() {
            let values: Vec<[u32; LANES]> = (first..first + width)
                .map(|column| std::array::from_fn(|lane| value(lane, column)))
                .collect();
            let mut sets = vec![[LeafSet::ALL; LANES]; parted.trees()];
            parted.narrow(part, &values, &mut sets);
            of_parts.push(sets);
            first += width;
        }
        let all = |row: usize, tree: usize| {
            let sets = of_parts.iter().map(|sets| sets[tree][row]);
            sets.fold(LeafSet::ALL, LeafSet::and)
        };
        parted.predict(count, all, |prediction| out.push(prediction));
    }
    out
}

#[track_caller]
fn check(name: &str, forest: &Forest, rows: &[f32]) {
    let columns = forest.columns().len();
    let walked = predictions(forest, Path::Portable, rows);
    for widths in [[columns, 0, 0], [1, columns - 3, 2], [0, columns - 1, 1]] {
        for path in Path::available() {
            let found = parted(forest, path, &widths, rows);
            let same = found.iter().zip(&walked).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(
                same && found.len() == walked.len(),
                "{name} in parts of {widths:?} on {path:?}: {found:?} are not {walked:?}"
            );
        }
    }
}

#[test]
fn parts_of_a_row_lead_to_the_leaves_that_the_walk_reaches() {
    let (inputs, all) = (
        json(include_str!(fixture!("inputs.json"))),
        json(include_str!(fixture!("expected.json"))),
    );
    for sample in SAMPLES {
        let input = all["expected"][sample.name]["input"].as_str().unwrap();
        let forest = Forest::load(sample.format, sample.bytes, &unnamed(6)).unwrap();
        let mut rows = matrix(&inputs[input]);
        rows.extend([0.0; 6]);
        rows.extend([f32::NAN; 6]);
        rows.extend([f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-36, -1.0, 1e30]);
        check(sample.name, &forest, &rows);
    }
    check("random_forest.txt", &random_forest(), &rows());
}

#[test]
fn a_tree_with_more_leaves_than_a_set_is_not_taken_apart() {
    let leaves = |count: usize| {
        let nodes = count - 1;
        let list = |value: &dyn Fn(usize) -> String| (0..nodes).map(value).collect::<Vec<_>>().join(" ");
        let values = (0..count)
            .map(|leaf| leaf.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        let left = list(&|node| format!("-{}", node + 1));
        let right = list(&|node| match node + 1 < nodes {
            true => (node + 1).to_string(),
            false => format!("-{count}"),
        });
        let text = format!(
            "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\n\nTree=0\n\
             num_leaves={count}\nnum_cat=0\nsplit_feature={}\nthreshold={}\ndecision_type={}\n\
             left_child={left}\nright_child={right}\nleaf_value={values}\n\nend of trees\n",
            list(&|_| "0".to_owned()),
            list(&|node| format!("{node}.5")),
            list(&|_| "0".to_owned()),
        );
        Forest::load(Format::LightGbm, text.as_bytes(), &unnamed(1)).unwrap()
    };
    let rows: Vec<f32> = (0..70).map(|value| value as f32).collect();
    assert_eq!(
        parted(&leaves(64), Path::best(), &[1], &rows),
        predictions(&leaves(64), Path::best(), &rows)
    );
    assert_eq!(predictions(&leaves(64), Path::best(), &rows)[63], 63.0);
    assert!(leaves(65).parted(&[1]).is_none());
}
