//! Bars as high as a line of text, for the cells of a table.

use maud::{Markup, html};

use super::scale::{Length, Scale};

const WIDTH: f64 = 300.0;

/// A bar that is full at 1.
#[derive(Clone, Copy, Debug)]
pub struct Gauge<'a> {
    /// For readers who don't see it.
    pub title: &'a str,
    /// How much of it is filled, 0 to 1; anything beyond counts as the end.
    pub part: f64,
    /// What the filled part says by its color.
    pub fill: Fill,
}

/// What a filled part says by its color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// It goes on.
    Current,
    /// It is done.
    Done,
    /// It is yet to come.
    Pending,
    /// It calls for somebody.
    Alarm,
}

impl Fill {
    fn class(self) -> &'static str {
        match self {
            Self::Current => "bar",
            Self::Done => "bar done",
            Self::Pending => "bar todo",
            Self::Alarm => "bar alarm",
        }
    }
}

impl Gauge<'_> {
    /// Draws it.
    pub fn draw(&self) -> Markup {
        let filled = self.part.clamp(0.0, 1.0) * WIDTH;
        html! {
            svg viewBox="0 0 300 12" role="img" aria-label=(self.title) {
                (bar(Fill::Pending, WIDTH))
                (bar(self.fill, filled))
            }
        }
    }
}

fn bar(fill: Fill, width: f64) -> Markup {
    html! { rect class=(fill.class()) x="0" y="2" width=(Length(width)) height="8" rx="4" {} }
}

/// A range of values on a scale around 0, with a limit marked.
#[derive(Clone, Copy, Debug)]
pub struct Interval<'a> {
    /// For readers who don't see it.
    pub title: &'a str,
    /// Where the range begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// The value that is marked.
    pub limit: f64,
    /// Where the scale ends on both sides of 0.
    pub max_shown: f64,
}

impl Interval<'_> {
    /// Draws it.
    pub fn draw(&self) -> Markup {
        let scale = Scale {
            values: (-self.max_shown, self.max_shown),
            places: (0.0, WIDTH),
        };
        let (low, high) = (scale.place(self.low), scale.place(self.high));
        // A range too small to see is drawn all the same.
        let width = Length((high - low).max(1.0));
        let limit = Length(scale.place(self.limit));
        html! {
            svg viewBox="0 0 300 18" role="img" aria-label=(self.title) {
                rect.band x=(Length(low)) y="4" width=(width) height="10" {}
                line.zero x1="150" x2="150" y1="0" y2="18" {}
                line.limit x1=(limit) x2=(limit) y1="0" y2="18" {}
            }
        }
    }
}
