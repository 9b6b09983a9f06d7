//! The door, in and out.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::Shop;
use crate::cookies::{self, Login};
use crate::customers::Customers;
use crate::pages::{self, Door, Frame, links};

/// A search for customers.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    id: String,
}

/// Who shops; empty for somebody new.
#[derive(Deserialize)]
pub(super) struct Chosen {
    customer: String,
}

pub(super) async fn door(State(shop): State<Arc<Shop>>, Query(wanted): Query<Wanted>) -> Html<String> {
    let searched = wanted.id.trim();
    let found = match searched {
        "" => Vec::new(),
        beginning => shop.customers.find(beginning),
    };
    let door = Door {
        searched,
        found,
        examples: shop.customers.examples(),
    };
    let frame = Frame {
        title: "Who is shopping?",
        visit: None,
        query: "",
        main: pages::door(&door),
        panel: None,
    };
    Html(frame.render())
}

pub(super) async fn log_in(State(shop): State<Arc<Shop>>, Form(chosen): Form<Chosen>) -> Response {
    match login(&shop.customers, &chosen.customer, rand::random()) {
        Some(login) => ([(header::SET_COOKIE, login.kept())], Redirect::to(links::HOME)).into_response(),
        None => Redirect::to(links::LOG_IN).into_response(),
    }
}

pub(super) async fn log_out(State(shop): State<Arc<Shop>>, login: Login) -> Response {
    shop.sessions.end(&login);
    (
        [(header::SET_COOKIE, cookies::ended())],
        Redirect::to(links::LOG_IN),
    )
        .into_response()
}

/// A session of a customer that there is, or of somebody new, whose id is the session's beginning.
fn login(customers: &Customers, customer: &str, session: u128) -> Option<Login> {
    if customer.is_empty() {
        return Login::new(session, &format!("new-{:08x}", session >> 96));
    }
    customers.get(customer)?;
    Login::new(session, customer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_customers_that_there_are_and_new_ones_come_in() {
        let customers = Customers::of(&[7]);
        let customer = |chosen: &str| {
            login(&customers, chosen, 0xabcd << 96).map(|login| login.customer().as_str().to_owned())
        };
        assert_eq!(customer("7").as_deref(), Some("7"));
        assert_eq!(customer("").as_deref(), Some("new-0000abcd"));
        assert_eq!(customer("8"), None);
        assert_eq!(customer("7;x"), None);
    }
}
