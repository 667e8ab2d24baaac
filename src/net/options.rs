//! IPv4 options (RFC 791, 3.1): which of them refuse a packet, and how an endpoint hides the rest.

use super::checksum::{self, Delta};
use super::segment::{put16, take16};
use super::{Headers, Packet};

/// Where options begin.
const OPTIONS: usize = 20;
const END_OF_LIST: u8 = 0;
const NO_OPERATION: u8 = 1;
/// Loose and strict source routes would lead on past the address that the packet was admitted to
/// (RFC 7126, 4.3 and 4.4).
const SOURCE_ROUTES: [u8; 2] = [131, 137];

impl Packet<'_> {
    /// IPv4, and no option in its header.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.bytes.first() == Some(&0x45)
    }

    /// Overwrites every option with no-operations, since options hold addresses of the sender's side:
    /// record route, timestamp (docs/design/0017). The header keeps its length.
    pub fn hide_options(&mut self, headers: &Headers) {
        if let Some(header) = self.bytes.get_mut(..headers.transport_at) {
            let _ = hide(header);
        }
    }
}

/// Whether the options are well-formed and none of them is a source route.
#[cold]
pub(super) fn are_harmless(mut options: &[u8]) -> bool {
    loop {
        options = match *options {
            [END_OF_LIST, ..] | [] => return true,
            [NO_OPERATION, ref rest @ ..] => rest,
            [kind, len, ..] if len >= 2 && !SOURCE_ROUTES.contains(&kind) => {
                match options.get(usize::from(len)..) {
                    Some(rest) => rest,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
}

/// [`Packet::hide_options`], of an IPv4 header alone; the options may be malformed, as in a quote.
pub(super) fn hide(header: &mut [u8]) -> Option<()> {
    let options = header.get_mut(OPTIONS..)?;
    let before = checksum::sum(options);
    let end = end_of_list(options);
    let (list, padding) = options.split_at_mut_checked(end)?;
    list.fill(NO_OPERATION);
    padding.fill(END_OF_LIST);
    let delta = Delta::default().word(before, checksum::sum(options));
    let checksum = delta.apply(take16(header, 10)?);
    put16(header, 10, checksum)
}

/// Where the list of options ends: at its end-of-list, or with the header.
fn end_of_list(options: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += match options.get(at..) {
            Some([END_OF_LIST, ..]) => return at,
            Some([NO_OPERATION, ..]) => 1,
            Some([_, len, ..]) if *len >= 2 => usize::from(*len),
            _ => return options.len(),
        };
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn options_that_contradict_themselves_are_overwritten_to_the_end() {
        for (options, expected) in [
            ([7, 1, 172, 18, 0, 77, 0, 0], [1; 8]),
            ([7, 0, 172, 18, 0, 77, 0, 0], [1; 8]),
            ([7, 9, 172, 18, 0, 77, 0, 0], [1; 8]),
            ([1, 7, 6, 4, 172, 18, 0, 7], [1; 8]),
            ([1, 7, 3, 4, 0, 172, 18, 7], [1, 1, 1, 1, 0, 0, 0, 0]),
            ([1, 1, 1, 1, 1, 1, 1, 7], [1; 8]),
            ([0; 8], [0; 8]),
        ] {
            let mut header = [&[0x47; 20][..], &options].concat();
            header[10..12].fill(0);
            let sum = !checksum::sum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            hide(&mut header).unwrap();
            assert_eq!(header[20..], expected, "{options:?}");
            assert_eq!(checksum::sum(&header), u16::MAX, "{options:?}");
        }
    }
}
