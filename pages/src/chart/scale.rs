//! From values to places in a chart.

use maud::Render;

/// A place or a length, in the chart's unit; written with one decimal, since nobody sees the difference of more.
#[derive(Clone, Copy)]
pub(super) struct Length(pub(super) f64);

impl Render for Length {
    fn render_to(&self, buffer: &mut String) {
        format_args!("{:.1}", self.0).render_to(buffer);
    }
}

/// A straight axis: where values between two ends are drawn.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// The values at both ends; anything beyond is drawn at the end.
    pub(super) values: (f64, f64),
    /// Where these are drawn.
    pub(super) places: (f64, f64),
}

impl Scale {
    pub(super) fn place(&self, value: f64) -> f64 {
        let ((low, high), (start, end)) = (self.values, self.places);
        let part = (value.clamp(low, high) - low) / (high - low);
        start + part * (end - start)
    }
}

/// The corners of a line or of a polygon, as its attribute `points` has them.
pub(super) fn points(corners: impl Iterator<Item = (f64, f64)>) -> String {
    let corners: Vec<String> = corners.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    corners.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_an_end_is_drawn_at_the_end() {
        let upwards = Scale {
            values: (-1.0, 1.0),
            places: (100.0, 0.0),
        };
        let places = [-5.0, -1.0, 0.0, 0.5, 9.0].map(|value| upwards.place(value));
        assert_eq!(places, [100.0, 100.0, 50.0, 25.0, 0.0]);
    }
}
