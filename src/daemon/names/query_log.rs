//! The query log: a line of JSON for each query that a VPC's resolver has answered, as Route 53 Resolver's query logging has it.
//!
//! Invariant: nobody waits for the disk; lines that come faster than it are lost, and it is said how many. Source: Route 53
//! Developer Guide, "Values that appear in VPC Resolver query logs".

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use hickory_proto::rr::Record;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::dig::{data, status};
use crate::control::Attachment;
use crate::daemon::describe::Fabric;
use crate::daemon::events::{since_epoch, timestamp};
use crate::daemon::tell::tell;
use crate::dataplane;
use crate::dataplane::dns::Transport;

/// How many lines may wait for the disk.
const WAITING: usize = 4096;
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

/// Who writes it.
pub struct QueryLog {
    /// `None`: it is being closed.
    lines: Option<SyncSender<Vec<u8>>>,
    lost: u64,
    writer: Option<JoinHandle<()>>,
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
        let out: Box<dyn Write + Send> = match destination {
            Destination::Stdout => Box::new(io::stdout()),
            Destination::File(path) => Box::new(append(path)?),
        };
        let (lines, waiting) = sync_channel(WAITING);
        let writer = thread::Builder::new()
            .name("query-log".to_owned())
            .spawn(move || {
                if let Err(error) = write_all(&waiting, BufWriter::new(out)) {
                    tell(format_args!("warning: the query log has ended: {error}"));
                }
            })?;
        Ok(Self {
            lines: Some(lines),
            lost: 0,
            writer: Some(writer),
        })
    }

    /// A query has been answered.
    pub fn write(&mut self, fabric: &Fabric, query: &dataplane::QueryLog) {
        let mut text = Vec::new();
        // A struct of texts is always JSON.
        let _ = serde_json::to_writer(&mut text, &line(fabric, query));
        text.push(b'\n');
        let Some(lines) = &self.lines else { return };
        match lines.try_send(text) {
            Ok(()) if self.lost > 0 => {
                let lost = std::mem::take(&mut self.lost);
                tracing::warn!(lost, "the query log was too slow for some queries");
            }
            Ok(()) => {}
            Err(_) => self.lost += 1,
        }
    }
}

impl Drop for QueryLog {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // What it could not write it has told.
            let _ = writer.join();
        }
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

/// Writes until nobody logs any more; what is written can be read as soon as nothing waits.
fn write_all(waiting: &Receiver<Vec<u8>>, mut out: impl Write) -> io::Result<()> {
    while let Ok(line) = waiting.recv() {
        out.write_all(&line)?;
        while let Ok(line) = waiting.try_recv() {
            out.write_all(&line)?;
        }
        out.flush()?;
    }
    Ok(())
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
    use std::io::Read;

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
