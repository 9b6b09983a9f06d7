//! A Redis, and the real Feast beside it with a shop's features (`tests/feast/shop.py`).

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use gondola_feast::{EntityViews, HashField, KeyLayout};
use serde_json::{Value as Json, json};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/feast/shop.py");
/// What Feast says to people.
const LOG: &str = "feast.log";

/// A program that ends with this value.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `make test` sets.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which sets it"))
}

/// A Redis that keeps nothing on disk.
pub(crate) struct Redis {
    connection: redis::Connection,
    port: u16,
    _server: Program,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let program = variable("GONDOLA_REDIS_SERVER");
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = Command::new(&program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let server = Program(server);
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let started = Instant::now();
        let connection = loop {
            match client.get_connection() {
                Ok(connection) => break connection,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{program}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Self {
            connection,
            port,
            _server: server,
        }
    }

    /// The fields of an entity, in the order of the views.
    pub(crate) fn fields(
        &mut self,
        layout: &KeyLayout,
        views: &EntityViews,
        id: &str,
    ) -> Vec<Option<Vec<u8>>> {
        let mut command = redis::cmd("HMGET");
        command.arg(key(layout, views, id)).arg(views.hash_fields());
        command.query(&mut self.connection).unwrap()
    }

    pub(crate) fn set(&mut self, layout: &KeyLayout, views: &EntityViews, id: &str, fields: &[HashField]) {
        let mut command = redis::cmd("HSET");
        command.arg(key(layout, views, id));
        for (field, value) in fields {
            command.arg(field).arg(value);
        }
        command.exec(&mut self.connection).unwrap();
    }

    /// All keys that match a pattern.
    pub(crate) fn scan(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
        let mut command = redis::cmd("SCAN");
        command.cursor_arg(0).arg("MATCH").arg(pattern);
        let keys = command.iter(&mut self.connection).unwrap();
        keys.map(Result::unwrap).collect()
    }
}

fn key(layout: &KeyLayout, views: &EntityViews, id: &str) -> Vec<u8> {
    layout.redis_key(&views.entity_key(id).unwrap())
}

/// Feast, which does what it is told.
pub(crate) struct Feast {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    _program: Program,
}

impl Feast {
    pub(crate) fn start(redis: &Redis, key_version: u32) -> Self {
        let python = variable("GONDOLA_FEAST");
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join(LOG)).unwrap();
        let mut program = Command::new(&python)
            .arg(SHOP)
            .arg(folder.path())
            .args([redis.port.to_string(), key_version.to_string()])
            // It tells nobody that it was run.
            .env("FEAST_USAGE", "False")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{python} does not start: {error}"));
        Self {
            to: program.stdin.take().unwrap(),
            from: BufReader::new(program.stdout.take().unwrap()),
            folder,
            _program: Program(program),
        }
    }

    /// Applies, materializes and pushes. Gives the registry's bytes.
    pub(crate) fn fill(&mut self) -> Vec<u8> {
        let answer = self.ask(json!(["fill"]));
        std::fs::read(answer["registry"].as_str().unwrap()).unwrap()
    }

    /// The columns of a view for some ids.
    pub(crate) fn read(&mut self, view: &str, ids: &[&str]) -> Json {
        let mut command = vec!["read", view];
        command.extend(ids);
        self.ask(json!(command))["columns"].take()
    }

    fn ask(&mut self, command: Json) -> Json {
        writeln!(self.to, "{command}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
            panic!(
                "{command}: {error}
{log}"
            )
        })
    }
}
