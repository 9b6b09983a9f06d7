//! A connection that is made when it is needed, and anew when it breaks.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use gondola_causes::with_causes;
use gondola_feast::{Connection as Checked, Server, Tls, Topology};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates, TlsMode,
    Value, cmd,
};

use super::connection::Connection;
use crate::store::StoreError;

/// How long connecting may take where the connection says nothing.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Keys that a step of a scan looks at, about: Redis does nothing else meanwhile, some tenths of a millisecond.
const KEYS_AT_ONCE: usize = 1_000;
/// After a connection could not be made, the next attempt waits so long.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// A reply of its own for each command.
type Replies = Vec<Result<Value, RedisError>>;

/// A connection, however often it breaks. Many requests share it, one after the other without waiting for each other's replies.
pub(super) struct Link {
    connection: Connection,
    open: Mutex<Option<Open>>,
    /// One makes a new connection, and the others wait for it; holds when the last attempt failed.
    opening: tokio::sync::Mutex<Option<(Instant, String)>>,
    /// Whether the server at the other end may be another one.
    renewed: AtomicBool,
}

#[derive(Clone)]
struct Open {
    place: String,
    to: Servers,
}

#[derive(Clone)]
enum Servers {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            open: Mutex::new(None),
            opening: tokio::sync::Mutex::new(None),
            renewed: AtomicBool::new(false),
        }
    }

    /// Whether the connection was made after [`is_known`](Self::is_known) last: by what it says, the server may be another one.
    pub(super) fn is_new(&self) -> bool {
        self.renewed.load(Ordering::Relaxed)
    }

    /// From now on the server at the other end is known.
    pub(super) fn is_known(&self) {
        self.renewed.store(false, Ordering::Relaxed);
    }

    /// Runs one command.
    pub(super) async fn one(&self, command: Cmd, within: Duration) -> Result<Value, StoreError> {
        let replies = self.all(vec![command], within).await?;
        Ok(replies.into_iter().next().unwrap_or_default())
    }

    /// Runs commands, of which none may fail.
    pub(super) async fn all(&self, commands: Vec<Cmd>, within: Duration) -> Result<Vec<Value>, StoreError> {
        let replies = self.each(commands, within).await?;
        replies
            .into_iter()
            .map(|reply| self.reply(reply, || "one of its keys".to_owned()))
            .collect()
    }

    /// Runs commands in one round trip, and gives what came of each.
    pub(super) async fn each(&self, commands: Vec<Cmd>, within: Duration) -> Result<Replies, StoreError> {
        let open = self.open().await?;
        let late = || format!("no answer within {within:?}");
        self.within(within, &open, open.run(commands), late).await
    }

    /// All keys that match a pattern, of all primaries; one that is there all the while is found, maybe twice.
    pub(super) async fn scan(&self, pattern: &[u8], within: Duration) -> Result<Vec<Vec<u8>>, StoreError> {
        let open = self.open().await?;
        let late = || format!("no end of its keys within {within:?}");
        self.within(within, &open, open.scan(pattern), late).await
    }

    /// What comes over a connection, which is closed where nothing does.
    async fn within<T>(
        &self,
        within: Duration,
        open: &Open,
        run: impl Future<Output = Result<T, RedisError>>,
        late: impl Fn() -> String,
    ) -> Result<T, StoreError> {
        let error = match tokio::time::timeout(within, run).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => refusal(&open.place, &error, || "one of its keys".to_owned()),
            Err(_) => away(&open.place, late()),
        };
        self.close();
        Err(error)
    }

    /// A reply, or what its error means; `key` names what it is about.
    pub(super) fn reply(
        &self,
        reply: Result<Value, RedisError>,
        key: impl Fn() -> String,
    ) -> Result<Value, StoreError> {
        reply.map_err(|error| {
            // A server that lost its part or its memory of us is found again by a new connection.
            if is_about_the_server(&error) {
                self.close();
            }
            refusal(&self.place(), &error, key)
        })
    }

    /// A reply in the form that it should have.
    pub(super) fn read<T>(
        &self,
        reply: Value,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<T, StoreError> {
        let shown = format!("{reply:?}");
        read(reply).ok_or_else(|| StoreError::Refused {
            place: self.place(),
            problem: format!(
                "its answer {shown:.100} is of another form; is it Redis 5 or later, or Valkey?"
            ),
        })
    }

    fn place(&self) -> String {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map_or_else(String::new, |open| open.place.clone())
    }

    fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn opened(&self) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn open(&self) -> Result<Open, StoreError> {
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        let mut last_failure = self.opening.lock().await;
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        let checked = self.connection.now()?;
        let place = place(&checked.topology);
        if let Some((when, problem)) = last_failure.as_ref()
            && when.elapsed() < BETWEEN_ATTEMPTS
        {
            return Err(away(&place, problem.clone()));
        }
        let within = checked.connect_timeout.unwrap_or(CONNECT_WITHIN);
        let connected = tokio::time::timeout(within, connect(&checked)).await;
        let connected = connected.unwrap_or_else(|_| Err(Failure::Late(within)));
        match connected {
            Ok(to) => {
                let open = Open { place, to };
                *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.clone());
                *last_failure = None;
                self.renewed.store(true, Ordering::Relaxed);
                Ok(open)
            }
            Err(failure) => {
                let error = failure.of(&place);
                *last_failure = Some((Instant::now(), with_causes(&error)));
                Err(error)
            }
        }
    }
}

