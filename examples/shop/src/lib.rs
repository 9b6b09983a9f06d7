//! A small shop in the browser, fed by a running pipeline: what an integration of Gondola looks like from the shop's side.
//!
//! The shop has a catalogue, customers and prices of its own (Parquet files of The Complete Journey), and asks the pipeline over
//! HTTP for three things: what a customer should see, what is like an item, and what is like a text. What customers do goes back
//! as interactions, before the next page is made, so that the next page knows of it.
//!
//! The middle is pure: [`basket`], [`visit`] and [`cookies`] are values, `pages` makes markup of values. Around it are three rims: `server`
//! has the routes, [`pipeline`] the questions over HTTP, and `tables` the files. A question that fails is a value on its shelf,
//! and never costs a customer the page: search, product pages and the basket work without any pipeline.
//!
//! Pages are made with maud, which this workspace has already for its reports and experiments: markup is checked when it is compiled, every
//! text is escaped because its type is text, and a part of a page is a function. askama keeps pages in files of their own, which
//! pays where designers write them; here it would be a second template language in one workspace.
//!
//! Absent on purpose: scripts, cookies other than the one that keeps a customer logged in, anything from other hosts, passwords
//! (whoever reaches this shop may shop as anybody), a database (baskets live in memory), and TLS towards the pipeline.

pub mod arguments;
pub mod basket;
pub mod catalogue;
pub mod cookies;
pub mod customers;
pub mod money;
mod pages;
pub mod pipeline;
pub mod sales;
mod server;
pub mod sessions;
mod tables;
pub mod visit;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use arguments::Config;
use catalogue::Catalogue;
use customers::Customers;
use pipeline::Pipeline;
use sales::Sales;
use server::Shop;
use sessions::Sessions;

/// Reads the shop's files and serves its pages until `shutdown` ends.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
    let shop = Arc::new(open(&config)?);
    let listener = TcpListener::bind(&config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    info!(version = env!("CARGO_PKG_VERSION"), %address, pipeline = %config.questions, "the shop is open");
    axum::serve(listener, server::routes(shop))
        .with_graceful_shutdown(shutdown)
        .await
        .context("the server stopped")
}

fn open(config: &Config) -> anyhow::Result<Shop> {
    let started = Instant::now();
    let sales = Sales::read(&config.data)?;
    let catalogue = Catalogue::read(&config.data, &sales)?;
    let customers = Customers::read(&config.data, &sales)?;
    info!(
        products = catalogue.len(),
        customers = customers.len(),
        took = ?started.elapsed(),
        "the shop's files were read"
    );
    Ok(Shop {
        catalogue,
        customers,
        sessions: Sessions::default(),
        pipeline: Pipeline::new(config.questions.clone(), config.changes.clone(), config.patience),
    })
}

/// Ends when the process is asked to stop.
pub fn on_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
