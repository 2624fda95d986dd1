//! Who has which slots of a Redis Cluster.
//!
//! The `redis` crate has a client for Clusters, but while it finds out anew who has which slots, all its questions
//! wait, and finding out may wait for a server that hangs. Here each server has a connection and a breaker of its own,
//! so the keys of the others do not notice; only the map is looked up for all, beside them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::task::AbortHandle;

use super::hub::{Hub, SlotRange};
use super::server::{Address, Connection, Server, attend};
use super::slot::SLOTS;

/// How often the map is looked up while all is well, for changes that nobody was told about.
const CALM: Duration = Duration::from_secs(30);
/// How often while a server fails or a slot has none.
const TROUBLE: Duration = Duration::from_millis(250);
/// The least time between two look-ups.
const BREATH: Duration = Duration::from_millis(50);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(1);
/// More servers than any Cluster has.
const MOST_SERVERS: usize = 1000;

/// Keeps the map of a Cluster true, and a task for each of its servers. It never ends.
pub(crate) async fn keep(hub: Arc<Hub>) {
    let mut tasks: BTreeMap<Address, AbortHandle> = BTreeMap::new();
    loop {
        if let Some(owners) = look(&hub).await {
            apply(&hub, &mut tasks, owners);
            hub.changed.notify_waiters();
        }
        tokio::time::sleep(BREATH).await;
        let calm = hub.is_whole() && hub.servers().iter().all(|server| !server.breaker.is_open());
        let pause = if calm { CALM } else { TROUBLE };
        // Either is a reason to look again.
        let _ = tokio::time::timeout(pause, hub.look_again.notified()).await;
    }
}

fn apply(
    hub: &Arc<Hub>,
    tasks: &mut BTreeMap<Address, AbortHandle>,
    owners: BTreeMap<Address, Vec<SlotRange>>,
) {
    let known = hub.servers();
    tasks.retain(|address, task| {
        let stays = owners.contains_key(address);
        if !stays {
            task.abort();
        }
        stays
    });
    let servers = owners
        .into_iter()
        .map(|(address, ranges)| {
            let old = known.iter().find(|server| server.address == address);
            let server = old.cloned().unwrap_or_else(|| {
                let (server, questions) = Server::new(address.clone(), hub);
                let task = tokio::spawn(attend(Arc::clone(&server), questions, Arc::clone(hub)));
                tasks.insert(address, task.abort_handle());
                server
            });
            (server, ranges)
        })
        .collect();
    hub.set_slots(servers);
}

/// Asks one server after the other, first those that answer, until one tells.
async fn look(hub: &Hub) -> Option<BTreeMap<Address, Vec<SlotRange>>> {
    let mut servers = hub.servers();
    servers.sort_by_key(|server| server.breaker.is_open());
    let known = servers.iter().map(|server| &server.address);
    for address in known.chain(&hub.seeds) {
        if let Some(owners) = ask(hub, address).await {
            return Some(owners);
        }
    }
    None
}

async fn ask(hub: &Hub, address: &Address) -> Option<BTreeMap<Address, Vec<SlotRange>>> {
    let connection = Connection::open(address, &hub.who, 1).await.ok()?;
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    let answer = tokio::time::timeout(ANSWER, connection.ask(&question));
    read(&answer.await.ok()?.ok()?, address)
}

/// The masters and their slots. A server that does not know its own name is where we found it.
fn read(answer: &Value, from: &Address) -> Option<BTreeMap<Address, Vec<SlotRange>>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let mut owners: BTreeMap<Address, Vec<SlotRange>> = BTreeMap::new();
    for range in ranges {
        let Value::Array(range) = range else {
            return None;
        };
        let [
            Value::Int(first),
            Value::Int(last),
            Value::Array(master),
            ..,
        ] = &range[..]
        else {
            return None;
        };
        let [host, Value::Int(port), ..] = &master[..] else {
            return None;
        };
        let host = match host {
            Value::BulkString(host) => std::str::from_utf8(host).ok()?,
            Value::SimpleString(host) => host,
            _ => "",
        };
        let slot = |number: &i64| u16::try_from(*number).ok().filter(|slot| *slot < SLOTS);
        let address = Address {
            host: if host.is_empty() || host == "?" {
                Arc::clone(&from.host)
            } else {
                host.into()
            },
            port: u16::try_from(*port).ok()?,
        };
        owners
            .entry(address)
            .or_default()
            .push((slot(first)?, slot(last)?));
    }
    (!owners.is_empty() && owners.len() <= MOST_SERVERS).then_some(owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let master = Value::Array(vec![host, Value::Int(port), text("id")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), master])
    }

    #[test]
    fn maps_are_read_with_care() {
        let from = Address {
            host: "10.0.0.9".into(),
            port: 1,
        };
        let answer = Value::Array(vec![
            range(0, 99, text("10.0.0.1"), 7000),
            range(100, 16_383, text(""), 7001),
            range(200, 300, text("10.0.0.1"), 7000),
        ]);
        let owners = read(&answer, &from).expect("a map");
        let owners: Vec<_> = owners
            .iter()
            .map(|(address, ranges)| (address.to_string(), ranges.clone()))
            .collect();
        assert_eq!(
            owners,
            [
                ("10.0.0.1:7000".to_owned(), vec![(0, 99), (200, 300)]),
                ("10.0.0.9:7001".to_owned(), vec![(100, 16_383)]),
            ]
        );
        for broken in [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![range(0, 16_384, text("a"), 1)]),
            Value::Array(vec![range(-1, 1, text("a"), 1)]),
            Value::Array(vec![range(0, 1, text("a"), 70_000)]),
            Value::Array(vec![Value::Array(vec![Value::Int(1)])]),
        ] {
            assert!(read(&broken, &from).is_none(), "{broken:?}");
        }
    }
}
