//! Several writes in one system call: Linux AIO, io_submit(2).
//!
//! A TUN carries out a write while it is submitted, so nothing is asynchronous here. What it is for: between the writes of one call
//! no other task gets the CPU. One by one, the first has woken its receiver, and that takes the CPU before the second.
//! (io_uring does the same, but many containers and distributions forbid it, and it may carry out a write later.)

use std::mem::MaybeUninit;
use std::ptr::null_mut;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// `IOCB_CMD_PWRITE` of linux/aio_abi.h.
const PWRITE: u16 = 1;
/// The most writes of one call.
pub(super) const MOST: usize = 64;

/// A place where the kernel keeps the results of writes until they are fetched.
pub(super) struct Aio {
    /// Its `aio_context_t`.
    context: libc::c_ulong,
    blocks: Box<[libc::iocb; MOST]>,
}

/// `struct io_event` of linux/aio_abi.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct Event {
    /// The write's `aio_data`.
    data: u64,
    block: u64,
    /// Bytes written, or the error's number, negative.
    result: i64,
    more: i64,
}

impl Aio {
    /// `Errno::NOSYS`: the kernel was built without; `Errno::AGAIN`: others have taken all of `fs.aio-max-nr`.
    pub(super) fn new() -> Result<Self, Errno> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: `context` is zero, as io_setup wants it, and ours to be written to.
        let result = unsafe { libc::syscall(libc::SYS_io_setup, MOST, &raw mut context) };
        done(result)?;
        // SAFETY: all zeros is an iocb.
        let block = unsafe { MaybeUninit::<libc::iocb>::zeroed().assume_init() };
        Ok(Self {
            context,
            blocks: Box::new([block; MOST]),
        })
    }

    /// Makes these writes, in this order, the first [`MOST`] of them; calls `failed` with the place of each that fails. How many were
    /// made: at least one, if there is one. `Err`: so many were made, and why this context is not to be used again; how they
    /// ended may not be known.
    pub(super) fn write<'a>(
        &mut self,
        writes: impl IntoIterator<Item = (BorrowedFd<'a>, &'a [u8])>,
        mut failed: impl FnMut(usize, Errno),
    ) -> Result<usize, (usize, Errno)> {
        let mut pointers = [null_mut::<libc::iocb>(); MOST];
        let places = self.blocks.iter_mut().zip(&mut pointers);
        let mut count = 0;
        for ((block, pointer), (fd, bytes)) in places.zip(writes) {
            block.aio_data = count as u64;
            block.aio_lio_opcode = PWRITE;
            block.aio_fildes = fd.as_raw_fd() as u32;
            block.aio_buf = bytes.as_ptr() as u64;
            block.aio_nbytes = bytes.len() as u64;
            *pointer = block;
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        // SAFETY: the pointers are those of `count` filled blocks, whose buffers are borrowed until this function returns, which
        // it does after all of them have been carried out.
        let submitted =
            unsafe { libc::syscall(libc::SYS_io_submit, self.context, count, pointers.as_ptr()) };
        let submitted = done(submitted).map_err(|errno| (0, errno))?;
        let mut fetched = 0;
        while fetched < submitted {
            match self.fetch(submitted - fetched, &mut failed) {
                Ok(more) => fetched += more,
                // A signal came before the first.
                Err(Errno::INTR) => {}
                Err(errno) => return Err((submitted, errno)),
            }
        }
        Ok(submitted)
    }

    /// Waits for the results of so many writes, and tells those that failed; how many it got.
    fn fetch(
        &mut self,
        count: usize,
        failed: &mut impl FnMut(usize, Errno),
    ) -> Result<usize, Errno> {
        let mut events = [MaybeUninit::<Event>::uninit(); MOST];
        // SAFETY: there is room for `count` events.
        let fetched = unsafe {
            libc::syscall(
                libc::SYS_io_getevents,
                self.context,
                count,
                count,
                events.as_mut_ptr(),
                null_mut::<libc::timespec>(),
            )
        };
        let fetched = done(fetched)?;
        for event in &events[..fetched] {
            // SAFETY: the kernel has filled this many.
            let event = unsafe { event.assume_init() };
            if event.result < 0 {
                failed(
                    event.data as usize,
                    Errno::from_raw_os_error(-event.result as i32),
                );
            }
        }
        Ok(fetched)
    }

    /// As if somebody forbade it from now on.
    #[cfg(test)]
    pub(super) fn forbid(&mut self) {
        // SAFETY: nothing is under way in it; no context has the number that is left.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
        self.context = 0;
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: the context is ours, and nothing is under way in it.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

/// What a system call has returned.
fn done(result: libc::c_long) -> Result<usize, Errno> {
    match result {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        result => Ok(result as usize),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fd::AsFd;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn writes_are_made_in_order_and_failures_are_told_by_place() {
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::NONBLOCK);
        let (ours, theirs) = socketpair(family, SocketType::SEQPACKET, flags, None).unwrap();
        let unwritable = std::fs::File::open("/dev/null").unwrap();
        let mut aio = Aio::new().unwrap();
        let write = |fd, bytes: &'static [u8]| (fd, bytes);
        let (ours, bad) = (ours.as_fd(), unwritable.as_fd());

        let mut failures = Vec::new();
        let made = aio.write(
            [write(ours, b"one"), write(ours, b"second")],
            |at, errno| {
                failures.push((at, errno));
            },
        );
        assert_eq!((made, failures.len()), (Ok(2), 0));
        let mut buffer = [0; 16];
        assert_eq!(rustix::io::read(&theirs, &mut buffer), Ok(3));
        assert_eq!(rustix::io::read(&theirs, &mut buffer), Ok(6));

        // What fails while it is carried out is told.
        drop(theirs);
        let writes = [write(ours, b"1"), write(ours, b"2")];
        assert_eq!(
            aio.write(writes, |at, errno| failures.push((at, errno))),
            Ok(2)
        );
        assert_eq!(failures, [(0, Errno::PIPE), (1, Errno::PIPE)]);

        // What cannot be submitted ends the call.
        failures.clear();
        let null = std::fs::File::create("/dev/null").unwrap();
        let writes = [write(null.as_fd(), b"1"), write(bad, b"2")];
        assert_eq!(
            aio.write(writes, |at, errno| failures.push((at, errno))),
            Ok(1)
        );
        assert_eq!(
            aio.write([writes[1]], |at, errno| failures.push((at, errno))),
            Err((0, Errno::BADF))
        );
        assert!(failures.is_empty());
    }

    #[test]
    fn no_more_than_a_calls_worth_is_written_at_once() {
        let null = std::fs::File::create("/dev/null").unwrap();
        let writes = [(null.as_fd(), &b"x"[..]); MOST + 6];
        let mut aio = Aio::new().unwrap();
        assert_eq!(aio.write(writes, |_, errno| panic!("{errno}")), Ok(MOST));
        assert_eq!(
            aio.write(writes[MOST..].to_vec(), |_, errno| panic!("{errno}")),
            Ok(6)
        );
        assert_eq!(aio.write([], |_, errno| panic!("{errno}")), Ok(0));
    }
}
