//! The door: who shops.

use maud::{Markup, html};

use super::links;
use crate::customers::Customer;

/// What the door shows.
pub(crate) struct Door<'a> {
    /// How the id that is searched for begins.
    pub(crate) searched: &'a str,
    /// Who was found.
    pub(crate) found: Vec<&'a Customer>,
    /// A few to choose from.
    pub(crate) examples: Vec<&'a Customer>,
}

/// The value that stands for somebody who has no id yet.
pub(crate) const NEW: &str = "";

/// The page on which a customer is chosen.
pub(crate) fn door(door: &Door<'_>) -> Markup {
    html! {
        h1 { "Who is shopping?" }
        p { "Each customer is a household of the data set, with a year of purchases. There are no passwords: choose anybody." }
        section aria-labelledby="examples" {
            h2 #examples { "A few households" }
            (customers(&door.examples))
        }
        section aria-labelledby="new" {
            h2 #new { "Somebody new" }
            form action=(links::LOG_IN) method="post" {
                input type="hidden" name="customer" value=(NEW);
                button type="submit" { "I am new here" }
            }
        }
        section aria-labelledby="by-id" {
            h2 #by-id { "By number" }
            form.search action=(links::LOG_IN) method="get" {
                label.hidden for="id" { "How the household’s number begins" }
                input #id name="id" value=(door.searched) inputmode="numeric" maxlength="12" placeholder="A number, such as 718" required;
                button type="submit" { "Find" }
            }
            @if !door.searched.is_empty() {
                div role="status" {
                    @if door.found.is_empty() {
                        p.note { "No household’s number begins with " (door.searched) "." }
                    }
                    (customers(&door.found))
                }
            }
        }
    }
}

fn customers(customers: &[&Customer]) -> Markup {
    html! {
        ul.customers {
            @for customer in customers {
                li {
                    form action=(links::LOG_IN) method="post" {
                        input type="hidden" name="customer" value=(customer.id);
                        button.card type="submit" {
                            strong { "Household " (customer.id) }
                            span { (about(customer)) }
                        }
                    }
                }
            }
        }
    }
}

fn about(customer: &Customer) -> String {
    match &customer.about {
        Some(about) => format!("{}, {}", about.who.to_lowercase(), about.age),
        None => "told nothing about itself".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_nobody_has_is_said_to_be_nobodys() {
        let page = door(&Door {
            searched: "<9",
            found: Vec::new(),
            examples: Vec::new(),
        });
        let page = page.into_string();
        assert!(page.contains("begins with &lt;9."), "{page}");
        assert!(page.contains("I am new here"), "{page}");
    }
}
