//! Answers from the system: the hosts file, then DNS through `hickory-resolver`.
//!
//! The hosts file and `/etc/resolv.conf` are read again when they change: laptops move between networks, and containers get
//! their files written late.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, ResolverBuilder, TokioResolver};

use super::{Answer, Records, Resolve, ResolveError, ResolveFuture, Srv, SrvFuture, SrvRecords};

/// Hosts file entries have no TTL; looking again is cheap.
const HOSTS_TTL: Duration = Duration::from_secs(5);

/// Resolves names as the system does: hosts file, `localhost`, name servers with search domains.
#[derive(Debug)]
pub struct DnsResolver {
    source: Source,
    hosts_path: PathBuf,
    hosts: Mutex<Cached<Hosts>>,
    client: Mutex<Cached<TokioResolver>>,
}

/// Name servers cannot be asked this way.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up DNS: {0}")]
pub struct DnsResolverError(String);

#[derive(Debug)]
enum Source {
    ResolvConf(PathBuf),
    NameServers(Vec<SocketAddr>),
}

/// Something made from a file, and the file's time when it was.
#[derive(Debug)]
struct Cached<T> {
    value: Option<T>,
    modified: Option<SystemTime>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            value: None,
            modified: None,
        }
    }
}

impl<T: Clone> Cached<T> {
    fn get<E>(
        &mut self,
        modified: Option<SystemTime>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.value {
            Some(value) if self.modified == modified => Ok(value.clone()),
            _ => {
                let value = make()?;
                *self = Self {
                    value: Some(value.clone()),
                    modified,
                };
                Ok(value)
            }
        }
    }
}

impl DnsResolver {
    /// The system's configuration. A missing or broken `/etc/resolv.conf` is no error here: names in the hosts file work
    /// without, and others say what is wrong when they are looked up.
    pub fn system() -> Self {
        Self::new(Source::ResolvConf("/etc/resolv.conf".into()))
    }

    /// These name servers instead of the system's, without search domains.
    pub fn with_name_servers(servers: Vec<SocketAddr>) -> Result<Self, DnsResolverError> {
        if servers.is_empty() {
            return Err(DnsResolverError("no name server given".into()));
        }
        Ok(Self::new(Source::NameServers(servers)))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            hosts_path: "/etc/hosts".into(),
            hosts: Mutex::default(),
            client: Mutex::default(),
        }
    }

    async fn lookup(&self, host: &str) -> Answer {
        let Ok(name) = Name::from_utf8(host) else {
            return Answer::failed(ResolveError::Failed("not a host name".into()));
        };
        if let Some(answer) = self.hosts_answer(&name) {
            return answer;
        }
        let bare = host.strip_suffix('.').unwrap_or(host);
        if bare == "localhost" || bare.ends_with(".localhost") {
            // RFC 6761, section 6.3: resolvers SHOULD answer these with loopback addresses, without asking anyone.
            let records = |ip: IpAddr| {
                Ok(Records {
                    addresses: vec![ip],
                    ttl: HOSTS_TTL,
                })
            };
            return Answer {
                v4: records(Ipv4Addr::LOCALHOST.into()),
                v6: records(Ipv6Addr::LOCALHOST.into()),
            };
        }
        let client = match self.client() {
            Ok(client) => client,
            Err(e) => return Answer::failed(ResolveError::Failed(e.to_string())),
        };
        let v6 = tokio::spawn({
            let (client, name) = (client.clone(), name.clone());
            async move { ask(&client, name, RecordType::AAAA).await }
        });
        let v4 = ask(&client, name, RecordType::A).await;
        let v6 = v6
            .await
            .unwrap_or_else(|_| Err(ResolveError::Failed("the lookup was cancelled".into())));
        Answer { v4, v6 }
    }

    async fn lookup_srv(&self, name: &str) -> Result<SrvRecords, ResolveError> {
        let failed = |why: String| ResolveError::Failed(why);
        let name = Name::from_utf8(name).map_err(|_| failed("not a name".to_owned()))?;
        let client = self.client().map_err(|e| failed(e.to_string()))?;
        let Some(lookup) = lookup(&client, name, RecordType::SRV).await? else {
            return Ok(SrvRecords::default());
        };
        let records = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    target: srv.target.to_utf8(),
                    port: srv.port,
                }),
                _ => None,
            });
        Ok(SrvRecords {
            records: records.collect(),
            ttl: ttl(&lookup),
        })
    }

    /// The hosts file's answer, if it names the host in either family.
    fn hosts_answer(&self, name: &Name) -> Option<Answer> {
        let mut cached = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let path = &self.hosts_path;
        if cached.value.is_none() || cached.modified != modified(path) {
            let mut hosts = Hosts::default();
            // Without a hosts file no name is in it.
            let _: io::Result<()> = File::open(path).and_then(|file| hosts.read_hosts_conf(file));
            *cached = Cached {
                value: Some(hosts),
                modified: modified(path),
            };
        }
        let hosts = cached.value.as_ref()?;
        let family = |kind| {
            let lookup = hosts.lookup_static_host(&Query::query(name.clone(), kind));
            let records = lookup
                .iter()
                .flat_map(|l| l.answers())
                .filter_map(|r| r.data.ip_addr());
            Records {
                addresses: records.collect(),
                ttl: HOSTS_TTL,
            }
        };
        let (v4, v6) = (family(RecordType::A), family(RecordType::AAAA));
        let named = !v4.addresses.is_empty() || !v6.addresses.is_empty();
        named.then_some(Answer {
            v4: Ok(v4),
            v6: Ok(v6),
        })
    }

    fn client(&self) -> Result<TokioResolver, DnsResolverError> {
        let mut cached = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let error = |e: NetError| DnsResolverError(e.to_string());
        match &self.source {
            Source::ResolvConf(path) => cached.get(modified(path), || {
                TokioResolver::builder_tokio()
                    .and_then(build)
                    .map_err(error)
            }),
            Source::NameServers(servers) => cached.get(None, || {
                let config = ResolverConfig::from_parts(
                    None,
                    Vec::new(),
                    servers.iter().map(name_server).collect(),
                );
                build(TokioResolver::builder_with_config(
                    config,
                    TokioRuntimeProvider::default(),
                ))
                .map_err(error)
            }),
        }
    }
}

