//! The Redis of a shop: a process with a folder of its own, and the store in it.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use gondola_feast::StoreSettings;
use gondola_online::redis::Redis as OnlineRedis;
use gondola_online::redis::connection::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::program::{Program, free_address};
use crate::shop::{Premises, SCOPE};

/// A Redis that writes each change to its file before it acknowledges it.
pub(crate) struct Redis {
    pub(crate) program: Program,
}

impl Redis {
    pub(crate) async fn start(premises: &Premises, work: &Path) -> anyhow::Result<Self> {
        let address = free_address().await?;
        let folder = work.join("redis");
        fs::create_dir_all(&folder)?;
        let (host, port) = address.split_once(':').context("an address has a port")?;
        let folder = folder.display().to_string();
        let mut command = premises.command(&premises.redis_server);
        let arguments = [
            "--bind",
            host,
            "--port",
            port,
            "--dir",
            &folder,
            "--appendonly",
            "yes",
            "--save",
            "",
        ];
        command.extend(arguments.map(str::to_owned));
        command.extend(premises.redis_arguments.iter().cloned());
        let program = Program::start(address, command, work.join("redis.log"))?;
        let mut redis = Self { program };
        redis.ready().await?;
        Ok(redis)
    }

    /// Waits until it has read its file and answers.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let address = self.program.address.clone();
        let answers = async || {
            ping(&address)
                .await
                .is_ok_and(|answer| answer.starts_with("+PONG"))
        };
        self.program.wait_until(answers).await
    }

    /// The store, as pods open it.
    pub(crate) fn store(&self) -> anyhow::Result<OnlineRedis> {
        let connection = Connection::of(StoreSettings {
            connection_string: self.program.address.clone(),
            ..StoreSettings::default()
        })?;
        Ok(OnlineRedis::new(connection, SCOPE))
    }
}

async fn ping(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
