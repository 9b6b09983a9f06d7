//! The one cookie: whose basket this is, and who shops.
//!
//! Its value is `SESSION.CUSTOMER`: 32 hexadecimal digits, and the customer's id, so that a customer stays logged in when the shop
//! restarts and forgets all baskets. Whatever is written otherwise is as if there were no cookie.

use gondola_request::UserId;

/// The cookie's name.
pub const NAME: &str = "gondola-shop";
/// Seconds that a browser keeps it: a week.
const KEPT_SECONDS: u32 = 7 * 24 * 60 * 60;
/// Digits of a session's id.
const SESSION_DIGITS: usize = 32;
/// Most bytes of a customer's id.
const MAX_CUSTOMER_BYTES: usize = 64;

/// A customer who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    session: String,
    customer: UserId,
}

impl Login {
    /// A new session of a customer; `None` where that is no id that fits a cookie.
    pub fn new(session: u128, customer: &str) -> Option<Self> {
        is_customer(customer).then(|| Self {
            session: format!("{session:032x}"),
            customer: customer.into(),
        })
    }

    /// What the `cookie` header of a request says.
    pub fn read(header: &str) -> Option<Self> {
        let (session, customer) = find(header, NAME)?.split_once('.')?;
        let is_session = session.len() == SESSION_DIGITS && session.bytes().all(|b| b.is_ascii_hexdigit());
        (is_session && is_customer(customer)).then(|| Self {
            session: session.to_owned(),
            customer: customer.into(),
        })
    }

    /// The session's id.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Who shops.
    pub fn customer(&self) -> &UserId {
        &self.customer
    }

    /// The `set-cookie` header that keeps it.
    pub fn kept(&self) -> String {
        let Self { session, customer } = self;
        format!("{NAME}={session}.{customer}; Max-Age={KEPT_SECONDS}; Path=/; HttpOnly; SameSite=Lax")
    }
}

/// The `set-cookie` header that ends a login.
pub fn ended() -> String {
    format!("{NAME}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax")
}

/// Letters, digits, `-` and `_`: what needs no quotes in a cookie.
fn is_customer(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !id.is_empty() && id.len() <= MAX_CUSTOMER_BYTES && id.bytes().all(allowed)
}

/// The value of the first cookie of a name.
fn find<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "000000000000000000000000000000ab";

    #[test]
    fn what_is_kept_is_what_is_read() {
        let login = Login::new(0xab, "new-7f").unwrap();
        let kept = login.kept();
        let pair = kept.split(';').next().unwrap();
        assert_eq!(Login::read(pair), Some(login.clone()));
        assert_eq!(
            Login::read(&format!("theme=dark; {pair}; a=b")),
            Some(login.clone())
        );
        assert_eq!((login.session(), login.customer().as_str()), (SESSION, "new-7f"));
        assert!(kept.ends_with("Path=/; HttpOnly; SameSite=Lax"), "{kept}");
    }

    #[test]
    fn a_cookie_that_we_did_not_write_is_none() {
        for header in [
            String::new(),
            "gondola-shop".to_owned(),
            format!("gondola-shop={SESSION}"),
            format!("gondola-shop={SESSION}."),
            format!("gondola-shop=ab.{SESSION}"),
            format!("gondola-shop={}x.1", &SESSION[1..]),
            format!("gondola-shop={SESSION}.<b>"),
            format!("gondola-shop={SESSION}.{}", "1".repeat(65)),
            format!("other-gondola-shop={SESSION}.1"),
        ] {
            assert_eq!(Login::read(&header), None, "{header}");
        }
    }

    #[test]
    fn an_id_that_would_end_the_cookie_makes_no_login() {
        for id in ["", "1;Path=/x", "a b", "ä", "a\r\nb"] {
            assert_eq!(Login::new(1, id), None, "{id:?}");
        }
    }
}
