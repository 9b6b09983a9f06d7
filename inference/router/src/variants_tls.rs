//! How a router reaches its variants over TLS, as options of a program.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use gondola_server::tls::ClientTls;
use gondola_wire::variables;

/// How variants are reached. By default in plain text: pods of one pipeline, between which nothing but the network stands.
#[derive(Debug, Args)]
pub struct VariantsTlsArguments {
    /// File with the certificates of authorities, as PEM: variants are reached over TLS, and their certificates must be signed by one of
    /// them. Changed files are used for new connections.
    #[arg(long, env = variables::VARIANTS_CA, requires = "variants_name")]
    variants_ca: Option<PathBuf>,
    /// The name that the certificates of variants must have, whatever their pods' addresses are, for example shop.default.svc.
    #[arg(long, env = variables::VARIANTS_NAME, requires = "variants_ca")]
    variants_name: Option<String>,
    /// Folder with tls.crt and tls.key: the certificate that is shown to variants, which may ask for one.
    #[arg(long, env = variables::CLIENT_TLS, requires = "variants_ca")]
    client_tls: Option<PathBuf>,
}

impl VariantsTlsArguments {
    /// How connections to variants are made, where they are not in plain text. Must be called within Tokio.
    pub fn tls(&self) -> anyhow::Result<Option<ClientTls>> {
        let (Some(ca), Some(name)) = (&self.variants_ca, &self.variants_name) else {
            return Ok(None);
        };
        let tls = ClientTls::start(ca, self.client_tls.as_deref(), name);
        tls.map(Some)
            .context("cannot reach variants over TLS with --variants-ca, --variants-name and --client-tls")
    }
}
