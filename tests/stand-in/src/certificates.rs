//! Certificates for tests: an authority, and what it signs, in folders as Secrets are mounted.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, and a folder for its certificate and those that it signed.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Default for Authority {
    /// A new one.
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate for its own issuer that has the issuer's name.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The file with its certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Signs a certificate for `name`, in a new folder.
    pub fn sign(&self, folder: &str, name: &str) -> PathBuf {
        let folder = self.folder.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        self.sign_into(&folder, name);
        folder
    }

    /// Signs a certificate for `name`, in place of what a folder has.
    pub fn sign_into(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
    }
}
