use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

/// The time of all tests, in seconds.
const NOW: u64 = 1_800_000_000;

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Issuer {
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self {
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap(),
            p256: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), &random).unwrap(),
        }
    }

    fn key_set(&self) -> KeySet {
        let point = self.p256.public_key().as_ref();
        let keys = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": base64(self.ed25519.public_key())},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "use": "sig",
             "x": base64(&point[1..33]), "y": base64(&point[33..])},
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            {"kty": "RSA", "kid": "for encryption", "use": "enc", "n": "AQAB", "e": "AQAB"},
        ]});
        KeySet::read(keys.to_string().as_bytes()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = match header["alg"].as_str() {
            Some("EdDSA") => base64(self.ed25519.sign(signed.as_bytes())),
            Some("ES256") => base64(self.p256.sign(&SystemRandom::new(), signed.as_bytes()).unwrap()),
            // Whoever signs with what is public.
            Some("HS256") => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.ed25519.public_key().as_ref());
                base64(ring::hmac::sign(&key, signed.as_bytes()))
            }
            _ => String::new(),
        };
        format!("{signed}.{signature}")
    }
}

fn claims(change: impl Fn(&mut Value)) -> Value {
    let mut claims = json!({
        "iss": "https://login.shop.example", "aud": ["gondola", "orders"], "sub": "website",
        "exp": NOW + 300, "scope": "openid gondola:read gondola:outcomes gondola:admin",
    });
    change(&mut claims);
    claims
}

