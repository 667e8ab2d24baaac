//! What a view's cache keeps.
//!
//! Invariant: hickory bounds it by [`CACHED`] answers; as none that is larger than [`LARGEST`] stays, a view's has 32 MiB at most.

use std::iter;

use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable;

use super::Resolver;

/// How many answers a view's cache holds.
pub(super) const CACHED: u64 = 2048;
/// The largest, in bytes of memory: some 40 addresses, or half a kilobyte of TXT.
const LARGEST: usize = 16 * 1024;

/// Looks up, and keeps what is said unless it is large.
pub(super) async fn lookup(
    resolver: &Resolver,
    name: &Name,
    record_type: RecordType,
) -> Result<Lookup, NetError> {
    let said = resolver.lookup(name.clone(), record_type).await;
    match &said {
        Ok(found) if is_large(found.message().all_sections()) => {
            // Each name of a chain may have been asked for, and what it said kept.
            let targets = found.answers().iter().filter_map(target);
            for name in iter::once(name).chain(targets) {
                resolver.clear_lookup_cache(name.clone(), record_type);
            }
        }
        // It is kept for each name of the chain that led there, and does not tell them.
        Err(NetError::Dns(DnsError::NoRecordsFound(missing))) if is_large(beside(missing)) => {
            resolver.clear_cache();
        }
        _ => {}
    }
    said
}

fn target(record: &Record) -> Option<&Name> {
    match &record.data {
        RData::CNAME(target) => Some(&target.0),
        _ => None,
    }
}

/// The records that came with an absence.
fn beside(missing: &NoRecords) -> impl Iterator<Item = &Record> {
    let referrals = missing.ns.iter().flat_map(|referrals| referrals.iter());
    let referrals = referrals.flat_map(|referral| iter::once(&referral.ns).chain(&*referral.glue));
    let authorities = missing
        .authorities
        .iter()
        .flat_map(|records| records.iter());
    referrals.chain(authorities)
}

fn is_large<'a>(mut records: impl Iterator<Item = &'a Record>) -> bool {
    let left = records.try_fold(LARGEST, |left, record| left.checked_sub(size(record)));
    left.is_none()
}

/// What a record takes in memory at most, in bytes, about.
fn size(record: &Record) -> usize {
    // Alone, so that its owner's name is not a pointer to another's.
    let wire = record.to_bytes().map_or(LARGEST, |bytes| bytes.len());
    let per_byte = match record.record_type() {
        // A name's labels and where they end, or a pointer back to the owner's.
        RecordType::A
        | RecordType::AAAA
        | RecordType::CNAME
        | RecordType::MX
        | RecordType::NS
        | RecordType::PTR
        | RecordType::SOA
        | RecordType::SRV => 2,
        // Strings (TXT, SVCB): one of a single character is two bytes here, and an allocation there.
        _ => 32,
    };
    size_of::<Record>() + per_byte * wire
}
