//! An arm of an experiment that somebody asks for on the main port: only who has a key can sign the wish.
//!
//! The header `x-gondola-arm` names the arm, and `x-gondola-arm-signature` is `EXPIRES.HMAC`: seconds since 1970, and HMAC-SHA-256, in
//! hexadecimal digits, of the arm, the unit (what the experiment's own header holds, or else the user) and `EXPIRES`, with a line feed
//! between them. A link that a tester got is for one user and for a day at most.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderName;
use gondola_protocol::{Code, ServiceError};
use ring::hmac;

use crate::reloading::{Files, FilesError, Reloading};

/// The header with the signature.
pub(crate) const ARM_SIGNATURE: HeaderName = HeaderName::from_static("x-gondola-arm-signature");
/// The file of the key in a mounted Secret.
pub const KEY_FILE: &str = "arm-key";
/// The fewest bytes of a key.
const MIN_KEY: usize = 16;
/// The longest time that a signature may be valid for, in seconds: a day.
const MAX_SECONDS: u64 = 86_400;

/// The key that wishes are signed with.
#[derive(Clone)]
pub struct ArmKey(Arc<Reloading<hmac::Key>>);

/// Why a signature is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArmError {
    #[error(
        "x-gondola-arm-signature can't be read; write EXPIRES.HMAC, seconds since 1970 and hexadecimal digits"
    )]
    Form,
    #[error("x-gondola-arm-signature expired {0} seconds ago; sign the arm again")]
    Expired(u64),
    #[error(
        "x-gondola-arm-signature is valid for {0} seconds, but at most {MAX_SECONDS} are taken; sign the arm for a shorter time"
    )]
    TooLong(u64),
    #[error(
        "x-gondola-arm-signature does not fit the arm and the user; sign exactly what is sent, with the pipeline's key"
    )]
    Signature,
}

impl From<ArmError> for ServiceError {
    fn from(error: ArmError) -> Self {
        Self::Refused {
            code: Code::PermissionDenied,
            message: error.to_string(),
        }
    }
}

impl ArmKey {
    /// Reads a key, a file or a folder with the file `arm-key`, and follows it. Must be called within Tokio.
    pub fn start(path: &Path) -> Result<Self, FilesError> {
        let file = match path.is_dir() {
            true => path.join(KEY_FILE),
            false => path.to_owned(),
        };
        Ok(Self(Reloading::start(&[file], read)?))
    }

    /// Checks that somebody with the key wants this unit to see this arm.
    pub(crate) fn check(
        &self,
        arm: &str,
        unit: &str,
        signature: &str,
        now: SystemTime,
    ) -> Result<(), ArmError> {
        let (expires, code) = signature.split_once('.').ok_or(ArmError::Form)?;
        let written = format!("{arm}\n{unit}\n{expires}");
        let expires: u64 = expires.parse().map_err(|_| ArmError::Form)?;
        let code = hex::decode(code).map_err(|_| ArmError::Form)?;
        hmac::verify(&self.0.current(), written.as_bytes(), &code).map_err(|_| ArmError::Signature)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if expires < now {
            return Err(ArmError::Expired(now - expires));
        }
        if expires - now > MAX_SECONDS {
            return Err(ArmError::TooLong(expires - now));
        }
        Ok(())
    }
}

fn read(files: &[Files]) -> Result<hmac::Key, FilesError> {
    let key = files.iter().flatten().next().map(|(_, key)| key.trim_ascii_end());
    let key = key.unwrap_or_default();
    if key.len() < MIN_KEY {
        return Err(FilesError::Content {
            path: PathBuf::from(KEY_FILE),
            what: "a key for arms",
            problem: format!("it has {} bytes; give at least {MIN_KEY} random ones", key.len()),
        });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn signed(arm: &str, unit: &str, expires: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        let code = hmac::sign(&key, format!("{arm}\n{unit}\n{expires}").as_bytes());
        format!("{expires}.{}", hex::encode(code))
    }

    #[tokio::test]
    async fn a_signature_is_for_one_arm_one_user_and_a_short_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{KEY}\n")).unwrap();
        let key = ArmKey::start(file.path()).unwrap();
        let check = |signature: &str| {
            let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
            key.check("forest", "anna", signature, now)
        };
        assert_eq!(check(&signed("forest", "anna", 1_000_060)), Ok(()));
        for other in [
            signed("dlrm", "anna", 1_000_060),
            signed("forest", "ben", 1_000_060),
            signed("forest", "anna", 1_000_060).replace("1000060", "1000061"),
        ] {
            assert_eq!(check(&other), Err(ArmError::Signature));
        }
        assert_eq!(
            check(&signed("forest", "anna", 999_999)),
            Err(ArmError::Expired(1))
        );
        let long = signed("forest", "anna", 1_086_401);
        assert_eq!(check(&long), Err(ArmError::TooLong(86_401)));
        for form in ["", "1000060", "1000060.xyz", "soon.00", ".00"] {
            let outcome = check(form);
            assert_eq!(outcome, Err(ArmError::Form), "{form:?}");
        }
    }

    #[tokio::test]
    async fn a_key_that_could_be_guessed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(KEY_FILE), "short").unwrap();
        let error = ArmKey::start(folder.path()).err().unwrap().to_string();
        assert_eq!(
            error,
            "arm-key is not a key for arms: it has 5 bytes; give at least 16 random ones"
        );
    }
}
