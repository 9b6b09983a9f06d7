//! How Feast reaches its Redis: `online_store` of `feature_store.yaml`, above all its `connection_string`.
//!
//! A connection string is `host:port` once or more, and options `name=value`, with commas between them. Feast reads each value as JSON if
//! it is JSON: `"7"` is the text `7`, `true` is a truth, and `True` is a text. We read the same, and refuse what would surprise:
//! `ssl=False` turns TLS on in Feast, as every text does.
//!
//! Passwords are in no message and in no `Debug`; nor is anything else of an entry that can't be told from a part of one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Options that change nothing about what is read, or only how another client works.
const WITHOUT_EFFECT: [&str; 10] = [
    "client_name",
    "decode_responses",
    "encoding",
    "health_check_interval",
    "max_connections",
    "protocol",
    "retry_on_timeout",
    "skip_full_coverage_check",
    "socket_keepalive",
    "socket_read_size",
];

/// Options of Feast's client that we can't follow.
const UNSUPPORTED: [&str; 8] = [
    "cluster_error_retry_attempts",
    "credential_provider",
    "read_from_replicas",
    "ssl_ca_data",
    "ssl_ca_path",
    "ssl_password",
    "ssl_min_version",
    "unix_socket_path",
];

/// Redis has so many databases at most in practice; more is a slip.
const MAX_DATABASE: u32 = 65_535;

/// What kind of Redis it is: `redis_type` of `online_store`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum RedisType {
    /// One server.
    #[default]
    Redis,
    /// A cluster, of which the connection string names some nodes.
    RedisCluster,
    /// Sentinels, which name the server.
    RedisSentinel,
}

/// `online_store` as it stands in `feature_store.yaml`, with Feast's defaults.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// `connection_string`.
    pub connection_string: String,
    /// `redis_type`.
    pub redis_type: RedisType,
    /// `sentinel_master`.
    pub sentinel_master: String,
    /// `key_ttl_seconds`; 0 is the same as none.
    pub key_ttl_seconds: Option<u64>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            connection_string: "localhost:6379".to_owned(),
            redis_type: RedisType::Redis,
            sentinel_master: "mymaster".to_owned(),
            key_ttl_seconds: None,
        }
    }
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("redis_type", &self.redis_type)
            .field("sentinel_master", &self.sentinel_master)
            .field("key_ttl_seconds", &self.key_ttl_seconds)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection by these settings. Entries of the connection string are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// It names no server.
    #[error("connection_string names no server; begin it with host:port")]
    NoServer,
    /// An entry that is neither a server nor an option.
    #[error(
        "entry {entry} of connection_string is neither host:port nor option=value; a password with a comma can't be written there, and \
         neither can an IPv6 address"
    )]
    Entry {
        /// Which entry.
        entry: usize,
    },
    /// An option that nobody knows.
    #[error("entry {entry} of connection_string is an option that is not known; those that are: {}", KNOWN.join(", "))]
    UnknownOption {
        /// Which entry.
        entry: usize,
    },
    /// An option that is Feast's alone.
    #[error("option {option} of connection_string is not supported; leave it out")]
    Unsupported {
        /// Which option.
        option: &'static str,
    },
    /// An option has a value that it can't have.
    #[error("option {option} of connection_string must be {needed}")]
    Value {
        /// Which option.
        option: &'static str,
        /// What it can be.
        needed: &'static str,
    },
    /// One server too many.
    #[error(
        "connection_string names {servers} servers and redis_type is redis, for which Feast takes the first; leave the others out, or say redis_cluster or redis_sentinel"
    )]
    ManyServers {
        /// How many.
        servers: usize,
    },
    /// Clusters have one database.
    #[error(
        "option db of connection_string is {database}, and a redis_cluster has database 0 alone; leave it out"
    )]
    ClusterDatabase {
        /// Which database.
        database: u32,
    },
    /// Nobody to ask for.
    #[error("sentinel_master is empty; give the name under which the sentinels know the server")]
    NoMaster,
}

