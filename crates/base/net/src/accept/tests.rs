use super::*;
use proptest::prelude::*;

const OPEN: ConnectionLimits = ConnectionLimits {
    total: usize::MAX,
    per_address: usize::MAX,
    rate: None,
};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn rate(count: u64, per_ms: u64) -> Option<ConnectionRate> {
    let per = std::time::Duration::from_millis(per_ms);
    Some(ConnectionRate { count, per })
}

fn known(gate: &Gate) -> usize {
    let shards = gate.addresses.shards.iter();
    shards
        .map(|shard| shard.lock().expect("not poisoned").clients.len())
        .sum()
}

#[test]
fn both_bounds_hold_and_places_come_back() {
    let gate = Gate::new(ConnectionLimits {
        total: 3,
        per_address: 2,
        ..OPEN
    });
    let a = gate.enter(ip("10.0.0.1"), 0).expect("first");
    let _b = gate.enter(ip("10.0.0.1"), 0).expect("second");
    assert_eq!(
        gate.enter(ip("10.0.0.1"), 0).err(),
        Some(Refusal::PerAddress)
    );
    let _c = gate.enter(ip("10.0.0.2"), 0).expect("another address");
    assert_eq!(gate.enter(ip("10.0.0.3"), 0).err(), Some(Refusal::Total));
    drop(a);
    assert_eq!(gate.open(), 2);
    gate.enter(ip("10.0.0.1"), 0).expect("a place came back");
}

#[test]
fn an_ipv6_customer_is_one_client() {
    let gate = Gate::new(ConnectionLimits {
        per_address: 1,
        ..OPEN
    });
    let _held = gate.enter(ip("2001:db8::1"), 0).expect("first");
    assert!(gate.enter(ip("2001:db8::ffff:2"), 0).is_err());
    gate.enter(ip("2001:db8:0:1::1"), 0).expect("another /64");
    let _v4 = gate.enter(ip("10.0.0.1"), 0).expect("v4");
    assert!(gate.enter(ip("::ffff:10.0.0.1"), 0).is_err());
}

#[test]
fn whoever_is_not_known_yet_counts_and_is_claimed_later() {
    let gate = Gate::new(ConnectionLimits {
        total: 2,
        per_address: 1,
        rate: None,
    });
    let proxied = [gate.hold().expect("one"), gate.hold().expect("two")];
    assert_eq!(gate.hold().err(), Some(Refusal::Total));
    let mut claimed = proxied.map(|pass| pass.claim(ip("192.0.2.1"), 0));
    assert!(claimed[0].is_ok());
    assert_eq!(claimed[1].as_ref().err(), Some(&Refusal::PerAddress));
    assert_eq!(gate.open(), 1);
    claimed[0] = Err(Refusal::Total);
    assert_eq!((gate.open(), known(&gate)), (0, 0));
}

#[test]
fn the_table_forgets_who_left() {
    let gate = Gate::new(ConnectionLimits {
        per_address: 1,
        ..OPEN
    });
    drop(gate.enter(ip("10.0.0.1"), 0));
    assert_eq!(known(&gate), 0);
}

#[test]
fn connections_come_at_once_and_then_at_the_rate() {
    let gate = Gate::new(ConnectionLimits {
        rate: rate(3, 3000),
        ..OPEN
    });
    let start = clock::now() + 1_000_000_000;
    let come = |micros| gate.enter(ip("10.0.0.1"), start + micros).map(drop);
    for _ in 0..3 {
        come(0).expect("at once");
    }
    assert_eq!(come(999_999), Err(Refusal::Rate));
    come(1_000_000).expect("a second later");
    assert_eq!(come(1_000_001), Err(Refusal::Rate));
    gate.enter(ip("10.0.0.2"), start).expect("another client");
    gate.set_limits(OPEN);
    come(1_000_002).expect("the rate is gone");
}

#[test]
fn the_table_stays_small_however_many_come() {
    let gate = Gate::new(ConnectionLimits {
        rate: rate(1, 3_600_000),
        ..OPEN
    });
    let now = clock::now();
    for n in 0..600_000_u32 {
        let client = IpAddr::V4((0x0a00_0000 + n).into());
        drop(gate.enter(client, now).expect("its first"));
    }
    assert!(
        known(&gate) <= SHARDS * (REMEMBERED + 1),
        "{}",
        known(&gate)
    );
    let last = IpAddr::V4((0x0a00_0000_u32 + 599_999).into());
    assert_eq!(gate.enter(last, now).err(), Some(Refusal::Rate));
}

proptest! {
    /// Against a log of all that were let in: never more than the bucket holds and what ran into it, and nobody is
    /// turned away for whom there was room.
    #[test]
    fn the_rate_is_that_of_a_bucket(
        count in 1..6_u64,
        per_ms in 1..50_u64,
        steps in proptest::collection::vec(0..8_000_u64, 1..120),
    ) {
        let gate = Gate::new(ConnectionLimits { rate: rate(count, per_ms), ..OPEN });
        let interval = (per_ms * 1_000_000).div_ceil(count);
        // Far ahead of the clock that leaving reads, so that nobody is forgotten.
        let mut now = clock::now() + 3_600_000_000;
        let mut busy: u64 = 0;
        for step in steps {
            now += step;
            busy = busy.saturating_sub(step * 1000);
            let room = busy <= interval * (count - 1);
            prop_assert_eq!(gate.enter(ip("10.0.0.1"), now).is_ok(), room);
            if room {
                busy += interval;
            }
        }
    }
}
