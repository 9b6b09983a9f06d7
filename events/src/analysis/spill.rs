//! New events, sorted into parts on disk, so that a part at a time fits into memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use tempfile::TempDir;

use super::unit::{First, KnownExposure, KnownOutcome};
use super::{PARTS, part_of};
use crate::table::moment;
use crate::unit::UnitHash;

/// A new event of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum New {
    /// It was shown something.
    KnownExposure(KnownExposure),
    /// It did something.
    KnownOutcome(KnownOutcome),
}

/// Bytes of an event: unit, id, time, value, type or arm, and a flag.
const BYTES: usize = 16 + 8 + 8 + 8 + 1 + 1;
const SHOWN: u8 = 0;
const SHOWN_INSTEAD: u8 = 1;
const HAPPENED: u8 = 2;

/// Parts that are being written.
pub struct Spill {
    folder: TempDir,
    parts: Vec<BufWriter<File>>,
    events: u64,
}

/// Parts that are being read.
pub struct Spilled {
    folder: TempDir,
}

impl Spill {
    /// Empty parts below `folder`; they are gone when this is.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("parts-").tempdir_in(folder)?;
        let part = |number| File::create(folder.path().join(format!("{number}"))).map(BufWriter::new);
        let parts = (0..PARTS).map(part).collect::<io::Result<_>>()?;
        Ok(Self {
            folder,
            parts,
            events: 0,
        })
    }

    /// Adds an event.
    pub fn add(&mut self, unit: UnitHash, event: New) -> io::Result<()> {
        let (id, time, value, kind, flag) = match event {
            New::KnownExposure(KnownExposure { at, fallback }) => {
                let flag = if fallback { SHOWN_INSTEAD } else { SHOWN };
                (at.id, at.time, 0.0, at.arm, flag)
            }
            New::KnownOutcome(KnownOutcome {
                id,
                kind,
                time,
                value,
            }) => (id, time, value, kind, HAPPENED),
        };
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(&unit.0);
        bytes[16..24].copy_from_slice(&id.to_le_bytes());
        bytes[24..32].copy_from_slice(&time.as_microsecond().to_le_bytes());
        bytes[32..40].copy_from_slice(&value.to_le_bytes());
        bytes[40..].copy_from_slice(&[kind, flag]);
        self.events += 1;
        self.parts[part_of(unit)].write_all(&bytes)
    }

    /// How many were added.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// From now on they are read.
    pub fn finish(mut self) -> io::Result<Spilled> {
        for part in &mut self.parts {
            part.flush()?;
        }
        Ok(Spilled { folder: self.folder })
    }
}

impl Spilled {
    /// The events of one part, in the order in which they were added.
    pub fn read(&self, part: usize, mut take: impl FnMut(UnitHash, New)) -> io::Result<()> {
        let mut file = BufReader::new(File::open(self.folder.path().join(format!("{part}")))?);
        let mut bytes = [0; BYTES];
        loop {
            match file.read_exact(&mut bytes) {
                Ok(()) => {
                    let (unit, event) = parse(&bytes);
                    take(unit, event);
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn parse(bytes: &[u8; BYTES]) -> (UnitHash, New) {
    let eight = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().expect("the range has 8 bytes") };
    let mut unit = [0; 16];
    unit.copy_from_slice(&bytes[..16]);
    let (id, time) = (
        u64::from_le_bytes(eight(16)),
        moment(i64::from_le_bytes(eight(24))),
    );
    let (kind, flag) = (bytes[40], bytes[41]);
    let event = if flag == HAPPENED {
        New::KnownOutcome(KnownOutcome {
            id,
            kind,
            time,
            value: f64::from_le_bytes(eight(32)),
        })
    } else {
        New::KnownExposure(KnownExposure {
            at: First { time, id, arm: kind },
            fallback: flag == SHOWN_INSTEAD,
        })
    };
    (UnitHash(unit), event)
}
