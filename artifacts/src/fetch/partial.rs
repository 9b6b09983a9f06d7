//! A file that has arrived in part.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::digest::{Digest, Hasher};

/// The digest keeps up with what is written, so that nothing is read twice but what an earlier fetch left.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    length: u64,
}

impl Partial {
    /// Opens what an earlier fetch left, or nothing; what is longer than `size` is thrown away.
    pub(super) async fn open(path: PathBuf, size: u64) -> io::Result<Self> {
        let blocking = move || {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            if file.metadata()?.len() > size {
                file.set_len(0)?;
            }
            let mut hasher = Hasher::default();
            let length = hasher.read_all(&mut file)?;
            Ok(Self {
                path,
                file: File::from_std(file),
                hasher,
                length,
            })
        };
        tokio::task::spawn_blocking(blocking)
            .await
            .expect("reading a file doesn't panic, and nobody aborts it")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The digest of what is there.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().digest()
    }

    /// Appends; what counts as there is on its way to the disk, so that a full disk shows at the piece that didn't fit.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.file.flush().await?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is there.
    pub(super) async fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0).await?;
        self.file.rewind().await?;
        self.hasher = Hasher::default();
        self.length = 0;
        Ok(())
    }

    /// Waits until the disk has it, so that a machine that goes down leaves no whole-looking file of zeros.
    pub(super) async fn finish(self) -> io::Result<()> {
        self.file.sync_all().await
    }
}
