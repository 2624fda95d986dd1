//! Redis from the system's package, alone or as a Cluster, and as much of its protocol as tests need.
//!
//! The client here is its own and blocks, like every client of this crate: it must not share a mistake with the one
//! that Weir uses.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::{Launch, Server, TempDir, free_port, wait_until};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A Cluster's slots.
const SLOTS: u16 = 16_384;

/// A running Redis that keeps no keys on disk.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    addr: SocketAddr,
    /// Where it speaks TLS, if it does.
    tls: Option<SocketAddr>,
    more: Vec<String>,
    /// What it keeps although it keeps no keys: who it is in a Cluster.
    home: TempDir,
}

impl Redis {
    /// Starts one at a free port.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further arguments, such as `--requirepass`, and waits until it answers.
    pub fn start_with(more: &[&str]) -> Self {
        Self::start_at(None, more)
    }

    /// Starts one that speaks TLS at a port of its own, too. What it needs for that, such as `--tls-cert-file`, stands
    /// among the arguments.
    pub fn start_tls(more: &[&str]) -> Self {
        Self::start_at(Some(crate::free_addr()), more)
    }

    fn start_at(tls: Option<SocketAddr>, more: &[&str]) -> Self {
        let home = TempDir::new("redis-home");
        let addr = crate::free_addr();
        let mut more: Vec<String> = more.iter().map(|&arg| arg.to_owned()).collect();
        if let Some(tls) = tls {
            more.extend(["--tls-port".to_owned(), tls.port().to_string()]);
        }
        Self {
            server: serve(addr, &home, &more),
            addr,
            tls,
            more,
            home,
        }
    }

    /// Starts it again where it was, after it was killed or stopped: without any key.
    pub fn restart(&mut self) {
        self.server.kill();
        self.server = serve(self.addr, &self.home, &self.more);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.addr
    }

    /// Its address as a config has it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// Its address for TLS as a config has it, with a host of that address; panics when it speaks none.
    pub fn tls_url(&self, host: &str) -> String {
        let tls = self.tls.expect("it was not started with TLS");
        format!("rediss://{host}:{}", tls.port())
    }

    /// Asks it something; panics when it answers with an error or not at all.
    pub fn command(&self, words: &[&str]) -> RedisReply {
        let reply = try_command(self.addr, words);
        match reply.unwrap_or_else(|why| panic!("{words:?}: {why}")) {
            RedisReply::Error(why) => panic!("{words:?}: {why}"),
            reply => reply,
        }
    }
}

fn serve(addr: SocketAddr, home: &TempDir, more: &[String]) -> Server {
    let port = addr.port().to_string();
    let home = home.path().display().to_string();
    let mut args = vec!["--port", &port, "--bind", "127.0.0.1", "--dir", &home];
    args.extend(["--save", "", "--appendonly", "no"]);
    args.extend(more.iter().map(String::as_str));
    let mut server = Launch::new("redis", "redis-server", "unused", "", &args).spawn();
    server
        .wait_ready(|| try_command(addr, &["PING"]).is_ok())
        .unwrap_or_else(|why| panic!("{why}"));
    server
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// A running Redis Cluster of three masters with a third of the slots each, and no replicas. What one serves goes on
/// when another fails.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
    more: Vec<String>,
}

impl RedisCluster {
    /// Starts one at free ports, and waits until all its nodes agree.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one whose nodes get further arguments, such as `--requirepass`.
    pub fn start_with(more: &[&str]) -> Self {
        Self::start_at(false, more)
    }

    /// Starts one whose nodes speak TLS among themselves and tell clients that come with TLS to stay with it.
    pub fn start_tls(more: &[&str]) -> Self {
        Self::start_at(true, &[more, &["--tls-cluster", "yes"]].concat())
    }

    fn start_at(tls: bool, more: &[&str]) -> Self {
        let buses: Vec<String> = (0..3).map(|_| free_port().to_string()).collect();
        let nodes: Vec<Redis> = buses
            .iter()
            .map(|bus| Redis::start_at(tls.then(crate::free_addr), &Self::arguments(bus, more)))
            .collect();
        let share = SLOTS / 3 + 1;
        for (index, node) in nodes.iter().enumerate() {
            let first = share * index as u16;
            let last = (first + share - 1).min(SLOTS - 1);
            let range = [first.to_string(), last.to_string()];
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        }
        for (other, bus) in nodes.iter().zip(&buses).skip(1) {
            let port = other.addr.port().to_string();
            nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
        }
        let more = more.iter().map(|&arg| arg.to_owned()).collect();
        let cluster = Self { nodes, more };
        wait_until("a cluster that agrees", || {
            cluster.nodes.iter().all(|node| {
                let info = node.command(&["CLUSTER", "INFO"]).text();
                // A cluster that does without full coverage is well before it has heard of all slots.
                [
                    "cluster_state:ok",
                    "cluster_known_nodes:3",
                    "cluster_slots_assigned:16384",
                ]
                .iter()
                .all(|line| info.contains(line))
            })
        });
        cluster
    }

