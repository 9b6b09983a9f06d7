//! `gondola-shop`: a small shop in the browser, fed by a running pipeline.

use std::process::ExitCode;

use clap::Parser as _;
use gondola_causes::with_causes;
use gondola_shop::arguments::{Arguments, Config};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gondola-shop: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.start_log()?;
    let config = Config::try_from(arguments)?;
    gondola_shop::run(config, gondola_shop::on_signal()?).await
}
