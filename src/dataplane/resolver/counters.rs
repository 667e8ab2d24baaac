//! What a VPC's resolver counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::super::config::Origin;
use super::super::dns::{self, Query, Response, Source};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What a VPC's resolver has been asked, and what it has answered.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct ResolverCounters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        /// The counters, as all workers write them.
        #[derive(Default)]
        pub(super) struct Counters {
            $($name: AtomicU64,)+
        }

        impl Counters {
            pub(super) fn totals(&self) -> ResolverCounters {
                ResolverCounters { $($name: self.$name.load(Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Queries by UDP.
    udp,
    /// Queries by TCP.
    tcp,
    /// Answers out of private hosted zones, positive or negative.
    hosted_zones,
    /// Answers by endpoints' private DNS names.
    private_dns,
    /// Answers by endpoints' own names.
    endpoints,
    /// Answers by instances' names and addresses.
    instances,
    /// Answers of upstream.
    upstream,
    /// Answers that there is no such name.
    nxdomain,
    /// Answers that the name has no such record.
    nodata,
    /// Answers that resolution has failed.
    servfail,
    /// Answers that the question is refused: by upstream, or as one that is not for a resolver.
    refused,
    /// Queries that could not be read, or ask for what no resolver does.
    formerr,
    /// Answers by UDP that were cut short, so that TCP is tried.
    truncated,
    /// Packets over the limits on packets per second and on connections.
    limited,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(super) fn query(&self, transport: dns::Transport) {
        count(match transport {
            dns::Transport::Udp => &self.udp,
            dns::Transport::Tcp => &self.tcp,
        });
    }

    pub(super) fn malformed(&self) {
        count(&self.formerr);
    }

    pub(super) fn limited(&self) {
        count(&self.limited);
    }

    /// An answer goes out, as these bytes.
    pub(super) fn answer(&self, query: &Query, response: &Response, bytes: &[u8]) {
        match &response.source {
            Source::Zone { origin, .. } => match origin {
                Origin::HostedZone(_) => count(&self.hosted_zones),
                Origin::PrivateDns(_) => count(&self.private_dns),
                Origin::Endpoint(_) => count(&self.endpoints),
                Origin::Instances(_) => count(&self.instances),
                Origin::SpecialUse => {}
            },
            Source::Upstream => count(&self.upstream),
            Source::Nowhere => {}
        }
        let asked = query.record_type;
        let has_asked = |response: &Response| {
            let mut answers = response.answers.iter();
            answers.any(|it| asked == RecordType::ANY || it.record_type() == asked)
        };
        match response.code {
            ResponseCode::NXDomain => count(&self.nxdomain),
            ResponseCode::ServFail => count(&self.servfail),
            ResponseCode::Refused => count(&self.refused),
            ResponseCode::NoError if !has_asked(response) => count(&self.nodata),
            _ => {}
        }
        // RFC 1035, 4.1.1: TC.
        if bytes.get(2).is_some_and(|flags| flags & 0x02 != 0) {
            count(&self.truncated);
        }
    }
}
