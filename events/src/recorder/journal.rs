//! The journal: segments on disk, each a sequence of events framed by length and checksum.
//!
//! A segment is named after its writer and a number, `<writer>-<number>.events`, and is removed once it is in the store. A frame that a
//! crash cut off ends the segment; what was before it counts. One process at a time has a folder: another would take its open segment
//! for one that was left.

use std::fs::{File, TryLockError};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::event::Event;

/// What segments' names end in.
const SUFFIX: &str = ".events";
/// How much may be lost when a machine stops, not only a process.
const SYNC: Duration = Duration::from_secs(1);
/// Longest frame: no event comes near it.
const MAX_FRAME: u32 = 1 << 20;
/// Length and checksum before each event, in bytes.
const HEAD: usize = 8;
/// Bytes that wait for the disk: twice the longest event, an exposure with [`MAX_DRAWN`](crate::event::MAX_DRAWN) ids of 256 bytes. What fits goes in whole, so that a
/// disk that is full never leaves half a frame in the middle of a segment.
const BUFFER: usize = 64 << 10;

/// A segment that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies.
    pub path: PathBuf,
    /// Who wrote it.
    pub writer: String,
    /// Which of theirs it is.
    pub number: u64,
    /// How long it is.
    pub bytes: u64,
    /// How many events this process appended to it: none to one that was left.
    pub events: u64,
}

/// The segments that a process before this one left, in the order of their names.
pub fn left_segments(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((writer, number)) = name.strip_suffix(SUFFIX).and_then(|name| name.rsplit_once('-')) else {
            continue;
        };
        let Ok(number) = number.parse() else {
            continue;
        };
        segments.push(Segment {
            path: entry.path(),
            writer: writer.to_owned(),
            number,
            bytes: entry.metadata()?.len(),
            events: 0,
        });
    }
    segments.sort_by(|a, b| (&a.writer, a.number).cmp(&(&b.writer, b.number)));
    Ok(segments)
}

/// Writes one segment after the other.
pub struct Journal {
    /// The folder, locked for as long as there is this value.
    _lock: File,
    folder: PathBuf,
    writer: String,
    number: u64,
    open: Option<Open>,
}

/// The segment that is being written.
struct Open {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    events: u64,
    since: Instant,
    synced: Instant,
    unsynced: bool,
}

impl Journal {
    /// A journal of `writer`, who has written nothing yet. The folder is created, and is this journal's alone.
    pub fn open(folder: &Path, writer: &str) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // Whether it can be written shows now, not at the first event.
        tempfile::tempfile_in(folder)?;
        let lock = File::open(folder)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another process records into it")
            }
            TryLockError::Error(error) => error,
        })?;
        Ok(Self {
            _lock: lock,
            folder: folder.to_owned(),
            writer: writer.to_owned(),
            number: 0,
            open: None,
        })
    }

    /// Appends an event: whole, or not at all.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        let frame = frame(event)?;
        let open = match &mut self.open {
            Some(open) => open,
            None => self
                .open
                .insert(Self::begin(&self.folder, &self.writer, self.number)?),
        };
        open.file.write_all(&frame)?;
        open.bytes += frame.len() as u64;
        open.events += 1;
        open.unsynced = true;
        Ok(())
    }

    fn begin(folder: &Path, writer: &str, number: u64) -> io::Result<Open> {
        let path = folder.join(format!("{writer}-{number}{SUFFIX}"));
        let file = File::options().write(true).create_new(true).open(&path)?;
        let now = Instant::now();
        Ok(Open {
            path,
            file: BufWriter::with_capacity(BUFFER, file),
            bytes: 0,
            events: 0,
            since: now,
            synced: now,
            unsynced: false,
        })
    }

    /// Hands what was appended to the system, so that a process that is killed takes nothing with it; and to the disk, at most once a
    /// second.
    pub fn write_out(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.file.flush()?;
        if open.unsynced && open.synced.elapsed() >= SYNC {
            open.file.get_ref().sync_data()?;
            open.synced = Instant::now();
            open.unsynced = false;
        }
        Ok(())
    }

    /// Whether the open segment has been open for so long.
    pub fn is_due(&self, flush: Duration) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.since.elapsed() >= flush)
    }

    /// How long the open segment is.
    pub fn bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.bytes)
    }

    /// Ends the open segment, if there is one. A segment that the disk doesn't take stays open, to be tried again.
    pub fn close(&mut self) -> io::Result<Option<Segment>> {
        if let Some(open) = &mut self.open {
            open.file.flush()?;
            open.file.get_ref().sync_data()?;
        }
        let Some(open) = self.open.take() else {
            return Ok(None);
        };
        let segment = Segment {
            path: open.path,
            writer: self.writer.clone(),
            number: self.number,
            bytes: open.bytes,
            events: open.events,
        };
        self.number += 1;
        Ok(Some(segment))
    }
}

