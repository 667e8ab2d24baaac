//! A place for one test: two namespaces, a state directory, a template, the daemon and its neighbours.
//!
//! Invariant: whatever a test does, dropping its [`Site`] ends every child and removes every namespace of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use serde_json::Value;

/// The endpoint's address in zone 1c, the second subnet.
pub const ENDPOINT: &str = "172.18.1.70";
/// The endpoint's address in zone 1a, the first subnet.
pub const ENDPOINT_1A: &str = "172.18.0.247";
/// The address of both instances, each in its VPC.
pub const INSTANCE: &str = "172.18.0.108";

/// Longest time that any one command of a test may take.
const PATIENCE: &str = "120";

pub struct Site {
    /// Namespace of EC2_A, the consumer.
    pub a: String,
    /// Namespace of EC2_B, the target.
    pub b: String,
    /// For files of the test.
    pub dir: tempfile::TempDir,
    daemon: Option<Daemon>,
    neighbours: Vec<Child>,
    namespaces: Vec<String>,
}

struct Daemon {
    child: Child,
    /// What it prints, line by line, from both streams.
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Site {
    pub fn new() -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let id = format!(
            "plt{}n{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let site = Self {
            a: format!("{id}a"),
            b: format!("{id}b"),
            dir: tempfile::Builder::new()
                .prefix("privlink-netns-")
                .tempdir()?,
            daemon: None,
            neighbours: Vec::new(),
            namespaces: Vec::new(),
        };
        // nginx's worker drops to another user, who must get through to the files.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(site.dir.path(), fs::Permissions::from_mode(0o755))?;
        Ok(site)
    }

    /// A site with the example's topology up and nginx in EC2_B.
    pub fn with_nginx() -> Result<Self> {
        let mut site = Self::new()?;
        site.up(&site.template(), &[])?;
        site.nginx()?;
        Ok(site)
    }

