//! The frame around a page, and the sections in it.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The colors of every page, in light and in dark, as custom properties of a style.
pub const PALETTE: &str = include_str!("style/palette.css");

/// How the sections of a page are arranged and styled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Panels in a grid of two columns, in light and in dark: a page to look at again and again.
    Panels,
    /// One below the other in a single column: a page to read from top to bottom.
    Article,
}

/// A page: one HTML document without scripts or outside assets.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// What the window is called.
    pub title: &'a str,
    /// How its sections are arranged.
    pub layout: Layout,
    /// Interval after which the browser reloads it, in whole seconds.
    pub refresh: Option<Duration>,
    /// What is on it.
    pub body: Markup,
}

impl Layout {
    fn style(self) -> &'static str {
        match self {
            Self::Panels => include_str!("style/panels.css"),
            Self::Article => include_str!("style/article.css"),
        }
    }
}

impl Document<'_> {
    /// The whole document as text.
    pub fn render(&self) -> String {
        let document = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width";
                    @if let Some(refresh) = self.refresh {
                        meta http-equiv="refresh" content=(refresh.as_secs());
                    }
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    style { (PreEscaped(PALETTE)) (PreEscaped(self.layout.style())) }
                }
                body { main { (self.body) } }
            }
        };
        document.into_string()
    }
}

/// A section with its heading; one column wide in [`Layout::Panels`].
pub fn section(title: &str, content: &Markup) -> Markup {
    html! { section { h2 { (title) } (content) } }
}

/// A section as wide as the page.
pub fn wide_section(title: &str, content: &Markup) -> Markup {
    html! { section.wide { h2 { (title) } (content) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(layout: Layout) -> String {
        Document {
            title: "<b>&\"",
            layout,
            refresh: Some(Duration::from_secs(30)),
            body: section("a < b", &html! { p { "x > y" } }),
        }
        .render()
    }

    #[test]
    fn a_text_is_never_markup() {
        let page = document(Layout::Article);
        assert!(page.contains("<title>&lt;b&gt;&amp;&quot;</title>"), "{page}");
        assert!(
            page.contains("<h2>a &lt; b</h2><p>x &gt; y</p></section>"),
            "{page}"
        );
    }

    #[test]
    fn a_page_has_its_style_with_it_and_nothing_from_outside() {
        for layout in [Layout::Panels, Layout::Article] {
            let page = document(layout);
            assert!(page.contains("border-collapse"), "{layout:?}");
            assert!(page.contains("prefers-color-scheme:dark"), "{layout:?}");
            for foreign in ["http://", "https://", "<script", "<link"] {
                assert!(!page.contains(foreign), "{layout:?}: {foreign}");
            }
        }
    }
}