/// An event with its length and checksum before it.
fn frame(event: &Event) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, event)?;
    let payload = &frame[HEAD..];
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let checksum = crc32fast::hash(payload);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
    Ok(frame)
}

/// What a segment holds.
#[derive(Debug, Default)]
pub struct Content {
    /// Its events.
    pub events: Vec<Event>,
    /// Whether a crash cut off its end.
    pub torn: bool,
}

/// Reads a segment, as far as it is whole.
pub fn read(path: &Path) -> io::Result<Content> {
    let mut file = BufReader::new(File::open(path)?);
    let mut content = Content::default();
    let mut payload = Vec::new();
    loop {
        let mut head = [0; HEAD];
        match read_fully(&mut file, &mut head)? {
            0 => return Ok(content),
            HEAD => {}
            _ => break,
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if length > MAX_FRAME {
            break;
        }
        payload.resize(length as usize, 0);
        if read_fully(&mut file, &mut payload)? < payload.len() || crc32fast::hash(&payload) != checksum {
            break;
        }
        match serde_json::from_slice(&payload) {
            Ok(event) => content.events.push(event),
            Err(_) => break,
        }
    }
    content.torn = true;
    Ok(content)
}

/// Reads until the buffer is full or the file ends; how much there was.
fn read_fully(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            bytes => filled += bytes,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::event::Outcome;
    use crate::unit::{EventId, UnitHash};

    fn outcome() -> Event {
        Event::Outcome(Outcome {
            time: Timestamp::constant(1, 0),
            received: Timestamp::constant(2, 0),
            id: EventId([3; 16]),
            unit: UnitHash([4; 16]),
            kind: "purchase".into(),
            value: 5.0,
            item: None,
            request: None,
        })
    }

    /// A journal whose open segment lies on a disk that is full.
    fn on_a_full_disk(folder: &Path) -> Journal {
        let mut journal = Journal::open(folder, "router-a").unwrap();
        journal.append(&outcome()).unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let open = journal.open.as_mut().unwrap();
        open.file = BufWriter::with_capacity(BUFFER, full);
        journal
    }

    #[test]
    fn a_full_disk_costs_only_what_it_has_no_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = on_a_full_disk(folder.path());
        journal.close().unwrap_err();
        let mut taken = 0;
        while journal.append(&outcome()).is_ok() {
            taken += 1;
        }
        // There is room again: the same segment goes on, with every event that was taken.
        let open = journal.open.as_mut().unwrap();
        let room = File::create(&open.path).unwrap();
        let buffered = open.file.buffer().to_vec();
        open.file = BufWriter::new(room);
        open.file.write_all(&buffered).unwrap();
        journal.append(&outcome()).unwrap();
        let segment = journal.close().unwrap().unwrap();
        let content = read(&segment.path).unwrap();
        assert_eq!((content.events.len(), content.torn), (taken + 1, false));
        assert!(taken > 100, "many fit before the disk is asked");
        assert_eq!(segment.number, 0);
        journal.append(&outcome()).unwrap();
        assert_eq!(journal.close().unwrap().unwrap().number, 1);
    }

    #[test]
    fn a_folder_is_one_processs_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::open(folder.path(), "router-a").unwrap();
        let error = Journal::open(folder.path(), "router-b").err().unwrap();
        assert_eq!(error.to_string(), "another process records into it");
        drop(first);
        Journal::open(folder.path(), "router-b").unwrap();
    }
}
