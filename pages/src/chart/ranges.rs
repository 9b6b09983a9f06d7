//! Values with the ranges that they are sure to.

use maud::{Markup, PreEscaped, html};

use super::color;
use super::scale::{Length, Scale};

/// Where values are drawn.
const WIDTH: f64 = 360.0;
const ROW_HEIGHT: f64 = 22.0;
const TITLE_HEIGHT: f64 = 24.0;
/// A letter of a label, on average.
const LETTER_WIDTH: f64 = 7.0;

/// Values below one another, each a dot on the line of its range, on one axis.
pub struct Ranges<'a> {
    /// What the values are.
    pub title: &'a str,
    /// The values, from top to bottom.
    pub ranges: &'a [Range],
    /// How a value is written behind its range.
    pub format: &'a dyn Fn(f64) -> String,
}

/// A value and its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// What stands to the left of it.
    pub label: String,
    /// The value.
    pub value: f64,
    /// The lower end of its range.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Ranges<'_> {
    /// Draws them for a page. A line marks 0 where it is in sight.
    pub fn draw(&self) -> Markup {
        let (width, height) = self.size();
        html! {
            svg viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" { (self.content()) }
        }
    }

    /// Draws them as a file of their own, in the colors of our pages, which not every viewer of pictures would find in custom properties.
    pub fn picture(&self) -> String {
        let (width, height) = self.size();
        let picture = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" {
                style { (PreEscaped(include_str!("../style/picture.css"))) }
                rect width="100%" height="100%" class="paper" {}
                (self.content())
            }
        };
        picture.into_string()
    }

    fn content(&self) -> Markup {
        let (left, bottom) = (self.left(), self.bottom());
        let scale = self.scale(left);
        let (low, high) = scale.values;
        html! {
            text x=(Length(left)) y="14" { (self.title) }
            @if low <= 0.0 && high >= 0.0 {
                line x1=(Length(scale.place(0.0))) x2=(Length(scale.place(0.0))) y1=(Length(TITLE_HEIGHT)) y2=(Length(bottom)) stroke="currentColor" stroke-dasharray="3 3" {}
            }
            @for (row, range) in self.ranges.iter().enumerate() { (self.row(&scale, left, row, range)) }
        }
    }

    /// Where labels end.
    fn left(&self) -> f64 {
        let labels = self.ranges.iter().map(|range| range.label.len());
        16.0 + labels.max().unwrap_or(0) as f64 * LETTER_WIDTH
    }

    /// Where rows end.
    fn bottom(&self) -> f64 {
        TITLE_HEIGHT + ROW_HEIGHT * self.ranges.len() as f64
    }

    fn size(&self) -> (Length, Length) {
        (Length(self.left() + WIDTH + 100.0), Length(self.bottom() + 8.0))
    }

    fn row(&self, scale: &Scale, left: f64, row: usize, range: &Range) -> Markup {
        let middle = TITLE_HEIGHT + ROW_HEIGHT * (row as f64 + 0.5);
        let (y, baseline) = (Length(middle), Length(middle + 5.0));
        let place = |value| Length(scale.place(value));
        html! {
            text x=(Length(left - 8.0)) y=(baseline) text-anchor="end" { (range.label) }
            line x1=(place(range.low)) x2=(place(range.high)) y1=(y) y2=(y) stroke=(color(0)) stroke-width="3" {}
            circle cx=(place(range.value)) cy=(y) r="5" fill=(color(0)) {}
            text x=(Length(left + WIDTH + 8.0)) y=(baseline) { ((self.format)(range.value)) }
        }
    }

    fn scale(&self, left: f64) -> Scale {
        let least = self
            .ranges
            .iter()
            .map(|range| range.low)
            .fold(f64::INFINITY, f64::min);
        let most = self
            .ranges
            .iter()
            .map(|range| range.high)
            .fold(f64::NEG_INFINITY, f64::max);
        // Ranges of one place have a scale too.
        let values = if least < most { (least, most) } else { (0.0, 1.0) };
        Scale {
            values,
            places: (left + 6.0, left + WIDTH - 6.0),
        }
    }
}
