//! JSON Web Tokens: signed by an issuer whose public keys are known, for an audience, until they expire.
//!
//! Three algorithms alone are taken, each with the kind of key that it is for: RS256, ES256 and EdDSA. A token can't choose to be
//! unsigned (`none`), nor to be signed with a secret (`HS256` and the like), for which a public key would be taken.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use super::scope::{Scope, Scopes};

/// Longest token that is read, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;
/// How far the clocks of issuer and server may differ.
const LEEWAY: Duration = Duration::from_secs(60);
/// Longest subject, in bytes: it is kept for as long as its client is counted, and stands in messages.
const MAX_SUBJECT_BYTES: usize = 256;
/// Most keys of an issuer.
const MAX_KEYS: usize = 100;
/// What scopes begin with in a token, where those of other services stand beside them.
const PREFIX: &str = "gondola:";

/// Why a token is not taken. Nothing of a token is repeated that nobody has checked, but short names.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes; ask the issuer for one with fewer claims")]
    TooLong,
    #[error(
        "the token is not a JSON Web Token: its {0} can't be read; send it whole, as header.claims.signature"
    )]
    Form(&'static str),
    #[error("the token's alg is {0:?}; only tokens signed with RS256, ES256 or EdDSA are taken")]
    Algorithm(String),
    #[error(
        "the token has the header crit, which asks for what this server doesn't know; ask the issuer for a plain one"
    )]
    Critical,
    #[error(
        "the issuer's keys have no key {0:?}, which signed the token; get a new token, or add the key to the issuer's key set"
    )]
    UnknownKey(String),
    #[error(
        "the token has no kid, and the issuer's keys have several that could have signed it; have the issuer write kid"
    )]
    NoKeyId,
    #[error("the token's alg is {algorithm}, but its key {key:?} is for {wanted}; sign it with {wanted}")]
    OtherAlgorithm {
        key: String,
        algorithm: &'static str,
        wanted: &'static str,
    },
    #[error("the token's signature does not fit; get a new token from the issuer")]
    Signature,
    #[error("the token is of another issuer; get one of {0:?}")]
    Issuer(String),
    #[error("the token is for another audience; get one for {0:?}")]
    Audience(String),
    #[error("the token has no exp; have the issuer write when it expires")]
    NoExpiry,
    #[error("the token expired {0} seconds ago; get a new one")]
    Expired(u64),
    #[error("the token is valid in {0} seconds only; wait, or set the clock of its issuer")]
    NotYet(u64),
    #[error("the token has no sub of 1 to {MAX_SUBJECT_BYTES} bytes; have the issuer write whose it is")]
    NoSubject,
    #[error("the keys of the token's issuer have not been read yet; try again in a moment")]
    NoKeys,
}

/// The algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    fn read(name: &str) -> Option<Self> {
        [Self::Rs256, Self::Es256, Self::EdDsa]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// An issuer's public keys.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<PublicKey>);

#[derive(Debug)]
struct PublicKey {
    id: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A JSON Web Key. What other kinds have is passed over.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys for other algorithms, or for encryption, are passed over; one at least must be left.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        let form = "give a JSON Web Key Set, {\"keys\": [...]}";
        let set: JwkSet = serde_json::from_slice(json).map_err(|error| format!("{error}; {form}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("it has {} keys; give at most {MAX_KEYS}", set.keys.len()));
        }
        let keys: Vec<PublicKey> = set.keys.into_iter().filter_map(public_key).collect();
        if keys.is_empty() {
            return Err(format!(
                "it has no key for RS256, ES256 or EdDSA; {form} with at least one"
            ));
        }
        Ok(Self(keys))
    }

    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&PublicKey, TokenError> {
        if let Some(id) = id {
            let key = self.0.iter().find(|key| key.id.as_deref() == Some(id));
            return key.ok_or_else(|| TokenError::UnknownKey(shortened(id)));
        }
        let mut fitting = self.0.iter().filter(|key| key.material.algorithm() == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(TokenError::NoKeyId),
        }
    }
}