impl Open {
    async fn run(&self, commands: Vec<Cmd>) -> Result<Replies, RedisError> {
        match &self.to {
            Servers::One(connection) => in_a_pipeline(commands, connection.clone()).await,
            Servers::Cluster(connection) => Ok(side_by_side(&commands, connection).await),
        }
    }

    async fn scan(&self, pattern: &[u8]) -> Result<Vec<Vec<u8>>, RedisError> {
        match &self.to {
            Servers::One(connection) => scan_one(pattern, connection.clone()).await,
            Servers::Cluster(connection) => scan_cluster(pattern, connection.clone()).await,
        }
    }
}

/// A step of a scan: the cursor from which it goes on, 0 at the end, and keys.
type Step = (u64, Vec<Vec<u8>>);

fn scan_from(cursor: u64, pattern: &[u8]) -> Cmd {
    let mut scan = cmd("SCAN");
    scan.arg(cursor)
        .arg("MATCH")
        .arg(pattern)
        .arg("COUNT")
        .arg(KEYS_AT_ONCE);
    scan
}

async fn scan_one(pattern: &[u8], mut connection: MultiplexedConnection) -> Result<Vec<Vec<u8>>, RedisError> {
    let (mut cursor, mut keys) = (0, Vec::new());
    loop {
        let found: Vec<Vec<u8>>;
        (cursor, found) = scan_from(cursor, pattern).query_async(&mut connection).await?;
        keys.extend(found);
        if cursor == 0 {
            return Ok(keys);
        }
    }
}

/// The first step goes to all primaries, and its answer says who they are; the others go to each by its address.
async fn scan_cluster(pattern: &[u8], mut connection: ClusterConnection) -> Result<Vec<Vec<u8>>, RedisError> {
    let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    let first = connection.route_command(scan_from(0, pattern), all).await?;
    let mut keys = Vec::new();
    for (address, (mut cursor, found)) in HashMap::<String, Step>::from_redis_value(first)? {
        keys.extend(found);
        let node = node_at(&address)?;
        while cursor != 0 {
            let there = RoutingInfo::SingleNode(node.clone());
            let step = connection
                .route_command(scan_from(cursor, pattern), there)
                .await?;
            let found: Vec<Vec<u8>>;
            (cursor, found) = Step::from_redis_value(step)?;
            keys.extend(found);
        }
    }
    Ok(keys)
}