/// A password, which is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name or IPv4 address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Which servers there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One.
    Single(Server),
    /// Some of a cluster; they know the others.
    Cluster(Vec<Server>),
    /// Sentinels, which know the server of this name. Feast gives them neither password nor TLS: these are for the server.
    Sentinel {
        /// The sentinels.
        sentinels: Vec<Server>,
        /// The server's name.
        master: String,
    },
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// A file of certificates to trust (`ssl_ca_certs`); none where those of the system are trusted.
    pub ca_certs: Option<PathBuf>,
    /// A file with the client's certificate (`ssl_certfile`).
    pub certificate: Option<PathBuf>,
    /// A file with the client's key (`ssl_keyfile`).
    pub key: Option<PathBuf>,
    /// Whether whatever the server shows is trusted: `ssl_cert_reqs=none`.
    pub accepts_any_certificate: bool,
    /// Whether the certificate may be another host's: `ssl_check_hostname=false`.
    pub accepts_any_host: bool,
}

/// A connection, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Which servers.
    pub topology: Topology,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// As whom; none is Redis's default user.
    pub username: Option<String>,
    /// The password, if there is one.
    pub password: Option<Password>,
    /// Which database; 0 in a cluster.
    pub database: u32,
    /// How long connecting may take (`socket_connect_timeout`); none where nothing is said.
    pub connect_timeout: Option<Duration>,
    /// How long an answer may take (`socket_timeout`); none where nothing is said.
    pub answer_timeout: Option<Duration>,
    /// After how long an entity expires that nobody writes: each write sets it anew. None where entities stay.
    pub key_ttl: Option<Duration>,
}

impl Connection {
    /// Checks settings.
    pub fn check(settings: &StoreSettings) -> Result<Self, ConnectionError> {
        let mut servers = Vec::new();
        let mut options = Options::default();
        for (place, entry) in settings.connection_string.split(',').enumerate() {
            let number = place + 1;
            match entry.split_once('=') {
                None => servers.push(server(entry).ok_or(ConnectionError::Entry { entry: number })?),
                Some((name, value)) => options.set(number, name, value)?,
            }
        }
        let connection = options.connection(topology(servers, settings)?, settings.key_ttl_seconds);
        match (&connection.topology, connection.database) {
            (Topology::Cluster(_), database @ 1..) => Err(ConnectionError::ClusterDatabase { database }),
            _ => Ok(connection),
        }
    }
}

fn server(entry: &str) -> Option<Server> {
    let (host, port) = entry.split_once(':')?;
    let is_host = !host.is_empty() && !host.contains(char::is_whitespace);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    is_host.then(|| Server {
        host: host.to_owned(),
        port,
    })
}

fn topology(servers: Vec<Server>, settings: &StoreSettings) -> Result<Topology, ConnectionError> {
    let many = servers.len();
    match settings.redis_type {
        _ if many == 0 => Err(ConnectionError::NoServer),
        RedisType::Redis => match <[Server; 1]>::try_from(servers) {
            Ok([server]) => Ok(Topology::Single(server)),
            Err(_) => Err(ConnectionError::ManyServers { servers: many }),
        },
        RedisType::RedisCluster => Ok(Topology::Cluster(servers)),
        RedisType::RedisSentinel if settings.sentinel_master.is_empty() => Err(ConnectionError::NoMaster),
        RedisType::RedisSentinel => Ok(Topology::Sentinel {
            sentinels: servers,
            master: settings.sentinel_master.clone(),
        }),
    }
}

/// The options that we follow.
const KNOWN: [&str; 11] = [
    "db",
    "password",
    "socket_connect_timeout",
    "socket_timeout",
    "ssl",
    "ssl_ca_certs",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "username",
];

/// The options of a connection string, so far.
#[derive(Default)]
struct Options {
    ssl: bool,
    tls: Tls,
    username: Option<String>,
    password: Option<Password>,
    database: u32,
    connect_timeout: Option<Duration>,
    answer_timeout: Option<Duration>,
}