fn public_key(json: serde_json::Value) -> Option<PublicKey> {
    let key: Jwk = serde_json::from_value(json).ok()?;
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let material = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => Material::Rsa {
            modulus: bytes(&key.n)?,
            exponent: bytes(&key.e)?,
        },
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(&key.x)?, bytes(&key.y)?);
            // An uncompressed point.
            Material::P256([vec![4], x, y].concat())
        }
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&key.x)?),
        _ => return None,
    };
    let for_signatures = key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
    let named = key
        .alg
        .as_deref()
        .is_none_or(|name| name == material.algorithm().as_str());
    (for_signatures && named).then_some(PublicKey {
        id: key.kid,
        material,
    })
}

impl Material {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let verified = match self {
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        verified.map_err(|_| TokenError::Signature)
    }
}

/// What a token must say.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its issuer, `iss`.
    pub issuer: String,
    /// What it is for: one of `aud`.
    pub audience: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<OneOrMany>,
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    scope: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Whether a credential has the form of a token, rather than of a key.
pub(crate) fn is_token(credential: &str) -> bool {
    credential.split('.').count() == 3
}

/// Checks a token, and says whose it is and what they may do.
pub(crate) fn check(
    token: &str,
    keys: &KeySet,
    expected: &Expected,
    now: SystemTime,
) -> Result<(Arc<str>, Scopes), TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form("signature"))?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Form("claims"))?;
    let header: Header = part(header).ok_or(TokenError::Form("header"))?;
    let algorithm =
        Algorithm::read(&header.alg).ok_or_else(|| TokenError::Algorithm(shortened(&header.alg)))?;
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let key = keys.find(header.kid.as_deref(), algorithm)?;
    if key.material.algorithm() != algorithm {
        return Err(TokenError::OtherAlgorithm {
            key: shortened(header.kid.as_deref().unwrap_or_default()),
            algorithm: algorithm.as_str(),
            wanted: key.material.algorithm().as_str(),
        });
    }
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| TokenError::Form("signature"))?;
    key.material.verify(signed.as_bytes(), &signature)?;
    admit(part(claims).ok_or(TokenError::Form("claims"))?, expected, now)
}

/// What claims allow that their issuer signed.
fn admit(claims: Claims, expected: &Expected, now: SystemTime) -> Result<(Arc<str>, Scopes), TokenError> {
    if claims.iss.as_deref() != Some(&expected.issuer) {
        return Err(TokenError::Issuer(expected.issuer.clone()));
    }
    let audiences = claims.aud.as_ref().map(OneOrMany::as_slice).unwrap_or_default();
    if !audiences.contains(&expected.audience) {
        return Err(TokenError::Audience(expected.audience.clone()));
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let leeway = LEEWAY.as_secs_f64();
    let expires = claims.exp.ok_or(TokenError::NoExpiry)?;
    if now >= expires + leeway {
        return Err(TokenError::Expired((now - expires) as u64));
    }
    if let Some(begins) = claims.nbf.filter(|begins| *begins > now + leeway) {
        return Err(TokenError::NotYet((begins - now) as u64));
    }
    let usable = |subject: &String| (1..=MAX_SUBJECT_BYTES).contains(&subject.len());
    let subject = claims.sub.filter(usable);
    let subject = subject.ok_or(TokenError::NoSubject)?;
    let scopes = claims.scope.as_ref().map(OneOrMany::as_slice).unwrap_or_default();
    let scopes = scopes
        .iter()
        .flat_map(|text| text.split_ascii_whitespace())
        .filter_map(|name| name.strip_prefix(PREFIX)?.parse::<Scope>().ok())
        .fold(Scopes::default(), Scopes::with);
    Ok((subject.into(), scopes))
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&json).ok()
}

/// So much of a name as a message can hold.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
