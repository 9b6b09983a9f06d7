//! Writes the custom resource definition anew, for `make generate`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recommenderpipelines.yaml");
    std::fs::write(&file, gondola_crds::crd_yaml())?;
    println!("wrote {}", file.display());
    Ok(())
}
