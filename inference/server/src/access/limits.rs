//! How much one client may ask: a rate, and a number of requests at once.
//!
//! Each client has a bucket that fills at the rate, up to the burst; a request takes one from it. What is known of clients is
//! bounded: they are kept in two generations, and those that did nothing during the last one leave first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Most clients of a generation: two of them take some megabytes.
const MAX_CLIENTS: usize = 10_000;

/// Bounds for each client.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClientLimits {
    /// Requests a second, and how many may come at once after a pause; unlimited where it is left out.
    pub rate: Option<Rate>,
    /// Most requests under way at once; unlimited where it is left out.
    pub concurrency: Option<u32>,
}

/// A rate, with how far it may be exceeded for a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests a second, above 0.
    pub per_second: f64,
    /// How many may come at once.
    pub burst: u32,
}

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// The name of an API key.
    Key(Arc<str>),
    /// The subject of a token.
    Subject(Arc<str>),
    /// An address; of IPv6 the network, of which one machine has 2^64 addresses.
    Address(IpAddr),
    /// Nothing is known.
    Unknown,
}

impl Client {
    /// A client that shows nothing else.
    pub(crate) fn at(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Self::Address(IpAddr::V6(network.into()))
            }
            Some(address) => Self::Address(address),
            None => Self::Unknown,
        }
    }
}

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Too many came; after this time there is room for one.
    Rate(Duration),
    /// Too many are under way.
    Concurrency(u32),
}

/// Counts clients.
pub(crate) struct Clients {
    limits: ClientLimits,
    most: usize,
    table: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    new: HashMap<Client, Arc<Counted>>,
    old: HashMap<Client, Arc<Counted>>,
}

struct Counted {
    bucket: Mutex<Bucket>,
    under_way: AtomicU32,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// A request that is under way.
pub(crate) struct Admission(Option<Arc<Counted>>);

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(counted) = &self.0 {
            counted.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Clients {
    pub(crate) fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            most: MAX_CLIENTS,
            table: Mutex::default(),
        }
    }

    /// Lets a request of `client` in, which is under way until what is given back is dropped.
    pub(crate) fn admit(&self, client: Client, now: Instant) -> Result<Admission, Excess> {
        if self.limits == ClientLimits::default() {
            return Ok(Admission(None));
        }
        let counted = self.counted(client, now);
        // Counted before it is compared, so that of two at once only one gets the last place.
        let before = counted.under_way.fetch_add(1, Ordering::Relaxed);
        let admission = Admission(Some(Arc::clone(&counted)));
        if let Some(most) = self.limits.concurrency.filter(|most| before >= *most) {
            return Err(Excess::Concurrency(most));
        }
        if let Some(rate) = self.limits.rate {
            let mut bucket = counted.bucket.lock().expect("nothing panics while it is held");
            bucket.take(rate, now).map_err(Excess::Rate)?;
        }
        Ok(admission)
    }

    fn counted(&self, client: Client, now: Instant) -> Arc<Counted> {
        let mut table = self.table.lock().expect("nothing panics while it is held");
        if let Some(counted) = table.new.get(&client) {
            return Arc::clone(counted);
        }
        if table.new.len() >= self.most {
            table.turn();
        }
        let burst = self.limits.rate.map_or(0.0, |rate| f64::from(rate.burst));
        let counted = table.old.remove(&client).unwrap_or_else(|| {
            Arc::new(Counted {
                bucket: Mutex::new(Bucket {
                    tokens: burst,
                    filled: now,
                }),
                under_way: AtomicU32::new(0),
            })
        });
        table.new.insert(client, Arc::clone(&counted));
        counted
    }
}

impl Generations {
    /// Forgets the old generation, but for clients with requests under way: who keeps them open must not be counted anew.
    fn turn(&mut self) {
        let mut old = std::mem::take(&mut self.new);
        let busy = |counted: &Arc<Counted>| counted.under_way.load(Ordering::Relaxed) > 0;
        old.extend(self.old.drain().filter(|(_, counted)| busy(counted)));
        self.old = old;
    }
}

impl Bucket {
    /// Takes one, or says when there will be one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + since * rate.per_second).min(f64::from(rate.burst));
        self.filled = now.max(self.filled);
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / rate.per_second));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(rate: Option<(f64, u32)>, concurrency: Option<u32>) -> Clients {
        let rate = rate.map(|(per_second, burst)| Rate { per_second, burst });
        Clients::new(ClientLimits { rate, concurrency })
    }

    fn key(name: &str) -> Client {
        Client::Key(name.into())
    }

    #[test]
    fn a_burst_is_let_in_and_then_the_rate() {
        let clients = clients(Some((2.0, 3)), None);
        let start = Instant::now();
        let admit = |name: &str, milliseconds| {
            let now = start + Duration::from_millis(milliseconds);
            clients.admit(key(name), now).map(|_| ())
        };
        for _ in 0..3 {
            assert_eq!(admit("a", 0), Ok(()));
        }
        assert_eq!(admit("a", 0), Err(Excess::Rate(Duration::from_millis(500))));
        assert_eq!(admit("b", 0), Ok(()), "others have buckets of their own");
        assert_eq!(admit("a", 250), Err(Excess::Rate(Duration::from_millis(250))));
        assert_eq!(admit("a", 500), Ok(()));
        assert!(admit("a", 500).is_err());
        for _ in 0..3 {
            assert_eq!(admit("a", 60_000), Ok(()), "a pause fills the bucket");
        }
        assert!(admit("a", 60_000).is_err(), "and never more than that");
    }

    #[test]
    fn requests_at_once_are_bounded_and_their_end_makes_room() {
        let clients = clients(None, Some(2));
        let now = Instant::now();
        let one = clients.admit(key("a"), now).ok().unwrap();
        let two = clients.admit(key("a"), now).ok().unwrap();
        assert_eq!(clients.admit(key("a"), now).err(), Some(Excess::Concurrency(2)));
        assert!(clients.admit(key("b"), now).is_ok());
        drop(one);
        let three = clients.admit(key("a"), now);
        assert!(three.is_ok());
        assert!(clients.admit(key("a"), now).is_err());
        drop((two, three));
    }

    #[test]
    fn clients_are_bounded_and_the_busy_ones_stay() {
        let mut clients = clients(Some((1.0, 1)), Some(1));
        clients.most = 10;
        let now = Instant::now();
        let busy = clients.admit(key("busy"), now).ok().unwrap();
        for client in 0..1000 {
            let _ = clients.admit(key(&client.to_string()), now);
        }
        let known = {
            let table = clients.table.lock().unwrap();
            table.new.len() + table.old.len()
        };
        assert!(known <= 21, "{known}");
        assert_eq!(
            clients.admit(key("busy"), now).err(),
            Some(Excess::Concurrency(1))
        );
        drop(busy);
        assert!(matches!(
            clients.admit(key("busy"), now).err(),
            Some(Excess::Rate(_))
        ));
    }

    #[test]
    fn one_machine_is_one_client() {
        let at = |text: &str| Client::at(Some(text.parse().unwrap()));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.2"), at("10.0.0.1"));
    }
}
