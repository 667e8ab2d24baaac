//! Queries as they come, and responses as they go (RFC 1035, EDNS: RFC 6891).
//!
//! Of a query only its question and its OPT record are read. All else that it may hold is stepped over, so that the parsers of
//! some forty record types never see what a stranger has sent.

use hickory_proto::op::{self, Edns, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

use super::Response;
use super::write::{Head, write};

/// What a response by UDP may be at most without EDNS, and at least with it.
const LEAST_PAYLOAD: u16 = 512;
/// The longest message by UDP, in either direction.
const MOST_PAYLOAD: u16 = 4096;
/// Records besides the question: an IXFR's SOA, OPT and a signature. No query has more.
const MOST_RECORDS: u32 = 3;

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// At most 512 bytes, or what EDNS offers.
    Udp,
    /// At most 65,535 bytes; its length field is not this layer's business.
    Tcp,
}

/// A question, and what its asker understands.
#[derive(Clone, Debug)]
pub struct Query {
    head: Head,
    edns: Option<Edns>,
    /// What it asks about, in the asker's own case.
    pub name: Name,
    /// For which records.
    pub record_type: RecordType,
    /// Of which class.
    pub class: DNSClass,
}

/// Not a message, or not one that asks one thing.
struct Malformed;

impl From<DecodeError> for Malformed {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// What to answer instead (FORMERR, NOTIMP, BADVERS); `None` if nothing is to be answered, as to a response.
    pub fn parse(bytes: &[u8]) -> Result<Self, Option<Vec<u8>>> {
        let Some((head, counts)) = Head::read(bytes) else {
            return Err(None);
        };
        if head.is_response() {
            return Err(None);
        }
        let refusal = match Self::read(bytes, head, counts) {
            // Before what else is wrong: another operation has other rules.
            Err(Malformed) if !head.is_query() => head.bare(ResponseCode::NotImp),
            Err(Malformed) => head.bare(ResponseCode::FormErr),
            Ok(query) if !head.is_query() => query.refuse(ResponseCode::NotImp),
            Ok(query) if query.edns.as_ref().is_some_and(|edns| edns.version() != 0) => {
                query.refuse(ResponseCode::BADVERS)
            }
            Ok(query) => return Ok(query),
        };
        Err(Some(refusal))
    }

    fn read(bytes: &[u8], head: Head, counts: [u16; 4]) -> Result<Self, Malformed> {
        let [questions, answers, authorities, additionals] = counts;
        let records = [answers, authorities, additionals].map(u32::from);
        let records = records.iter().sum::<u32>();
        if questions != 1 || records > MOST_RECORDS {
            return Err(Malformed);
        }
        let mut decoder = BinDecoder::new(bytes);
        decoder.read_slice(Head::LEN)?;
        let question = op::Query::read(&mut decoder)?;
        let mut edns = None;
        for _ in 0..records {
            let record = read_record(&mut decoder)?;
            if record.is_some() && edns.is_some() {
                return Err(Malformed);
            }
            edns = edns.or(record);
        }
        Ok(Self {
            head,
            edns,
            name: question.name,
            record_type: question.query_type,
            class: question.query_class,
        })
    }

    /// A question of our own.
    pub fn new(name: Name, record_type: RecordType) -> Self {
        Self {
            head: Head::own(),
            edns: None,
            name,
            record_type,
            class: DNSClass::IN,
        }
    }

    /// The response as bytes, at most `most` of them (512 are always allowed), and as many as the asker takes over `transport`: of
    /// what is longer, whole record sets are left out, and TC says so, so that the asker comes again by TCP.
    pub fn reply(&self, response: &Response, transport: Transport, most: usize) -> Vec<u8> {
        let offered = match transport {
            Transport::Udp => self
                .edns
                .as_ref()
                .map_or(LEAST_PAYLOAD, Edns::max_payload)
                .clamp(LEAST_PAYLOAD, MOST_PAYLOAD),
            Transport::Tcp => u16::MAX,
        };
        let most = u16::try_from(most).unwrap_or(u16::MAX);
        let sections = [&response.answers[..], &response.authorities];
        self.write(
            response.code,
            sections,
            offered.min(most).max(LEAST_PAYLOAD),
        )
    }

    fn refuse(&self, code: ResponseCode) -> Vec<u8> {
        self.write(code, [&[], &[]], LEAST_PAYLOAD)
    }

    fn write(
        &self,
        code: ResponseCode,
        sections: [&[hickory_proto::rr::Record]; 2],
        most: u16,
    ) -> Vec<u8> {
        let mut question = op::Query::query(self.name.clone(), self.record_type);
        question.query_class = self.class;
        let edns = self.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(MOST_PAYLOAD)
                .set_dnssec_ok(asked.flags().dnssec_ok)
                .set_rcode_high(code.high());
            edns
        });
        write(self.head, code, &question, sections, edns.as_ref(), most)
    }
}

/// Steps over a record; what it says if it is an OPT record.
fn read_record(decoder: &mut BinDecoder<'_>) -> Result<Option<Edns>, Malformed> {
    let name = Name::read(decoder)?;
    let record_type = RecordType::read(decoder)?;
    let class = decoder.read_u16()?.unverified();
    let ttl = decoder.read_u32()?.unverified();
    let length = decoder.read_u16()?.unverified();
    decoder.read_slice(length.into())?;
    if record_type != RecordType::OPT {
        return Ok(None);
    }
    if !name.is_root() {
        return Err(Malformed);
    }
    // RFC 6891, 6.1.3: extended RCODE, version, DO and flags.
    let [_, version, flags, _] = ttl.to_be_bytes();
    let mut edns = Edns::new();
    edns.set_max_payload(class)
        .set_version(version)
        .set_dnssec_ok(flags & 0x80 != 0);
    Ok(Some(edns))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;
