//! Charts as SVG: lines and bars, nothing else.

use std::fmt::Write;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 16.0;
/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A named line through points within 0 to 1.
pub struct Line<'a> {
    /// What the legend calls it.
    pub name: String,
    /// Its points.
    pub points: &'a [(f64, f64)],
}

/// Lines in the unit square, with a diagonal for chance.
pub fn unit_lines(x_title: &str, y_title: &str, lines: &[Line<'_>]) -> String {
    let x = |value: f64| LEFT + value * (WIDTH - LEFT - 16.0);
    let y = |value: f64| HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP);
    let mut svg = open(WIDTH, HEIGHT);
    for step in 0..=5 {
        let value = f64::from(step) / 5.0;
        let (px, py) = (x(value), y(value));
        let _ = write!(
            svg,
            "<line x1='{px}' y1='{}' x2='{px}' y2='{}' class='grid'/><line x1='{}' y1='{py}' x2='{}' y2='{py}' class='grid'/>\
             <text x='{px}' y='{}' text-anchor='middle'>{value:.1}</text><text x='{}' y='{}' text-anchor='end'>{value:.1}</text>",
            y(0.0),
            y(1.0),
            x(0.0),
            x(1.0),
            y(0.0) + 16.0,
            x(0.0) - 6.0,
            py + 4.0
        );
    }
    let _ = write!(
        svg,
        "<line x1='{}' y1='{}' x2='{}' y2='{}' class='chance'/>",
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0)
    );
    for (position, line) in lines.iter().enumerate() {
        let colour = COLOURS[position % COLOURS.len()];
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py)))
            .collect();
        let top = y(0.08 + 0.08 * position as f64);
        let _ = write!(
            svg,
            "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>\
             <line x1='{}' y1='{top}' x2='{}' y2='{top}' stroke='{colour}' stroke-width='3'/><text x='{}' y='{}'>{}</text>",
            points.join(" "),
            x(0.55),
            x(0.6),
            x(0.62),
            top + 4.0,
            escape(&line.name)
        );
    }
    let _ = write!(
        svg,
        "<text x='{}' y='{}' text-anchor='middle'>{}</text><text transform='translate(14 {}) rotate(-90)' text-anchor='middle'>{}</text></svg>",
        x(0.5),
        HEIGHT - 4.0,
        escape(x_title),
        y(0.5),
        escape(y_title)
    );
    svg
}

/// Groups of horizontal bars: (label, values), one colour a value's position, as `names` says.
pub fn bars(names: &[&str], groups: &[(String, Vec<f64>)], format: impl Fn(f64) -> String) -> String {
    let longest = groups.iter().map(|(label, _)| label.len()).max().unwrap_or(0) as f64;
    let left = 16.0 + longest * 7.0;
    let width = left + 460.0;
    let bar = 13.0;
    let legend = if names.len() > 1 { 24.0 } else { 0.0 };
    let group_height = bar * names.len() as f64 + 9.0;
    let height = legend + group_height * groups.len() as f64 + 8.0;
    let largest = groups
        .iter()
        .flat_map(|(_, values)| values)
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = open(width, height);
    if names.len() > 1 {
        for (position, name) in names.iter().enumerate() {
            let at = left + 130.0 * position as f64;
            let colour = COLOURS[position % COLOURS.len()];
            let _ = write!(
                svg,
                "<rect x='{at}' y='4' width='12' height='12' fill='{colour}'/><text x='{}' y='14'>{}</text>",
                at + 18.0,
                escape(name)
            );
        }
    }
    for (row, (label, values)) in groups.iter().enumerate() {
        let top = legend + group_height * row as f64;
        let middle = top + bar * names.len() as f64 / 2.0 + 5.0;
        let _ = write!(
            svg,
            "<text x='{}' y='{middle}' text-anchor='end'>{}</text>",
            left - 8.0,
            escape(label)
        );
        for (position, value) in values.iter().enumerate() {
            let y = top + bar * position as f64 + 1.0;
            // A value below 0 has a label and no bar.
            let length = value.max(0.0) / largest * 360.0;
            let _ = write!(
                svg,
                "<rect x='{left}' y='{y}' width='{length:.1}' height='{}' fill='{}'/><text x='{:.1}' y='{}'>{}</text>",
                bar - 2.0,
                COLOURS[position % COLOURS.len()],
                left + length + 6.0,
                y + 9.5,
                escape(&format(*value))
            );
        }
    }
    svg + "</svg>"
}

fn open(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' role='img'>"
    )
}

/// Text as it may stand in HTML and SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}
