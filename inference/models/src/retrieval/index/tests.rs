use std::collections::BTreeMap;
use std::time::Duration;

use rand::{RngExt, SeedableRng};

use super::*;
use crate::trial::{self, Trial};

#[derive(Deserialize)]
struct Expected {
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    fourcc: String,
    metric: u32,
    ntotal: usize,
    normalize_queries: bool,
    params: BTreeMap<String, u32>,
    ids: Vec<Vec<i64>>,
    dist: Vec<Vec<f32>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faiss")
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.faiss"))).unwrap()
}

fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

fn expected() -> BTreeMap<String, Case> {
    let bytes = std::fs::read(folder().join("expected.json")).unwrap();
    serde_json::from_slice::<Expected>(&bytes).unwrap().cases
}

#[test]
fn files_that_python_wrote_give_the_neighbors_that_python_found() {
    let queries = floats("queries.f32");
    for (name, case) in expected() {
        let parameters = SearchParameters {
            nprobe: case.params.get("nprobe").copied(),
            ef_search: case.params.get("efSearch").copied(),
        };
        let path = folder().join(format!("{name}.faiss"));
        if name == "opq_ivf_pqfs_l2" {
            let message = Index::load(&path, &parameters).unwrap_err().to_string();
            assert!(
                message.contains("`IwPf`") && message.contains("supported: Flat"),
                "{message}"
            );
            continue;
        }
        let index = Index::load(&path, &parameters).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (index.len(), index.metric().to_faiss(), index.dimension()),
            (case.ntotal, case.metric, 8),
            "{name}"
        );
        assert!(
            header::check(&path).unwrap().kind.starts_with(&case.fourcc),
            "{name}"
        );
        let mut found = Vec::new();
        for (row, query) in queries.chunks_exact(8).enumerate() {
            let length = query.iter().map(|value| value * value).sum::<f32>().sqrt();
            let scale = if case.normalize_queries { 1.0 / length } else { 1.0 };
            let query: Vec<f32> = query.iter().map(|value| value * scale).collect();
            index.search(&query, 5, &mut found).unwrap();
            let ids: Vec<i64> = found.iter().map(|&(id, _)| id).collect();
            assert_eq!(ids, case.ids[row], "{name}, query {row}");
            for ((_, found), expected) in found.iter().zip(&case.dist[row]) {
                assert!(
                    (found - expected).abs() <= 1e-4 * expected.abs().max(1e-3),
                    "{name}: {found} is not {expected}"
                );
            }
        }
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], part: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let message = Index::load(file.path(), &SearchParameters::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains(part), "`{message}` does not say `{part}`");
    assert!(
        message.contains(&file.path().display().to_string()),
        "`{message}` does not name the file"
    );
}

fn altered(name: &str, at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = sample(name);
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for name in expected().keys().filter(|name| *name != "opq_ivf_pqfs_l2") {
        let bytes = sample(name);
        for length in (0..bytes.len())
            .step_by(1024)
            .chain([1, 3, 36, 44, bytes.len() - 1])
        {
            check_refused(&bytes[..length], "truncated");
        }
    }
}

#[test]
fn files_that_are_not_an_index_at_all_are_refused_as_what_they_are() {
    check_refused(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "is a pointer of git-lfs, not the file that it points to; fetch the file with `git lfs pull`",
    );
    check_refused(
        b"<!doctype html><p>Not found",
        "is a web page, as a failed download leaves one",
    );
    check_refused(&[0x1F, 0x8B, 8, 0], "is compressed with gzip; unpack it");
}

