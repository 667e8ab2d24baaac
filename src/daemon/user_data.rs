//! UserData: an instance's first script, run as cloud-init would, in its namespace and the topology's cgroup.
//!
//! Invariant: a script's failure is reported and never fatal. Only `#!` scripts are run; cloud-config, MIME archives and
//! boothooks are named and left alone. Source: EC2 User Guide, "Run commands when you launch an EC2 instance".

mod output;

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc::UnboundedSender;

use super::state_dir::StateDir;
use super::tell::{print, tell};
use output::Output;

/// Lines of a failed script's output that are shown.
const TAIL: usize = 5;
/// How much of it is looked at, in bytes.
const TAIL_BYTES: usize = 4096;
/// For the threads that follow scripts, of which there may be thousands.
const STACK: usize = 256 << 10;

/// An instance's script.
#[derive(Clone, Debug)]
pub struct UserData {
    /// The instance's name in the template, with its stack where there are several.
    pub name: String,
    /// The namespace to run it in.
    pub namespace: String,
    /// The decoded text.
    pub script: Vec<u8>,
}

/// A script that has ended, or could not be started.
#[derive(Debug)]
pub struct Ended {
    /// Whose.
    pub name: String,
    /// How.
    pub result: Result<ExitStatus>,
    /// Where its output went.
    pub log: PathBuf,
    /// The last lines of it, and why it could not be kept.
    pub said: Vec<String>,
}

/// A script that runs.
struct Running {
    script: Child,
    pipe: PipeReader,
    output: Output,
}

/// The program that a script's first line names, with its one argument as Linux cuts it.
#[derive(Debug, PartialEq, Eq)]
struct Interpreter<'a> {
    program: &'a str,
    argument: Option<&'a str>,
}

/// Starts every script; `ended` receives each that has ended.
pub fn start_all(
    scripts: &[UserData],
    dir: &StateDir,
    cgroup: Result<&Path, &str>,
    ended: &UnboundedSender<Ended>,
) {
    for user_data in scripts {
        if let Err(error) = start_one(user_data, dir, cgroup, ended) {
            // It fails only once the daemon is on its way out.
            let _ = ended.send(Ended {
                name: user_data.name.clone(),
                result: Err(error),
                log: dir.user_data_log(&user_data.name),
                said: Vec::new(),
            });
        }
    }
}

fn start_one(
    user_data: &UserData,
    dir: &StateDir,
    cgroup: Result<&Path, &str>,
    ended: &UnboundedSender<Ended>,
) -> Result<()> {
    let (name, log) = (user_data.name.clone(), dir.user_data_log(&user_data.name));
    let ended = ended.clone();
    let report = move |status: io::Result<ExitStatus>, output: &Output| {
        let failure = output.failure();
        let failure = failure.map(|error| format!("(its output could not be kept: {error})"));
        let said = output.last_lines(TAIL, TAIL_BYTES);
        let result = status.context("its end was not seen");
        let said = said.into_iter().chain(failure).collect();
        let _ = ended.send(Ended {
            name,
            result,
            log,
            said,
        });
    };
    let (running, follow) = mpsc::channel::<Running>();
    // Before the script: without it nothing would take what that prints.
    thread::Builder::new()
        .name("user-data".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            if let Ok(Running {
                script,
                pipe,
                output,
            }) = follow.recv()
            {
                output.follow(pipe, script, report);
            }
        })
        .context("cannot start a thread for it")?;
    // The thread waits for nothing else.
    let _ = running.send(start(user_data, dir, cgroup)?);
    Ok(())
}

/// Says how a script ended.
pub fn report(ended: &Ended) {
    let Ended {
        name,
        result,
        log,
        said,
    } = ended;
    match result {
        Ok(status) if status.success() => tell(format_args!("UserData of {name} has run")),
        Ok(status) => {
            let path = log.display();
            tell(format_args!(
                "warning: UserData of {name} failed ({status}); the end of {path}:"
            ));
            said.iter()
                .for_each(|line| print(format_args!("    {line}\n")));
        }
        Err(error) => tell(format_args!(
            "warning: UserData of {name} was not run: {error:#}"
        )),
    }
}

