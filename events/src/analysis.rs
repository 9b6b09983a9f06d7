//! From events to sums.
//!
//! Each unit's events come together in a [`unit::Unit`], which remembers what it has seen, so that an event counts once however
//! often it arrives. Units are worked on in 64 parts by the first bits of their hash, a part at a time, and kept between analyses
//! in one file, in the order of their hashes ([`state`]); new events are sorted into parts first ([`spill`]). A [`tally`] turns units
//! into evidence.
//!
//! What comes out depends on the set of events and on the moment of the analysis alone: not on order, on repetition, on how
//! files were cut, nor on when analyses were made or broken off. Sums are made in the order of hashes, to the last bit.

pub mod analyzer;
mod merger;
pub mod rounds;
pub mod rules;
pub mod spill;
pub mod state;
pub mod tally;
pub mod unit;

pub use analyzer::Analyzer;
pub use merger::AnalysisError;
pub use rounds::Rounds;
pub use rules::Rules;
pub use tally::Tally;
pub use unit::Unit;

/// How many parts the units are worked on in.
pub const PARTS: usize = 64;

/// The part of a unit: the first six bits of its hash.
pub fn part_of(unit: crate::unit::UnitHash) -> usize {
    usize::from(unit.0[0] >> 2)
}
