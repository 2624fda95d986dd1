//! Who has which slots of a Redis Cluster.
//!
//! The `redis` crate has a client for Clusters, but while it finds out anew who has which slots, all its questions
//! wait, and finding out may wait for a server that hangs. Here each server has a connection and a breaker of its own,
//! so the keys of the others do not notice; only the map is looked up for all, beside them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redis::Value;
use tokio::task::AbortHandle;

use super::connection::{Connection, MAP_ANSWER, told};
use super::error::tidy;
use super::hub::{Hub, SlotRange};
use super::server::{Address, Server, attend};
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

/// What a map says of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) ranges: Vec<SlotRange>,
    /// The name that it is announced with, if it is.
    pub(crate) hostname: Option<Arc<str>>,
}

/// Servers by where they are.
type Owners = BTreeMap<Address, Owner>;

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

fn apply(hub: &Arc<Hub>, tasks: &mut BTreeMap<Address, AbortHandle>, owners: Owners) {
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
        .map(|(address, owner)| {
            let old = known.iter().find(|server| server.address == address);
            let server = old.cloned().unwrap_or_else(|| {
                let (server, questions) = Server::new(address.clone(), hub);
                let task = tokio::spawn(attend(Arc::clone(&server), questions, Arc::clone(hub)));
                tasks.insert(address, task.abort_handle());
                server
            });
            (server, owner)
        })
        .collect();
    hub.set_slots(servers);
}

/// Asks one server after the other, first those that answer, until one tells.
async fn look(hub: &Hub) -> Option<Owners> {
    let mut servers = hub.servers();
    servers.sort_by_key(|server| server.breaker.is_open());
    for server in &servers {
        let announced = server.announced();
        if let Ok(owners) = ask(hub, &server.address, announced.as_deref()).await {
            return Some(owners);
        }
    }
    for seed in &hub.seeds {
        match ask(hub, &seed.address, None).await {
            Ok(owners) => return Some(owners),
            Err(why) => {
                *seed.why.lock().unwrap_or_else(PoisonError::into_inner) = tidy(&why);
            }
        }
    }
    None
}

async fn ask(hub: &Hub, address: &Address, announced: Option<&str>) -> Result<Owners, String> {
    let connection = Connection::open(address, announced, hub, MAP_ANSWER).await?;
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    let answer = match tokio::time::timeout(ANSWER, connection.ask(&question)).await {
        Ok(answer) => answer.map_err(|why| told(&why))?,
        Err(_) => return Err(format!("no answer within {ANSWER:?}")),
    };
    read(&answer, address).ok_or_else(|| "it does not know who has which slots".to_owned())
}

/// The masters and their slots. A server that does not know its own name is where we found it.
fn read(answer: &Value, from: &Address) -> Option<Owners> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let mut owners = Owners::new();
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
        let [host, Value::Int(port), more @ ..] = &master[..] else {
            return None;
        };
        let slot = |number: &i64| u16::try_from(*number).ok().filter(|slot| *slot < SLOTS);
        let (first, last) = (slot(first)?, slot(last)?);
        let host = match host {
            Value::Nil => "",
            host => text(host)?,
        };
        let address = Address {
            host: match host {
                "" | "?" => Arc::clone(&from.host),
                host => host.into(),
            },
            port: u16::try_from(*port).ok()?,
        };
        let owner = owners.entry(address).or_default();
        if first > last || owner.ranges.len() >= usize::from(SLOTS) {
            return None;
        }
        owner.ranges.push((first, last));
        owner.hostname = hostname(host, more);
    }
    (!owners.is_empty() && owners.len() <= MOST_SERVERS).then_some(owners)
}

/// The name among what is told of a server: where to connect to, if that is one, or else what stands in the metadata,
/// behind the server's id (`CLUSTER SLOTS`, Redis 7).
fn hostname(host: &str, more: &[Value]) -> Option<Arc<str>> {
    if !matches!(host, "" | "?") && host.parse::<IpAddr>().is_err() {
        return Some(host.into());
    }
    let Some(Value::Array(metadata)) = more.get(1) else {
        return None;
    };
    let mut pairs = metadata.chunks_exact(2);
    let name = pairs.find_map(|pair| (text(&pair[0])? == "hostname").then(|| text(&pair[1])))?;
    name.filter(|name| !name.is_empty()).map(Into::into)
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let master = Value::Array(vec![host, Value::Int(port), bulk("id")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), master])
    }

    #[test]
    fn maps_are_read_with_care() {
        let from = Address {
            host: "10.0.0.9".into(),
            port: 1,
        };
        let answer = Value::Array(vec![
            range(0, 99, bulk("10.0.0.1"), 7000),
            range(100, 16_383, bulk(""), 7001),
            range(200, 300, bulk("10.0.0.1"), 7000),
        ]);
        let owners = read(&answer, &from).expect("a map");
        let owners: Vec<_> = owners
            .iter()
            .map(|(address, owner)| (address.to_string(), owner.ranges.clone()))
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
            Value::Array(vec![range(0, 16_384, bulk("a"), 1)]),
            Value::Array(vec![range(-1, 1, bulk("a"), 1)]),
            Value::Array(vec![range(2, 1, bulk("a"), 1)]),
            Value::Array(vec![range(0, 1, bulk("a"), 70_000)]),
            Value::Array(vec![Value::Array(vec![Value::Int(1)])]),
        ] {
            assert!(read(&broken, &from).is_none(), "{broken:?}");
        }
    }
    #[test]
    fn hostnames_are_found_where_servers_say_them() {
        let from = Address {
            host: "10.0.0.9".into(),
            port: 1,
        };
        let with = |host: Value, metadata: &[&str]| {
            let metadata = metadata.iter().map(|word| bulk(word)).collect();
            let master = vec![host, Value::Int(7000), bulk("id"), Value::Array(metadata)];
            let range = vec![Value::Int(0), Value::Int(9), Value::Array(master)];
            let answer = Value::Array(vec![Value::Array(range)]);
            let owners = read(&answer, &from).expect("a map");
            let (address, owner) = owners.into_iter().next().expect("one");
            let hostname = owner.hostname.map(|name| name.to_string());
            (address.host.to_string(), hostname.unwrap_or_default())
        };
        for (host, metadata, address, hostname) in [
            (
                bulk("a.example"),
                &["ip", "10.0.0.1"][..],
                "a.example",
                "a.example",
            ),
            (
                bulk("10.0.0.1"),
                &["hostname", "a.example"],
                "10.0.0.1",
                "a.example",
            ),
            (
                bulk("10.0.0.1"),
                &["x", "y", "hostname", ""],
                "10.0.0.1",
                "",
            ),
            (bulk("10.0.0.1"), &["hostname"], "10.0.0.1", ""),
            (
                Value::Nil,
                &["hostname", "a.example"],
                "10.0.0.9",
                "a.example",
            ),
            (bulk("?"), &[], "10.0.0.9", ""),
        ] {
            let read = with(host, metadata);
            assert_eq!(read, (address.to_owned(), hostname.to_owned()));
        }
    }
}
