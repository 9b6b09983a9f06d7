//! A batch as the file that the H&M competition takes: `customer_id,prediction`, with 12 article ids a customer.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::folder::{Folder, FolderError};
use super::plan::Manifest;
use super::table::{self, TableError};

/// Items of a prediction: the competition looks at no more.
pub const ITEMS: usize = 12;

/// Why there is no submission.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The batch can't be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file of the batch is damaged.
    #[error("cannot use {path} of the batch")]
    Table {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: TableError,
    },
    /// The submission can't be written.
    #[error("cannot write the submission {}; the batch itself is finished: make room, or choose another file, and run the same command again", path.display())]
    Write {
        /// The submission.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

/// Writes a batch's submission, whole or not at all.
pub async fn write(folder: &Folder, manifest: &Manifest, path: &Path) -> Result<(), SubmissionError> {
    let failed = |source| SubmissionError::Write {
        path: path.to_owned(),
        source,
    };
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let unfinished = tempfile::NamedTempFile::new_in(beside.unwrap_or(Path::new("."))).map_err(failed)?;
    let mut lines = BufWriter::new(unfinished);
    lines.write_all(b"customer_id,prediction\n").map_err(failed)?;
    for file in &manifest.files {
        let mut text = String::new();
        let lists = folder.read(file).await?;
        table::each(lists, |user, items| push_line(user, items, &mut text)).map_err(|source| {
            SubmissionError::Table {
                path: file.path.clone(),
                source,
            }
        })?;
        lines.write_all(text.as_bytes()).map_err(failed)?;
    }
    let finished = lines.into_inner().map_err(|error| failed(error.into_error()))?;
    finished.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn push_line(user: &str, items: &mut dyn Iterator<Item = &str>, text: &mut String) {
    text.push_str(user);
    for (position, item) in items.take(ITEMS).enumerate() {
        text.push(if position == 0 { ',' } else { ' ' });
        text.push_str(item);
    }
    text.push('\n');
}