fn expected() -> Expected {
    Expected {
        issuer: "https://login.shop.example".to_owned(),
        audience: "gondola".to_owned(),
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// What becomes of a token: whose it is and what it may, or why it isn't taken.
#[track_caller]
fn check_token(header: Value, claims: Value, outcome: Result<&str, &str>) {
    let issuer = Issuer::new();
    let token = issuer.sign(&header, &claims);
    assert!(is_token(&token));
    let checked = check(&token, &issuer.key_set(), &expected(), at(NOW));
    let checked = checked.map(|(subject, scopes)| format!("{subject}: {scopes}"));
    match (checked, outcome) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected),
        (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
        (found, expected) => panic!("{found:?}, but expected {expected:?}"),
    }
}

fn ed() -> Value {
    json!({"alg": "EdDSA", "kid": "ed", "typ": "JWT"})
}

#[test]
fn a_good_token_says_whose_it_is_and_what_it_may() {
    let whose = Ok("website: read and outcomes");
    check_token(ed(), claims(|_| {}), whose);
    check_token(json!({"alg": "ES256", "kid": "ec"}), claims(|_| {}), whose);
    check_token(
        json!({"alg": "EdDSA"}),
        claims(|claims| claims["aud"] = "gondola".into()),
        whose,
    );
    let listed = claims(|claims| claims["scope"] = json!(["gondola:write"]));
    check_token(ed(), listed, Ok("website: write"));
    let scopeless = claims(|claims| claims["scope"] = Value::Null);
    check_token(ed(), scopeless, Ok("website: "));
}

#[test]
fn a_token_that_is_not_signed_by_the_issuer_is_refused() {
    let refused = |header: Value, message| check_token(header, claims(|_| {}), Err(message));
    refused(
        json!({"alg": "none"}),
        "alg is \"none\"; only tokens signed with RS256, ES256 or EdDSA",
    );
    refused(json!({"alg": "None", "kid": "ed"}), "alg is \"None\"");
    refused(json!({"alg": "HS256", "kid": "ed"}), "alg is \"HS256\"");
    refused(json!({"alg": "HS256", "kid": "secret"}), "alg is \"HS256\"");
    refused(
        json!({"alg": "EdDSA", "kid": "other"}),
        "no key \"other\", which signed the token",
    );
    refused(json!({"alg": "EdDSA", "kid": "secret"}), "no key \"secret\"");
    refused(
        json!({"alg": "RS256", "kid": "for encryption"}),
        "no key \"for encryption\"",
    );
    refused(
        json!({"alg": "ES256", "kid": "ed"}),
        "alg is ES256, but its key \"ed\" is for EdDSA",
    );
    refused(json!({"alg": "RS256"}), "has no kid");
    refused(
        json!({"alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false}),
        "header crit",
    );
    // A token of somebody else with the same names.
    let token = Issuer::new().sign(&ed(), &claims(|_| {}));
    let outcome = check(&token, &Issuer::new().key_set(), &expected(), at(NOW));
    assert_eq!(outcome.unwrap_err(), TokenError::Signature);
}

#[test]
fn claims_of_another_time_or_place_are_refused() {
    let refused = |change: fn(&mut Value), message| check_token(ed(), claims(change), Err(message));
    refused(
        |claims| claims["exp"] = (NOW - 61).into(),
        "expired 61 seconds ago; get a new one",
    );
    refused(|claims| claims["exp"] = Value::Null, "no exp");
    refused(|claims| claims["exp"] = "soon".into(), "claims can't be read");
    refused(|claims| claims["nbf"] = (NOW + 90).into(), "valid in 90 seconds");
    refused(
        |claims| claims["iss"] = "https://else.example".into(),
        "get one of \"https://login.shop.example\"",
    );
    refused(|claims| claims["iss"] = Value::Null, "another issuer");
    refused(
        |claims| claims["aud"] = "orders".into(),
        "another audience; get one for \"gondola\"",
    );
    refused(|claims| claims["aud"] = json!([]), "another audience");
    refused(|claims| claims["sub"] = "".into(), "no sub of 1 to 256 bytes");
    refused(
        |claims| claims["sub"] = "x".repeat(257).into(),
        "no sub of 1 to 256 bytes",
    );
    // Clocks may differ by a minute.
    check_token(
        ed(),
        claims(|claims| claims["exp"] = (NOW - 59).into()),
        Ok("website: read and outcomes"),
    );
}

#[test]
fn a_token_that_was_changed_is_refused_wherever_it_was_changed() {
    let issuer = Issuer::new();
    let keys = issuer.key_set();
    let token = issuer.sign(&ed(), &claims(|_| {}));
    assert!(check(&token, &keys, &expected(), at(NOW)).is_ok());
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(
            check(&changed, &keys, &expected(), at(NOW)).is_err(),
            "at {place}"
        );
        assert!(
            check(&token[..place], &keys, &expected(), at(NOW)).is_err(),
            "{place} bytes"
        );
    }
    let long = format!("{token}{}", "A".repeat(MAX_TOKEN_BYTES));
    assert_eq!(
        check(&long, &keys, &expected(), at(NOW)).unwrap_err(),
        TokenError::TooLong
    );
}

/// The example of RFC 7515, appendix A.2: somebody else's RS256 signature, over claims of 2011.
#[test]
fn an_rs256_signature_of_the_standard_is_verified() {
    let keys = json!({"keys": [{"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddx\
        HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5\
        z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj\
        8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]});
    let keys = KeySet::read(keys.to_string().as_bytes()).unwrap();
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjb\
        KBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZES\
        c6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let joe = Expected {
        issuer: "joe".to_owned(),
        audience: "gondola".to_owned(),
    };
    // The signature is good, and what is missing in these claims comes after it.
    let outcome = check(token, &keys, &joe, at(1_300_819_379));
    assert_eq!(outcome.unwrap_err(), TokenError::Audience("gondola".to_owned()));
    let changed = token.replace("cC4hiUPoj9", "cC4hiUPoj8");
    let outcome = check(&changed, &keys, &joe, at(1_300_819_379));
    assert_eq!(outcome.unwrap_err(), TokenError::Signature);
}

#[test]
fn a_key_set_without_a_key_for_us_is_refused() {
    let problem = |json: &str| KeySet::read(json.as_bytes()).unwrap_err();
    assert!(problem("[]").contains("give a JSON Web Key Set"));
    assert!(problem("{\"keys\": []}").contains("no key for RS256, ES256 or EdDSA"));
    assert!(problem("{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}, 3]}").contains("no key for"));
    let many = json!({"keys": vec![json!({"kty": "oct"}); 101]});
    assert!(problem(&many.to_string()).contains("at most 100"));
}
