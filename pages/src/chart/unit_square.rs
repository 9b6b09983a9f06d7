//! Lines in the unit square, with a diagonal for chance.

use maud::{Markup, html};

use super::color;
use super::scale::{Length, Scale, points};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 40.0;

const X: Scale = Scale {
    values: (0.0, 1.0),
    places: (LEFT, WIDTH - RIGHT),
};
const Y: Scale = Scale {
    values: (0.0, 1.0),
    places: (HEIGHT - BOTTOM, TOP),
};

/// Lines from rates to rates.
#[derive(Clone, Copy, Debug)]
pub struct UnitSquare<'a> {
    /// What the axis to the right says.
    pub x_title: &'a str,
    /// What the axis upwards says.
    pub y_title: &'a str,
    /// The lines, in the order of the legend.
    pub lines: &'a [Line<'a>],
}

/// A named line.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// What the legend calls it.
    pub name: String,
    /// Its corners as (x, y), each within 0 to 1.
    pub points: &'a [(f64, f64)],
}

impl UnitSquare<'_> {
    /// Draws it.
    pub fn draw(&self) -> Markup {
        let ((left, right), (bottom, top)) = (X.places, Y.places);
        let middle = Length(Y.place(0.5));
        html! {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img" {
                @for step in 0..=5 { (grid(f64::from(step) / 5.0)) }
                line.chance x1=(Length(left)) y1=(Length(bottom)) x2=(Length(right)) y2=(Length(top)) {}
                @for (position, line) in self.lines.iter().enumerate() { (line.draw(position)) }
                text x=(Length(X.place(0.5))) y=(Length(HEIGHT - 4.0)) text-anchor="middle" { (self.x_title) }
                text transform={ "translate(14 " (middle) ") rotate(-90)" } text-anchor="middle" {
                    (self.y_title)
                }
            }
        }
    }
}

/// A line of the grid each way, with its value.
fn grid(value: f64) -> Markup {
    let ((left, right), (bottom, top)) = (X.places, Y.places);
    let (x, y) = (Length(X.place(value)), Length(Y.place(value)));
    html! {
        line.grid x1=(x) y1=(Length(bottom)) x2=(x) y2=(Length(top)) {}
        line.grid x1=(Length(left)) y1=(y) x2=(Length(right)) y2=(y) {}
        text x=(x) y=(Length(bottom + 16.0)) text-anchor="middle" { (Length(value)) }
        text x=(Length(left - 6.0)) y=(Length(y.0 + 4.0)) text-anchor="end" { (Length(value)) }
    }
}

impl Line<'_> {
    /// The line, and its entry in the legend at the lower right.
    fn draw(&self, position: usize) -> Markup {
        let corners = self.points.iter().map(|(x, y)| (X.place(*x), Y.place(*y)));
        let y = Y.place(0.08 + 0.08 * position as f64);
        let (from, to, name) = (Length(X.place(0.55)), Length(X.place(0.6)), Length(X.place(0.62)));
        html! {
            polyline points=(points(corners)) fill="none" stroke=(color(position)) stroke-width="2" {}
            line x1=(from) y1=(Length(y)) x2=(to) y2=(Length(y)) stroke=(color(position)) stroke-width="3" {}
            text x=(name) y=(Length(y + 4.0)) { (self.name) }
        }
    }
}
