//! How a response is written: the header by hand, records by hickory, within a given length.

use hickory_proto::op::{self, Edns, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const RA: u16 = 0x0080;
const CD: u16 = 0x0010;
/// An OPT record without options.
const OPT_LEN: u16 = 11;

/// What a response takes over from its query's header (RFC 1035, 4.1.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    id: u16,
    flags: u16,
}

impl Head {
    /// Bytes of a header.
    pub(super) const LEN: usize = 12;

    /// The head of a message, and how many questions, answers, authority and additional records it announces.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, [u16; 4])> {
        let header = bytes.first_chunk::<{ Self::LEN }>()?;
        let (words, _) = header.as_chunks::<2>();
        let mut words = words.iter().map(|word| u16::from_be_bytes(*word));
        let (id, flags) = (words.next()?, words.next()?);
        let counts = [words.next()?, words.next()?, words.next()?, words.next()?];
        Some((Self { id, flags }, counts))
    }

    /// Of a question that nobody has sent.
    pub(super) fn own() -> Self {
        Self { id: 0, flags: RD }
    }

    pub(super) fn is_response(self) -> bool {
        self.flags & QR != 0
    }

    /// Is the operation QUERY, or another one?
    pub(super) fn is_query(self) -> bool {
        self.flags & OPCODE == 0
    }

    /// A response to a query that could not be read.
    pub(super) fn bare(self, code: ResponseCode) -> Vec<u8> {
        self.header(code, false, [0; 4]).to_vec()
    }

    /// AA is not set, as a resolver's answers are not an authority's, nor AD, as nothing is validated.
    fn header(self, code: ResponseCode, is_truncated: bool, counts: [u16; 4]) -> [u8; Self::LEN] {
        let truncated = if is_truncated { TC } else { 0 };
        let flags = self.flags & (OPCODE | RD | CD) | QR | RA | truncated | u16::from(code.low());
        let mut header = [0; Self::LEN];
        let words = [self.id, flags].into_iter().chain(counts);
        let (places, _) = header.as_chunks_mut::<2>();
        for (place, word) in places.iter_mut().zip(words) {
            *place = word.to_be_bytes();
        }
        header
    }
}

/// A response of at most so many bytes. Of what does not fit whole record sets are left out, the first and all after it.
pub(super) fn write(
    head: Head,
    code: ResponseCode,
    question: &op::Query,
    sections: [&[Record]; 2],
    edns: Option<&Edns>,
    most: u16,
) -> Vec<u8> {
    let mut bytes = vec![0; Head::LEN];
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_offset(Head::LEN);
    encoder.set_max_size(most - edns.map_or(0, |_| OPT_LEN));
    let questions = append(&mut encoder, std::slice::from_ref(question)).into();
    let mut is_truncated = false;
    let [answers, authorities] = sections.map(|records| {
        let mut written = 0;
        for set in records.chunk_by(is_one_set) {
            is_truncated = is_truncated || !append(&mut encoder, set);
            if !is_truncated {
                // Of at least eleven bytes each within 65,535.
                written += set.len() as u16;
            }
        }
        written
    });
    encoder.set_max_size(most);
    let opt = edns.map(Record::from);
    let additionals = append(&mut encoder, opt.as_slice()) && opt.is_some();
    let counts = [questions, answers, authorities, additionals.into()];
    let header = head.header(code, is_truncated, counts);
    if let Some(place) = bytes.first_chunk_mut() {
        *place = header;
    }
    bytes
}

fn is_one_set(one: &Record, other: &Record) -> bool {
    one.record_type() == other.record_type() && one.name == other.name
}

/// Writes all of them, or, if there is no room for all, none.
fn append<T: BinEncodable>(encoder: &mut BinEncoder<'_>, items: &[T]) -> bool {
    let before = encoder.offset();
    let has_room = items.iter().all(|item| item.emit(encoder).is_ok());
    if !has_room {
        encoder.set_offset(before);
        encoder.trim();
    }
    has_room
}
