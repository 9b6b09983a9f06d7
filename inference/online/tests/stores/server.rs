//! A Redis of our own: Debian's, or any that GONDOLA_REDIS_SERVER names.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gondola_feast::StoreSettings;
use gondola_online::redis::Redis;
use gondola_online::redis::connection::Connection;
use tempfile::TempDir;

/// A server, which ends with this value.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    options: Vec<String>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one with these options; what it holds is on disk when it is acknowledged, as far as a killed process goes.
    pub(crate) async fn start(options: &[&str]) -> Self {
        Self::start_as(None, options).await
    }

    async fn start_as(config: Option<&str>, options: &[&str]) -> Self {
        let port = free_port().parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let options: Vec<String> = config.into_iter().map(str::to_owned).chain(options).collect();
        let child = spawn(port, folder.path(), &options);
        let mut server = Self {
            child,
            port,
            options,
            folder,
        };
        server.wait().await;
        server
    }

    /// Starts a sentinel by its file.
    pub(crate) async fn sentinel(config: &Path) -> Self {
        let config = config.to_str().expect("a path of ours is text");
        Self::start_as(Some(config), &["--sentinel"]).await
    }

    /// The value of an option that it was started with.
    pub(crate) fn option(&self, name: &str) -> String {
        let place = self.options.iter().position(|option| option == name);
        self.options[place.unwrap() + 1].clone()
    }

    /// Where it is, as a connection string.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A store in it.
    pub(crate) fn store(&self) -> Redis {
        self.store_of(&self.address())
    }

    /// A store by a connection string.
    pub(crate) fn store_of(&self, connection_string: &str) -> Redis {
        let settings = StoreSettings {
            connection_string: connection_string.to_owned(),
            ..StoreSettings::default()
        };
        Redis::new(Connection::of(settings).unwrap(), "shop/grocery")
    }

    /// Kills it, as a lost node does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after it was killed.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.port, self.folder.path(), &self.options);
        self.wait().await;
    }

    async fn wait(&mut self) {
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "redis-server ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not listen within 5 seconds");
    }

    /// Runs a command, as another program would.
    pub(crate) async fn run(&self, command: &[&str]) -> redis::Value {
        let mut run = redis::cmd(command[0]);
        run.arg(&command[1..]);
        self.send(run).await
    }

    /// The same, of a command with bytes.
    pub(crate) async fn send(&self, command: redis::Cmd) -> redis::Value {
        let client = redis::Client::open(format!("redis://{}", self.address())).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    }
}

/// A port that nobody listens at.
pub(crate) fn free_port() -> String {
    let bound = TcpListener::bind("127.0.0.1:0").unwrap();
    bound.local_addr().unwrap().port().to_string()
}

fn spawn(port: u16, folder: &Path, options: &[String]) -> Child {
    let program = std::env::var("GONDOLA_REDIS_SERVER")
        .expect("GONDOLA_REDIS_SERVER names the program redis-server; `make test` sets it");
    // A configuration file comes first, and says for itself what is kept.
    let (config, options) = match options.split_first() {
        Some((first, rest)) if !first.starts_with("--") => (Some(first), rest),
        _ => (None, options),
    };
    let kept: &[&str] = match config {
        Some(_) => &[],
        // By default Redis answers before it has written where the disk is busy, and loses that when it is killed.
        None => &["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
    };
    Command::new(program)
        .args(config)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(kept)
        .arg("--dir")
        .arg(folder)
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server can be started")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
