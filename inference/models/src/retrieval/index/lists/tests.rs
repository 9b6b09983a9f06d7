use rand::{RngExt, SeedableRng};

use super::super::{Index, Metric, SearchParameters};
use super::*;

const DIMENSION: usize = 32;

/// Vectors of length 1 in clusters, as towers give them.
fn vectors(rows: usize) -> Vec<f32> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let mut row = |around: &[f32], spread: f32| {
        let row: Vec<f32> = around
            .iter()
            .map(|value| value + spread * random.random_range(-1.0f32..1.0))
            .collect();
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        row.into_iter().map(|value| value / length).collect::<Vec<f32>>()
    };
    let centres: Vec<Vec<f32>> = (0..20).map(|_| row(&[0.0; DIMENSION], 1.0)).collect();
    (0..rows)
        .flat_map(|number| row(&centres[number % centres.len()], 0.2))
        .collect()
}

/// The same inverted file, as FAISS searches it and as we do.
fn both(vectors: &[f32], nprobe: u32) -> (Index, Index) {
    let search = SearchParameters {
        nprobe: Some(nprobe),
        ef_search: None,
    };
    let mut faiss = Index::build(vectors, DIMENSION, Metric::InnerProduct, "IVF64,Flat").unwrap();
    faiss.set_search(&search).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    faiss.save(file.path()).unwrap();
    let ours = Index::load(file.path(), &search).unwrap();
    assert!(matches!(ours.engine, super::super::Engine::Lists(_)));
    (faiss, ours)
}

fn search(index: &Index, query: &[f32], k: usize) -> Vec<(i64, f32)> {
    let mut found = Vec::new();
    index.search(query, k, &mut found).unwrap();
    found
}

#[test]
fn what_faiss_finds_in_as_many_lists_is_found() {
    let vectors = vectors(6000);
    let (mut faiss, mut ours) = both(&vectors, 1);
    for (nprobe, k) in [(1, 10), (4, 200), (16, 50), (64, 200), (100, 1)] {
        let search_in = SearchParameters {
            nprobe: Some(nprobe),
            ef_search: None,
        };
        faiss.set_search(&search_in).unwrap();
        ours.set_search(&search_in).unwrap();
        let (mut same, mut wanted) = (0, 0);
        for query in vectors.chunks_exact(DIMENSION).step_by(60) {
            let (theirs, found) = (search(&faiss, query, k), search(&ours, query, k));
            assert_eq!(found.len(), theirs.len());
            assert!(found.is_sorted_by(|a, b| a.1 >= b.1));
            let theirs: std::collections::HashMap<i64, f32> = theirs.into_iter().collect();
            wanted += theirs.len();
            for (position, product) in found {
                let Some(theirs) = theirs.get(&position) else {
                    continue;
                };
                assert!((product - theirs).abs() < 1e-6, "{product} is not {theirs}");
                same += 1;
            }
        }
        let recall = f64::from(same) / wanted as f64;
        assert!(recall >= 0.999, "{nprobe} lists, {k} nearest: {recall}");
    }
}

#[test]
fn where_there_are_fewer_than_asked_for_all_are_found() {
    let vectors = vectors(300);
    let (faiss, ours) = both(&vectors, 3);
    let query = &vectors[..DIMENSION];
    let positions =
        |index: &Index, k| -> Vec<i64> { search(index, query, k).iter().map(|found| found.0).collect() };
    for k in [0, 1, 250, 300, 5000] {
        assert_eq!(positions(&ours, k), positions(&faiss, k), "k = {k}");
    }
}

#[test]
fn of_equally_near_vectors_the_lower_position_comes_first() {
    let one = &vectors(1)[..];
    let vectors = one.repeat(500);
    let (_, ours) = both(&vectors, 64);
    let found = search(&ours, one, 500);
    assert_eq!(found.len(), 500);
    assert!(found.iter().map(|found| found.0).eq(0..500));
}

#[test]
fn many_queries_find_what_each_finds() {
    let vectors = vectors(1000);
    let (_, ours) = both(&vectors, 8);
    let queries = &vectors[..7 * DIMENSION];
    let all = ours.search_batch(queries, 20).unwrap();
    assert_eq!(all.len(), 7);
    for (query, found) in queries.chunks_exact(DIMENSION).zip(all) {
        assert_eq!(found, search(&ours, query, 20));
    }
    assert!(ours.search_batch(&[], 20).unwrap().is_empty());
}

#[test]
fn what_is_searched_by_us_is_tuned_and_read_as_before_and_refuses_what_it_did() {
    let vectors = vectors(1000);
    let (_, mut ours) = both(&vectors, 1);
    let query = &vectors[..DIMENSION];
    let before = search(&ours, query, 1000).len();
    let tune = |nprobe, ef_search| SearchParameters { nprobe, ef_search };
    ours.set_search(&tune(Some(64), None)).unwrap();
    assert!(before < 1000 && search(&ours, query, 1000).len() == 1000);
    assert!(ours.set_search(&tune(None, Some(5))).is_err());
    assert!(ours.set_search(&tune(Some(0), None)).is_err());
    let mut vector = [0.0; DIMENSION];
    ours.reconstruct(999, &mut vector).unwrap();
    assert_eq!(vector, vectors[999 * DIMENSION..]);
    assert!(ours.reconstruct(1000, &mut vector).is_err());
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(
        ours.save(file.path())
            .unwrap_err()
            .to_string()
            .contains("copy its file")
    );
    assert!(ours.search(&[f32::NAN; DIMENSION], 3, &mut Vec::new()).is_err());
    assert!(ours.search_batch(&[f32::NAN; DIMENSION], 3).is_err());
}