fn node_at(address: &str) -> Result<SingleNodeRoutingInfo, RedisError> {
    let node = address.rsplit_once(':').and_then(|(host, port)| {
        Some(SingleNodeRoutingInfo::ByAddress {
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    });
    let wrong = (ErrorKind::Parse, "a node of the cluster has no port");
    node.ok_or_else(|| RedisError::from(wrong))
}

async fn in_a_pipeline(
    commands: Vec<Cmd>,
    mut connection: MultiplexedConnection,
) -> Result<Replies, RedisError> {
    let count = commands.len();
    let mut pipeline = Pipeline::with_capacity(count);
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline.ignore_errors();
    let replies = connection.req_packed_commands(&pipeline, 0, count).await?;
    Ok(replies.into_iter().map(Value::extract_error).collect())
}

/// Each key may be on another server, so that there is no one pipeline.
async fn side_by_side(commands: &[Cmd], connection: &ClusterConnection) -> Replies {
    let run = async |command: &Cmd| {
        let reply = connection.clone().req_packed_command(command).await;
        reply.and_then(Value::extract_error)
    };
    join_all(commands.iter().map(run)).await
}

/// Why there is no connection.
enum Failure {
    Late(Duration),
    Redis(RedisError),
    File(StoreError),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Failure {
    fn of(self, place: &str) -> StoreError {
        match self {
            Self::Late(within) => away(place, format!("no connection within {within:?}")),
            Self::Redis(error) => refusal(place, &error, || "one of its keys".to_owned()),
            Self::File(error) => error,
        }
    }
}

async fn connect(to: &Checked) -> Result<Servers, Failure> {
    match &to.topology {
        Topology::Single(server) => {
            let info = address(server, to.tls.as_ref()).into_connection_info()?;
            let info = info.set_redis_settings(who(to));
            let client = match certificates(to.tls.as_ref())? {
                Some(certificates) => Client::build_with_tls(info, certificates)?,
                None => Client::open(info)?,
            };
            Ok(Servers::One(
                client
                    .get_multiplexed_async_connection_with_config(&no_timeouts())
                    .await?,
            ))
        }
        Topology::Cluster(servers) => {
            let addresses = servers.iter().map(|server| address(server, to.tls.as_ref()));
            let mut builder = ClusterClientBuilder::new(addresses);
            if let Some(username) = &to.username {
                builder = builder.username(username);
            }
            if let Some(password) = &to.password {
                builder = builder.password(password.reveal());
            }
            if let Some(tls) = &to.tls {
                builder = builder.tls(tls_mode(tls));
            }
            if let Some(certificates) = certificates(to.tls.as_ref())? {
                builder = builder.certs(certificates);
            }
            Ok(Servers::Cluster(builder.build()?.get_async_connection().await?))
        }
        Topology::Sentinel { sentinels, master } => {
            let addresses = sentinels.iter().map(|server| address(server, to.tls.as_ref()));
            let kind = SentinelServerType::Master;
            let mut builder = SentinelClientBuilder::new(addresses, master, kind)?
                .set_client_to_redis_db(i64::from(to.database));
            if let Some(username) = &to.username {
                builder = builder.set_client_to_redis_username(username);
            }
            if let Some(password) = &to.password {
                builder = builder.set_client_to_redis_password(password.reveal());
            }
            if let Some(tls) = &to.tls {
                builder = builder
                    .set_client_to_redis_tls_mode(tls_mode(tls))
                    .set_client_to_sentinel_tls_mode(tls_mode(tls));
                if let Some(certificates) = certificates(Some(tls))? {
                    builder = builder
                        .set_client_to_redis_certificates(certificates.clone())
                        .set_client_to_sentinel_certificates(certificates);
                }
            }
            let mut client = builder.build()?;
            let connection = client.get_async_connection_with_config(&no_timeouts()).await?;
            Ok(Servers::One(connection))
        }
    }
}

/// Every call here has a limit of its own.
fn no_timeouts() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
}

fn address(server: &Server, tls: Option<&Tls>) -> ConnectionAddr {
    let host = server.host.clone();
    match tls {
        None => ConnectionAddr::Tcp(host, server.port),
        Some(tls) => ConnectionAddr::TcpTls {
            host,
            port: server.port,
            insecure: tls.accepts_any_certificate,
            tls_params: None,
        },
    }
}

fn who(to: &Checked) -> RedisConnectionInfo {
    let mut who = RedisConnectionInfo::default().set_db(i64::from(to.database));
    if let Some(username) = &to.username {
        who = who.set_username(username);
    }
    if let Some(password) = &to.password {
        who = who.set_password(password.reveal());
    }
    who
}

fn tls_mode(tls: &Tls) -> TlsMode {
    match tls.accepts_any_certificate {
        true => TlsMode::Insecure,
        false => TlsMode::Secure,
    }
}

fn certificates(tls: Option<&Tls>) -> Result<Option<TlsCertificates>, Failure> {
    let Some(tls) = tls else {
        return Ok(None);
    };
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|error| {
            Failure::File(StoreError::Connection {
                problem: format!(
                    "{} can't be read: {error}; name a file that the pod has",
                    path.display()
                ),
            })
        })
    };
    let client_tls = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => Some(ClientTlsConfig {
            client_cert: read(certificate)?,
            client_key: read(key)?,
        }),
        _ => None,
    };
    let root_cert = tls.ca_certs.as_ref().map(read).transpose()?;
    Ok(match (&client_tls, &root_cert) {
        (None, None) => None,
        _ => Some(TlsCertificates {
            client_tls,
            root_cert,
        }),
    })
}

