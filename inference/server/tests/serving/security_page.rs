//! The page about security names a test for each threat: each must be there.

use std::path::Path;

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let named = page.split('`').filter_map(|text| text.split_once(".rs::"));
    let mut count = 0;
    for (file, test) in named {
        if file == "file" {
            continue;
        }
        let path = root.join(format!("{file}.rs"));
        let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}.rs: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{file}.rs has no {test}");
        count += 1;
    }
    assert!(count > 30, "only {count} tests are named");
}
