//! Where and how a program serves: its options, with their defaults.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args;
use gondola_wire::variables;

use crate::access::arguments::AccessArguments;
use crate::connections::Limits;
use crate::front::{Deadlines, Destination, Front};
use crate::ports::{ArmHeader, MainPort};
use crate::program::on_signal;
use crate::traces::arguments::TraceArguments;
use crate::{Drain, Opening, Server};

/// Where and how a server serves.
#[derive(Debug, Args)]
pub struct ServerArguments {
    /// Address for HTTP and gRPC.
    #[arg(long, env = variables::LISTEN, default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Address for everything other than questions: changes, outcomes, metrics, health. Default: everything is on one
    /// port.
    #[arg(long, env = variables::ADMIN_LISTEN)]
    admin_listen: Option<String>,
    /// Lets any client of a router choose an arm of the experiment with the header x-gondola-arm on the main port; the
    /// admin port always honors it.
    #[arg(long, env = variables::ALLOW_ARM_HEADER)]
    allow_arm_header: bool,
    /// Milliseconds that a question without a deadline of its own may take.
    #[arg(long, env = variables::DEADLINE_MS, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    deadline_ms: u64,
    /// Maximum number of open connections per port; further ones wait.
    #[arg(long, env = variables::MAX_CONNECTIONS, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Most questions that a router answers at once; more are refused with 429. Default: 64 per core. It answers fewer, down to an
    /// eighth, while they take more than a tenth of their time, or a variant's queue is full.
    #[arg(long, env = variables::MAX_QUESTIONS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_questions: Option<u32>,
    /// Seconds after which a client is asked to reconnect, plus or minus a fifth; 0 means never.
    #[arg(long, env = variables::CONNECTION_AGE_SECONDS, default_value_t = 0)]
    connection_age_seconds: u64,
    /// Seconds between the stop signal, when readiness ends, and refusing new connections. Meanwhile clients are asked
    /// to reconnect elsewhere.
    #[arg(long, env = variables::DRAIN_NOTICE_SECONDS, default_value_t = 0)]
    drain_notice_seconds: u64,
    /// Seconds that running requests have to finish after that.
    #[arg(long, env = variables::DRAIN_SECONDS, default_value_t = 30)]
    drain_seconds: u64,
    // Many, and most of them are left out.
    #[command(flatten)]
    access: Box<AccessArguments>,
    #[command(flatten)]
    traces: Box<TraceArguments>,
}

impl ServerArguments {
    /// Listens for a router, whose main port is for questions alone where there is an admin port.
    pub async fn bind_router(&self) -> anyhow::Result<Server> {
        let arm_header = match (self.allow_arm_header, self.access.signs_arms()) {
            (true, _) => ArmHeader::Honored,
            (false, true) => ArmHeader::Signed,
            (false, false) => ArmHeader::Ignored,
        };
        self.bind(MainPort::Questions(arm_header), Some(self.questions()))
            .await
    }

    /// Listens for a variant, which routers alone reach.
    pub async fn bind_variant(&self) -> anyhow::Result<Server> {
        self.bind(MainPort::Everything, None).await
    }

    /// How many questions a router answers at once at most: what it hands on takes some milliseconds, and a core does some hundred a
    /// second. How many are in time is for the room to find out: most of the work is done elsewhere.
    fn questions(&self) -> usize {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        self.max_questions.map_or(64 * cores, |most| most as usize)
    }

    /// Listens, so that an address in use is known before anything is loaded.
    async fn bind(&self, main: MainPort, questions: Option<usize>) -> anyhow::Result<Server> {
        let mut front = Front::new(Deadlines {
            ask: Duration::from_millis(self.deadline_ms),
            ..Deadlines::default()
        })
        .with_arm_key(self.access.arm_key()?);
        if let Some(most) = questions {
            front = front.with_room_for(most);
        }
        let age = self.connection_age_seconds;
        let limits = Limits {
            most: self.max_connections as usize,
            age: (age > 0).then(|| Duration::from_secs(age)),
            ..Limits::default()
        };
        let server = Server::bind(&self.listen, front).await?;
        let server = server.with_limits(limits).with_guard(self.access.guard()?);
        let server = match self.access.tls()? {
            Some(tls) => server.with_tls(tls),
            None => server,
        };
        match &self.admin_listen {
            Some(admin) => Ok(server.with_admin(admin, main).await?),
            None => Ok(server),
        }
    }

    /// Serves, not ready at first, until `load` gives what answers; `announce` prints the address. Ends on SIGTERM and
    /// SIGINT.
    pub async fn serve(
        &self,
        server: Server,
        load: impl Future<Output = anyhow::Result<(Destination, String)>>,
    ) -> anyhow::Result<()> {
        let drain = Drain {
            notice: Duration::from_secs(self.drain_notice_seconds),
            patience: Duration::from_secs(self.drain_seconds),
        };
        let address = server.address()?;
        let admin = server.admin_address()?;
        let scheme = self.access.scheme();
        let _export = self.traces.start()?;
        let admin = admin.map_or_else(String::new, |admin| {
            format!("everything else at {scheme}://{admin}\n")
        });
        let opening: Opening = server.opening();
        let serving = server.serve(drain, on_signal()?);
        tokio::pin!(serving);
        let (destination, message) = tokio::select! {
            stopped = &mut serving => return Ok(stopped?),
            loaded = load => loaded?,
        };
        opening.open(destination).await;
        println!("{message}{admin}ready at {scheme}://{address} (HTTP and gRPC)");
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "ready");
        serving.await?;
        tracing::info!("stopped: every request was answered");
        Ok(())
    }
}
