//! Recognizes, by its first bytes, a file that was left in the place of a bundle's file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How many bytes are enough to recognize it.
const ENOUGH: u64 = 64;

/// A kind of file that is never what was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// What git-lfs has in a working copy until the content is fetched.
    LfsPointer,
    /// What a download leaves that was answered by a page.
    WebPage,
    /// A compressed file.
    Gzip,
}

impl Misplaced {
    /// What the content is, if it is of such a kind.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let text = bytes.trim_ascii_start();
        let begins = |word: &[u8]| {
            text.get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if text.starts_with(b"version https://git-lfs.github.com/spec/") {
            Some(Self::LfsPointer)
        } else if begins(b"<!doctype html") || begins(b"<html") {
            Some(Self::WebPage)
        } else if bytes.starts_with(&[0x1F, 0x8B]) {
            Some(Self::Gzip)
        } else {
            None
        }
    }

    /// What the file is, if it is of such a kind; a file that can't be read is of none.
    pub fn of_file(path: &Path) -> Option<Self> {
        let mut start = Vec::new();
        File::open(path).ok()?.take(ENOUGH).read_to_end(&mut start).ok()?;
        Self::of(&start)
    }

    /// What to call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LfsPointer => "a pointer of git-lfs, not the file that it points to",
            Self::WebPage => "a web page, as a failed download leaves one",
            Self::Gzip => "compressed with gzip",
        }
    }

    /// What to do about it.
    pub fn way_out(self) -> &'static str {
        match self {
            Self::LfsPointer => "fetch the file with `git lfs pull` and publish the bundle again",
            Self::WebPage => "download the file again and publish the bundle again",
            Self::Gzip => "unpack it and publish the bundle again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_never_meant_are_known_by_their_first_bytes() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        for (bytes, found) in [
            (&pointer[..], Some(Misplaced::LfsPointer)),
            (b"\n<!DOCTYPE HTML><p>", Some(Misplaced::WebPage)),
            (b"<html lang=en>", Some(Misplaced::WebPage)),
            (b"\x1F\x8B\x08\x00", Some(Misplaced::Gzip)),
            (b"version=v4", None),
            (b"tree\nversion=v4\n", None),
            (b"{}", None),
            (b"", None),
        ] {
            assert_eq!(Misplaced::of(bytes), found);
        }
    }
}