#[test]
fn sizes_and_kinds_that_cannot_be_are_refused_by_name() {
    check_refused(b"", "ends inside `kind` at byte 0");
    check_refused(
        &altered("flat_l2", 0, b"NOPE"),
        "kind `NOPE` at byte 0 is not supported; supported: Flat",
    );
    check_refused(
        &altered("flat_l2", 4, &(-1i32).to_le_bytes()),
        "`d` at byte 4 is -1",
    );
    check_refused(
        &altered("flat_l2", 4, &i32::MAX.to_le_bytes()),
        "`d` at byte 4 is 2147483647",
    );
    check_refused(
        &altered("flat_l2", 8, &(1u64 << 62).to_le_bytes()),
        "`ntotal` at byte 8 is 4611686018427387904",
    );
    check_refused(
        &altered("flat_l2", 8, &299u64.to_le_bytes()),
        "2392 values were expected",
    );
    check_refused(&altered("flat_l2", 37, &(1u64 << 50).to_le_bytes()), "`vectors`");
    check_refused(
        &altered("flat_l2", 33, &4i32.to_le_bytes()),
        "`metric_type` at byte 33 is 4",
    );
    check_refused(&[sample("ivf_flat_l2"), vec![0]].concat(), "1 bytes more");
}

#[test]
fn links_of_a_graph_that_lead_nowhere_are_refused() {
    let bytes = sample("hnsw_flat_l2");
    // The vectors are the last 45 + 9,600 bytes; before them stand 6 numbers; before those, the links.
    let after_links = bytes.len() - 9645 - 5 * 4;
    for wrong in [300i32, i32::MAX, -2, i32::MIN] {
        // The first link that leads anywhere: the lists of the last vectors are seldom full.
        let at = (1..)
            .map(|n| after_links - 4 * n)
            .find(|&at| bytes[at..at + 4] != [255; 4])
            .unwrap();
        check_refused(&altered("hnsw_flat_l2", at, &wrong.to_le_bytes()), "`neighbors`");
    }
    check_refused(
        &altered("hnsw_flat_l2", after_links, &300i32.to_le_bytes()),
        "`entry_point`",
    );
    check_refused(
        &altered("hnsw_flat_l2", after_links + 12, &i32::MAX.to_le_bytes()),
        "`efSearch`",
    );
    check_refused(
        &altered("hnsw_flat_l2", after_links + 4, &9i32.to_le_bytes()),
        "`max_level`",
    );
}

#[test]
fn identifiers_above_32_bits_are_refused() {
    let bytes = sample("ivf_flat_l2");
    check_refused(
        &altered("ivf_flat_l2", bytes.len() - 8, &(1i64 << 40).to_le_bytes()),
        "`list ids`",
    );
    let bytes = sample("idmap_flat_ip");
    check_refused(
        &altered("idmap_flat_ip", bytes.len() - 8, &(-1i64).to_le_bytes()),
        "`id map`",
    );
}

#[test]
fn ten_thousand_indexes_inside_each_other_are_refused() {
    let level = &sample("idmap_flat_ip")[..37];
    check_refused(&level.repeat(10_000), "`nesting`");
}

#[test]
fn a_changed_float_is_still_an_index() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), altered("flat_l2", 45, &1.5f32.to_le_bytes())).unwrap();
    Index::load(file.path(), &SearchParameters::default()).unwrap();
}

#[test]
fn no_flipped_byte_brings_the_process_down() {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let file = tempfile::NamedTempFile::new().unwrap();
    for name in [
        "ivf_flat_direct_map",
        "hnsw_flat_ip",
        "ivf_pq_l2",
        "ivf_sq8_l2",
        "idmap2_flat_l2",
        "pca_flat_l2",
    ] {
        let mut bytes = sample(name);
        for _ in 0..300 {
            let at = random.random_range(0..bytes.len());
            let (kept, flip) = (bytes[at], random.random_range(1..=255u8));
            bytes[at] ^= flip;
            std::fs::write(file.path(), &bytes).unwrap();
            // Either answer will do; a crash would not.
            let _ = trial::load_and_use(file.path());
            bytes[at] = kept;
        }
    }
}

fn random_vectors(rows: usize, dimension: usize) -> Vec<f32> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    (0..rows * dimension)
        .map(|_| random.random_range(-1.0..1.0))
        .collect()
}

