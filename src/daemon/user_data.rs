//! UserData: an instance's first script, run as cloud-init would, in its namespace and the topology's cgroup.
//!
//! Invariant: a script's failure is reported and never fatal. Only `#!` scripts are run; cloud-config, MIME archives and
//! boothooks are named and left alone. Source: EC2 User Guide, "Run commands when you launch an EC2 instance".

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc::UnboundedSender;

use super::state_dir::StateDir;
use super::tell::tell;

/// Lines of a failed script's output that are shown.
const TAIL: usize = 5;
/// How much of it is looked at, in bytes.
const TAIL_BYTES: u64 = 4096;

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
}

/// The program that a script's first line names, with its one argument as Linux cuts it.
#[derive(Debug, PartialEq, Eq)]
struct Interpreter<'a> {
    program: &'a str,
    argument: Option<&'a str>,
}

/// Starts every script; each tells `ended` when it has ended.
pub fn start_all(
    scripts: &[UserData],
    dir: &StateDir,
    cgroup: Result<&Path, &str>,
    ended: &UnboundedSender<Ended>,
) {
    for user_data in scripts {
        let name = user_data.name.clone();
        let log = dir.user_data_log(&name);
        let ended = ended.clone();
        let started = start(user_data, dir, cgroup);
        std::thread::spawn(move || {
            let result = started.and_then(|mut child| Ok(child.wait()?));
            // Nobody listens any more once the daemon is on its way out.
            let _ = ended.send(Ended { name, result, log });
        });
    }
}

/// Says how a script ended.
pub fn report(ended: &Ended) {
    let Ended { name, result, log } = ended;
    match result {
        Ok(status) if status.success() => tell(format_args!("UserData of {name} has run")),
        Ok(status) => {
            let path = log.display();
            tell(format_args!(
                "warning: UserData of {name} failed ({status}); the end of {path}:"
            ));
            eprint!(
                "{}",
                end_of(log).unwrap_or_else(|error| format!("    {error}\n"))
            );
        }
        Err(error) => tell(format_args!(
            "warning: UserData of {name} was not run: {error:#}"
        )),
    }
}

/// The log is removed with the topology; its end is what a person asks for.
fn end_of(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(last_lines(&String::from_utf8_lossy(&bytes)))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    lines[from..]
        .iter()
        .map(|line| format!("    {line}\n"))
        .collect()
}

fn start(user_data: &UserData, dir: &StateDir, cgroup: Result<&Path, &str>) -> Result<Child> {
    let cgroup = match cgroup {
        Ok(cgroup) => cgroup,
        Err(reason) => bail!("it could not be ended with the topology: {reason}"),
    };
    let Interpreter { program, argument } = interpreter(&user_data.script)?;
    let script = write_script(user_data, dir)?;
    let output = open_new(&dir.user_data_log(&user_data.name), 0o600)?;
    // Through `privlink enter`, which moves itself before it becomes the script: nothing can be forked before.
    // The interpreter is named because /run, where the script lies, is often mounted noexec.
    Command::new(super::executable())
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
        .stdout(output.try_clone()?)
        .stderr(output)
        // Not in the terminal's foreground group: Ctrl-C is for the daemon.
        .process_group(0)
        .spawn()
        .context("cannot start it")
}

fn write_script(user_data: &UserData, dir: &StateDir) -> Result<PathBuf> {
    let path = dir.user_data_script(&user_data.name);
    open_new(&path, 0o700)?.write_all(&user_data.script)?;
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
    fn the_end_of_a_log_is_five_lines() {
        assert_eq!(
            last_lines("1\n2\n3\n4\n5\n6\n7\n"),
            "    3\n    4\n    5\n    6\n    7\n"
        );
        assert_eq!(last_lines(""), "");
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
