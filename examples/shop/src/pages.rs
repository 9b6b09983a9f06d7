//! Pages, as pure functions from what is known to markup.
//!
//! [`Frame`] is what all pages have in common: landmarks, a link past the header, the search, the basket, and the panel at the bottom
//! that shows what the pipeline said. The colours are those of `gondola-pages`; the frame is another, because a shop has more than a
//! body. The style is a file of its own, so that the browser keeps it and the page may forbid every other style and all scripts.

mod account;
mod basket;
mod glyph;
mod home;
pub(crate) mod links;
mod panel;
mod picture;
mod product;
mod results;
mod shelf;

use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, html};

pub(crate) use account::{Door, door};
pub(crate) use basket::basket;
pub(crate) use home::{Home, home};
pub(crate) use panel::{Panel, panel};
pub(crate) use product::{missing, product};
pub(crate) use results::results;
pub(crate) use shelf::Shelf;

use crate::visit::Visit;

/// Products of a list for a customer, and of a search: as many as the pipeline gives.
pub(crate) const MANY: usize = 12;
/// Products of a list beside others.
pub(crate) const FEW: usize = 6;
/// The style of all pages.
pub(crate) static STYLE: LazyLock<String> =
    LazyLock::new(|| [gondola_pages::PALETTE, include_str!("pages/style.css")].concat());
/// The picture that a browser shows beside a title.
pub(crate) const ICON: &str = include_str!("pages/icon.svg");

/// A page.
pub(crate) struct Frame<'a> {
    /// What it is called.
    pub(crate) title: &'a str,
    /// Who looks at it, unless nobody is logged in.
    pub(crate) visit: Option<&'a Visit>,
    /// What was searched for.
    pub(crate) query: &'a str,
    /// What is on it.
    pub(crate) main: Markup,
    /// What the pipeline said.
    pub(crate) panel: Option<Markup>,
}

impl Frame<'_> {
    /// The whole page.
    pub(crate) fn render(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Gondola shop" }
                    link rel="stylesheet" href=(links::STYLE);
                    link rel="icon" href=(links::ICON) type="image/svg+xml";
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (self.header())
                    main #main tabindex="-1" {
                        @if let Some(notice) = self.visit.and_then(|visit| visit.notice.as_ref()) {
                            p.notice role="status" { (notice.text) }
                        }
                        (self.main)
                    }
                    @if let Some(panel) = &self.panel {
                        footer { (panel) }
                    }
                }
            }
        };
        page.into_string()
    }

    fn header(&self) -> Markup {
        html! {
            header {
                div.bar {
                    a.brand href=(links::HOME) { "Gondola shop" }
                    @if let Some(visit) = self.visit {
                        (search(self.query))
                        (navigation(visit))
                    }
                }
            }
        }
    }
}

fn search(query: &str) -> Markup {
    html! {
        form.search role="search" action=(links::SEARCH) method="get" {
            label.hidden for="text" { "Search products" }
            input #text type="search" name="text" value=(query) placeholder="Search products" maxlength="200" required;
            button type="submit" { "Search" }
        }
    }
}

fn navigation(visit: &Visit) -> Markup {
    let count = visit.basket.count();
    html! {
        nav aria-label="Basket and account" {
            a.basket href=(links::BASKET) {
                "Basket"
                @if count > 0 {
                    " " span.badge { (count) span.hidden { (if count == 1 { " product" } else { " products" }) } }
                    " " span.sum { (visit.basket.total()) }
                }
            }
            span.who { span.hidden { "Customer " } (visit.customer) }
            form action=(links::LOG_OUT) method="post" { button.quiet type="submit" { "Log out" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(visit: Option<&Visit>, query: &str) -> String {
        let frame = Frame {
            title: "<b>&",
            visit,
            query,
            main: html! { h1 { "Hello" } },
            panel: None,
        };
        frame.render()
    }

    #[test]
    fn what_a_customer_typed_is_never_markup() {
        let mut visit = Visit::new("ab", &"1".into());
        visit.say("<script>alert(1)</script>");
        let page = page(Some(&visit), "\"><script>");
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("value=\"&quot;&gt;&lt;script&gt;\""), "{page}");
        assert!(
            page.contains("<title>&lt;b&gt;&amp; · Gondola shop</title>"),
            "{page}"
        );
    }

    #[test]
    fn a_page_has_its_landmarks_and_asks_no_other_host() {
        let visit = Visit::new("ab", &"1".into());
        let page = page(Some(&visit), "");
        for part in [
            "<header>",
            "<main id=\"main\"",
            "<nav aria-label=",
            "href=\"#main\"",
            "role=\"search\"",
        ] {
            assert!(page.contains(part), "{part} is missing: {page}");
        }
        assert!(!page.contains("http"), "{page}");
    }

    #[test]
    fn who_is_not_logged_in_sees_no_basket() {
        let page = page(None, "");
        assert!(
            !page.contains("<nav") && !page.contains("role=\"search\""),
            "{page}"
        );
    }
}
