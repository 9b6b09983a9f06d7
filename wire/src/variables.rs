//! Names of the variables by which programs are set up: the operator writes them, the programs of the data plane read them, and
//! people do both.

/// One constant for each variable, and all of them in [`ALL`].
macro_rules! variables {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)+) => {
        $($(#[$doc])* pub const $constant: &str = $name;)+

        /// Every variable.
        pub const ALL: &[&str] = &[$($constant),+];
    };
}

/// What all of them begin with: reserved, so that no pipeline can set one for its pods.
pub const PREFIX: &str = "GONDOLA_";

variables! {
    /// Address for everything that is not a question: changes, outcomes, metrics, health.
    ADMIN_LISTEN = "GONDOLA_ADMIN_LISTEN";
    /// Whether any client of a router may ask for an arm of the experiment.
    ALLOW_ARM_HEADER = "GONDOLA_ALLOW_ARM_HEADER";
    /// Folder of API keys: a file for each client.
    API_KEYS = "GONDOLA_API_KEYS";
    /// A file, or a folder with the file arm-key, that forced arms are signed with.
    ARM_KEY = "GONDOLA_ARM_KEY";
    /// `spec.artifacts` that a resolver was made for, as JSON.
    ARTIFACTS = "GONDOLA_ARTIFACTS";
    /// Folder in which fetched bundles are kept.
    BUNDLES = "GONDOLA_BUNDLES";
    /// Authorities that clients' certificates must be signed by.
    CLIENT_CA = "GONDOLA_CLIENT_CA";
    /// Folder of the certificate that a router shows to variants.
    CLIENT_TLS = "GONDOLA_CLIENT_TLS";
    /// Number of requests of one client that are answered at once.
    CONCURRENCY_PER_CLIENT = "GONDOLA_CONCURRENCY_PER_CLIENT";
    /// Seconds after which a client is asked to make a new connection.
    CONNECTION_AGE_SECONDS = "GONDOLA_CONNECTION_AGE_SECONDS";
    /// Origins whose pages may ask.
    CORS_ORIGIN = "GONDOLA_CORS_ORIGIN";
    /// Folder of the credentials of the bundles' store: a file for each setting.
    CREDENTIALS = "GONDOLA_CREDENTIALS";
    /// Folder or URL of a data set's files.
    DATA = "GONDOLA_DATA_FOLDER";
    /// Milliseconds that a question may take which brings no deadline of its own.
    DEADLINE_MS = "GONDOLA_DEADLINE_MS";
    /// Seconds from the signal to stop until new connections are refused.
    DRAIN_NOTICE_SECONDS = "GONDOLA_DRAIN_NOTICE_SECONDS";
    /// Seconds that requests have to end after that.
    DRAIN_SECONDS = "GONDOLA_DRAIN_SECONDS";
    /// Folder or URL of a sentence encoder's files.
    ENCODER = "GONDOLA_ENCODER";
    /// Folder of the credentials of the store of events.
    EVENTS_CREDENTIALS = "GONDOLA_EVENTS_CREDENTIALS";
    /// Where an S3-compatible store of events answers.
    EVENTS_ENDPOINT = "GONDOLA_EVENTS_ENDPOINT";
    /// How long events are gathered until they are uploaded.
    EVENTS_FLUSH = "GONDOLA_EVENTS_FLUSH";
    /// Folder for events that are not in the store yet, and for what the analysis works on.
    EVENTS_FOLDER = "GONDOLA_EVENTS_FOLDER";
    /// URL of the store of exposures and outcomes.
    EVENTS_URL = "GONDOLA_EVENTS_URL";
    /// The ConfigMap that the analyzer reports in.
    EVIDENCE_CONFIG_MAP = "GONDOLA_EVIDENCE_CONFIG_MAP";
    /// Address of the experiment's page, on one machine.
    EXPERIMENT_LISTEN = "GONDOLA_EXPERIMENT_LISTEN";
    /// The manifest of a pipeline, on one machine.
    FILE = "GONDOLA_FILE";
    /// Number of requests that a variant with a device answers together.
    GATHER = "GONDOLA_GATHER";
    /// Microseconds that a request to a variant with a device waits for others.
    GATHER_WAIT_US = "GONDOLA_GATHER_WAIT_US";
    /// What tokens must be for.
    JWT_AUDIENCE = "GONDOLA_JWT_AUDIENCE";
    /// Who issues them.
    JWT_ISSUER = "GONDOLA_JWT_ISSUER";
    /// File or URL of the issuer's public keys.
    JWT_KEYS = "GONDOLA_JWT_KEYS";
    /// Authorities for that URL.
    JWT_KEYS_CA = "GONDOLA_JWT_KEYS_CA";
    /// Address for HTTP and gRPC, or for health checks.
    LISTEN = "GONDOLA_LISTEN";
    /// What is logged.
    LOG = "GONDOLA_LOG";
    /// How log lines look.
    LOG_FORMAT = "GONDOLA_LOG_FORMAT";
    /// Number of connections that may be open at once on a port.
    MAX_CONNECTIONS = "GONDOLA_MAX_CONNECTIONS";
    /// Number of questions that a router answers at once.
    MAX_QUESTIONS = "GONDOLA_MAX_QUESTIONS";
    /// The namespace of the pipeline.
    NAMESPACE = "GONDOLA_NAMESPACE";
    /// Where the online store is: a connection string as Feast writes it.
    ONLINE_CONNECTION = "GONDOLA_ONLINE_CONNECTION";
    /// Folder of the Secret with the connection string of the online store.
    ONLINE_CREDENTIALS = "GONDOLA_ONLINE_CREDENTIALS";
    /// Milliseconds that a request waits for the online store.
    ONLINE_DEADLINE_MS = "GONDOLA_ONLINE_DEADLINE_MS";
    /// The file of the online store, on one machine.
    ONLINE_FILE = "GONDOLA_ONLINE_FILE";
    /// Seconds that a start waits for the online store.
    ONLINE_PATIENCE_SECONDS = "GONDOLA_ONLINE_PATIENCE_SECONDS";
    /// What a variant's pod serves: the file of its order.
    ORDER = "GONDOLA_ORDER";
    /// Where lists are written: a folder or the URL of one.
    OUT = "GONDOLA_OUT";
    /// Folder of the credentials of that store.
    OUT_CREDENTIALS = "GONDOLA_OUT_CREDENTIALS";
    /// Where that store answers, if it is S3-compatible.
    OUT_ENDPOINT = "GONDOLA_OUT_ENDPOINT";
    /// The pipeline's name.
    PIPELINE = "GONDOLA_PIPELINE";
    /// Number of requests that may wait for a compute thread.
    QUEUE = "GONDOLA_QUEUE";
    /// Number of requests of one client that may come at once after a pause.
    RATE_BURST = "GONDOLA_RATE_BURST";
    /// Number of requests per second of one client.
    RATE_PER_SECOND = "GONDOLA_RATE_PER_SECOND";
    /// The ConfigMap that the resolver reports in.
    REPORT_CONFIG_MAP = "GONDOLA_REPORT_CONFIG_MAP";
    /// The certificate that routers show, where they are reached over TLS.
    ROUTERS_CERTIFICATE = "GONDOLA_ROUTERS_CERTIFICATE";
    /// The Service of the routers.
    ROUTER_SERVICE = "GONDOLA_ROUTER_SERVICE";
    /// A file with the variants, their weights and addresses.
    ROUTES = "GONDOLA_ROUTES";
    /// The ConfigMap of the routes.
    ROUTES_CONFIG_MAP = "GONDOLA_ROUTES_CONFIG_MAP";
    /// URL of the bundles' store.
    STORE = "GONDOLA_STORE";
    /// Where an S3-compatible store of bundles answers.
    STORE_ENDPOINT = "GONDOLA_STORE_ENDPOINT";
    /// Number of threads that run models.
    THREADS = "GONDOLA_THREADS";
    /// Folder of a server's certificate.
    TLS = "GONDOLA_TLS";
    /// The OpenTelemetry collector that spans go to.
    TRACES_ENDPOINT = "GONDOLA_TRACES_ENDPOINT";
    /// Share of the traces that are kept.
    TRACES_SAMPLING = "GONDOLA_TRACES_SAMPLING";
    /// A file, or a folder with the file unit-key, that ids of units are hashed with.
    UNIT_KEY = "GONDOLA_UNIT_KEY";
    /// Authorities that variants' certificates must be signed by.
    VARIANTS_CA = "GONDOLA_VARIANTS_CA";
    /// The name that variants' certificates must have.
    VARIANTS_NAME = "GONDOLA_VARIANTS_NAME";
}
