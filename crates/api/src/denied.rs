//! Counting who was refused at the setup API, by address and minute. In memory for some seconds, in bounded
//! room whoever asks how often from wherever: `tenantry_catalog::audit::denied` keeps it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use ipnet::Ipv6Net;
use sqlx::PgPool;
use tenantry_catalog::CatalogError;
use tenantry_catalog::audit::denied::{self, Denied};
use tenantry_types::Clock;

/// How many addresses are told apart in one minute.
const ADDRESSES: usize = 256;
/// How many numbers wait for the catalog at most, should it be away; what comes then is lost.
const WAITING: usize = 8192;
/// All addresses beyond those.
const OTHERS: &str = "others";

/// What was refused and is not in the catalog yet.
pub(crate) struct Denials {
    clock: Clock,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    minute: i64,
    addresses: HashSet<String>,
    waiting: HashMap<(i64, String, String), i64>,
}

impl Denials {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            counted: Mutex::default(),
        }
    }

    /// Counts one. `code` is one of ours, of which there are few.
    pub(crate) fn count(&self, address: Option<IpAddr>, code: &str) {
        let minute = self.clock.now().timestamp().div_euclid(60);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.minute != minute {
            counted.minute = minute;
            counted.addresses.clear();
        }
        let mut address = address.map_or_else(|| OTHERS.to_owned(), network_of);
        if !counted.addresses.contains(&address) {
            if counted.addresses.len() < ADDRESSES {
                counted.addresses.insert(address.clone());
            } else {
                address = OTHERS.to_owned();
            }
        }
        counted.add((minute, address, code.to_owned()), 1);
    }

    /// Writes what waits into the catalog; keeps it when that fails.
    pub(crate) async fn flush(&self, catalog: &PgPool) -> Result<(), CatalogError> {
        let waiting = {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut counted.waiting)
        };
        if waiting.is_empty() {
            return Ok(());
        }
        let rows: Vec<Denied> = waiting
            .iter()
            .filter_map(|((minute, address, code), calls)| {
                Some(Denied {
                    minute: DateTime::<Utc>::from_timestamp(minute.checked_mul(60)?, 0)?,
                    address: address.clone(),
                    code: code.clone(),
                    calls: *calls,
                })
            })
            .collect();
        let written = async {
            let mut conn = catalog.acquire().await?;
            denied::add(&mut conn, &rows).await
        };
        let written = written.await;
        if written.is_err() {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, calls) in waiting {
                counted.add(key, calls);
            }
        }
        written
    }
}

impl Counted {
    fn add(&mut self, key: (i64, String, String), calls: i64) {
        if self.waiting.len() < WAITING || self.waiting.contains_key(&key) {
            let count = self.waiting.entry(key).or_default();
            *count = count.saturating_add(calls);
        }
    }
}

/// Whoever has an IPv6 address has a network of /64 of them.
fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => match Ipv6Net::new(address, 64) {
            Ok(network) => network.trunc().to_string(),
            Err(_) => address.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(denials: &Denials) -> HashMap<String, i64> {
        let counted = denials.counted.lock().expect("not poisoned");
        let of = counted.waiting.iter();
        of.map(|((_, address, _), calls)| (address.clone(), *calls))
            .collect()
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_an_address_of_ipv4_is_one() {
        let denials = Denials::new(Clock::system());
        for address in [
            "2001:db8::1",
            "2001:db8::ffff:2",
            "::ffff:192.0.2.1",
            "192.0.2.1",
        ] {
            denials.count(
                Some(address.parse().expect("an address")),
                "UNAUTHENTICATED",
            );
        }
        let counts = counts(&denials);
        assert_eq!(counts.get("2001:db8::/64"), Some(&2), "{counts:?}");
        assert_eq!(counts.get("192.0.2.1"), Some(&2), "{counts:?}");
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_room() {
        let denials = Denials::new(Clock::system());
        for number in 0..100_000_u32 {
            denials.count(Some(IpAddr::V4(number.into())), "UNAUTHENTICATED");
        }
        let counts = counts(&denials);
        // A minute may have ended on the way.
        assert!(counts.len() <= 2 * (ADDRESSES + 1), "{}", counts.len());
        assert!(counts[OTHERS] > 90_000, "{}", counts[OTHERS]);
    }
}
