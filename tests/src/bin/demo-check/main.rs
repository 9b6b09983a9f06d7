//! Asks a pipeline as its clients would, over HTTP and gRPC, and checks what it answers.
//!
//! `demo-check -- COMMAND...` runs the command with a free port as its `--listen`, waits until it is ready, asks, and stops
//! it again; `demo-check --url http://HOST:PORT` asks one that serves already. The first answer that is not as it should
//! be ends the check, with what was asked and what came back.

mod asks;
mod grpc;

use anyhow::{Context, bail};
use clap::Parser;

use gondola_tests::server::Server;

/// Asks a pipeline as its clients would and checks the answers.
#[derive(Debug, Parser)]
struct Args {
    /// A pipeline that serves already, as http://HOST:PORT.
    #[arg(long, conflicts_with = "command", required_unless_present = "command")]
    url: Option<String>,
    /// The program that serves the pipeline, and its arguments; `--listen` is added.
    #[arg(last = true)]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(url) = &args.url {
        let address = url
            .strip_prefix("http://")
            .context("the URL must begin with http://")?;
        return asks::all(address.trim_end_matches('/')).await;
    }
    let server = Server::start(&args.command).await?;
    asks::all(&server.address).await?;
    let status = server.stop().await?;
    if !status.success() {
        bail!("the pipeline did not drain in peace after SIGTERM: {status}");
    }
    println!("ok: it drained after SIGTERM and ended with {status}");
    Ok(())
}
