//! Who may send what, as options of a program that serves.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use axum::http::Uri;
use clap::Args;
use gondola_wire::variables;

use super::cors::Origin;
use super::forced_arm::ArmKey;
use super::issuer::Place;
use super::limits::{ClientLimits, Rate};
use super::token::Expected;
use super::{Access, Guard};
use crate::tls::ServerTls;

/// Who may send what. By default everybody may send everything that a port serves.
#[derive(Debug, Args)]
pub(crate) struct AccessArguments {
    /// Folder with tls.crt and tls.key: serve both ports over TLS only. Changed files are used for new connections.
    #[arg(long, env = variables::TLS)]
    tls: Option<PathBuf>,
    /// File with the certificates of authorities, as PEM: clients of the main port must show a certificate that one of them signed, and
    /// the admin port serves health and metrics alone.
    #[arg(long, env = variables::CLIENT_CA, requires = "tls")]
    client_ca: Option<PathBuf>,
    /// Folder with a file for each client that may use API keys; its lines are 'sha256:DIGEST read write outcomes', with the scopes
    /// that the key has. Changed files are used at once.
    #[arg(long, env = variables::API_KEYS)]
    api_keys: Option<PathBuf>,
    /// Issuer (iss) of the JSON Web Tokens that clients may use. Their claim scope holds gondola:read, gondola:write and
    /// gondola:outcomes.
    #[arg(long, env = variables::JWT_ISSUER, requires = "jwt_audience", requires = "jwt_keys")]
    jwt_issuer: Option<String>,
    /// Audience (aud) that tokens must be for.
    #[arg(long, env = variables::JWT_AUDIENCE, requires = "jwt_issuer")]
    jwt_audience: Option<String>,
    /// The issuer's public keys, a JSON Web Key Set: a file or an https URL.
    #[arg(long, env = variables::JWT_KEYS, requires = "jwt_issuer")]
    jwt_keys: Option<String>,
    /// File with the certificates of authorities for that URL; default: the system's.
    #[arg(long, env = variables::JWT_KEYS_CA, requires = "jwt_keys")]
    jwt_keys_ca: Option<PathBuf>,
    /// Requests per second that one client may send to the main port: an API key's name, else a token's subject, else an
    /// address. Default: unlimited.
    #[arg(long, env = variables::RATE_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate_per_second: Option<u32>,
    /// How many of them may come at once after a pause; default: as many as in a second.
    #[arg(long, env = variables::RATE_BURST, requires = "rate_per_second", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate_burst: Option<u32>,
    /// Maximum number of requests of one client that are answered at once on the main port. Default: unlimited.
    #[arg(long, env = variables::CONCURRENCY_PER_CLIENT, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    concurrency_per_client: Option<u32>,
    /// Origin whose pages may ask the main port from a browser, for example https://shop.example, or '*'; may be repeated. Default:
    /// none.
    #[arg(long, env = variables::CORS_ORIGIN, value_delimiter = ',')]
    cors_origin: Vec<Origin>,
    /// A file, or a folder with the file arm-key: at least 16 bytes that the header x-gondola-arm is signed with on the main port, in
    /// x-gondola-arm-signature.
    #[arg(long, env = variables::ARM_KEY, conflicts_with = "allow_arm_header")]
    arm_key: Option<PathBuf>,
}

impl AccessArguments {
    /// What stands before the ports. Must be called within Tokio.
    pub(crate) fn guard(&self) -> anyhow::Result<Guard> {
        let mut access = Access::default();
        if let Some(folder) = &self.api_keys {
            access = access
                .with_keys(folder)
                .context("cannot use the API keys of --api-keys")?;
        }
        if let (Some(issuer), Some(audience), Some(keys)) =
            (&self.jwt_issuer, &self.jwt_audience, &self.jwt_keys)
        {
            let expected = Expected {
                issuer: issuer.clone(),
                audience: audience.clone(),
            };
            access = access.with_tokens(self.keys(keys)?, expected)?;
        }
        let rate = self.rate_per_second.map(|per_second| Rate {
            per_second: f64::from(per_second),
            burst: self.rate_burst.unwrap_or(per_second),
        });
        let limits = ClientLimits {
            rate,
            concurrency: self.concurrency_per_client,
        };
        Ok(Guard::new(access, limits, self.cors_origin.clone()))
    }

    fn keys(&self, keys: &str) -> anyhow::Result<Place> {
        if keys.starts_with("http://") {
            bail!(
                "--jwt-keys is {keys}, where anybody on the way could put keys of their own; give an https URL or a file"
            );
        }
        if !keys.starts_with("https://") {
            return Ok(Place::File(keys.into()));
        }
        let url: Uri = keys
            .parse()
            .with_context(|| format!("--jwt-keys is {keys:?}, which is not a valid URL"))?;
        Ok(Place::Url {
            url,
            ca: self.jwt_keys_ca.clone(),
        })
    }

    /// The certificate of the server, if it has one. Must be called within Tokio.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<ServerTls>> {
        let tls = self.tls.as_deref();
        let tls = tls.map(|folder| ServerTls::start(folder, self.client_ca.as_deref()));
        tls.transpose().context("cannot serve over TLS with --tls")
    }

    /// What addresses of the server begin with.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Whether arms must be signed.
    pub(crate) fn signs_arms(&self) -> bool {
        self.arm_key.is_some()
    }

    /// The key that arms are signed with, if they must be. Must be called within Tokio.
    pub(crate) fn arm_key(&self) -> anyhow::Result<Option<ArmKey>> {
        let key = self.arm_key.as_deref().map(ArmKey::start).transpose();
        key.context("cannot use the key of --arm-key")
    }
}
