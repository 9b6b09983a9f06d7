//! HTML pages and SVG charts for people.
//!
//! A page is one [`Document`]: the frame around a body, with its style inside, so that it can be saved,
//! mailed and opened without any other file. The body is markup made with [`maud::html!`], where every
//! text is escaped because its type is text; [`chart`] draws the figures. Everything here is a pure function
//! from values to markup. All have one look, [`PALETTE`], which the example's shop has as well.
//!
//! Absent on purpose: scripts, assets from outside, files and sockets, and every other crate of this
//! workspace. What is on a page is written where it is known: by the experiments and by the report of a
//! training run.

pub mod chart;
mod document;

pub use document::{Document, Layout, PALETTE, section, wide_section};
