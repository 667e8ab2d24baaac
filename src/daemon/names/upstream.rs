//! What is in none of a view's zones: asked of the servers upstream (`failover`), by hickory-resolver.
//!
//! Invariants: each view has a resolver, and so a cache, of its own: nobody learns from a TTL what another VPC has asked for. No
//! more than [`IN_FLIGHT`] questions are under way (`shares`), and none takes longer than [`PATIENCE`]. Names are asked for as they
//! are: search lists and the hosts file are not this machine's to add.

mod cache;
mod failover;
mod shares;
mod sockets;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::dataplane::Asker;
use crate::dataplane::config::View;
use crate::dataplane::dns::{self, Ask};
use failover::Failover;
use shares::{IN_FLIGHT, Shares};

/// How long a question may take, over all of a chain of CNAMEs: as long as the data plane waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where servers are asked, unless another port is named.
const PORT: u16 = 53;
/// The longest that an absence is remembered (RFC 2308, section 5: one to three hours).
const LONGEST_NEGATIVE: Duration = Duration::from_secs(3 * 60 * 60);

/// Which servers are upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Servers {
    /// Those of this machine's `/etc/resolv.conf`.
    Host,
    /// These; none if there are none.
    These(Vec<SocketAddr>),
}

/// A view's cache, and the servers behind it.
type Resolver = hickory_resolver::Resolver<Failover>;

/// Who is asked what the views' zones do not say.
pub struct Upstream {
    /// `None`: nobody.
    servers: Option<Failover>,
    /// Why nobody, where somebody was to be.
    missing: Option<String>,
    resolvers: Mutex<HashMap<View, Resolver>>,
    shares: Shares,
}

impl Upstream {
    /// Asks these servers; those of the machine are read now, and never again.
    pub fn new(servers: &Servers) -> Self {
        let (addresses, missing) = match servers {
            Servers::These(addresses) => (addresses.clone(), None),
            Servers::Host => match hosts_servers() {
                Ok(addresses) => (addresses, None),
                Err(error) => (Vec::new(), Some(format!("{error:#}"))),
            },
        };
        Self {
            servers: (!addresses.is_empty()).then(|| Failover::new(&addresses)),
            missing,
            resolvers: Mutex::default(),
            shares: Shares::default(),
        }
    }

    /// What the operator should know: that names which no VPC answers do not exist, against expectation.
    pub fn note(&self) -> Option<String> {
        let missing = self.missing.as_ref()?;
        Some(format!(
            "no server is upstream ({missing}): names that are in no zone do not exist (NXDOMAIN); --upstream names one"
        ))
    }

    /// Where it asks, as people write it.
    pub fn servers(&self) -> Vec<String> {
        let servers = self.servers.iter().flat_map(Failover::addresses);
        servers.map(written).collect()
    }

    /// Asks in `view`, for `asker`. Where no server is upstream, there is nothing but the zones: any other code fails a search
    /// list of glibc or of musl (docs/design/0019).
    pub async fn lookup(&self, view: View, asker: Asker, ask: &Ask) -> dns::Upstream {
        let Some(servers) = &self.servers else {
            return dns::Upstream::Nothing {
                code: ResponseCode::NXDomain,
                soa: None,
            };
        };
        let resolver = self.resolver(view, servers);
        let place = self.shares.take(view, asker);
        let Some((resolver, _place)) = resolver.zip(place) else {
            return dns::Upstream::Failed(ResponseCode::ServFail);
        };
        match tokio::time::timeout(PATIENCE, asked(&resolver, ask)).await {
            Ok(said) => said,
            Err(_) => dns::Upstream::Failed(ResponseCode::ServFail),
        }
    }

    /// Forgets what was asked in views that are gone.
    pub fn retain(&self, stays: impl Fn(View) -> bool) {
        self.resolvers.lock().retain(|view, _| stays(*view));
    }

    fn resolver(&self, view: View, servers: &Failover) -> Option<Resolver> {
        let mut resolvers = self.resolvers.lock();
        if let Some(known) = resolvers.get(&view) {
            return Some(known.clone());
        }
        let made = Resolver::builder_with_config(one_server(), servers.clone())
            .with_options(options())
            .build();
        match made {
            Ok(made) => {
                resolvers.insert(view, made.clone());
                Some(made)
            }
            Err(error) => {
                tracing::warn!(%error, "no resolver for a view");
                None
            }
        }
    }
}

