//! Files that are something else than their names say, recognized by their first bytes.

use std::fmt;

use super::super::format::Format;

/// Maximum number of bytes needed to recognize it.
pub(super) const MAX_BYTES: u64 = 32;

/// What a file is, and what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disguise {
    is: &'static str,
    way_out: &'static str,
}

impl fmt::Display for Disguise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is {}; {}", self.is, self.way_out)
    }
}

/// How files begin that are neither Parquet nor text, what they are, and what to do.
const BEGINNINGS: [(&[u8], &str, &str); 14] = [
    (b"\x1f\x8b", "compressed by gzip", "decompress it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it"),
    (b"BZh91AY&SY", "compressed by bzip2", "decompress it"),
    (b"\xfd7zXZ\0", "compressed by xz", "decompress it"),
    (
        b"PK\x03\x04",
        "a ZIP archive or a workbook of Excel",
        "unpack it, or save its sheet as CSV in UTF-8",
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "a workbook of Excel",
        "save its sheet as CSV in UTF-8",
    ),
    (b"\xff\xfe", "text in UTF-16", "save it in UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it in UTF-8"),
    (
        b"version https://git-lfs.",
        "a pointer of Git LFS to a file that was not fetched",
        "run git lfs pull",
    ),
    (b"Obj\x01", "an Avro file", "convert it to Parquet"),
    (b"ORC\x08", "an ORC file", "convert it to Parquet"),
    (b"ARROW1\0\0", "an Arrow file", "convert it to Parquet"),
    (
        b"PARE",
        "a Parquet file whose footer is encrypted",
        "write it without encryption",
    ),
    (b"SQLite format 3", "a SQLite database", "export its table as CSV"),
];

impl Disguise {
    /// What a file of these first bytes is, if it is not of the format that its name says.
    pub(super) fn of(first: &[u8], format: Format) -> Option<Self> {
        let beginnings = BEGINNINGS
            .iter()
            .find(|(beginning, ..)| first.starts_with(beginning));
        let known = beginnings.map(|(_, is, way_out)| Self { is, way_out });
        known.or(match (format, first.starts_with(b"PAR1")) {
            (Format::Csv, true) => Some(Self {
                is: "a Parquet file",
                way_out: "rename it to end in .parquet",
            }),
            (Format::Csv, false) if first.contains(&0) => Some(Self {
                is: "not text, or text in UTF-16",
                way_out: "save it as CSV in UTF-8",
            }),
            (Format::Parquet, false) => Some(Self {
                is: "not a Parquet file",
                way_out: "rename it to end in .csv if it is CSV, or convert it",
            }),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(first: &[u8], format: Format, told: Option<&str>) {
        let found = Disguise::of(first, format).map(|disguise| disguise.to_string());
        assert_eq!(found.as_deref(), told);
    }

    #[test]
    fn a_file_is_recognized_by_how_it_begins() {
        check(b"id,name\n", Format::Csv, None);
        check(b"PAR1\x15\x04", Format::Parquet, None);
        check(
            b"\x1f\x8b\x08",
            Format::Csv,
            Some("it is compressed by gzip; decompress it"),
        );
        check(
            b"PAR1",
            Format::Csv,
            Some("it is a Parquet file; rename it to end in .parquet"),
        );
        check(
            b"id,name\n",
            Format::Parquet,
            Some("it is not a Parquet file; rename it to end in .csv if it is CSV, or convert it"),
        );
        check(
            b"version https://git-lfs.github.com/spec/v1\n",
            Format::Parquet,
            Some("it is a pointer of Git LFS to a file that was not fetched; run git lfs pull"),
        );
        check(
            b"i\0d\0",
            Format::Csv,
            Some("it is not text, or text in UTF-16; save it as CSV in UTF-8"),
        );
        // A column whose name begins like an archive of ORC files is a column.
        check(b"ORCHARD,name\n", Format::Csv, None);
    }

    #[test]
    fn every_beginning_is_read_whole() {
        assert!(
            BEGINNINGS
                .iter()
                .all(|(beginning, ..)| beginning.len() as u64 <= MAX_BYTES)
        );
    }
}
