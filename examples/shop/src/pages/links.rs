//! Paths of the shop: those of its pages, and whether a path is one.

use gondola_request::ItemId;
use url::Url;

pub(crate) const HOME: &str = "/";
pub(crate) const SEARCH: &str = "/search";
pub(crate) const BASKET: &str = "/basket";
pub(crate) const ADD: &str = "/basket/add";
pub(crate) const SET: &str = "/basket/set";
pub(crate) const CHECK_OUT: &str = "/checkout";
pub(crate) const DISLIKE: &str = "/dislike";
pub(crate) const ARM: &str = "/arm";
pub(crate) const COLUMN: &str = "/column";
pub(crate) const LOG_IN: &str = "/login";
pub(crate) const LOG_OUT: &str = "/logout";
pub(crate) const STYLE: &str = "/style.css";
pub(crate) const ICON: &str = "/icon.svg";

/// The page of a product; `request` is the answer that it was found in.
pub(crate) fn product(item: &ItemId, request: Option<&str>) -> String {
    let mut url = root();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(["product", item.as_str()]);
    }
    if let Some(request) = request {
        url.query_pairs_mut().append_pair("request", request);
    }
    relative(&url)
}

/// What was found for a text.
pub(crate) fn search(text: &str) -> String {
    let mut url = root();
    url.set_path(SEARCH);
    url.query_pairs_mut().append_pair("text", text);
    relative(&url)
}

/// A path as it may stand in a redirect: one of this shop. Anything else, such as `//elsewhere.example`, is the front page.
pub(crate) fn local(path: &str) -> String {
    match root().join(path) {
        Ok(url) if path.starts_with('/') && url.origin() == root().origin() => relative(&url),
        _ => HOME.to_owned(),
    }
}

fn root() -> Url {
    Url::parse("http://shop").expect("this is a URL")
}

fn relative(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_in_its_part_of_the_path() {
        assert_eq!(product(&"1082185".into(), None), "/product/1082185");
        assert_eq!(
            product(&"a/b?c=1".into(), Some("r&7")),
            "/product/a%2Fb%3Fc=1?request=r%267"
        );
        assert_eq!(search("a&b"), "/search?text=a%26b");
    }

    #[test]
    fn only_paths_of_this_shop_are_gone_back_to() {
        for path in ["/", "/basket", "/product/7?request=r-7", "/search?text=a%26b"] {
            assert_eq!(local(path), path);
        }
        for path in [
            "",
            "basket",
            "//elsewhere.example/",
            "/\\elsewhere.example",
            "/\t/elsewhere.example",
            "https://elsewhere.example/",
            "javascript:alert(1)",
        ] {
            assert_eq!(local(path), "/", "{path:?}");
        }
    }
}
