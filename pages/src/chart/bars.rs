//! Groups of horizontal bars.

use maud::{Markup, html};

use super::color;
use super::scale::Length;

/// The longest bar.
const MAX_LENGTH: f64 = 360.0;
/// What a bar takes with the space below it.
const BAR_HEIGHT: f64 = 13.0;
const SPACE_BETWEEN_GROUPS: f64 = 9.0;
const LEGEND_HEIGHT: f64 = 24.0;
const LEGEND_WIDTH: f64 = 130.0;
/// A letter of a label, on average.
const LETTER_WIDTH: f64 = 7.0;

/// Groups of bars: each series has one bar, of its own color, in each group.
pub struct Bars<'a> {
    /// What the legend calls each series; there is no legend where there is one only.
    pub series: &'a [&'a str],
    /// The groups, from top to bottom.
    pub groups: &'a [Group],
    /// How a value is written at the end of its bar.
    pub format: &'a dyn Fn(f64) -> String,
}

/// One group of bars.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What stands to the left of it.
    pub label: String,
    /// The value of each series, in order; one below 0 is written and has no bar.
    pub values: Vec<f64>,
}

/// Where the parts of one chart are.
struct Places {
    /// Where bars begin.
    left: f64,
    /// The lower end of the legend.
    legend: f64,
    group_height: f64,
    largest: f64,
}

impl Bars<'_> {
    /// Draws them.
    pub fn draw(&self) -> Markup {
        let places = self.places();
        let width = Length(places.left + MAX_LENGTH + 100.0);
        let height = Length(places.legend + places.group_height * self.groups.len() as f64 + 8.0);
        html! {
            svg viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" {
                @if places.legend > 0.0 {
                    @for (position, name) in self.series.iter().enumerate() {
                        (legend(&places, position, name))
                    }
                }
                @for (row, group) in self.groups.iter().enumerate() { (self.group(&places, row, group)) }
            }
        }
    }

    fn places(&self) -> Places {
        let labels = self.groups.iter().map(|group| group.label.len());
        let legend = if self.series.len() > 1 { LEGEND_HEIGHT } else { 0.0 };
        let values = self.groups.iter().flat_map(|group| &group.values);
        Places {
            left: 16.0 + labels.max().unwrap_or(0) as f64 * LETTER_WIDTH,
            legend,
            group_height: BAR_HEIGHT * self.series.len() as f64 + SPACE_BETWEEN_GROUPS,
            largest: values.copied().fold(f64::MIN_POSITIVE, f64::max),
        }
    }

    fn group(&self, places: &Places, row: usize, group: &Group) -> Markup {
        let top = places.legend + places.group_height * row as f64;
        let middle = top + BAR_HEIGHT * self.series.len() as f64 / 2.0 + 5.0;
        html! {
            text x=(Length(places.left - 8.0)) y=(Length(middle)) text-anchor="end" { (group.label) }
            @for (position, value) in group.values.iter().enumerate() {
                (self.bar(places, top, position, *value))
            }
        }
    }

    fn bar(&self, places: &Places, top: f64, position: usize, value: f64) -> Markup {
        let y = top + BAR_HEIGHT * position as f64 + 1.0;
        let length = value.max(0.0) / places.largest * MAX_LENGTH;
        let (left, height) = (Length(places.left), Length(BAR_HEIGHT - 2.0));
        let text = Length(places.left + length + 6.0);
        html! {
            rect x=(left) y=(Length(y)) width=(Length(length)) height=(height) fill=(color(position)) {}
            text x=(text) y=(Length(y + 9.5)) { ((self.format)(value)) }
        }
    }
}

fn legend(places: &Places, position: usize, name: &str) -> Markup {
    let left = places.left + LEGEND_WIDTH * position as f64;
    html! {
        rect x=(Length(left)) y="4" width="12" height="12" fill=(color(position)) {}
        text x=(Length(left + 18.0)) y="14" { (name) }
    }
}
