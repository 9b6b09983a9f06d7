//! What was promised, what was measured, and whether it holds.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;

/// A promise, and what was seen of it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) promise: String,
    pub(crate) measured: String,
    /// How often it was tried.
    pub(crate) n: usize,
    pub(crate) holds: bool,
}

impl Row {
    /// A check that came to no end.
    pub(crate) fn failed(check: &str, error: &anyhow::Error) -> Self {
        Self {
            promise: format!("the check {check} comes to its end"),
            measured: format!("{error:#}"),
            n: 1,
            holds: false,
        }
    }
}

/// All rows, and the machine that they come from.
pub(crate) struct Table {
    cores: usize,
    /// How many processes wanted to run before, on average over a minute.
    load_before: String,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            load_before: load(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, and shows it at once.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{row}");
        self.rows.push(row);
    }

    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            promise,
            measured,
            n,
            holds,
        } = self;
        let holds = if *holds { "yes" } else { "NO" };
        let measured = measured.replace('|', "/").replace('\n', " ");
        write!(f, "| {promise} | {measured} | {n} | {holds} |")
    }
}

/// As Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cores, load_before, ..
        } = self;
        writeln!(
            f,
            "{cores} cores for Redis, three pods, the router and the clients together; load of the machine before: {load_before}, at the \
             end: {}.\n",
            load()
        )?;
        writeln!(f, "| promise | measured | n | holds |\n|---|---|---|---|")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

fn load() -> String {
    let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split(' ').next().unwrap_or_default().to_owned()
}
