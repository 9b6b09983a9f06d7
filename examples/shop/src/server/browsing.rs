//! Pages that ask the pipeline.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use gondola_request::{Explanation, ItemId};
use serde::Deserialize;

use super::{Shop, nothing_here};
use crate::cookies::Login;
use crate::pages::{self, FEW, Frame, Home, MANY, Panel, links};
use crate::pipeline::Asked;
use crate::pipeline::question::Wish;
use crate::visit::Visit;

/// What a search is for.
#[derive(Deserialize)]
pub(super) struct Sought {
    #[serde(default)]
    text: String,
}

/// Where a link to a product was.
#[derive(Deserialize)]
pub(super) struct Origin {
    /// The answer that the product was in.
    request: Option<String>,
}

pub(super) async fn home(State(shop): State<Arc<Shop>>, login: Login) -> Html<String> {
    let visit = shop.sessions.with(&login, Visit::turn_page);
    let arm = visit.arm.as_deref();
    let bought = visit.bought.as_ref();
    let bought = bought.and_then(|item| shop.catalogue.get(item.as_str()));
    let ask = |wish: Wish, k| shop.pipeline.ask(wish.of(k), arm);
    let because = async {
        let bought = bought?;
        Some((bought, ask(Wish::LikeItem(bought.id.clone()), FEW).await))
    };
    let (for_you, because, popular, loaded) = tokio::join!(
        ask(Wish::For(visit.customer.clone()), MANY),
        because,
        ask(Wish::ForAnybody, MANY),
        shop.pipeline.variants(),
    );
    let why = why(&shop, &visit, &items(&for_you)).await;
    let customer = shop.customers.get(visit.customer.as_str());
    let home = Home {
        for_you: &for_you,
        regulars: customer.map_or(&[], |customer| &customer.regulars),
        because: because.as_ref().map(|(bought, asked)| (*bought, asked)),
        popular: &popular,
        catalogue: &shop.catalogue,
    };
    let mut asked = vec![("For you", &for_you)];
    asked.extend(because.as_ref().map(|(_, asked)| ("Because you bought", asked)));
    asked.push(("Popular", &popular));
    let panel = Panel {
        asked: &asked,
        why: &why,
        loaded: &loaded,
        visit: &visit,
        catalogue: &shop.catalogue,
        back: links::HOME,
    };
    page("Home", "", &visit, pages::home(&home), &panel)
}

pub(super) async fn search(
    State(shop): State<Arc<Shop>>,
    login: Login,
    Query(sought): Query<Sought>,
) -> Response {
    let text = sought.text.trim();
    if text.is_empty() {
        return Redirect::to(links::HOME).into_response();
    }
    let visit = shop.sessions.with(&login, Visit::turn_page);
    let (found, loaded) = tokio::join!(
        shop.pipeline
            .ask(Wish::LikeText(text.to_owned()).of(MANY), visit.arm.as_deref()),
        shop.pipeline.variants(),
    );
    let panel = Panel {
        asked: &[("Search", &found)],
        why: &Ok(Vec::new()),
        loaded: &loaded,
        visit: &visit,
        catalogue: &shop.catalogue,
        back: &links::search(text),
    };
    page(
        text,
        text,
        &visit,
        pages::results(text, &found, &shop.catalogue),
        &panel,
    )
    .into_response()
}

pub(super) async fn product(
    State(shop): State<Arc<Shop>>,
    login: Login,
    Path(id): Path<String>,
    Query(origin): Query<Origin>,
) -> Response {
    let request = origin.request;
    let Some(product) = shop.catalogue.get(&id) else {
        return nothing_here(Some(&shop.sessions.with(&login, Visit::turn_page)));
    };
    let (arm, looked) = shop.sessions.with(&login, |visit| {
        (visit.arm.clone(), visit.look(&product.id, request.clone()))
    });
    let ask = |wish: Wish| shop.pipeline.ask(wish.of(FEW), arm.as_deref());
    let (similar, together, loaded, ()) = tokio::join!(
        ask(Wish::LikeItem(product.id.clone())),
        ask(Wish::BoughtWith(product.id.clone())),
        shop.pipeline.variants(),
        shop.tell(&login, looked.into_iter().collect()),
    );
    // Only now, so that the panel shows what the pipeline was just told.
    let visit = shop.sessions.with(&login, Visit::turn_page);
    let why = why(&shop, &visit, std::slice::from_ref(&product.id)).await;
    let panel = Panel {
        asked: &[("Similar products", &similar), ("Bought together", &together)],
        why: &why,
        loaded: &loaded,
        visit: &visit,
        catalogue: &shop.catalogue,
        back: &links::product(&product.id, request.as_deref()),
    };
    let main = pages::product(product, request.as_deref(), &similar, &together, &shop.catalogue);
    page(&product.name, "", &visit, main, &panel).into_response()
}

/// What becomes of products in the front page's list for the customer.
async fn why(shop: &Shop, visit: &Visit, items: &[ItemId]) -> Result<Vec<Explanation>, String> {
    let arm = visit.arm.as_deref();
    shop.pipeline.explain(&visit.customer, items, MANY, arm).await
}

fn items(asked: &Asked) -> Vec<ItemId> {
    let items = asked.answer.iter().flat_map(|answer| &answer.items);
    items.map(|found| found.item.clone()).collect()
}

/// A page with what the pipeline said below it.
fn page(title: &str, query: &str, visit: &Visit, main: maud::Markup, panel: &Panel<'_>) -> Html<String> {
    let frame = Frame {
        title,
        visit: Some(visit),
        query,
        main,
        panel: Some(pages::panel(panel)),
    };
    Html(frame.render())
}
