//! Charts as SVG, each a struct with what it shows and a `draw`.
//!
//! Every element has an end tag of its own: HTML knows no empty elements inside an SVG but those that end
//! with a slash, and an open one would take those after it for its children.

mod bars;
mod gauge;
mod ranges;
mod scale;
mod timeline;
mod unit_square;

pub use bars::{Bars, Group};
pub use gauge::{Fill, Gauge, Interval};
pub use ranges::{Range, Ranges};
pub use timeline::{Level, LevelKind, Moment, Timeline};
pub use unit_square::{Line, UnitSquare};

/// Colors that are distinct for every kind of color vision (Okabe and Ito).
const COLORS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// The color of a series by its position; they come around again after the last.
fn color(position: usize) -> &'static str {
    COLORS[position % COLORS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chart: &str) {
        for element in ["line", "rect", "text", "polyline", "polygon", "circle", "svg"] {
            let count = |tag: String| chart.matches(&tag).count();
            assert_eq!(
                count(format!("<{element} ")),
                count(format!("</{element}>")),
                "{element}: {chart}"
            );
        }
        assert!(!chart.contains("/>"), "{chart}");
        assert!(chart.contains("&lt;name&gt;"), "{chart}");
    }

    #[test]
    fn every_element_ends_and_names_are_text() {
        let name = "<name>";
        let timeline = Timeline {
            title: name,
            width: 100.0,
            height: 50.0,
            moments: vec![Moment {
                label: "today".to_owned(),
                value: Some(0.5),
                band: Some((0.4, 0.6)),
            }],
            levels: vec![Level {
                value: 0.0,
                kind: LevelKind::Zero,
            }],
            label: |value| value.to_string(),
            max_shown: 1.0,
        };
        check(&timeline.draw().into_string());
        let interval = Interval {
            title: name,
            low: 0.1,
            high: 0.2,
            limit: -0.1,
            max_shown: 1.0,
        };
        check(&interval.draw().into_string());
        let gauge = Gauge {
            title: name,
            part: 0.5,
            fill: Fill::Current,
        };
        check(&gauge.draw().into_string());
        let lines = [Line {
            name: name.to_owned(),
            points: &[(0.0, 0.0), (1.0, 1.0)],
        }];
        let square = UnitSquare {
            x_title: "x",
            y_title: "y",
            lines: &lines,
        };
        check(&square.draw().into_string());
        let groups = [Group {
            label: name.to_owned(),
            values: vec![1.0, -1.0],
        }];
        let bars = Bars {
            series: &["a", "b"],
            groups: &groups,
            format: &|value| value.to_string(),
        };
        check(&bars.draw().into_string());
        let ranges = Ranges {
            title: "what",
            ranges: &[Range {
                label: name.to_owned(),
                value: 0.5,
                low: -0.25,
                high: 0.75,
            }],
            format: &|value| value.to_string(),
        };
        check(&ranges.draw().into_string());
        let picture = ranges.picture();
        check(&picture);
        assert!(
            picture.starts_with("<svg xmlns=") && picture.contains("prefers-color-scheme:dark"),
            "{picture}"
        );
    }
}
