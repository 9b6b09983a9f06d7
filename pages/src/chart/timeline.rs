//! A curve over time, with a band around it and levels across.

use maud::{Markup, html};

use super::scale::{Length, Scale, points};

const LEFT: f64 = 58.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// Intervals between the lines of the grid.
const GRID_STEPS: u32 = 4;

/// How a value moved over time.
#[derive(Clone, Debug)]
pub struct Timeline<'a> {
    /// For readers who don't see it.
    pub title: &'a str,
    /// Width, in the unit of the letters' size: as wide as the place for it, so that letters are as large as
    /// elsewhere.
    pub width: f64,
    /// Height, in the same unit.
    pub height: f64,
    /// The value at each moment, in order; moments are drawn at equal distances.
    pub moments: Vec<Moment>,
    /// Levels that are drawn across.
    pub levels: Vec<Level>,
    /// The format of the values next to the grid.
    pub label: fn(f64) -> String,
    /// The largest value that is shown on both sides of 0, so that early, wide bands don't flatten the rest.
    pub max_shown: f64,
}

/// A value at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The moment, as the axis writes it.
    pub label: String,
    /// Where the curve is; a gap where it isn't known.
    pub value: Option<f64>,
    /// Where the band begins and ends.
    pub band: Option<(f64, f64)>,
}

/// A value that is drawn across.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The value.
    pub value: f64,
    /// What it stands for.
    pub kind: LevelKind,
}

/// What a level stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelKind {
    /// No difference.
    Zero,
    /// What decides something when the curve crosses it.
    Limit,
}

impl Timeline<'_> {
    /// Draws it.
    pub fn draw(&self) -> Markup {
        let (x, y) = (self.x(), self.y());
        html! {
            svg viewBox={ "0 0 " (self.width) " " (self.height) } role="img" aria-label=(self.title) {
                (self.grid(y))
                polygon.band points=(self.band(x, y)) {}
                @for level in &self.levels { (self.level(*level, y)) }
                polyline.curve points=(self.curve(x, y)) {}
                (self.ends(x))
            }
        }
    }

    fn x(&self) -> Scale {
        let last = self.moments.len().saturating_sub(1).max(1) as f64;
        Scale {
            values: (0.0, last),
            places: (LEFT, self.width - RIGHT),
        }
    }

    fn y(&self) -> Scale {
        Scale {
            values: self.range(),
            places: (self.height - BOTTOM, TOP),
        }
    }

    /// What is shown of the axis of values: 0, all that is drawn, and a margin.
    fn range(&self) -> (f64, f64) {
        let bands = self.moments.iter().filter_map(|moment| moment.band);
        let bands = bands.flat_map(|(low, high)| [low, high]);
        let curve = self.moments.iter().filter_map(|moment| moment.value);
        let levels = self.levels.iter().map(|level| level.value);
        let all = bands.chain(curve).chain(levels);
        let (low, high) = all
            .filter(|value| value.is_finite())
            .map(|value| value.clamp(-self.max_shown, self.max_shown))
            .fold((0.0_f64, 0.0_f64), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let margin = ((high - low) * 0.08).max(1e-6);
        let below = if low < 0.0 { margin } else { 0.0 };
        (low - below, high + margin)
    }

    fn grid(&self, y: Scale) -> Markup {
        let (low, high) = y.values;
        let steps = f64::from(GRID_STEPS);
        let values = (0..=GRID_STEPS).map(|step| low + (high - low) * f64::from(step) / steps);
        html! {
            @for value in values {
                (self.across("axis", y.place(value)))
                text x=(Length(LEFT - 6.0)) y=(Length(y.place(value) + 4.0)) text-anchor="end" {
                    ((self.label)(value))
                }
            }
        }
    }

    fn level(&self, level: Level, y: Scale) -> Markup {
        let class = match level.kind {
            LevelKind::Zero => "zero",
            LevelKind::Limit => "limit",
        };
        self.across(class, y.place(level.value))
    }

    /// A line from the left to the right.
    fn across(&self, class: &str, y: f64) -> Markup {
        let (right, y) = (Length(self.width - RIGHT), Length(y));
        html! { line class=(class) x1=(Length(LEFT)) x2=(right) y1=(y) y2=(y) {} }
    }

    /// There along the upper ends, and back along the lower ones.
    fn band(&self, x: Scale, y: Scale) -> String {
        let bands: Vec<(f64, f64, f64)> = self
            .moments
            .iter()
            .enumerate()
            .filter_map(|(place, moment)| {
                let (low, high) = moment.band?;
                Some((x.place(place as f64), y.place(low), y.place(high)))
            })
            .collect();
        let there = bands.iter().map(|(x, _, high)| (*x, *high));
        let back = bands.iter().rev().map(|(x, low, _)| (*x, *low));
        points(there.chain(back))
    }

    fn curve(&self, x: Scale, y: Scale) -> String {
        let moments = self.moments.iter().enumerate();
        points(moments.filter_map(|(place, moment)| Some((x.place(place as f64), y.place(moment.value?)))))
    }

    /// The first moment and the last, below the curve.
    fn ends(&self, x: Scale) -> Markup {
        let last = self.moments.len().saturating_sub(1);
        let y = Length(self.height - 6.0);
        html! {
            @for (place, anchor) in [(0, "start"), (last, "end")] {
                @if let Some(moment) = self.moments.get(place) {
                    text x=(Length(x.place(place as f64))) y=(y) text-anchor=(anchor) { (moment.label) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_wide_bands_do_not_flatten_the_rest() {
        let moment = |value, band| Moment {
            label: String::new(),
            value: Some(value),
            band: Some(band),
        };
        let timeline = Timeline {
            title: "lift",
            width: 100.0,
            height: 50.0,
            moments: vec![moment(0.0, (-900.0, 900.0)), moment(0.01, (0.005, f64::INFINITY))],
            levels: Vec::new(),
            label: |value| value.to_string(),
            max_shown: 0.5,
        };
        let (low, high) = timeline.range();
        assert!(low > -0.6 && high < 0.6, "{low} to {high}");
    }
}
