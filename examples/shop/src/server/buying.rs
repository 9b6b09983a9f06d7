//! The basket, and what customers do: each ends with a page that knows of it, because the pipeline is told before.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use super::Shop;
use crate::cookies::Login;
use crate::pages::{self, Frame, Panel, links};
use crate::visit::Visit;

/// A product that something is done with.
#[derive(Deserialize)]
pub(super) struct Meant {
    item: String,
    /// The answer that it was found in.
    request: Option<String>,
    /// The page that it was on.
    #[serde(default)]
    back: String,
}

/// How many of a product there shall be.
#[derive(Deserialize)]
pub(super) struct Wanted {
    item: String,
    quantity: u32,
}

pub(super) async fn basket(State(shop): State<Arc<Shop>>, login: Login) -> Html<String> {
    let visit = shop.sessions.with(&login, Visit::turn_page);
    let loaded = shop.pipeline.variants().await;
    let panel = Panel {
        why: &Ok(Vec::new()),
        asked: &[],
        loaded: &loaded,
        visit: &visit,
        catalogue: &shop.catalogue,
        back: links::BASKET,
    };
    let frame = Frame {
        title: "Basket",
        visit: Some(&visit),
        query: "",
        main: pages::basket(&visit.basket, &shop.catalogue),
        panel: Some(pages::panel(&panel)),
    };
    Html(frame.render())
}

pub(super) async fn add(State(shop): State<Arc<Shop>>, login: Login, Form(meant): Form<Meant>) -> Redirect {
    let product = shop.catalogue.get(&meant.item);
    if let Some((product, price)) = product.and_then(|product| Some((product, product.price?))) {
        let put = shop.sessions.with(&login, |visit| {
            let put = visit.put(&product.id, price, meant.request);
            match &put {
                Ok(_) => visit.say(format!("{} is in the basket.", product.name)),
                Err(error) => visit.say(format!("{} was not added: {error}.", product.name)),
            }
            put
        });
        shop.tell(&login, put.into_iter().collect()).await;
    }
    Redirect::to(&links::local(&meant.back))
}

pub(super) async fn set(State(shop): State<Arc<Shop>>, login: Login, Form(wanted): Form<Wanted>) -> Redirect {
    let item = wanted.item.into();
    shop.sessions.with(&login, |visit| {
        visit.basket.set(&item, wanted.quantity);
        visit.say("The basket was changed.");
    });
    Redirect::to(links::BASKET)
}

pub(super) async fn check_out(State(shop): State<Arc<Shop>>, login: Login) -> Redirect {
    let bought = shop.sessions.with(&login, |visit| {
        let total = visit.basket.total();
        let bought = visit.check_out();
        if !bought.is_empty() {
            visit.say(format!("Thank you. You bought for {total}."));
        }
        bought
    });
    shop.tell(&login, bought).await;
    Redirect::to(links::HOME)
}

pub(super) async fn dislike(
    State(shop): State<Arc<Shop>>,
    login: Login,
    Form(meant): Form<Meant>,
) -> Redirect {
    if let Some(product) = shop.catalogue.get(&meant.item) {
        let disliked = shop.sessions.with(&login, |visit| {
            visit.say(format!("{} will not be recommended again.", product.name));
            visit.dislike(&product.id)
        });
        shop.tell(&login, vec![disliked]).await;
    }
    Redirect::to(&links::local(&meant.back))
}
