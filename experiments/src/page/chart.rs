//! Charts as SVG.

use std::fmt::Write as _;

use super::Text;

const LEFT: f64 = 58.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// A course over time: a curve, perhaps with a band around it, and levels across.
pub(super) struct Course<'a> {
    /// For readers who don't see it.
    pub(super) title: &'a str,
    /// Width, in the unit of the letters' size: as wide as the place for it, so that letters are as large as elsewhere.
    pub(super) width: f64,
    /// Height.
    pub(super) height: f64,
    /// Moments, as text, and where the curve is; `None` is a gap.
    pub(super) curve: Vec<(String, Option<f64>)>,
    /// The band at each moment.
    pub(super) band: Vec<Option<(f64, f64)>>,
    /// Levels that are drawn across, with their class.
    pub(super) levels: Vec<(f64, &'static str)>,
    /// How a height is written.
    pub(super) label: fn(f64) -> String,
    /// The most that is shown to both sides of 0, so that early, wide bands don't flatten the rest.
    pub(super) most: f64,
}

impl Course<'_> {
    /// Draws it.
    pub(super) fn draw(&self) -> String {
        let (low, high) = self.range();
        let (width, height) = (self.width, self.height);
        let y = |value: f64| {
            let part = (value.clamp(low, high) - low) / (high - low);
            height - BOTTOM - part * (height - TOP - BOTTOM)
        };
        let last = self.curve.len().saturating_sub(1).max(1) as f64;
        let x = |place: usize| LEFT + place as f64 / last * (width - LEFT - RIGHT);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=img aria-label=\"{}\">",
            Text(self.title)
        );
        for step in 0..=4 {
            let value = low + (high - low) * f64::from(step) / 4.0;
            let _ = write!(
                svg,
                "<line class=axis x1={LEFT} x2={} y1={1:.1} y2={1:.1} /><text x={2} y={3:.1} text-anchor=end>{4}</text>",
                width - RIGHT,
                y(value),
                LEFT - 6.0,
                y(value) + 4.0,
                Text(&(self.label)(value))
            );
        }
        svg += &self.band_path(x, y);
        for (level, class) in &self.levels {
            let _ = write!(
                svg,
                "<line class={class} x1={LEFT} x2={} y1={1:.1} y2={1:.1} />",
                width - RIGHT,
                y(*level)
            );
        }
        svg += &self.curve_path(x, y);
        for (place, anchor) in [(0, "start"), (self.curve.len().saturating_sub(1), "end")] {
            if let Some((moment, _)) = self.curve.get(place) {
                let _ = write!(
                    svg,
                    "<text x={:.1} y={:.1} text-anchor={anchor}>{}</text>",
                    x(place),
                    height - 6.0,
                    Text(moment)
                );
            }
        }
        svg + "</svg>"
    }

    fn range(&self) -> (f64, f64) {
        let bands = self.band.iter().flatten().flat_map(|(low, high)| [*low, *high]);
        let curve = self.curve.iter().filter_map(|(_, value)| *value);
        let levels = self.levels.iter().map(|(level, _)| *level);
        let all = bands.chain(curve).chain(levels);
        let (low, high) = all
            .filter(|value| value.is_finite())
            .map(|value| value.clamp(-self.most, self.most))
            .fold((0.0_f64, 0.0_f64), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let margin = ((high - low) * 0.08).max(1e-6);
        let below = if low < 0.0 { margin } else { 0.0 };
        (low - below, high + margin)
    }

    fn band_path(&self, x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
        let points: Vec<(f64, f64, f64)> = self
            .band
            .iter()
            .enumerate()
            .filter_map(|(place, band)| band.map(|(low, high)| (x(place), y(low), y(high))))
            .collect();
        let there = points.iter().map(|(x, _, high)| format!("{x:.1},{high:.1}"));
        let back = points.iter().rev().map(|(x, low, _)| format!("{x:.1},{low:.1}"));
        let corners: Vec<String> = there.chain(back).collect();
        format!("<polygon class=band points=\"{}\" />", corners.join(" "))
    }

    fn curve_path(&self, x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
        let points = self.curve.iter().enumerate();
        let points: Vec<String> = points
            .filter_map(|(place, (_, value))| value.map(|value| format!("{:.1},{:.1}", x(place), y(value))))
            .collect();
        format!("<polyline class=curve points=\"{}\" />", points.join(" "))
    }
}

/// A bar from `low` to `high` on a scale from `-most` to `most`, with 0 and a limit marked.
pub(super) fn range_bar(title: &str, low: f64, high: f64, limit: f64, most: f64) -> String {
    let x = |value: f64| (value.clamp(-most, most) + most) / (2.0 * most) * 300.0;
    let (from, to, limit) = (x(low), x(high), x(limit));
    format!(
        "<svg viewBox=\"0 0 300 18\" role=img aria-label=\"{}\"><rect class=band x={from:.1} y=4 width={:.1} height=10 />\
         <line class=zero x1=150 x2=150 y1=0 y2=18 /><line class=limit x1={limit:.1} x2={limit:.1} y1=0 y2=18 /></svg>",
        Text(title),
        (to - from).max(1.0),
    )
}

/// A bar that is full at 1.
pub(super) fn level_bar(title: &str, part: f64, class: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 300 12\" role=img aria-label=\"{}\"><rect class=\"bar todo\" x=0 y=2 width=300 height=8 rx=4 />\
         <rect class=\"bar {class}\" x=0 y=2 width={:.1} height=8 rx=4 /></svg>",
        Text(title),
        part.clamp(0.0, 1.0) * 300.0
    )
}
