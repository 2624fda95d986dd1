//! How many logins of one client may come to nothing.
//!
//! A return with a code makes Weir ask the provider, and anybody can begin a login and return with a code that they made up.
//! So returns are counted by the address that they come from, until the provider has given a session for them: an office
//! behind one address may log in as often as it likes, and whoever guesses is told to wait. The provider does not hear of
//! it, and the places that one method has for its questions are left to others.
//!
//! The table is bounded. When it is full of addresses that count, those with the least to their names are forgotten: who
//! commands so many addresses is held by the bounds of questions alone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_config::Rate;

/// How many addresses are counted.
const MOST: usize = 10_000;
/// Times are counted in these.
const SECOND: u64 = 1_000_000;

/// Logins that came to nothing, or may: by the address of the client, when all of them will be worked off.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, u64>>);

impl Attempts {
    /// Counts an attempt, unless there were too many: then it says in how many seconds there may be another. `now` is in
    /// seconds since 1970.
    pub(super) fn begin(&self, client: IpAddr, rate: Rate, now: u64) -> Result<(), u64> {
        let now = now.saturating_mul(SECOND);
        let step = step(rate);
        let most = step.saturating_mul(rate.count());
        let mut table = self.table();
        let client = network(client);
        let known = table.get(&client);
        let worked_off = known.map_or(now, |at| *at.max(&now)).saturating_add(step);
        let over = worked_off.saturating_sub(now.saturating_add(most));
        if over > 0 {
            return Err(over.div_ceil(SECOND));
        }
        if known.is_none() && table.len() >= MOST {
            make_room(&mut table, now);
        }
        table.insert(client, worked_off);
        Ok(())
    }

    /// Takes an attempt back: somebody is logged in.
    pub(super) fn forgive(&self, client: IpAddr, rate: Rate) {
        if let Some(worked_off) = self.table().get_mut(&network(client)) {
            *worked_off = worked_off.saturating_sub(step(rate));
        }
    }

    /// Whether nothing counts any more.
    pub(super) fn is_empty(&self, now: u64) -> bool {
        let now = now.saturating_mul(SECOND);
        self.table().values().all(|worked_off| *worked_off <= now)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<IpAddr, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it takes to work off one attempt.
fn step(rate: Rate) -> u64 {
    let per = u64::try_from(rate.per().as_micros()).unwrap_or(u64::MAX);
    (per / rate.count().max(1)).max(1)
}

/// What counts as one client. Whoever has one address of IPv6 has those that share its first half.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address => address,
    }
}

fn make_room(table: &mut HashMap<IpAddr, u64>, now: u64) {
    table.retain(|_, worked_off| *worked_off > now);
    if table.len() <= MOST / 4 * 3 {
        return;
    }
    let mut times: Vec<u64> = table.values().copied().collect();
    let middle = times.len() / 2;
    let (_, line, _) = times.select_nth_unstable(middle);
    let line = *line;
    table.retain(|_, worked_off| *worked_off > line);
}

#[cfg(test)]
mod tests {
    use weir_config::Duration;

    use super::*;

    const RATE: Rate = Rate::new(3, Duration::from_secs(60));
    const NOW: u64 = 1_800_000_000;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn so_many_and_then_one_at_a_time() {
        let attempts = Attempts::default();
        let begin = |client, now| attempts.begin(ip(client), RATE, now);
        for _ in 0..3 {
            assert_eq!(begin("192.0.2.1", NOW), Ok(()));
        }
        assert_eq!(begin("192.0.2.1", NOW), Err(20));
        assert_eq!(begin("192.0.2.2", NOW), Ok(()));
        assert_eq!(begin("192.0.2.1", NOW + 19), Err(1));
        assert_eq!(begin("192.0.2.1", NOW + 20), Ok(()));
        assert_eq!(begin("192.0.2.1", NOW + 20), Err(20));
        assert!(!attempts.is_empty(NOW + 79) && attempts.is_empty(NOW + 80));
    }

    #[test]
    fn what_came_to_something_does_not_count() {
        let attempts = Attempts::default();
        let client = ip("192.0.2.1");
        for _ in 0..100 {
            assert_eq!(attempts.begin(client, RATE, NOW), Ok(()));
            attempts.forgive(client, RATE);
        }
        for _ in 0..3 {
            assert_eq!(attempts.begin(client, RATE, NOW), Ok(()));
        }
        assert!(attempts.begin(client, RATE, NOW).is_err());
        // Nobody saves up.
        for _ in 0..100 {
            attempts.forgive(client, RATE);
        }
        for _ in 0..3 {
            assert_eq!(attempts.begin(client, RATE, NOW), Ok(()));
        }
        assert!(attempts.begin(client, RATE, NOW).is_err());
        attempts.forgive(ip("192.0.2.9"), RATE);
    }

    #[test]
    fn neighbours_are_one_client_or_not() {
        let attempts = Attempts::default();
        let begin = |client| attempts.begin(ip(client), RATE, NOW).is_ok();
        assert!(begin("2001:db8::1") && begin("2001:db8::2") && begin("2001:db8:0:0:9::1"));
        assert!(!begin("2001:db8::4") && begin("2001:db8:0:1::1"));
        assert!(begin("192.0.2.1") && begin("::ffff:192.0.2.1") && begin("192.0.2.1"));
        assert!(!begin("::ffff:192.0.2.1") && begin("192.0.2.2"));
    }

    #[test]
    fn a_full_table_forgets_those_with_the_least() {
        let attempts = Attempts::default();
        let bad = ip("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(attempts.begin(bad, RATE, NOW), Ok(()));
        }
        for n in 0..3 * MOST as u32 {
            let client = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            assert_eq!(attempts.begin(client.into(), RATE, NOW), Ok(()));
        }
        assert!(attempts.table().len() <= MOST);
        assert!(attempts.begin(bad, RATE, NOW).is_err());
    }

    #[test]
    fn no_rate_is_too_much() {
        let attempts = Attempts::default();
        for rate in [
            Rate::new(u64::MAX, Duration::from_millis(1)),
            Rate::new(1, Duration::from_secs(u64::MAX / 1_000_000)),
        ] {
            assert_eq!(attempts.begin(ip("192.0.2.1"), rate, NOW), Ok(()));
        }
    }
}