async fn asked(resolver: &Resolver, ask: &Ask) -> dns::Upstream {
    let Ask { name, record_type } = ask;
    let mut name = name.clone();
    // Else the domains of a search list would be tried.
    name.set_fqdn(true);
    match cache::lookup(resolver, &name, *record_type).await {
        Ok(found) if found.answers().is_empty() => dns::Upstream::Nothing {
            code: ResponseCode::NoError,
            soa: found.authorities().iter().find(is_soa).cloned(),
        },
        Ok(found) => dns::Upstream::Records(found.answers().to_vec()),
        // The end of a chain of CNAMEs is missing, and the error does not tell the chain. Its target may be in the view's zones.
        Err(NetError::Dns(DnsError::NoRecordsFound(missing)))
            if *missing.query.name() != name && *record_type != RecordType::CNAME =>
        {
            match cache::lookup(resolver, &name, RecordType::CNAME).await {
                Ok(alias) => dns::Upstream::Records(alias.answers().to_vec()),
                Err(error) => failed(ask, error),
            }
        }
        Err(error) => failed(ask, error),
    }
}

fn is_soa(record: &&Record) -> bool {
    record.record_type() == RecordType::SOA
}

fn failed(ask: &Ask, error: NetError) -> dns::Upstream {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(missing)) => nothing(missing),
        // A higher one is no code without EDNS, which the asker may not have.
        NetError::Dns(DnsError::ResponseCode(code)) if code.high() == 0 => {
            dns::Upstream::Failed(code)
        }
        error => {
            tracing::debug!(name = %ask.name, record_type = %ask.record_type, %error, "upstream");
            dns::Upstream::Failed(ResponseCode::ServFail)
        }
    }
}

fn nothing(missing: NoRecords) -> dns::Upstream {
    let ttl = missing.negative_ttl;
    dns::Upstream::Nothing {
        code: missing.response_code,
        soa: missing.soa.map(|soa| {
            let mut soa = soa.into_record_of_rdata();
            // RFC 2308, section 5: the lesser of the SOA's own and its MINIMUM; what is left of it.
            soa.ttl = ttl.unwrap_or(soa.ttl);
            soa
        }),
    }
}

fn hosts_servers() -> Result<Vec<SocketAddr>> {
    let (config, _) = read_system_conf().context("cannot use /etc/resolv.conf")?;
    let servers = config.name_servers().iter();
    Ok(servers
        .map(|server| SocketAddr::new(server.ip, port_of(server)))
        .collect())
}

fn port_of(server: &NameServerConfig) -> u16 {
    let first = server.connections.first();
    first.map_or(PORT, |connection| connection.port)
}

/// What stands for all servers to hickory; [`Failover`] does not look at it.
fn one_server() -> ResolverConfig {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let server = NameServerConfig::new(any, true, vec![ConnectionConfig::udp()]);
    ResolverConfig::from_name_servers(vec![server])
}

/// `192.0.2.1`, or with its port where that is not 53.
fn written(server: SocketAddr) -> String {
    match server.port() {
        PORT => server.ip().to_string(),
        _ => server.to_string(),
    }
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = PATIENCE;
    // It counts the further ones.
    options.attempts = 0;
    options.edns0 = true;
    options.preserve_intermediates = true;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = cache::CACHED;
    options.negative_max_ttl = Some(LONGEST_NEGATIVE);
    options.max_active_requests = IN_FLIGHT;
    options
}

/// A server as `--upstream` names it: an address, and a port if it is not 53.
pub fn parse_server(text: &str) -> Result<SocketAddr, String> {
    let wrong = || {
        format!("`{text}` is not ADDRESS or ADDRESS:PORT, as in 192.0.2.53 or [2001:db8::53]:5353")
    };
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => Err(wrong()),
            _ => Ok(address),
        };
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(text).parse().map_err(|_| wrong())?;
    Ok(SocketAddr::new(address, PORT))
}

#[cfg(test)]
mod tests;
