//! Questions to a pipeline, and the URLs that they are.

use gondola_request::{ItemId, UserId};
use url::Url;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub wish: Wish,
    /// How many products are wanted.
    pub k: usize,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What suits a customer.
    For(UserId),
    /// What suits somebody of whom nothing is known: what is popular.
    ForAnybody,
    /// What is like a product.
    LikeItem(ItemId),
    /// What is bought together with a product.
    BoughtWith(ItemId),
    /// What is like a text.
    LikeText(String),
}

impl Wish {
    /// The question that asks for so many.
    pub fn of(self, k: usize) -> Question {
        Question { wish: self, k }
    }
}

impl Question {
    /// Its URL at a pipeline.
    pub fn url(&self, base: &Url) -> Url {
        let (path, parameter) = match &self.wish {
            Wish::For(user) => ("/v1/recommend", Some(("user", user.as_str()))),
            Wish::ForAnybody => ("/v1/recommend", None),
            Wish::LikeItem(item) => ("/v1/similar", Some(("item", item.as_str()))),
            Wish::BoughtWith(item) => ("/v1/similar", Some(("bought_with", item.as_str()))),
            Wish::LikeText(text) => ("/v1/similar", Some(("text", text.as_str()))),
        };
        let mut url = base.clone();
        url.set_path(path);
        let mut query = url.query_pairs_mut();
        query.clear().extend_pairs(parameter);
        query.append_pair("k", &self.k.to_string());
        query.append_pair("explain", "timing");
        drop(query);
        url
    }

    /// What stands in a request's first line: its path and query.
    pub fn path(&self) -> String {
        let base = Url::parse("http://pipeline").expect("this is a URL");
        let url = self.url(&base);
        format!("{}?{}", url.path(), url.query().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_a_path_and_no_text_leaves_its_parameter() {
        for (wish, path) in [
            (Wish::For("1".into()), "/v1/recommend?user=1&k=6&explain=timing"),
            (Wish::ForAnybody, "/v1/recommend?k=6&explain=timing"),
            (
                Wish::LikeItem("a&k=9".into()),
                "/v1/similar?item=a%26k%3D9&k=6&explain=timing",
            ),
            (
                Wish::BoughtWith("7".into()),
                "/v1/similar?bought_with=7&k=6&explain=timing",
            ),
            (
                Wish::LikeText("grüner tee #1".to_owned()),
                "/v1/similar?text=gr%C3%BCner+tee+%231&k=6&explain=timing",
            ),
        ] {
            assert_eq!(wish.of(6).path(), path);
        }
    }

    #[test]
    fn a_question_goes_to_the_address_that_was_given() {
        let base = Url::parse("http://complete-journey.shop:8080").unwrap();
        let url = Wish::ForAnybody.of(12).url(&base);
        assert_eq!(
            url.as_str(),
            "http://complete-journey.shop:8080/v1/recommend?k=12&explain=timing"
        );
    }
}