impl Resolve for DnsResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> ResolveFuture<'a> {
        Box::pin(self.lookup(host))
    }

    fn resolve_srv<'a>(&'a self, name: &'a str) -> SrvFuture<'a> {
        Box::pin(self.lookup_srv(name))
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![
        at_port(ConnectionConfig::udp()),
        at_port(ConnectionConfig::tcp()),
    ];
    NameServerConfig::new(address.ip(), true, connections)
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    // The hosts file is ours: this one would be read once and never again.
    options.use_hosts_file = ResolveHosts::Never;
    // Weir's own backoff decides when to ask again; a cached "no such name" would hide its appearance for minutes.
    options.negative_max_ttl = Some(Duration::from_secs(1));
    builder.build()
}

/// The addresses of one family. A name without any is an empty answer, not an error.
async fn ask(
    client: &TokioResolver,
    name: Name,
    kind: RecordType,
) -> Result<Records, ResolveError> {
    let Some(lookup) = lookup(client, name, kind).await? else {
        return Ok(Records::default());
    };
    let addresses = lookup.answers().iter();
    Ok(Records {
        addresses: addresses.filter_map(|r| r.data.ip_addr()).collect(),
        ttl: ttl(&lookup),
    })
}

/// One question. `None` for a name that has no records of this type.
async fn lookup(
    client: &TokioResolver,
    name: Name,
    kind: RecordType,
) -> Result<Option<Lookup>, ResolveError> {
    match client.lookup(name, kind).await {
        Ok(lookup) => Ok(Some(lookup)),
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            if none.response_code == ResponseCode::NoError =>
        {
            Ok(None)
        }
        Err(e) if e.is_nx_domain() => Err(ResolveError::NoSuchName),
        Err(NetError::Timeout) => Err(ResolveError::Timeout),
        Err(e) => Err(ResolveError::Failed(e.to_string())),
    }
}

fn ttl(lookup: &Lookup) -> Duration {
    lookup
        .valid_until()
        .saturating_duration_since(Instant::now())
}