impl Options {
    fn set(&mut self, entry: usize, name: &str, value: &str) -> Result<(), ConnectionError> {
        if let Some(option) = UNSUPPORTED.into_iter().find(|option| *option == name) {
            return Err(ConnectionError::Unsupported { option });
        }
        if WITHOUT_EFFECT.contains(&name) {
            return Ok(());
        }
        let known = KNOWN.into_iter().find(|option| *option == name);
        let option = known.ok_or(ConnectionError::UnknownOption { entry })?;
        let needed = self.take(option, value);
        needed.map_err(|needed| ConnectionError::Value { option, needed })
    }

    /// Takes an option's value, or says what it must be.
    fn take(&mut self, option: &str, value: &str) -> Result<(), &'static str> {
        match option {
            "db" => self.database = database(value)?,
            "password" => self.password = text(value)?.map(Password),
            "username" => self.username = text(value)?,
            "socket_connect_timeout" => self.connect_timeout = timeout(value)?,
            "socket_timeout" => self.answer_timeout = timeout(value)?,
            "ssl" => self.ssl = truth(value)?,
            "ssl_ca_certs" => self.tls.ca_certs = text(value)?.map(PathBuf::from),
            "ssl_certfile" => self.tls.certificate = text(value)?.map(PathBuf::from),
            "ssl_keyfile" => self.tls.key = text(value)?.map(PathBuf::from),
            "ssl_check_hostname" => self.tls.accepts_any_host = !truth(value)?,
            "ssl_cert_reqs" => self.tls.accepts_any_certificate = accepts_any(value)?,
            _ => {}
        }
        Ok(())
    }

    fn connection(self, topology: Topology, key_ttl_seconds: Option<u64>) -> Connection {
        Connection {
            topology,
            tls: self.ssl.then_some(self.tls),
            username: self.username,
            password: self.password,
            database: self.database,
            connect_timeout: self.connect_timeout,
            answer_timeout: self.answer_timeout,
            key_ttl: key_ttl_seconds
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        }
    }
}

fn truth(value: &str) -> Result<bool, &'static str> {
    match value.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false, in lower case: Feast takes every other text for true"),
    }
}

fn database(value: &str) -> Result<u32, &'static str> {
    let number = value.trim().parse().ok();
    let number = number.filter(|number| *number <= MAX_DATABASE);
    number.ok_or("the number of a database, such as 0")
}

fn timeout(value: &str) -> Result<Option<Duration>, &'static str> {
    if value.trim() == "null" {
        return Ok(None);
    }
    let seconds = value.trim().parse().ok();
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match timeout {
        Some(timeout) if !timeout.is_zero() => Ok(Some(timeout)),
        _ => Err("a number of seconds, such as 0.5"),
    }
}

fn accepts_any(value: &str) -> Result<bool, &'static str> {
    match text(value)?.as_deref() {
        Some("none") => Ok(true),
        Some("required") => Ok(false),
        _ => Err("required or none"),
    }
}

/// A text as Feast reads it: without its quotes if it is JSON's, and the digits of a whole number. What JSON reads as something else
/// would reach Redis as another text than the one that was written.
fn text(value: &str) -> Result<Option<String>, &'static str> {
    const IN_QUOTES: &str = "in double quotes, as Feast takes it for JSON that is not a text";
    match serde_json::from_str(value) {
        // What Python's reader of JSON takes for numbers beyond JSON's own.
        Err(_) if matches!(value.trim(), "NaN" | "Infinity" | "-Infinity") => Err(IN_QUOTES),
        Err(_) => Ok(not_empty(value.to_owned())),
        Ok(serde_json::Value::Null) => Ok(None),
        Ok(serde_json::Value::String(text)) => Ok(not_empty(text)),
        Ok(_) if is_whole(value.trim()) => Ok(Some(value.trim().to_owned())),
        Ok(_) => Err(IN_QUOTES),
    }
}

/// An empty text is none, as for Feast's client.
fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Whether JSON has a whole number here that Python prints as it is written.
fn is_whole(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    value != "-0" && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
