//! TLS: certificates from files that may change, for a server and for the client of one.
//!
//! A changed certificate is for new connections; those that are open keep theirs until they end. The files are those of a Secret of
//! type `kubernetes.io/tls`: `tls.crt`, a chain with the server's own certificate first, and `tls.key`.
//!
//! One cryptography, ring, as everywhere in the workspace, and named at each use: no program has a default.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::reloading::{Files, FilesError, Reloading};

/// The certificates' name in a folder.
const CERTIFICATES: &str = "tls.crt";
/// The private key's.
const KEY: &str = "tls.key";

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or is something else.
    #[error("cannot use the files for TLS")]
    Files(#[from] FilesError),
    /// The system has no authorities.
    #[error("cannot read the system's certificate authorities; install ca-certificates, or name a file")]
    System(#[source] io::Error),
    /// The name is no name of a server.
    #[error("{name:?} is not a name that a certificate can have; write for example shop.default.svc")]
    Name {
        /// What was given.
        name: String,
    },
}

/// The certificate of a server.
#[derive(Clone)]
pub struct ServerTls {
    configs: Arc<Reloading<Configs>>,
    asks_clients: bool,
}

/// How the two ports take connections.
struct Configs {
    /// Clients show a certificate, where there is an authority for theirs.
    main: Arc<ServerConfig>,
    /// Probes and scrapers have none.
    admin: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads a folder with `tls.crt` and `tls.key`, and follows it. With the file `client_ca`, clients of the main port must show a
    /// certificate that one of its authorities signed. Must be called within Tokio.
    pub fn start(folder: &Path, client_ca: Option<&Path>) -> Result<Self, TlsError> {
        let paths: Vec<PathBuf> = [Some(folder), client_ca]
            .into_iter()
            .flatten()
            .map(Path::to_owned)
            .collect();
        let own = paths.clone();
        let configs = Reloading::start(&paths, move |files: &[Files]| {
            let admin = server_config(&own[0], &files[0], None)?;
            let main = match (own.get(1), files.get(1)) {
                (Some(ca), Some(files_of_ca)) => {
                    server_config(&own[0], &files[0], Some(authorities(ca, files_of_ca)?))?
                }
                _ => admin.clone(),
            };
            Ok(Configs {
                main: Arc::new(main),
                admin: Arc::new(admin),
            })
        })?;
        Ok(Self {
            configs,
            asks_clients: client_ca.is_some(),
        })
    }

    /// Whether clients of the main port must show certificates.
    pub(crate) fn asks_clients(&self) -> bool {
        self.asks_clients
    }

    /// What takes connections of the main port.
    pub(crate) fn main(&self) -> Acceptor {
        Acceptor {
            configs: Arc::clone(&self.configs),
            of: |configs| &configs.main,
        }
    }

    /// What takes connections of the admin port.
    pub(crate) fn admin(&self) -> Acceptor {
        Acceptor {
            configs: Arc::clone(&self.configs),
            of: |configs| &configs.admin,
        }
    }
}

/// Takes a port's connections.
#[derive(Clone)]
pub(crate) struct Acceptor {
    configs: Arc<Reloading<Configs>>,
    of: fn(&Configs) -> &Arc<ServerConfig>,
}

impl Acceptor {
    /// Shakes hands with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let config = Arc::clone((self.of)(&self.configs.current()));
        TlsAcceptor::from(config).accept(stream).await
    }
}

/// The client of servers that have certificates of one name.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<Reloading<ClientConfig>>,
    name: ServerName<'static>,
}

