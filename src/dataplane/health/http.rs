//! What an HTTP probe says, and what it reads of the answer: the status code, and that the headers come to an end.
//!
//! Invariant: the answer is a hostile target's. It is read byte by byte and not kept; the line in hand, and all of it, have limits.
//! Source: RFC 9112.

use std::net::IpAddr;

/// As long as a status line, or the part of a header that matters, may be.
const LONGEST_LINE: usize = 64;
/// As long as all headers may be, in bytes.
const LONGEST: usize = 16 * 1024;

/// The request.
pub(super) fn request(path: &str, host: IpAddr, port: u16) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"
    )
    .into_bytes()
}

/// The answer, as far as it has been read.
#[derive(Default)]
pub(super) struct Response {
    line: Line,
    status: Option<u16>,
    read: usize,
}

/// The beginning of the line in hand.
struct Line {
    bytes: [u8; LONGEST_LINE],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; LONGEST_LINE],
            len: 0,
        }
    }
}

/// What is not (a reasonable) HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Response {
    /// Reads on; the status code once the headers have ended. Those of an interim answer (1xx) come before the others.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<u16>, Malformed> {
        for byte in bytes {
            self.read += 1;
            if self.read > LONGEST {
                return Err(Malformed);
            }
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            match (self.status, line.as_bytes()) {
                (None, line) => self.status = Some(status(line).ok_or(Malformed)?),
                (Some(100..=199), []) => self.status = None,
                (Some(status), []) => return Ok(Some(status)),
                (Some(_), _) => {}
            }
        }
        match self.status.is_none() && !self.line.may_be_a_status() {
            true => Err(Malformed),
            false => Ok(None),
        }
    }
}

impl Line {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Without the carriage return.
    fn as_bytes(&self) -> &[u8] {
        let line = self.bytes.get(..self.len).unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn may_be_a_status(&self) -> bool {
        const BEGINNING: &[u8] = b"HTTP/1.";
        let so_far = self.len.min(BEGINNING.len());
        self.bytes.get(..so_far) == BEGINNING.get(..so_far)
    }
}

/// The code in a status line.
fn status(line: &[u8]) -> Option<u16> {
    let version = line.strip_prefix(b"HTTP/1.")?;
    let [
        b'0' | b'1',
        b' ',
        a @ b'1'..=b'5',
        b @ b'0'..=b'9',
        c @ b'0'..=b'9',
        behind @ ..,
    ] = version
    else {
        return None;
    };
    let digits = [a, b, c].map(|digit| u16::from(digit - b'0'));
    let code = digits.iter().fold(0, |code, digit| code * 10 + digit);
    matches!(behind, [] | [b' ', ..]).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &[u8]) -> Result<Option<u16>, Malformed> {
        Response::default().read(answer)
    }

    #[test]
    fn the_status_counts_once_the_headers_have_ended_however_they_come() {
        let answers: [(&[u8], u16); 5] = [
            (b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\nbody", 200),
            (b"HTTP/1.0 404\r\n\r\n", 404),
            (b"HTTP/1.1 302 Found\nLocation: /\n\n", 302),
            (
                b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 503 No\r\n\r\n",
                503,
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 Too late\r\n\r\n", 200),
        ];
        for (answer, status) in answers {
            assert_eq!(read(answer), Ok(Some(status)));
            let mut response = Response::default();
            let found = answer
                .iter()
                .find_map(|byte| response.read(&[*byte]).unwrap());
            assert_eq!(found, Some(status), "one byte at a time");
        }
        let long = format!(
            "HTTP/1.1 200 {}\r\nX: {}\r\n\r\n",
            "very ".repeat(50),
            "y".repeat(9000)
        );
        assert_eq!(read(long.as_bytes()), Ok(Some(200)));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nServer: nginx\r\n"), Ok(None));
        assert_eq!(read(b"HTT"), Ok(None));
    }

    #[test]
    fn what_is_not_http_is_known_at_its_first_bytes() {
        for answer in [
            b"SSH-2.0-OpenSSH_9.9\r\n".as_slice(),
            b"SSH",
            b"\n",
            b"HTTP/2 200\r\n",
            b"HTTP/1.1 20\r\n",
            b"HTTP/1.1 2000 OK\r\n",
            b"HTTP/1.1 099 \r\n",
            b"HTTP/1.1  200 OK\r\n",
            b"\xff\xff\xff\xff",
        ] {
            assert_eq!(read(answer), Err(Malformed), "{answer:?}");
        }
    }

    #[test]
    fn headers_without_an_end_are_not_read_for_ever() {
        let mut response = Response::default();
        assert_eq!(response.read(b"HTTP/1.1 200 OK\r\n"), Ok(None));
        let end = (0..1_000_000).position(|_| response.read(b"X: y\r\n") == Err(Malformed));
        assert_eq!(end.map(|lines| lines * 6 / 1024), Some(15));
        let mut response = Response::default();
        assert_eq!(response.read(b"HTTP/1.1 200 OK"), Ok(None));
        assert_eq!(response.read(&[b'x'; 20_000]), Err(Malformed));
    }
}
