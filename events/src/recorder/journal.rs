//! The journal: segments on disk, each a sequence of events framed by length and checksum.
//!
//! A segment is named after its writer and a number, `<writer>-<number>.events`, and is removed once it is in the store. A frame that a
//! crash cut off ends the segment; what was before it counts.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::event::Event;

/// What segments' names end in.
const SUFFIX: &str = ".events";
/// How much may be lost when a machine stops, not only a process.
const SYNC: Duration = Duration::from_secs(1);
/// Longest frame: no event comes near it.
const LONGEST_FRAME: u32 = 1 << 20;

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
}

/// The segments that a process before this one left, in the order of their names.
pub fn left_segments(folder: &Path) -> io::Result<Vec<Segment>> {
    std::fs::create_dir_all(folder)?;
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
        });
    }
    segments.sort_by(|a, b| (&a.writer, a.number).cmp(&(&b.writer, b.number)));
    Ok(segments)
}

/// Writes one segment after the other.
pub struct Journal {
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
    since: Instant,
    synced: Instant,
    unsynced: bool,
}

impl Journal {
    /// A journal of `writer`, who has written nothing yet.
    pub fn open(folder: &Path, writer: &str) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // Whether it can be written shows now, not at the first event.
        tempfile::tempfile_in(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            writer: writer.to_owned(),
            number: 0,
            open: None,
        })
    }

    /// Appends an event.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        let payload = serde_json::to_vec(event)?;
        let open = match &mut self.open {
            Some(open) => open,
            None => self
                .open
                .insert(Self::begin(&self.folder, &self.writer, self.number)?),
        };
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        open.file.write_all(&length.to_le_bytes())?;
        open.file.write_all(&crc32fast::hash(&payload).to_le_bytes())?;
        open.file.write_all(&payload)?;
        open.bytes += 8 + u64::from(length);
        open.unsynced = true;
        Ok(())
    }

    fn begin(folder: &Path, writer: &str, number: u64) -> io::Result<Open> {
        let path = folder.join(format!("{writer}-{number}{SUFFIX}"));
        let file = File::options().write(true).create_new(true).open(&path)?;
        let now = Instant::now();
        Ok(Open {
            path,
            file: BufWriter::new(file),
            bytes: 0,
            since: now,
            synced: now,
            unsynced: false,
        })
    }

    /// Writes to the disk what was appended, at most once a second.
    pub fn sync_if_due(&mut self) -> io::Result<()> {
        if let Some(open) = self
            .open
            .as_mut()
            .filter(|open| open.unsynced && open.synced.elapsed() >= SYNC)
        {
            open.file.flush()?;
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

    /// Ends the open segment, if there is one.
    pub fn close(&mut self) -> io::Result<Option<Segment>> {
        let Some(mut open) = self.open.take() else {
            return Ok(None);
        };
        open.file.flush()?;
        open.file.get_ref().sync_data()?;
        let segment = Segment {
            path: open.path,
            writer: self.writer.clone(),
            number: self.number,
            bytes: open.bytes,
        };
        self.number += 1;
        Ok(Some(segment))
    }
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
        let mut head = [0; 8];
        match read_fully(&mut file, &mut head)? {
            0 => return Ok(content),
            8 => {}
            _ => break,
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if length > LONGEST_FRAME {
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