#[test]
fn what_is_built_and_saved_is_what_is_loaded() {
    let vectors = random_vectors(2000, 16);
    let folder = tempfile::tempdir().unwrap();
    for (factory, parameters) in [
        ("Flat", SearchParameters::default()),
        (
            "IVF64,Flat",
            SearchParameters {
                nprobe: Some(64),
                ef_search: None,
            },
        ),
        (
            "HNSW32",
            SearchParameters {
                nprobe: None,
                ef_search: Some(200),
            },
        ),
    ] {
        for metric in [Metric::InnerProduct, Metric::L2] {
            let mut built = Index::build(&vectors, 16, metric, factory).unwrap();
            built.set_search(&parameters).unwrap();
            let path = folder.path().join("index.faiss");
            built.save(&path).unwrap();
            let loaded = Index::load(&path, &parameters).unwrap();
            assert_eq!(loaded.metric(), metric);
            let queries = &vectors[..100 * 16];
            let found = loaded.search_batch(queries, 10).unwrap();
            for (found, wanted) in found.iter().zip(built.search_batch(queries, 10).unwrap()) {
                assert!(
                    found
                        .iter()
                        .map(|near| near.0)
                        .eq(wanted.iter().map(|near| near.0))
                );
                let differences = found.iter().zip(&wanted).map(|(a, b)| (a.1 - b.1).abs());
                // What was loaded may be searched by our own code, which adds in another order.
                assert!(
                    differences.fold(0.0, f32::max) < 1e-5,
                    "{found:?} is not {wanted:?}"
                );
            }
            let recall = loaded.recall_against_exact(&vectors, queries, 10).unwrap();
            assert!(recall > 0.95, "{factory} {metric:?}: {recall}");
            let mut vector = [0.0; 16];
            loaded.reconstruct(7, &mut vector).unwrap();
            assert_eq!(vector, vectors[7 * 16..8 * 16]);
        }
    }
}

#[test]
fn two_threads_find_what_one_finds() {
    let vectors = random_vectors(2000, 16);
    for factory in ["Flat", "IVF64,Flat", "HNSW32"] {
        let index = Index::build(&vectors, 16, Metric::L2, factory).unwrap();
        let search_all = || {
            let mut found = Vec::new();
            let mut all = Vec::new();
            for query in vectors.chunks_exact(16).take(500) {
                index.search(query, 10, &mut found).unwrap();
                all.push(found.clone());
            }
            all
        };
        let alone = search_all();
        std::thread::scope(|scope| {
            let threads = [scope.spawn(search_all), scope.spawn(search_all)];
            for thread in threads {
                assert_eq!(thread.join().unwrap(), alone, "{factory}");
            }
        });
    }
}

#[test]
fn what_cannot_be_built_or_searched_says_why() {
    let vectors = random_vectors(20, 8);
    let message = Index::build(&vectors, 8, Metric::L2, "IVF64,Flat")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("`IVF64,Flat` needs at least 64 vectors") && message.contains("20 came"),
        "{message}"
    );
    let message = Index::build(&vectors, 8, Metric::L2, "Nonsense")
        .unwrap_err()
        .to_string();
    assert!(message.contains("build `Nonsense`"), "{message}");
    assert!(matches!(
        Index::build(&vectors, 7, Metric::L2, "Flat"),
        Err(IndexError::Shape { .. })
    ));
    let index = Index::build(&vectors, 8, Metric::L2, "Flat").unwrap();
    let mut found = Vec::new();
    assert!(matches!(
        index.search(&[f32::NAN; 8], 3, &mut found),
        Err(IndexError::NotFinite { .. })
    ));
    assert!(matches!(
        index.search(&[0.0; 9], 3, &mut found),
        Err(IndexError::Shape { .. })
    ));
    index.search(&vectors[..8], 0, &mut found).unwrap();
    assert!(found.is_empty());
    index.search(&vectors[..8], 1000, &mut found).unwrap();
    assert_eq!(found.len(), 20);
    let mut index = index;
    let message = index
        .set_search(&SearchParameters {
            nprobe: Some(4),
            ef_search: None,
        })
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("set nprobe to 4 on an index of kind `Flat`: only inverted files"),
        "{message}"
    );
}