impl ClientTls {
    /// Trusts the authorities of the file `ca` for servers called `name`, and shows them the certificate of the folder `identity`. Must
    /// be called within Tokio.
    pub fn start(ca: &Path, identity: Option<&Path>, name: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name {
            name: name.to_owned(),
        })?;
        let paths: Vec<PathBuf> = [Some(ca), identity]
            .into_iter()
            .flatten()
            .map(Path::to_owned)
            .collect();
        let own = paths.clone();
        let config = Reloading::start(&paths, move |files: &[Files]| {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .expect("ring knows the versions")
                .with_root_certificates(authorities(&own[0], &files[0])?);
            let mut config = match (own.get(1), files.get(1)) {
                (Some(folder), Some(files)) => {
                    let (chain, key) = identity_of(folder, files)?;
                    builder
                        .with_client_auth_cert(chain, key)
                        .map_err(|error| unfit(folder, &error))?
                }
                _ => builder.with_no_client_auth(),
            };
            config.alpn_protocols = vec![b"h2".to_vec()];
            Ok(config)
        })?;
        Ok(Self { config, name })
    }

    /// Connects over a connection that was made.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        TlsConnector::from(self.config.current())
            .connect(self.name.clone(), stream)
            .await
    }
}

/// A client that trusts the authorities of a file, or the system's.
pub(crate) fn client_of(ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions");
    let builder = match ca {
        Some(ca) => builder.with_root_certificates(authorities(ca, &crate::reloading::read(ca)?)?),
        None => builder.with_native_roots().map_err(TlsError::System)?,
    };
    Ok(builder.with_no_client_auth())
}

/// A client that trusts nobody, where nothing is asked over TLS.
pub fn client_of_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// A client of the one server that shows the certificate of a file, whatever its name and its authority: who has that certificate's key
/// is meant. A changed file is followed. Must be called within Tokio.
pub fn client_of_the_owner(certificate: &Path) -> Result<ClientConfig, TlsError> {
    let path = certificate.to_owned();
    let certificate = Reloading::start(&[certificate.to_owned()], move |files: &[Files]| {
        let pem = files[0].values().next().map(Vec::as_slice).unwrap_or_default();
        Ok(certificates(&path, pem)?.swap_remove(0))
    })?;
    let provider = provider();
    let pinned = Pinned {
        certificate,
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions");
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned));
    Ok(builder.with_no_client_auth())
}

/// Trusts one certificate.
struct Pinned {
    certificate: Arc<Reloading<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pinned(..)")
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *end_entity == *self.certificate.current() {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn server_config(
    folder: &Path,
    files: &Files,
    clients: Option<RootCertStore>,
) -> Result<ServerConfig, FilesError> {
    let (chain, key) = identity_of(folder, files)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions");
    let builder = match clients {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            builder.with_client_cert_verifier(verifier.expect("there is an authority"))
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| unfit(folder, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A certificate with its chain, and its key.
fn identity_of(
    folder: &Path,
    files: &Files,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), FilesError> {
    let file = |name: &str| {
        files.get(name).ok_or_else(|| FilesError::Content {
            path: folder.to_owned(),
            what: "a folder for TLS",
            problem: format!(
                "it has no {name}; mount a Secret of type kubernetes.io/tls, which has {CERTIFICATES} and {KEY}"
            ),
        })
    };
    let chain = certificates(&folder.join(CERTIFICATES), file(CERTIFICATES)?)?;
    let key = PrivateKeyDer::from_pem_slice(file(KEY)?).map_err(|_| FilesError::Content {
        path: folder.join(KEY),
        what: "a private key",
        problem: "write it as PEM".to_owned(),
    })?;
    Ok((chain, key))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FilesError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| FilesError::Content {
            path: path.to_owned(),
            what: "a list of certificates",
            problem: "write them as PEM, one at least".to_owned(),
        })
}

fn authorities(path: &Path, files: &Files) -> Result<RootCertStore, FilesError> {
    let pem = files.values().next().map(Vec::as_slice).unwrap_or_default();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| unfit(path, &error))?;
    }
    Ok(roots)
}

/// What rustls says of certificates and keys names neither's content.
fn unfit(path: &Path, error: &rustls::Error) -> FilesError {
    FilesError::Content {
        path: path.to_owned(),
        what: "fit for TLS",
        problem: format!("{error}; give a certificate, and the key that belongs to it"),
    }
}
