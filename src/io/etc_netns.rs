//! `/etc/netns/NAME/resolv.conf`: what stands over `/etc/resolv.conf` for those who enter a namespace by `ip netns exec` or
//! [`enter`](super::enter).
//!
//! Invariants: what somebody else has put there is neither changed nor removed, and below `/etc` no symbolic link is followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::error::Error;
use super::netns::{self, Removal};

/// Where an administrator keeps files that replace those of `/etc` in one namespace.
pub(super) const ETC_NETNS: &str = "/etc/netns";

const FILE: &str = "resolv.conf";
/// How much of a file is looked at, in bytes: ours are shorter.
const MOST: u64 = 4096;
/// Somebody may remove a directory again before there is something in it.
const TRIES: usize = 8;

/// What stands where a namespace's resolv.conf is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Nothing {
        /// Is `/etc/netns` missing?
        no_etc_netns: bool,
        /// Is the namespace's directory in it missing?
        no_directory: bool,
    },
    /// A file that begins with this text.
    File(String),
    /// A directory, a link, or whatever else is no file.
    Other,
}

/// What stands there for the namespace `name`?
pub(super) fn look(etc_netns: &Path, name: &str) -> Result<Standing, Error> {
    netns::check_name(name)?;
    let failed = |errno| Error::namespace(name, "look at its resolv.conf in /etc/netns", errno);
    let nothing = |no_etc_netns, no_directory| Standing::Nothing {
        no_etc_netns,
        no_directory,
    };
    let Some(etc_netns) = directory(CWD, etc_netns).map_err(failed)? else {
        return Ok(nothing(true, true));
    };
    let Some(directory) = directory(&etc_netns, name).map_err(failed)? else {
        return Ok(nothing(false, true));
    };
    let standing = read(&directory).map_err(failed)?;
    Ok(standing.unwrap_or(nothing(false, false)))
}

/// Makes the file where there is none, and the directories that it lacks; was there none?
pub(super) fn write(etc_netns: &Path, name: &str, text: &str) -> Result<bool, Error> {
    netns::check_name(name)?;
    let failed = |errno| Error::namespace(name, "write its resolv.conf in /etc/netns", errno);
    let mut tries = 0;
    let file = loop {
        tries += 1;
        match create(etc_netns, name) {
            Ok(file) => break file,
            Err(Errno::EXIST) => return Ok(false),
            Err(Errno::NOENT) if tries < TRIES => {}
            Err(errno) => return Err(failed(errno)),
        }
    };
    // The umask is for other files: who has dropped root's rights in the namespace asks for names too.
    fchmod(&file, Mode::from_raw_mode(0o644)).map_err(failed)?;
    let written = File::from(file).write_all(text.as_bytes());
    written
        .map_err(|error| Error::namespace(name, "write its resolv.conf in /etc/netns", error))?;
    Ok(true)
}

/// Removes the file if `text`, or as much of it as a process that was killed has written, is what stands in it; and with it the
/// directory, if that is ours and empty now. What has taken the place of either is not ours.
pub(super) fn remove(
    etc_netns: &Path,
    name: &str,
    text: &str,
    with_directory: bool,
) -> Result<Removal, Error> {
    netns::check_name(name)?;
    let failed = |errno| Error::namespace(name, "remove its resolv.conf in /etc/netns", errno);
    match remove_below(etc_netns, name, text, with_directory) {
        // A file or a link where a directory was.
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(Removal::NotOurs),
        removal => removal.map_err(failed),
    }
}

fn remove_below(
    etc_netns: &Path,
    name: &str,
    text: &str,
    with_directory: bool,
) -> Result<Removal, Errno> {
    let Some(etc_netns) = directory(CWD, etc_netns)? else {
        return Ok(Removal::AlreadyGone);
    };
    let Some(directory) = directory(&etc_netns, name)? else {
        return Ok(Removal::AlreadyGone);
    };
    let removal = match read(&directory)? {
        Some(Standing::File(found)) if text.starts_with(&found) => {
            unlinkat(&directory, FILE, AtFlags::empty())?;
            Removal::Removed
        }
        Some(_) => Removal::NotOurs,
        None => Removal::AlreadyGone,
    };
    if with_directory {
        remove_empty(&etc_netns, name)?;
    }
    Ok(removal)
}

