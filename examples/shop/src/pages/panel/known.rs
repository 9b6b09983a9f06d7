//! What is known of the customer: columns that can be set, so that the next page shows what follows.

use maud::{Markup, html};

use super::Panel;
use crate::pages::links;

/// A form for one column, and what was set in this visit; nothing where no column is known.
pub(super) fn known(panel: &Panel<'_>) -> Markup {
    let columns = panel.loaded.as_ref().map(|loaded| loaded.customer_columns());
    let columns = columns.unwrap_or_default();
    html! {
        @if !columns.is_empty() {
            section {
                h2 { "What is known of this customer" }
                p { code { "PATCH /v1/users/" (panel.visit.customer) } }
                form action=(links::COLUMN) method="post" {
                    input type="hidden" name="back" value=(panel.back);
                    label for="column" { "Take" }
                    select #column name="column" {
                        @for column in &columns {
                            option value=(column) { (column) }
                        }
                    }
                    label for="value" { "to be" }
                    input #value name="value" maxlength="200" placeholder="not known";
                    button type="submit" { "Set" }
                }
                @if !panel.visit.set.is_empty() {
                    dl {
                        @for (column, value) in &panel.visit.set {
                            div { dt { (column) } dd { (value) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::visit::Visit;

    #[test]
    fn a_customers_columns_can_be_set_and_what_was_set_is_shown() {
        let json = serde_json::json!({"pipeline": "shop", "variants": [
            {"name": "dlrm", "summary": {"inputs": ["user.age", "item.price", "user.income"]}},
            {"name": "forest"}]});
        let loaded = Ok(serde_json::from_value(json).unwrap());
        let mut visit = Visit::new("ab", &"1".into());
        visit.note_set("age", "<45", Ok(()));
        visit.note_set("income", "much", Err("not a number".to_owned()));
        assert_eq!(
            visit.notice.as_ref().unwrap().text,
            "income was not set: not a number"
        );
        let panel = Panel {
            asked: &[],
            why: &Ok(Vec::new()),
            loaded: &loaded,
            visit: &visit,
            catalogue: &Catalogue::default(),
            back: "/",
        };
        let markup = known(&panel).into_string();
        assert!(markup.contains("<option value=\"income\">"), "{markup}");
        assert!(!markup.contains("price"), "{markup}");
        assert!(markup.contains("<dt>age</dt><dd>&lt;45</dd>"), "{markup}");
    }
}