#[test]
fn other_kinds_and_values_that_are_not_numbers_stay_with_faiss() {
    let good = vectors(1000);
    let handle = |vectors: &[f32], factory: &str, metric: Metric| {
        let mut handle = Handle::from_factory(factory, DIMENSION, metric.to_faiss()).unwrap();
        handle.train_and_add(vectors).unwrap();
        handle.make_direct_map();
        handle
    };
    assert!(Lists::of(&handle(&good, "IVF8,Flat", Metric::InnerProduct)).is_some());
    assert!(Lists::of(&handle(&good, "IVF8,Flat", Metric::L2)).is_none());
    for factory in ["Flat", "HNSW8", "IVF8,SQ8", "IVF8_HNSW8,Flat", "PCA16,IVF8,Flat"] {
        assert!(
            Lists::of(&handle(&good, factory, Metric::InnerProduct)).is_none(),
            "{factory}"
        );
    }
    let mut index = handle(&good, "IVF8,Flat", Metric::InnerProduct);
    index.train_and_add(&[f32::INFINITY; DIMENSION]).unwrap();
    assert!(Lists::of(&index).is_none());
}

#[test]
fn only_each_position_once_is_a_permutation() {
    let check = |ids: &[i64], len| is_permutation(ids.iter(), len);
    assert!(check(&[2, 0, 1], 3) && check(&[], 0));
    for ids in [&[0, 1][..], &[0, 1, 1], &[0, 1, 3], &[0, 1, -1], &[0, 1, 2, 2]] {
        assert!(!check(ids, 3), "{ids:?}");
    }
}

/// A filter in a hash's way, so that what is allowed lies in all lists; and in the clusters' way, so that it lies in few.
fn filters(rows: usize) -> Vec<(&'static str, Allowed)> {
    let scattered = |of: usize| move |position: usize| (position * 2_654_435_761) % 1000 < of;
    vec![
        ("90 %", Allowed::of(rows, scattered(900))),
        ("half", Allowed::of(rows, scattered(500))),
        ("a fifth", Allowed::of(rows, scattered(200))),
        ("a tenth", Allowed::of(rows, scattered(100))),
        ("a hundredth", Allowed::of(rows, scattered(10))),
        // `vectors` puts each twentieth into one cluster.
        (
            "4 clusters of 20",
            Allowed::of(rows, |position| position % 20 < 4),
        ),
        ("nothing", Allowed::of(rows, |_| false)),
    ]
}

/// How many of the `k` nearest allowed vectors are found, of all that there are.
fn recall_among(index: &Index, vectors: &[f32], allowed: Option<&Allowed>, k: usize) -> f64 {
    let (mut found, mut wanted) = (0, 0);
    for query in vectors.chunks_exact(DIMENSION).step_by(97) {
        let product = |position: usize| -> f32 {
            let vector = &vectors[position * DIMENSION..][..DIMENSION];
            vector.iter().zip(query).map(|(a, b)| a * b).sum()
        };
        let may = |position: &usize| allowed.is_none_or(|allowed| allowed.contains(*position as u32));
        let mut exact: Vec<usize> = (0..index.len()).filter(may).collect();
        exact.sort_by(|a, b| product(*b).total_cmp(&product(*a)));
        exact.truncate(k);
        let mut seen = Vec::new();
        index.search_allowed(query, k, allowed, &mut seen).unwrap();
        assert_eq!(seen.len(), exact.len(), "as many as there are, up to k");
        assert!(seen.iter().all(|(position, _)| may(&(*position as usize))));
        wanted += exact.len();
        found += seen
            .iter()
            .filter(|(position, _)| exact.contains(&(*position as usize)))
            .count();
    }
    if wanted == 0 {
        1.0
    } else {
        found as f64 / wanted as f64
    }
}

#[test]
fn a_filter_costs_no_recall_and_few_are_searched_exactly() {
    let vectors = vectors(6000);
    let (faiss, ours) = both(&vectors, 16);
    let k = 20;
    for index in [&ours, &faiss] {
        let unfiltered = recall_among(index, &vectors, None, k);
        for (name, allowed) in filters(6000) {
            let recall = recall_among(index, &vectors, Some(&allowed), k);
            println!("{name}: {recall:.4}, without a filter {unfiltered:.4}");
            if allowed.is_exact(k) {
                assert!(recall > 0.999, "{name}: {recall}");
            } else {
                assert!(recall >= unfiltered - 0.02, "{name}: {recall} of {unfiltered}");
            }
        }
    }
}
