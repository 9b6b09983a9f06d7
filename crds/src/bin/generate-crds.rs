//! Writes again what is generated from the types and committed, for `make generate`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, text) in gondola_crds::generated() {
        std::fs::write(root.join(&file), text)?;
        println!("wrote {file}");
    }
    Ok(())
}
