//! What was typed, and what was meant.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use url::Url;

/// The folder of the data set, below that of all data.
const DATA_SET: &str = "complete-journey";

/// A small shop in the browser, fed by a running pipeline.
#[derive(Debug, Parser)]
#[command(name = "gondola-shop", version)]
pub struct Arguments {
    /// Address of the shop's pages.
    #[arg(long, env = "GONDOLA_SHOP_LISTEN", default_value = "127.0.0.1:8090")]
    listen: String,
    /// Where the pipeline answers questions.
    #[arg(long, env = "GONDOLA_SHOP_PIPELINE", default_value = "http://127.0.0.1:8080")]
    pipeline: Url,
    /// Where the pipeline takes interactions and lets one choose an arm: its admin port. Default: the port of questions.
    #[arg(long, env = "GONDOLA_SHOP_PIPELINE_ADMIN")]
    pipeline_admin: Option<Url>,
    /// The folder that has the folder complete-journey with the data set's Parquet files.
    #[arg(long, env = "GONDOLA_DATA")]
    data: PathBuf,
    /// Milliseconds that a page waits for the pipeline at most.
    #[arg(long, env = "GONDOLA_SHOP_PATIENCE_MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    patience_ms: u64,
    /// Filter of the log lines on stderr, for example `info`.
    #[arg(long, env = "GONDOLA_LOG", default_value = "info")]
    log: String,
}

impl Arguments {
    /// Starts to log to stderr: in color only on a terminal.
    pub fn start_log(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| {
            anyhow::anyhow!(
                "--log {:?} is not a valid filter: {error}; write for example info",
                self.log
            )
        })?;
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .init();
        Ok(())
    }
}

/// What was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address of the shop's pages.
    pub listen: String,
    /// Where questions are answered.
    pub questions: Url,
    /// Where interactions are taken, and arms may be chosen.
    pub changes: Url,
    /// The folder of the data set.
    pub data: PathBuf,
    /// How long a page waits for the pipeline.
    pub patience: Duration,
}

/// Why arguments make no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The pipeline is not reached over plain HTTP.
    #[error("{0} is not an address of a pipeline; write for example http://127.0.0.1:8080")]
    Pipeline(Url),
}

impl TryFrom<Arguments> for Config {
    type Error = ConfigError;

    fn try_from(arguments: Arguments) -> Result<Self, ConfigError> {
        let questions = base(arguments.pipeline)?;
        let changes = match arguments.pipeline_admin {
            Some(url) => base(url)?,
            None => questions.clone(),
        };
        Ok(Self {
            listen: arguments.listen,
            questions,
            changes,
            data: arguments.data.join(DATA_SET),
            patience: Duration::from_millis(arguments.patience_ms),
        })
    }
}

fn base(url: Url) -> Result<Url, ConfigError> {
    if url.scheme() != "http" || url.host().is_none() || url.path() != "/" {
        return Err(ConfigError::Pipeline(url));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Result<Config, ConfigError> {
        let all = [&["gondola-shop", "--data", "/data"], arguments].concat();
        Config::try_from(Arguments::try_parse_from(all).unwrap())
    }

    #[test]
    fn changes_go_where_questions_go_unless_said_otherwise() {
        let one = config(&["--pipeline", "http://shop:8080"]).unwrap();
        assert_eq!(one.changes, one.questions);
        let two = config(&[
            "--pipeline",
            "http://shop:8080",
            "--pipeline-admin",
            "http://admin:8081",
        ]);
        assert_eq!(two.unwrap().changes.as_str(), "http://admin:8081/");
        assert_eq!(one.data, PathBuf::from("/data/complete-journey"));
    }

    #[test]
    fn an_address_that_is_not_plain_http_is_refused() {
        for url in [
            "https://shop:8080",
            "http://shop/v1",
            "file:///srv",
            "shop.example:8080",
        ] {
            let error = config(&["--pipeline", url]).unwrap_err().to_string();
            assert!(
                error.contains("is not an address of a pipeline"),
                "{url}: {error}"
            );
        }
    }
}