fn place(topology: &Topology) -> String {
    let named = |servers: &[Server]| {
        let names: Vec<String> = servers
            .iter()
            .map(|Server { host, port }| format!("{host}:{port}"))
            .collect();
        names.join(", ")
    };
    match topology {
        Topology::Single(server) => named(std::slice::from_ref(server)),
        Topology::Cluster(servers) => named(servers),
        Topology::Sentinel { sentinels, master } => format!("{master} of {}", named(sentinels)),
    }
}

fn away(place: &str, problem: String) -> StoreError {
    StoreError::Away {
        place: place.to_owned(),
        problem,
    }
}

/// Whether another server, or the same later, may do what this one refused.
fn is_about_the_server(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, NoPerm, ReadOnly};
    let kinds = [BusyLoading, ClusterDown, MasterDown, Moved, NoPerm, ReadOnly];
    kinds.into_iter().any(|kind| error.kind() == kind.into()) || error.is_io_error()
}

/// What an error of Redis means, and the way out.
fn refusal(place: &str, error: &RedisError, key: impl Fn() -> String) -> StoreError {
    let place = place.to_owned();
    let away = |problem: String| StoreError::Away {
        place: place.clone(),
        problem,
    };
    let refused = |problem: String| StoreError::Refused {
        place: place.clone(),
        problem,
    };
    let code = match error.kind() {
        // As the client has it after a login of its own.
        ErrorKind::AuthenticationFailed => Some("WRONGPASS"),
        _ => error.code(),
    };
    match code {
        Some("LOADING") => away("it is loading its data; wait until it has".to_owned()),
        Some("MOVED" | "ASK" | "CROSSSLOT") => {
            refused("it is one server of a cluster; set the type of the connection to a cluster".to_owned())
        }
        Some("OOM") => refused(
            "it is out of memory and takes nothing more; raise its maxmemory, or let keys expire".to_owned(),
        ),
        Some("WRONGTYPE") => StoreError::Damaged {
            what: key(),
            problem: format!(
                "{} is of another type, so that something else uses that name; give this pipeline a database of its own",
                key()
            ),
        },
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => refused(format!(
            "it does not accept the user and the password of the connection string ({}); correct the Secret",
            code.unwrap_or_default()
        )),
        Some("READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN") => away(format!(
            "it can't be written now ({}); wait until it has a primary again",
            error.code().unwrap_or_default()
        )),
        Some("MISCONF") => refused("it can't write its data to disk; look at its log".to_owned()),
        _ => away(with_causes(error)),
    }
}