/// Removes `/etc/netns` itself, if it is empty.
pub(super) fn remove_root(etc_netns: &Path) -> Result<(), std::io::Error> {
    Ok(remove_empty(CWD, etc_netns)?)
}

fn create(etc_netns: &Path, name: &str) -> Result<OwnedFd, Errno> {
    let etc_netns = make_directory(CWD, etc_netns)?;
    let directory = make_directory(&etc_netns, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&directory, FILE, flags, Mode::from_raw_mode(0o644))
}

fn make_directory(
    at: impl std::os::fd::AsFd + Copy,
    path: impl AsRef<OsStr>,
) -> Result<OwnedFd, Errno> {
    match mkdirat(at, path.as_ref(), Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    directory(at, path)?.ok_or(Errno::NOENT)
}

/// Opens a directory; `None`: there is nothing of that name. A link that leads to one is none.
fn directory(
    at: impl std::os::fd::AsFd,
    path: impl AsRef<OsStr>,
) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(at, path.as_ref(), flags, Mode::empty()) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What stands in the file's place; `None`: nothing.
fn read(directory: &OwnedFd) -> Result<Option<Standing>, Errno> {
    // Not blocking: it may be a FIFO.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, FILE, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        // A link, or a socket.
        Err(Errno::LOOP | Errno::NXIO) => return Ok(Some(Standing::Other)),
        Err(errno) => return Err(errno),
    };
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(Some(Standing::Other));
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(MOST)
        .read_to_end(&mut bytes)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(Standing::File(text)))
}