    /// The example template, with this site's namespaces.
    pub fn template(&self) -> Template {
        Template::example("resource-endpoint.yaml")
            .edit("Namespace: ec2-a", &format!("Namespace: {}", self.a))
            .edit("Namespace: ec2-b", &format!("Namespace: {}", self.b))
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// `privlink up` in the foreground, until it is ready.
    pub fn up(&mut self, template: &Template, arguments: &[&str]) -> Result<()> {
        self.up_files(&[("template.yaml", template)], arguments)
    }

    /// The same, with a stack for each file.
    pub fn up_files(&mut self, files: &[(&str, &Template)], arguments: &[&str]) -> Result<()> {
        let mut child = self
            .up_command("", files, arguments)?
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start privlink")?;
        let (sender, lines) = channel();
        for stream in [
            child
                .stdout
                .take()
                .map(|stream| Box::new(stream) as Box<dyn std::io::Read + Send>),
            child
                .stderr
                .take()
                .map(|stream| Box::new(stream) as Box<dyn std::io::Read + Send>),
        ] {
            let (sender, stream) = (sender.clone(), stream.context("no stream")?);
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(|line| line.ok()) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        self.daemon = Some(Daemon {
            child,
            lines,
            seen: Vec::new(),
        });
        self.daemon_says("Ready", Duration::from_secs(30)).map(drop)
    }

    /// `privlink up` with this redirection of the shell's (`2>&-`) and these for standard output and standard error, until it
    /// answers.
    pub fn up_redirected(
        &mut self,
        template: &Template,
        arguments: &[&str],
        redirection: &str,
        [stdout, stderr]: [Stdio; 2],
    ) -> Result<()> {
        let child = self
            .up_command(redirection, &[("template.yaml", template)], arguments)?
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .context("cannot start privlink")?;
        let (_, lines) = channel();
        self.daemon = Some(Daemon {
            child,
            lines,
            seen: Vec::new(),
        });
        wait_for("the daemon", Duration::from_secs(30), || {
            Ok(self.privlink(&["show", "endpoints"])?.status.success())
        })
    }

    fn up_command(
        &self,
        redirection: &str,
        files: &[(&str, &Template)],
        arguments: &[&str],
    ) -> Result<Command> {
        ensure!(self.daemon.is_none(), "a daemon runs already");
        let mut paths = Vec::new();
        for (name, template) in files {
            let path = self.dir.path().join(name);
            fs::write(&path, &template.0)?;
            paths.push(path);
        }
        // No test asks the machine's own servers.
        let upstream: &[_] = match arguments.contains(&"--upstream") {
            true => &[],
            false => &["--upstream", "none"],
        };
        let program = env!("CARGO_BIN_EXE_privlink");
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec \"$@\" {redirection}"), "sh", program])
            .args(["up", "--state-dir"])
            .arg(self.state_dir())
            .args(upstream)
            .args(arguments)
            .args(&paths)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Waits until the daemon prints a line that contains `text`.
    pub fn daemon_says(&mut self, text: &str, patience: Duration) -> Result<String> {
        let daemon = self.daemon.as_mut().context("no daemon")?;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(line) = daemon.seen.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            match daemon
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => daemon.seen.push(line),
                Err(_) => bail!(
                    "privlink did not say {text:?}, but:\n{}",
                    daemon.seen.join("\n")
                ),
            }
        }
    }

    pub fn pid(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("no daemon")?.child.id())
    }

    /// The threads of the daemon that carry packets.
    pub fn workers(&self) -> Result<Vec<u32>> {
        let mut threads = threads(self.pid()?)?;
        threads.retain(|thread| thread.name.starts_with("worker-"));
        ensure!(!threads.is_empty(), "no worker threads");
        Ok(threads.iter().map(|thread| thread.id).collect())
    }

    /// Sends the daemon a signal and waits for its end.
    pub fn stop(&mut self, signal: Signal) -> Result<ExitStatus> {
        let mut daemon = self.daemon.take().context("no daemon")?;
        end(&mut daemon.child, signal, Duration::from_secs(15)).with_context(|| {
            format!(
                "privlink said:\n{}",
                daemon.lines.iter().collect::<Vec<_>>().join("\n")
            )
        })
    }

    /// A `privlink` command for this site's daemon.
    pub fn privlink(&self, arguments: &[&str]) -> Result<Output> {
        let program = env!("CARGO_BIN_EXE_privlink");
        Command::new("timeout")
            .args(["-k", "1", PATIENCE, program, "--state-dir"])
            .arg(self.state_dir())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("cannot run privlink")
    }

    /// `privlink apply` of one of this site's files, which has become `template`.
    pub fn apply(&self, file: &str, template: &Template, arguments: &[&str]) -> Result<Output> {
        let path = self.dir.path().join(file);
        fs::write(&path, &template.0)?;
        let path = path.display().to_string();
        self.privlink(&[&["apply", &path], arguments].concat())
    }

    /// The same, which must succeed.
    pub fn applied(&self, file: &str, template: &Template) -> Result<String> {
        let output = self.apply(file, template, &[])?;
        ensure!(output.status.success(), "apply: {}", text(&output));
        Ok(text(&output))
    }

    /// `privlink show WHAT` as JSON.
    pub fn show(&self, what: &str) -> Result<Vec<Value>> {
        let output = self.privlink(&["show", what, "--output", "json"])?;
        ensure!(output.status.success(), "show {what}: {}", text(&output));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The drop counters, by (owner of the interface, reason).
    pub fn drops(&self) -> Result<BTreeMap<(String, String), u64>> {
        let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let mut drops = BTreeMap::new();
        for row in self.show("drops")? {
            *drops
                .entry((word(&row, "Owner"), word(&row, "Reason")))
                .or_default() += row["Packets"].as_u64().context("Packets")?;
        }
        Ok(drops)
    }

    /// How many packets were dropped for `reason`, anywhere.
    pub fn dropped(&self, reason: &str) -> Result<u64> {
        Ok(self
            .drops()?
            .iter()
            .filter(|((_, name), _)| name == reason)
            .map(|(_, packets)| packets)
            .sum())
    }

    /// Runs a command in a namespace and waits for it.
    pub fn run<S: AsRef<OsStr>>(&self, namespace: &str, command: &[S]) -> Result<Output> {
        Command::new("timeout")
            .args(["-k", "1", PATIENCE, "ip", "netns", "exec", namespace])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .context("cannot run timeout")
    }

    /// The same, for a command that must succeed; returns what it prints.
    pub fn ok<S: AsRef<OsStr> + std::fmt::Debug>(
        &self,
        namespace: &str,
        command: &[S],
    ) -> Result<String> {
        let output = self.run(namespace, command)?;
        ensure!(
            output.status.success(),
            "{command:?} in {namespace}: {}\n{}\ndrops: {:?}",
            output.status,
            text(&output),
            self.drops().ok()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// curl from EC2_A, which must succeed.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        self.ok(
            &self.a,
            &[
                &[
                    "curl",
                    "-sS",
                    "--fail",
                    "--max-time",
                    "100",
                    "--connect-timeout",
                    "10",
                ],
                arguments,
            ]
            .concat(),
        )
    }

    /// curl from EC2_A, which must end in silence.
    pub fn curl_times_out(&self, address: &str) -> Result<()> {
        let output = self.run(&self.a, &["curl", "-sS", "--max-time", "1.5", address])?;
        // 28: the timeout. A refusal would be 7.
        ensure!(
            output.status.code() == Some(28),
            "curl {address}: {}\n{}",
            output.status,
            text(&output)
        );
        Ok(())
    }

    /// Starts a command in a namespace that ends with the site; waits until it prints `ready`.
    /// Further lines come out of the receiver.
    pub fn spawn(
        &mut self,
        namespace: &str,
        command: &[&str],
        ready: &str,
    ) -> Result<Receiver<String>> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        self.neighbours.push(child);
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        loop {
            match lines.recv_timeout(Duration::from_secs(20)) {
                Ok(line) if line.contains(ready) => return Ok(lines),
                Ok(_) => {}
                Err(_) => bail!("{command:?} in {namespace} did not say {ready:?}"),
            }
        }
    }

    /// One of the Python programs in `tests/netns/py`, in a namespace; waits until it prints `ready`.
    pub fn python(
        &mut self,
        namespace: &str,
        program: &str,
        arguments: &[&str],
    ) -> Result<Receiver<String>> {
        let path = python_program(program);
        self.spawn(
            namespace,
            &[&[python(), "-Bu", &path], arguments].concat(),
            "ready",
        )
    }

    /// The same, for a program that comes to an end; returns what it prints.
    pub fn python_ok(&self, namespace: &str, program: &str, arguments: &[&str]) -> Result<String> {
        let path = python_program(program);
        self.ok(namespace, &[&[python(), "-Bu", &path], arguments].concat())
    }

    /// Starts an nginx of this site's own in EC2_B: `/` says hello, `/files/` gives and (PUT) takes files.
    pub fn nginx(&mut self) -> Result<()> {
        let namespace = self.b.clone();
        self.nginx_in(&namespace)
    }

    pub fn nginx_in(&mut self, namespace: &str) -> Result<()> {
        let hello = "$remote_addr:$remote_port to $server_addr:$server_port";
        self.nginx_with(namespace, "", hello)
    }

    /// As [`Site::nginx`], but connections begin with a PROXY header, and `/` says what that says.
    pub fn nginx_proxied(&mut self) -> Result<()> {
        let hello = "$proxy_protocol_addr:$proxy_protocol_port to \
                     $proxy_protocol_server_addr:$proxy_protocol_server_port";
        let namespace = self.b.clone();
        self.nginx_with(&namespace, "proxy_protocol", hello)
    }

    fn nginx_with(&mut self, namespace: &str, listen: &str, hello: &str) -> Result<()> {
        let dir = self.dir.path().join(format!("nginx-{namespace}"));
        let files = self.files();
        fs::create_dir_all(&files)?;
        fs::create_dir_all(&dir)?;
        let dir_text = dir.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {dir_text}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off; user root; worker_processes 1; pid {dir_text}/pid; error_log stderr warn;\n\
             events {{ worker_connections 12000; }}\n\
             http {{ access_log off; {temporary} client_max_body_size 0; sendfile on; keepalive_timeout 600s;\n\
             default_type text/plain;\n\
             server {{ listen 0.0.0.0:80 backlog=1024 {listen}; listen 0.0.0.0:8080;\n\
             location / {{ return 200 \"hello {hello}\\n\"; }}\n\
             location /files/ {{ root {}; dav_methods PUT; }} }} }}\n",
            self.dir.path().display()
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config)?;
        let (file, prefix) = (file.display().to_string(), dir.display().to_string());
        let child = Command::new("ip")
            .args([
                "netns", "exec", namespace, "nginx", "-e", "stderr", "-p", &prefix, "-c", &file,
            ])
            .stdin(Stdio::null())
            .spawn()?;
        self.neighbours.push(child);
        wait_for("nginx", Duration::from_secs(10), || {
            Ok(self
                .run(
                    namespace,
                    &["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:8080/"],
                )?
                .status
                .success())
        })
    }

    /// What nginx serves and takes at `/files/`.
    pub fn files(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    /// A file at `/files/` that does not compress, and its sha256.
    pub fn payload(&self, megabytes: usize) -> Result<(PathBuf, String)> {
        let path = self.files().join("payload");
        let (to, count) = (
            format!("of={}", path.display()),
            format!("count={megabytes}"),
        );
        host(&[
            "dd",
            "if=/dev/urandom",
            &to,
            "bs=1000000",
            &count,
            "status=none",
        ])?;
        let sum = sha256(&path)?;
        Ok((path, sum))
    }

    /// Creates a namespace that ends with the site.
    pub fn namespace(&mut self, name: &str) -> Result<()> {
        host(&["ip", "netns", "add", name])?;
        self.namespaces.push(name.to_owned());
        host(&["ip", "-n", name, "link", "set", "lo", "up"]).map(drop)
    }

    /// Records packets on `eni0` of a namespace from now on.
    pub fn capture(&self, namespace: &str, filter: &str) -> Result<Capture> {
        Capture::start(self.dir.path(), namespace, filter)
    }

    /// CPU time that the daemon uses while `window` passes.
    pub fn cpu_over(&self, window: Duration) -> Result<Duration> {
        let pid = self.pid()?;
        let before = cpu_time(pid)?;
        thread::sleep(window);
        Ok(cpu_time(pid)? - before)
    }

    /// The CPU time that the daemon's threads use in `window`, and how often they go to sleep again. Without the one that
    /// watches `/run/netns`, which the namespaces of other tests wake.
    pub fn stirrings_over(&self, window: Duration) -> Result<(Duration, u64)> {
        let so_far = |pid| -> Result<(Duration, u64)> {
            let threads = threads(pid)?;
            let own = threads.iter().filter(|thread| thread.name != "netns-watch");
            Ok(own.fold((Duration::ZERO, 0), |(cpu, sleeps), thread| {
                (cpu + thread.cpu, sleeps + thread.sleeps)
            }))
        };
        let pid = self.pid()?;
        let before = so_far(pid)?;
        thread::sleep(window);
        let after = so_far(pid)?;
        Ok((after.0 - before.0, after.1 - before.1))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take()
            && end(&mut daemon.child, Signal::TERM, Duration::from_secs(15)).is_err()
        {
            eprintln!("privlink did not end by SIGTERM");
            let _ = daemon.child.kill();
            let _ = daemon.child.wait();
            let _ = self.privlink(&["down"]);
        }
        for child in &mut self.neighbours {
            if end(child, Signal::TERM, Duration::from_secs(3)).is_err() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        for name in &self.namespaces {
            let _ = host(&["ip", "netns", "del", name]);
        }
        for name in [&self.a, &self.b] {
            if Path::new("/run/netns").join(name).exists() {
                let _ = host(&["ip", "netns", "del", name]);
                if !thread::panicking() && !self.namespaces.contains(name) {
                    eprintln!("left behind by privlink: namespace {name}");
                }
            }
        }
    }
}

/// A template under small changes.
#[derive(Clone)]
pub struct Template(pub String);

impl Template {
    /// One of `examples/`.
    pub fn example(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(name);
        let text = fs::read_to_string(&path);
        Self(text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Replaces `from`, which must stand there exactly once: an edit that does nothing would test nothing.
    pub fn edit(self, from: &str, to: &str) -> Self {
        assert_eq!(
            self.0.matches(from).count(),
            1,
            "{from:?} must stand once in the template"
        );
        Self(self.0.replacen(from, to, 1))
    }

    /// Gives a security group these rules in place of its own; `direction` is `Ingress` or `Egress`.
    pub fn rules(self, group: &str, direction: &str, rules: &[&str]) -> Self {
        let (start, end) = self.resource(group);
        let (before, section, after) = (&self.0[..start], &self.0[start..end], &self.0[end..]);
        let property = format!("      SecurityGroup{direction}:");
        // In the example the rules are a group's last property.
        let kept = section
            .split(&property)
            .next()
            .unwrap_or_default()
            .trim_end();
        let rules: String = rules
            .iter()
            .map(|rule| format!("\n        - {rule}"))
            .collect();
        let rules = if rules.is_empty() {
            " []".to_owned()
        } else {
            rules
        };
        Self(format!("{before}{kept}\n{property}{rules}{after}"))
    }

    /// Where a resource stands: from its name to the next blank line.
    fn resource(&self, name: &str) -> (usize, usize) {
        let head = format!("\n  {name}:\n");
        let start = self
            .0
            .find(&head)
            .unwrap_or_else(|| panic!("no {name} in\n{}", self.0));
        let end = self.0[start..]
            .find("\n\n")
            .map_or(self.0.len(), |length| start + length);
        (start, end)
    }
}

/// A running tcpdump.
pub struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    fn start(dir: &Path, namespace: &str, filter: &str) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let file = dir.join(format!("capture{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let errors = file.with_extension("err");
        let child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .args([
                "tcpdump",
                "-i",
                "eni0",
                "-nn",
                "-vv",
                "-l",
                "--immediate-mode",
                "-B",
                "16384",
                filter,
            ])
            .stdin(Stdio::null())
            .stdout(File::create(&file)?)
            .stderr(File::create(&errors)?)
            .spawn()?;
        let capture = Self { child, file };
        wait_for("tcpdump", Duration::from_secs(20), || {
            Ok(fs::read_to_string(&errors)?.contains("listening on"))
        })?;
        Ok(capture)
    }

    /// Waits until what was captured contains `text`.
    pub fn wait_for(&self, text: &str) -> Result<()> {
        wait_for(text, Duration::from_secs(10), || {
            Ok(fs::read_to_string(&self.file)?.contains(text))
        })
    }

    /// Ends it; what it saw, as `tcpdump -vv` tells it.
    pub fn stop(mut self) -> Result<String> {
        // What is on its way still arrives.
        thread::sleep(Duration::from_millis(300));
        end(&mut self.child, Signal::INT, Duration::from_secs(10))?;
        Ok(fs::read_to_string(&self.file)?.trim().to_owned())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command outside of any namespace; it must succeed.
pub fn host(command: &[&str]) -> Result<String> {
    let output = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        text(&output)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Both streams of a command.
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Waits until `condition` holds.
pub fn wait_for(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !condition()? {
        ensure!(Instant::now() < deadline, "{what}: not within {patience:?}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub fn sha256(path: &Path) -> Result<String> {
    let line = host(&["sha256sum", path.to_str().context("path")?])?;
    Ok(line.split(' ').next().unwrap_or_default().to_owned())
}

fn python() -> &'static str {
    // Debian's own; a version manager's shim would cost a second in each namespace.
    if Path::new("/usr/bin/python3").exists() {
        "/usr/bin/python3"
    } else {
        "python3"
    }
}

fn python_program(name: &str) -> String {
    format!("{}/tests/netns/py/{name}.py", env!("CARGO_MANIFEST_DIR"))
}

/// The time that a process's threads have run, to the nanosecond (`/proc/PID/stat` counts in ticks of 10 ms).
fn cpu_time(pid: u32) -> Result<Duration> {
    Ok(threads(pid)?.iter().map(|thread| thread.cpu).sum())
}

/// What a thread has done so far.
struct Thread {
    id: u32,
    name: String,
    cpu: Duration,
    /// How often it has gone to sleep of itself.
    sleeps: u64,
}

fn threads(pid: u32) -> Result<Vec<Thread>> {
    let thread = |task: PathBuf| {
        let read = |file| {
            let path = task.join(file);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let (schedstat, status) = (read("schedstat")?, read("status")?);
        let nanoseconds = schedstat.split(' ').next().context("schedstat")?;
        let sleeps = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .context("status")?;
        let id = task.file_name().unwrap_or_default().to_string_lossy();
        Ok(Thread {
            id: id.parse()?,
            name: read("comm")?.trim_end().to_owned(),
            cpu: Duration::from_nanos(nanoseconds.parse()?),
            sleeps: sleeps.trim().parse()?,
        })
    };
    fs::read_dir(format!("/proc/{pid}/task"))?
        .map(|task| thread(task?.path()))
        .collect()
}

/// Signals a child and waits for its end.
pub fn end(child: &mut Child, signal: Signal, patience: Duration) -> Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    rustix::process::kill_process(Pid::from_child(child), signal)?;
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        ensure!(
            Instant::now() < deadline,
            "process {} does not end by {signal:?}",
            child.id()
        );
        thread::sleep(Duration::from_millis(20));
    }
}
