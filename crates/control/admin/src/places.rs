//! Who holds the places for connections, and who has to leave for a newcomer.
//!
//! The API must answer an operator while others hold connections, whether by mistake or on purpose. So a newcomer is
//! never turned away because of connections that ask nothing: the one that has asked nothing for the longest time
//! leaves. And no machine but this one may hold more than half of the places: whoever opens more displaces its own, so
//! that it cannot displace those of all others.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// The places, and who is in them.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    holders: Mutex<Vec<Holder>>,
    /// The next place's number. None is used again: who was displaced may still hold its own.
    next: AtomicU64,
    /// A holder has gone, or may be displaced again.
    changed: Notify,
}

#[derive(Debug)]
struct Holder {
    number: u64,
    network: IpAddr,
    /// When it last asked for something, or came.
    asked: Instant,
    /// Its answer is being made: it is not to be displaced.
    answering: bool,
    leave: Arc<Notify>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
}

/// Why there is no place now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// All are being answered.
    All,
    /// All of this client's share are.
    Share,
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            holders: Mutex::default(),
            next: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    /// A place for a connection from `client`, once there is one. `None` if that client has its share.
    pub(crate) async fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        loop {
            let changed = self.changed.notified();
            match self.try_take(client, Instant::now()) {
                Ok(place) => return Some(place),
                Err(Taken::Share) => return None,
                Err(Taken::All) => changed.await,
            }
        }
    }

    fn try_take(self: &Arc<Self>, client: IpAddr, now: Instant) -> Result<Place, Taken> {
        let network = network(client);
        let mut holders = self.holders();
        let share = holders.iter().filter(|holder| holder.network == network);
        let displaced = if !network.is_loopback() && share.count() >= self.most.div_ceil(2) {
            Some(idlest(&holders, |holder| holder.network == network).ok_or(Taken::Share)?)
        } else if holders.len() >= self.most {
            Some(idlest(&holders, |_| true).ok_or(Taken::All)?)
        } else {
            None
        };
        if let Some(displaced) = displaced {
            holders.remove(displaced).leave.notify_one();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let leave = Arc::new(Notify::new());
        holders.push(Holder {
            number,
            network,
            asked: now,
            answering: false,
            leave: Arc::clone(&leave),
        });
        drop(holders);
        Ok(Place {
            places: Arc::clone(self),
            number,
            leave,
        })
    }

    fn holders(&self) -> MutexGuard<'_, Vec<Holder>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A request has come, and its answer is being made.
    pub(crate) fn asked(&self) {
        self.set(true);
    }

    /// The answer is on its way.
    pub(crate) fn answered(&self) {
        self.set(false);
        self.places.changed.notify_one();
    }

    /// Ready once a newcomer has this place.
    pub(crate) async fn displaced(&self) {
        self.leave.notified().await;
    }

    fn set(&self, answering: bool) {
        let mut holders = self.places.holders();
        if let Some(holder) = holders
            .iter_mut()
            .find(|holder| holder.number == self.number)
        {
            holder.answering = answering;
            holder.asked = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut holders = self.places.holders();
        holders.retain(|holder| holder.number != self.number);
        drop(holders);
        self.places.changed.notify_one();
    }
}

/// The one that has asked for nothing for the longest time.
fn idlest(holders: &[Holder], among: impl Fn(&Holder) -> bool) -> Option<usize> {
    holders
        .iter()
        .enumerate()
        .filter(|(_, holder)| !holder.answering && among(holder))
        .min_by_key(|(_, holder)| holder.asked)
        .map(|(at, _)| at)
}

/// What counts as one client: an IPv4 address, the /64 that an IPv6 customer is given, or this machine.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Takes a place at this second.
    fn take(places: &Arc<Places>, client: &str, at: u64) -> Result<Place, Taken> {
        static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        places.try_take(ip(client), *BEGAN + Duration::from_secs(at))
    }

    fn numbers(places: &Places) -> Vec<u64> {
        places
            .holders()
            .iter()
            .map(|holder| holder.number)
            .collect()
    }

    #[test]
    fn a_newcomer_gets_the_place_of_who_asked_nothing_for_longest() {
        let places = Places::new(3);
        let held: Vec<Place> = (0..3)
            .map(|at| take(&places, "127.0.0.1", at).unwrap())
            .collect();
        // The oldest is being answered.
        held[0].asked();
        let fourth = take(&places, "127.0.0.1", 3).unwrap();
        assert_eq!(numbers(&places), [0, 2, 3]);
        for place in [&held[2], &fourth] {
            place.asked();
        }
        assert_eq!(take(&places, "10.0.0.1", 9).unwrap_err(), Taken::All);
        fourth.answered();
        let fifth = take(&places, "10.0.0.1", 9).unwrap();
        assert_eq!(numbers(&places), [0, 2, fifth.number]);
        // Who was displaced gives back nothing.
        drop(fourth);
        assert_eq!(numbers(&places).len(), 3);
        drop(held);
        assert_eq!(numbers(&places), [fifth.number]);
    }

    #[test]
    fn one_client_displaces_its_own_from_its_share_on() {
        let places = Places::new(4);
        let operator = take(&places, "10.0.0.9", 0).unwrap();
        let flood: Vec<Place> = (1..10)
            .map(|at| take(&places, "10.0.0.1", at).unwrap())
            .collect();
        assert_eq!(numbers(&places), [operator.number, 8, 9]);
        for place in &flood[7..] {
            place.asked();
        }
        assert_eq!(take(&places, "10.0.0.1", 99).unwrap_err(), Taken::Share);
        // An IPv6 customer has many addresses, and this machine all the places.
        let places = Places::new(2);
        let _first = take(&places, "2001:db8::1", 0).unwrap();
        let second = take(&places, "2001:db8::2", 1).unwrap();
        assert_eq!(numbers(&places), [second.number]);
        let _here = take(&places, "::1", 2).unwrap();
        let _also = take(&places, "::ffff:127.0.0.1", 3).unwrap();
        assert_eq!(numbers(&places).len(), 2);
    }
}