fn remove_empty(at: impl std::os::fd::AsFd, path: impl AsRef<OsStr>) -> Result<(), Errno> {
    match unlinkat(at, path.as_ref(), AtFlags::REMOVEDIR) {
        // Somebody else has put something in it, mounted something on it, removed or replaced it.
        Ok(())
        | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOENT | Errno::NOTDIR) => {
            Ok(())
        }
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::mknodat;

    use super::*;

    const TEXT: &str = "nameserver 172.18.0.2\n";

    #[test]
    fn what_is_made_goes_with_its_directories() {
        let tmp = tempfile::tempdir().unwrap();
        let etc = tmp.path().join("netns");
        let nothing = |no_etc_netns, no_directory| Standing::Nothing {
            no_etc_netns,
            no_directory,
        };
        assert_eq!(look(&etc, "a").unwrap(), nothing(true, true));
        assert!(write(&etc, "a", TEXT).unwrap());
        assert_eq!(look(&etc, "a").unwrap(), Standing::File(TEXT.into()));
        assert_eq!(look(&etc, "b").unwrap(), nothing(false, true));
        assert_eq!(remove(&etc, "a", TEXT, true).unwrap(), Removal::Removed);
        assert_eq!(remove(&etc, "a", TEXT, true).unwrap(), Removal::AlreadyGone);
        remove_root(&etc).unwrap();
        assert!(!etc.exists());
    }

    #[test]
    fn what_somebody_else_has_put_there_stays() {
        let tmp = tempfile::tempdir().unwrap();
        let etc = tmp.path().join("netns");
        fs::create_dir_all(etc.join("a")).unwrap();
        let file = etc.join("a/resolv.conf");
        fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
        assert!(!write(&etc, "a", TEXT).unwrap());
        assert_eq!(remove(&etc, "a", TEXT, true).unwrap(), Removal::NotOurs);
        assert_eq!(fs::read_to_string(&file).unwrap(), "nameserver 192.0.2.1\n");
        // Beside a file of theirs ours comes and goes.
        assert!(write(&etc, "b", TEXT).unwrap());
        fs::write(etc.join("b/hosts"), "").unwrap();
        assert_eq!(remove(&etc, "b", TEXT, true).unwrap(), Removal::Removed);
        remove_root(&etc).unwrap();
        assert!(etc.join("b/hosts").exists());
    }

    #[test]
    fn a_file_that_was_cut_off_is_still_ours() {
        let tmp = tempfile::tempdir().unwrap();
        for written in ["", "nameser"] {
            assert!(write(tmp.path(), "a", written).unwrap());
            assert_eq!(
                remove(tmp.path(), "a", TEXT, true).unwrap(),
                Removal::Removed
            );
        }
    }

    #[test]
    fn no_link_is_followed() {
        let tmp = tempfile::tempdir().unwrap();
        let (etc, elsewhere) = (tmp.path().join("netns"), tmp.path().join("elsewhere"));
        fs::create_dir_all(elsewhere.join("a")).unwrap();
        let victim = elsewhere.join("a/resolv.conf");
        let untouched = |after: &str| {
            assert_eq!(fs::read_to_string(&victim).unwrap(), TEXT, "{after}");
        };
        fs::write(&victim, TEXT).unwrap();
        symlink(&elsewhere, &etc).unwrap();
        assert!(look(&etc, "a").is_err() && write(&etc, "a", TEXT).is_err());
        assert_eq!(remove(&etc, "a", TEXT, true).unwrap(), Removal::NotOurs);
        untouched("/etc/netns is a link");
        fs::remove_file(&etc).unwrap();
        fs::create_dir(&etc).unwrap();
        symlink(elsewhere.join("a"), etc.join("a")).unwrap();
        assert!(look(&etc, "a").is_err() && write(&etc, "a", TEXT).is_err());
        assert_eq!(remove(&etc, "a", TEXT, true).unwrap(), Removal::NotOurs);
        untouched("the directory is a link");
        fs::create_dir(etc.join("b")).unwrap();
        symlink(&victim, etc.join("b/resolv.conf")).unwrap();
        assert_eq!(look(&etc, "b").unwrap(), Standing::Other);
        assert!(!write(&etc, "b", TEXT).unwrap());
        assert_eq!(remove(&etc, "b", TEXT, true).unwrap(), Removal::NotOurs);
        untouched("the file is a link");
    }

    #[test]
    fn what_has_taken_our_place_stays() {
        let to_nowhere = |path: &Path| symlink("/nowhere", path);
        let file = |path: &Path| fs::write(path, "");
        let directory = |path: &Path| fs::create_dir(path);
        let fifo = |path: &Path| {
            let mode = Mode::from_raw_mode(0o600);
            Ok(mknodat(CWD, path, FileType::Fifo, mode, 0)?)
        };
        let socket = |path: &Path| UnixListener::bind(path).map(drop);
        type Put<'a> = &'a dyn Fn(&Path) -> std::io::Result<()>;
        let cases: [(&str, &str, Put); 10] = [
            ("", "a link", &to_nowhere),
            ("", "a file", &file),
            ("a", "a link", &to_nowhere),
            ("a", "a file", &file),
            ("a", "a FIFO", &fifo),
            ("a", "a socket", &socket),
            ("a/resolv.conf", "a link", &to_nowhere),
            ("a/resolv.conf", "a directory", &directory),
            ("a/resolv.conf", "a FIFO", &fifo),
            ("a/resolv.conf", "a socket", &socket),
        ];
        for (place, kind, put) in cases {
            let tmp = tempfile::tempdir().unwrap();
            let etc = tmp.path().join("netns");
            assert!(write(&etc, "a", TEXT).unwrap());
            let path = match place {
                "" => etc.clone(),
                place => etc.join(place),
            };
            match path.is_dir() {
                true => fs::remove_dir_all(&path).unwrap(),
                false => fs::remove_file(&path).unwrap(),
            }
            put(&path).unwrap();
            let removal = remove(&etc, "a", TEXT, true).unwrap();
            assert_eq!(removal, Removal::NotOurs, "{kind} at {place:?}");
            remove_root(&etc).unwrap();
            assert!(path.symlink_metadata().is_ok(), "{kind} at {place:?}");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        for name in ["..", ".", "", "a/b"] {
            assert!(write(tmp.path(), name, TEXT).is_err(), "{name}");
            assert!(remove(tmp.path(), name, TEXT, true).is_err(), "{name}");
        }
    }
}
