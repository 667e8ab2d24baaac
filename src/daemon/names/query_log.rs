//! The query log: a line of JSON for each query that a VPC's resolver has answered, as Route 53 Resolver's query logging has it.
//!
//! Invariant: nothing waits for the disk; lines that come faster than it, or while it is full, are lost, and it is said
//! how many. Source: Route 53 Developer Guide, "Values that appear in VPC Resolver query logs".

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hickory_proto::rr::Record;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::dig::{data, status};
use crate::control::Attachment;
use crate::daemon::describe::Fabric;
use crate::daemon::events::{since_epoch, timestamp};
use crate::daemon::spool::{Spool, Trouble};
use crate::daemon::tell::tell;
use crate::dataplane;
use crate::dataplane::dns::Transport;

/// AWS's version of the format.
const VERSION: &str = "1.100000";

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

/// The log, open.
pub struct QueryLog {
    lines: Spool,
    name: String,
    /// Where it is to be written, until it is.
    out: Option<File>,
}

/// A query, in AWS's words.
#[derive(Serialize)]
struct Line {
    version: &'static str,
    account_id: String,
    region: String,
    vpc_id: String,
    query_timestamp: String,
    query_name: String,
    query_type: String,
    query_class: &'static str,
    rcode: String,
    answers: Vec<Answer>,
    srcaddr: String,
    srcport: String,
    transport: &'static str,
    srcids: SourceIds,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    rdata: String,
    #[serde(rename = "Type")]
    record_type: String,
    class: &'static str,
}

#[derive(Serialize)]
struct SourceIds {
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

impl QueryLog {
    /// Opens it; one that is there is continued.
    pub fn open(destination: &Destination) -> Result<Self> {
        let (name, out) = match destination {
            Destination::Stdout => {
                let out = rustix::stdio::stdout().as_fd().try_clone_to_owned();
                let out = out.context("cannot write the query log to standard output")?;
                ("on standard output".to_owned(), File::from(out))
            }
            Destination::File(path) => (path.display().to_string(), append(path)?),
        };
        Ok(Self {
            lines: Spool::default(),
            name,
            out: Some(out),
        })
    }

    /// From now on it is written, with what has happened since it was opened.
    pub fn begin(&mut self) -> Result<()> {
        let Some(out) = self.out.take() else {
            return Ok(());
        };
        let name = self.name.clone();
        self.lines
            .start("query-log", out, move |trouble| report(&name, &trouble))
            .with_context(|| format!("cannot start a thread for the query log {}", self.name))
    }

    /// A query has been answered.
    pub fn write(&self, fabric: &Fabric, query: &dataplane::QueryLog) {
        let mut text = Vec::new();
        // A struct of texts is always JSON.
        let _ = serde_json::to_writer(&mut text, &line(fabric, query));
        text.push(b'\n');
        self.lines.push(text);
    }
}

impl Drop for QueryLog {
    fn drop(&mut self) {
        self.lines.finish();
    }
}

fn report(name: &str, trouble: &Trouble<'_>) {
    match trouble {
        Trouble::Failing(error) => tell(format_args!(
            "warning: cannot write the query log {name}: {error}; queries are not logged until it can be written again"
        )),
        Trouble::Over { lost } => tell(format_args!(
            "the query log {name} is written again; {lost} queries are missing"
        )),
        Trouble::TooSlow { lost } => tell(format_args!(
            "warning: the query log {name} was too slow: {lost} queries are missing"
        )),
    }
}

fn append(path: &Path) -> Result<File> {
    let failed = || format!("cannot write the query log {}", path.display());
    // A FIFO's opening would wait for its reader.
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path);
    let file = match file {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {
            bail!("{}: nobody reads it; a FIFO's reader comes first", failed())
        }
        file => file.with_context(failed)?,
    };
    // The writer may wait for it.
    fcntl_setfl(&file, OFlags::APPEND).with_context(failed)?;
    Ok(file)
}

fn line(fabric: &Fabric, query: &dataplane::QueryLog) -> Line {
    let eni = fabric.state.eni_by_idx(query.eni);
    let instance = eni.and_then(|eni| match &eni.attachment {
        Attachment::Instance(id) => Some(id.to_string()),
        _ => None,
    });
    let owner = eni.and_then(|eni| fabric.state.owner_of(eni.network_interface_id));
    let (address, port) = query.client;
    Line {
        version: VERSION,
        account_id: owner.map(|it| it.account_id().into()).unwrap_or_default(),
        region: fabric.daemon.region.clone(),
        vpc_id: eni.map(|eni| eni.vpc_id.to_string()).unwrap_or_default(),
        query_timestamp: timestamp(since_epoch()),
        query_name: query.name.to_string(),
        query_type: query.record_type.to_string(),
        query_class: "IN",
        rcode: status(query.code),
        answers: query.answers.iter().map(answer).collect(),
        srcaddr: address.to_string(),
        srcport: port.to_string(),
        transport: match query.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        },
        srcids: SourceIds { instance },
    }
}

fn answer(record: &Record) -> Answer {
    Answer {
        rdata: data(&record.data),
        record_type: record.record_type().to_string(),
        class: "IN",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_fifo_is_written_only_while_somebody_reads_it() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let error = append(&path).unwrap_err().to_string();
        let expected = format!(
            "cannot write the query log {}: nobody reads it; a FIFO's reader comes first",
            path.display()
        );
        assert_eq!(error, expected);
        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(&path)
            .unwrap();
        let mut log = append(&path).unwrap();
        let flags = rustix::fs::fcntl_getfl(&log).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK), "{flags:?}");
        log.write_all(b"line\n").unwrap();
        drop(log);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "line\n");
    }
}