fn start(user_data: &UserData, dir: &StateDir, cgroup: Result<&Path, &str>) -> Result<Running> {
    let cgroup = match cgroup {
        Ok(cgroup) => cgroup,
        Err(reason) => bail!("it could not be ended with the topology: {reason}"),
    };
    let Interpreter { program, argument } = interpreter(&user_data.script)?;
    let script = write_script(user_data, dir)?;
    let output = Output::new(open_new(&dir.user_data_log(&user_data.name), 0o600)?);
    let (pipe, printed) = io::pipe().context("cannot make a pipe for its output")?;
    let errors = printed
        .try_clone()
        .context("cannot make a pipe for its output")?;
    // Through `privlink enter`, which moves itself before it becomes the script: nothing can be forked before.
    // The interpreter is named because /run, where the script lies, is often mounted noexec.
    let script = Command::new(super::executable())
        .arg("enter")
        .args(["--namespace", &user_data.namespace])
        .arg("--cgroup")
        .arg(cgroup)
        .args(["--", program])
        .args(argument)
        .arg(&script)
        .current_dir("/")
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("USER", "root")
        .stdin(Stdio::null())
        .stdout(printed)
        .stderr(errors)
        // Not in the terminal's foreground group: Ctrl-C is for the daemon.
        .process_group(0)
        .spawn()
        .context("cannot start it")?;
    Ok(Running {
        script,
        pipe,
        output,
    })
}

fn write_script(user_data: &UserData, dir: &StateDir) -> Result<PathBuf> {
    let path = dir.user_data_script(&user_data.name);
    open_new(&path, 0o700)?
        .write_all(&user_data.script)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Opens an empty file for writing.
fn open_new(path: &Path, mode: u32) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn interpreter(script: &[u8]) -> Result<Interpreter<'_>> {
    let first = script
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let first = std::str::from_utf8(first)
        .context("its first line is not UTF-8")?
        .trim();
    let Some(line) = first.strip_prefix("#!") else {
        bail!(
            "it is not a script that begins with `#!` (it begins with `{}`), and nothing else is run here",
            excerpt(first)
        );
    };
    let line = line.trim();
    let (program, argument) = match line.split_once([' ', '\t']) {
        Some((program, argument)) => (program, Some(argument.trim())),
        None => (line, None),
    };
    if program.is_empty() {
        bail!("its first line `#!` names no program");
    }
    Ok(Interpreter { program, argument })
}

fn excerpt(line: &str) -> String {
    line.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_cut_as_linux_cuts_it() {
        let cases = [
            ("#!/bin/bash\necho", ("/bin/bash", None)),
            ("#! /bin/sh -ex \n", ("/bin/sh", Some("-ex"))),
            (
                "#!/usr/bin/env python3\r\nprint()",
                ("/usr/bin/env", Some("python3")),
            ),
            ("#!/bin/awk\t-f x", ("/bin/awk", Some("-f x"))),
        ];
        for (script, (program, argument)) in cases {
            assert_eq!(
                interpreter(script.as_bytes()).unwrap(),
                Interpreter { program, argument },
                "{script}"
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(tmp.path()).unwrap();
        let path = dir.user_data_script("A");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let user_data = UserData {
            name: "A".into(),
            namespace: "a".into(),
            script: b"#!/bin/sh\n".to_vec(),
        };
        let error = format!("{:#}", write_script(&user_data, &dir).unwrap_err());
        let expected = format!("cannot write {}: No space left on device", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn what_is_not_a_script_is_named() {
        let error = interpreter(b"#cloud-config\npackages: [nginx]")
            .unwrap_err()
            .to_string();
        assert!(error.contains("#cloud-config"), "{error}");
        assert!(interpreter(b"").is_err() && interpreter(b"#!\n").is_err());
    }
}
