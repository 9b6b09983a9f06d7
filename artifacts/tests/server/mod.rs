//! A program that serves a store to tests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that ends with this value.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts the program that the environment names in `variable`, with arguments for the port that it is to listen at, and waits
    /// until `make_room` is done. None where the environment names none; `target` of the Makefile does.
    pub(crate) fn start(
        variable: &str,
        target: &str,
        arguments: impl Fn(&str) -> Vec<String>,
        make_room: impl Fn(&Self) -> bool,
    ) -> Option<Self> {
        let Ok(program) = std::env::var(variable) else {
            eprintln!("not run: {variable} names no server; {target} sets it");
            return None;
        };
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new(&program)
            .args(arguments(&address.port().to_string()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let server = Self { process, address };
        let started = Instant::now();
        while !make_room(&server) {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{program} does not answer"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(server)
    }

    /// Whether a PUT without content, with headers of its own, is answered by this status.
    pub(crate) fn put(&self, place: &str, headers: &str, status: u16) -> bool {
        let Ok(mut connection) = TcpStream::connect(self.address) else {
            return false;
        };
        let request = format!(
            "PUT {place} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        let mut answer = String::new();
        connection.write_all(request.as_bytes()).is_ok()
            && connection.read_to_string(&mut answer).is_ok()
            && answer.starts_with(&format!("HTTP/1.1 {status}"))
    }
}