#[test]
fn an_index_of_nothing_finds_nothing() {
    let index = Index::build(&[], 8, Metric::InnerProduct, "Flat").unwrap();
    let mut found = Vec::new();
    index.search(&[0.0; 8], 5, &mut found).unwrap();
    assert!(found.is_empty() && index.is_empty());
}

/// The child of the trials below: this test program asked for this one test, with the path as one more filter.
#[test]
fn child_that_tries_an_index() {
    if let Some(path) = std::env::args()
        .next_back()
        .filter(|argument| argument.ends_with(".faiss"))
    {
        trial::load_and_use(Path::new(&path)).unwrap();
    }
}

fn trial() -> Trial {
    Trial::by(
        std::env::current_exe().unwrap(),
        [
            "--exact",
            "retrieval::index::tests::child_that_tries_an_index",
            "--nocapture",
        ],
    )
}

#[test]
fn a_good_index_passes_its_trial() {
    trial().check(&folder().join("hnsw_flat_ip.faiss")).unwrap();
}

#[test]
fn a_program_that_cannot_try_an_index_is_an_error() {
    let path = folder().join("flat_l2.faiss");
    let message = trial::try_file(Path::new("/bin/false"), &path)
        .unwrap_err()
        .to_string();
    assert!(message.contains("exit status: 1"), "{message}");
    trial::try_file(Path::new("/bin/true"), &path).unwrap();
}

#[test]
fn a_parameter_that_the_kind_of_a_file_does_not_have_is_an_error() {
    let (nprobe, ef_search) = (Some(4), Some(4));
    for (name, search, kind) in [
        (
            "hnsw_flat_ip",
            SearchParameters {
                nprobe,
                ef_search: None,
            },
            "IHNf/IxF",
        ),
        (
            "idmap_hnsw_ip",
            SearchParameters { nprobe, ef_search },
            "IxMp/IHNf/IxF",
        ),
        ("ivf_flat_ip", SearchParameters { nprobe, ef_search }, "IwFl/IxF"),
        (
            "ivf_pq_l2",
            SearchParameters {
                nprobe: Some(0),
                ef_search: None,
            },
            "IwPQ/IxF",
        ),
    ] {
        let path = folder().join(format!("{name}.faiss"));
        let message = Index::load(&path, &search).unwrap_err().to_string();
        assert!(
            message.contains(&format!("on an index of kind `{kind}")),
            "{name}: {message}"
        );
    }
}

#[test]
fn vectors_come_back_from_python_s_files_by_their_position() {
    let base = floats("base.f32");
    for name in ["flat_l2", "hnsw_flat_l2", "ivf_flat_l2", "ivf_flat_direct_map"] {
        let path = folder().join(format!("{name}.faiss"));
        let index = Index::load(&path, &SearchParameters::default()).unwrap();
        let mut vector = [0.0; 8];
        for position in [0, 7, 299] {
            index.reconstruct(position, &mut vector).unwrap();
            assert_eq!(vector, base[position * 8..][..8], "{name} {position}");
        }
        assert!(index.reconstruct(300, &mut vector).is_err(), "{name}");
    }
}

#[test]
fn a_trial_that_fails_or_hangs_or_dies_is_an_error_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.faiss");
    std::fs::write(&path, b"NOPE").unwrap();
    let message = trial().check(&path).unwrap_err().to_string();
    assert!(
        message.contains("trial process failed (exit status: 101)") && message.contains("NOPE"),
        "{message}"
    );

    let shell = |script: &str| Trial::by("/bin/sh".into(), ["-c", script]);
    let message = shell("echo out of luck >&2; kill -SEGV $$")
        .check(&path)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("signal: 11") && message.contains("out of luck"),
        "{message}"
    );
    let hangs = shell("exec sleep 60").patience(Duration::from_millis(50));
    let message = hangs.check(&path).unwrap_err().to_string();
    assert!(message.contains("no answer within 50 ms"), "{message}");
    let message = Trial::by("/no/such/program".into(), ["x"])
        .check(&path)
        .unwrap_err()
        .to_string();
    assert!(message.contains("could not start /no/such/program"), "{message}");
}