    fn arguments<'a>(bus: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["--cluster-enabled", "yes", "--cluster-port", bus];
        args.extend(["--cluster-node-timeout", "2000"]);
        args.extend(["--cluster-require-full-coverage", "no"]);
        args.extend(more);
        args
    }

    /// Adds a replica of a node, as the last of the nodes, and waits until it has what that one has. Not for TLS.
    pub fn add_replica(&mut self, of: usize) -> &mut Redis {
        let bus = free_port().to_string();
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        let replica = Redis::start_with(&Self::arguments(&bus, &more));
        let port = replica.addr.port().to_string();
        self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        let master = self.nodes[of].command(&["CLUSTER", "MYID"]).text();
        wait_until("a replica that knows its master", || {
            let asked = try_command(replica.addr, &["CLUSTER", "REPLICATE", &master]);
            matches!(asked, Ok(RedisReply::Bytes(_)))
        });
        wait_until("a replica that has all", || {
            let info = replica.command(&["INFO", "replication"]).text();
            info.contains("master_link_status:up")
        });
        let nodes = self.nodes.len();
        let known = format!("cluster_known_nodes:{}", nodes + 1);
        self.nodes.push(replica);
        wait_until("a cluster that knows the replica", || {
            let infos = self
                .nodes
                .iter()
                .map(|node| node.command(&["CLUSTER", "INFO"]));
            infos
                .map(|info| info.text())
                .all(|info| info.contains(&known))
        });
        &mut self.nodes[nodes]
    }

    /// Its nodes, the one with the lowest slots first.
    pub fn nodes(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// The addresses of its nodes for TLS as a config has them.
    pub fn tls_urls(&self, host: &str) -> Vec<String> {
        self.nodes.iter().map(|node| node.tls_url(host)).collect()
    }

    /// The addresses of its nodes as a config has them.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisReply {
    /// Nothing there.
    Nil,
    /// A number.
    Number(i64),
    /// Text, short or long.
    Bytes(Vec<u8>),
    /// Several answers.
    List(Vec<Self>),
    /// What was wrong.
    Error(String),
}

impl RedisReply {
    /// The text; panics when it is none.
    pub fn text(&self) -> String {
        match self {
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The number; panics when it is none.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("no number: {other:?}"),
        }
    }

    /// The answers; panics when it is not a list.
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }
}

fn try_command(addr: SocketAddr, words: &[&str]) -> Result<RedisReply, String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(request.as_bytes())?;
        read_reply(&mut BufReader::new(stream))
    };
    ask().map_err(|why: std::io::Error| why.to_string())
}

fn read_reply(from: &mut impl BufRead) -> std::io::Result<RedisReply> {
    let broken = |line: &str| std::io::Error::other(format!("not RESP: {line:?}"));
    let mut line = String::new();
    from.read_line(&mut line)?;
    let text = line.strip_suffix("\r\n").ok_or_else(|| broken(&line))?;
    let (kind, rest) = text.split_at_checked(1).ok_or_else(|| broken(&line))?;
    let number = || rest.parse::<i64>().map_err(|_| broken(&line));
    Ok(match kind {
        "+" => RedisReply::Bytes(rest.as_bytes().to_vec()),
        "-" => RedisReply::Error(rest.to_owned()),
        ":" => RedisReply::Number(number()?),
        "$" | "*" if rest == "-1" => RedisReply::Nil,
        "$" => {
            let length = usize::try_from(number()?).map_err(|_| broken(&line))?;
            let mut bytes = vec![0; length + 2];
            from.read_exact(&mut bytes)?;
            bytes.truncate(length);
            RedisReply::Bytes(bytes)
        }
        "*" => RedisReply::List(
            (0..number()?)
                .map(|_| read_reply(from))
                .collect::<Result<_, _>>()?,
        ),
        _ => return Err(broken(&line)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_answers_and_forgets() {
        let mut redis = Redis::start();
        redis.command(&["SET", "a", "b c"]);
        assert_eq!(redis.command(&["GET", "a"]).text(), "b c");
        assert_eq!(redis.command(&["GET", "b"]), RedisReply::Nil);
        assert_eq!(redis.command(&["APPEND", "a", "d"]).number(), 4);
        let both = redis.command(&["MGET", "a", "b"]);
        assert_eq!(
            both.list(),
            [RedisReply::Bytes(b"b cd".to_vec()), RedisReply::Nil]
        );
        redis.kill();
        redis.restart();
        assert_eq!(redis.command(&["GET", "a"]), RedisReply::Nil);
    }

    #[test]
    fn a_cluster_of_three() {
        let mut cluster = RedisCluster::start();
        let owned = |node: &Redis| {
            let slots = node.command(&["CLUSTER", "SLOTS"]);
            slots.list().len()
        };
        assert!(cluster.nodes().iter().all(|node| owned(node) == 3));
    }
}
