//! Names: who is asked for them in an instance's namespace, and what real clients are answered.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::site::{Site, Template, end, host, text, wait_for};

crate::tests!(
    the_processes_of_an_instance_ask_the_resolver_of_its_vpc,
    a_resolv_conf_of_the_users_own_survives,
    a_link_in_etc_netns_is_not_followed,
    what_has_taken_a_resolv_confs_place_stays,
    a_start_that_fails_leaves_no_resolv_conf,
    a_resolv_conf_goes_with_its_instance,
    what_a_killed_daemon_wrote_is_no_users_own,
    a_vpc_without_dns_support_has_no_resolver,
    real_clients_are_answered_by_what_is_upstream,
    a_server_upstream_that_fails_does_not_decide,
    nginx_follows_a_name,
    nonsense_by_the_thousand_does_no_harm,
    nobody_is_upstream_on_request,
    dig_says_where_an_answer_came_from,
    each_query_stands_in_the_log,
);

/// The directory of a namespace's own `/etc`.
fn etc(namespace: &str) -> PathBuf {
    PathBuf::from("/etc/netns").join(namespace)
}

fn resolv_conf(namespace: &str) -> PathBuf {
    etc(namespace).join("resolv.conf")
}

fn the_processes_of_an_instance_ask_the_resolver_of_its_vpc() -> Result<()> {
    let mut site = Site::new()?;
    let seen = site.dir.path().join("user-data-saw");
    let script = format!(
        "cat /etc/resolv.conf > {0}.new; mv {0}.new {0}",
        seen.display()
    );
    let template = site.template().edit(
        "\n          Value: EC2_B\n",
        &format!("\n          Value: EC2_B\n      UserData: !Base64 |\n        #!/bin/sh\n        {script}\n"),
    );
    site.up(&template, &["--run-user-data"])?;
    let written = fs::read_to_string(resolv_conf(&site.a))?;
    ensure!(written.starts_with("# Written by privlink"), "{written}");
    ensure!(
        written.ends_with("\nnameserver 172.18.0.2\nsearch ap-northeast-1.compute.internal\n"),
        "{written}"
    );
    ensure!(site.ok(&site.a, &["cat", "/etc/resolv.conf"])? == written);
    let output = site.privlink(&["exec", "EC2A", "--", "cat", "/etc/resolv.conf"])?;
    ensure!(text(&output) == written, "{}", text(&output));
    wait_for("user data", Duration::from_secs(10), || Ok(seen.exists()))?;
    ensure!(fs::read_to_string(&seen)? == written);
    // Whoever has dropped root's rights asks for names too.
    let nobody = ["setpriv", "--reuid", "65534", "cat", "/etc/resolv.conf"];
    ensure!(site.ok(&site.a, &nobody)? == written);
    ensure!(site.stop(Signal::TERM)?.success());
    ensure!(!etc(&site.a).exists() && !etc(&site.b).exists());
    Ok(())
}

fn a_resolv_conf_of_the_users_own_survives() -> Result<()> {
    let mut site = Site::new()?;
    let (own, beside) = (site.a.clone(), site.b.clone());
    fs::create_dir_all(etc(&own))?;
    fs::create_dir_all(etc(&beside))?;
    fs::write(resolv_conf(&own), "nameserver 192.0.2.1\n")?;
    fs::write(etc(&beside).join("hosts"), "127.0.0.1 localhost\n")?;
    let outcome = own_file_survives(&mut site);
    fs::remove_dir_all(etc(&own))?;
    fs::remove_dir_all(etc(&beside))?;
    outcome
}

fn own_file_survives(site: &mut Site) -> Result<()> {
    let (own, beside) = (site.a.clone(), site.b.clone());
    for end in [Signal::TERM, Signal::KILL] {
        site.up(&site.template(), &[])?;
        let path = resolv_conf(&own).display().to_string();
        site.daemon_says(
            &format!("note: {path} is not privlink's"),
            Duration::from_secs(1),
        )?;
        ensure!(resolv_conf(&beside).exists());
        site.stop(end)?;
        ensure!(site.privlink(&["down"])?.status.success());
        ensure!(fs::read_to_string(resolv_conf(&own))? == "nameserver 192.0.2.1\n");
        ensure!(!resolv_conf(&beside).exists(), "ours was left behind");
        ensure!(etc(&beside).join("hosts").exists());
    }
    Ok(())
}

fn a_link_in_etc_netns_is_not_followed() -> Result<()> {
    let mut site = Site::new()?;
    let elsewhere = site.dir.path().join("elsewhere");
    fs::create_dir_all(&elsewhere)?;
    fs::create_dir_all("/etc/netns")?;
    symlink(&elsewhere, etc(&site.a))?;
    let outcome = site.up(&site.template(), &[]);
    let said = site.daemon_says("cannot look at its resolv.conf", Duration::from_secs(1));
    let stopped = site.stop(Signal::TERM);
    let written = fs::read_dir(&elsewhere)?.count();
    fs::remove_file(etc(&site.a))?;
    outcome?;
    ensure!(said?.contains(&site.a) && stopped?.success());
    ensure!(written == 0, "something was written through the link");
    Ok(())
}

fn what_has_taken_a_resolv_confs_place_stays() -> Result<()> {
    let mut site = Site::new()?;
    let outcome = replaced_survives(&mut site);
    // They are there after a failure only, and not all of them.
    let _ = fs::remove_file(etc(&site.a));
    let _ = fs::remove_dir_all(etc(&site.b));
    outcome
}

fn replaced_survives(site: &mut Site) -> Result<()> {
    for end in [Signal::TERM, Signal::KILL] {
        site.up(&site.template(), &[])?;
        fs::remove_dir_all(etc(&site.a))?;
        symlink("/nowhere", etc(&site.a))?;
        fs::remove_file(resolv_conf(&site.b))?;
        fs::create_dir(resolv_conf(&site.b))?;
        if end == Signal::KILL {
            site.stop(end)?;
        }
        let down = site.privlink(&["down"])?;
        ensure!(down.status.success(), "{}", text(&down));
        for (namespace, left) in [
            (site.a.clone(), etc(&site.a)),
            (site.b.clone(), resolv_conf(&site.b)),
        ] {
            ensure!(left.symlink_metadata().is_ok(), "{namespace}'s is gone");
            ensure!(!PathBuf::from("/run/netns").join(&namespace).exists());
            let warning = format!(
                "warning: what has taken the place of {} is not privlink's",
                resolv_conf(&namespace).display()
            );
            match end {
                Signal::KILL => ensure!(text(&down).contains(&warning), "{}", text(&down)),
                _ => drop(site.daemon_says(&warning, Duration::from_secs(1))?),
            }
        }
        if end == Signal::TERM {
            ensure!(site.stop(end)?.success());
        }
        fs::remove_file(etc(&site.a))?;
        fs::remove_dir_all(etc(&site.b))?;
    }
    Ok(())
}

fn a_start_that_fails_leaves_no_resolv_conf() -> Result<()> {
    let site = Site::new()?;
    let file = site.dir.path().join("template.yaml");
    fs::write(&file, &site.template().0)?;
    // All is made before it fails to say so.
    let output = Command::new(env!("CARGO_BIN_EXE_privlink"))
        .args(["up", "--state-dir"])
        .arg(site.state_dir())
        .arg(&file)
        .stdout(fs::File::create("/dev/full")?)
        .output()?;
    ensure!(
        text(&output).contains("cannot write to stdout"),
        "{}",
        text(&output)
    );
    ensure!(output.status.code() == Some(1), "{}", text(&output));
    ensure!(!etc(&site.a).exists() && !etc(&site.b).exists());
    Ok(())
}

fn a_resolv_conf_goes_with_its_instance() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let third = format!("{}c", site.a);
    let instance = format!(
        "\nResources:\n\n  EC2C:\n    Type: AWS::EC2::Instance\n    Metadata: {{privlink: {{Namespace: {third}}}}}\n    \
         Properties: {{SubnetId: !Ref Vpc1SubnetA, PrivateIpAddress: 172.18.0.109}}\n\n"
    );
    let more = site.template().edit("\nResources:\n", &instance);
    site.applied("template.yaml", &more)?;
    ensure!(resolv_conf(&third).exists());
    site.applied("template.yaml", &site.template())?;
    ensure!(!etc(&third).exists(), "it was left behind");
    ensure!(resolv_conf(&site.a).exists());
    Ok(())
}

fn a_vpc_without_dns_support_has_no_resolver() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &["--upstream", "none"])?;
    let vpc = |enabled| {
        format!(
            "      CidrBlock: 172.18.0.0/16\n      EnableDnsSupport: {enabled}\n      EnableDnsHostnames: true\n      Tags:\n        - Key: Name\n          Value: privatelink-dev1-vpc\n"
        )
    };
    let without = site.template().edit(&vpc(true), &vpc(false));
    let said = site.applied("template.yaml", &without)?;
    let note = "Vpc1 has EnableDnsSupport: false: its instances have no resolver";
    ensure!(said.contains(note), "{said}");
    ensure!(!etc(&site.a).exists() && resolv_conf(&site.b).exists());
    let output = site.privlink(&["dig", "EC2A", "www.example"])?;
    ensure!(output.status.code() == Some(1), "{}", text(&output));
    ensure!(
        text(&output).contains("EnableDnsSupport"),
        "{}",
        text(&output)
    );
    let silence = ["dig", "+tries=1", "+time=1", "@172.18.0.2", "localhost"];
    ensure!(site.run(&site.a, &silence)?.status.code() == Some(9));
    site.applied("template.yaml", &site.template())?;
    ensure!(site.ok(&site.a, &["dig", "+short", "localhost"])? == "127.0.0.1\n");
    Ok(())
}

/// Its record may be gone with `/run`, as after the machine has started anew: the file in `/etc` is not.
fn what_a_killed_daemon_wrote_is_no_users_own() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    site.stop(Signal::KILL)?;
    let left = fs::read_to_string(resolv_conf(&site.a))?;
    fs::remove_dir_all(site.state_dir())?;
    for namespace in [&site.a, &site.b] {
        host(&["ip", "netns", "del", namespace])?;
    }
    site.up(&site.template(), &[])?;
    let now = fs::read_to_string(resolv_conf(&site.a))?;
    ensure!(
        now != left && now.starts_with("# Written by privlink"),
        "{now}"
    );
    ensure!(site.stop(Signal::TERM)?.success());
    ensure!(!etc(&site.a).exists() && !etc(&site.b).exists());
    Ok(())
}

/// A site whose daemon asks a dnsmasq of its own, which knows `example` and nothing else.
struct Names {
    site: Site,
    dnsmasq: Child,
}

impl Names {
    fn up(template: &Template, site: Site, arguments: &[&str]) -> Result<Self> {
        Self::up_behind(&[], template, site, arguments)
    }

    /// dnsmasq is the last of the servers upstream.
    fn up_behind(
        servers: &[&str],
        template: &Template,
        site: Site,
        arguments: &[&str],
    ) -> Result<Self> {
        let (dnsmasq, server) = dnsmasq()?;
        let mut names = Self { site, dnsmasq };
        let arguments = [servers, &["--upstream", &server], arguments].concat();
        names.site.up(template, &arguments)?;
        Ok(names)
    }

    fn new() -> Result<Self> {
        let site = Site::new()?;
        Self::up(&site.template(), site, &[])
    }

    /// `dig` in EC2_A.
    fn dig(&self, arguments: &[&str]) -> Result<String> {
        let patience = ["dig", "+tries=1", "+time=5"];
        self.site.ok(&self.site.a, &[&patience, arguments].concat())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = self.dnsmasq.kill();
        let _ = self.dnsmasq.wait();
    }
}

/// Starts it on a port of loopback that is free; where it is.
fn dnsmasq() -> Result<(Child, String)> {
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut child = Command::new("dnsmasq")
        .args(["--keep-in-foreground", "--conf-file=/dev/null"])
        .args(["--no-resolv", "--no-hosts", "--pid-file", "--user=root"])
        .args(["--listen-address=127.0.0.1", "--bind-interfaces"])
        .arg(format!("--port={port}"))
        .args(["--local=/example/", "--local-ttl=60"])
        .args(["--host-record=web.example,172.18.0.247"])
        .args(["--host-record=target.example,172.18.0.108"])
        .args(["--cname=www.example,web.example"])
        .args(["--txt-record=text.example,one two"])
        .args(["--ptr-record=5.2.0.192.in-addr.arpa,five.example"])
        .args((1..=60).map(|n| format!("--host-record=many.example,198.51.100.{n}")))
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start dnsmasq")?;
    let at = format!("127.0.0.1:{port}");
    let ask = ["dig", "+tries=1", "+time=1", "+short", "@127.0.0.1"];
    let ready = wait_for("dnsmasq", Duration::from_secs(10), || {
        let port = port.to_string();
        let output = Command::new(ask[0])
            .args(&ask[1..])
            .args(["-p", &port, "web.example"])
            .output()?;
        Ok(output.stdout == b"172.18.0.247\n")
    });
    if let Err(error) = ready {
        child.kill()?;
        child.wait()?;
        return Err(error);
    }
    Ok((child, at))
}

fn real_clients_are_answered_by_what_is_upstream() -> Result<()> {
    let mut names = Names::new()?;
    names.site.nginx()?;
    for (arguments, expected) in [
        (
            &["+short", "www.example"][..],
            "web.example.\n172.18.0.247\n",
        ),
        (
            &["+short", "+tcp", "www.example"],
            "web.example.\n172.18.0.247\n",
        ),
        (
            &["+short", "+dnssec", "+bufsize=1232", "web.example"],
            "172.18.0.247\n",
        ),
        (&["+short", "+noedns", "web.example"], "172.18.0.247\n"),
        (&["+short", "text.example", "TXT"], "\"one two\"\n"),
        (&["+short", "-x", "192.0.2.5"], "five.example.\n"),
        (&["+short", "web.example", "AAAA"], ""),
        (
            &["+short", "@169.254.169.253", "web.example"],
            "172.18.0.247\n",
        ),
    ] {
        let said = names.dig(arguments)?;
        ensure!(said == expected, "dig {arguments:?}: {said}");
    }
    for (arguments, expected) in [
        (&["web.example", "AAAA"][..], "status: NOERROR"),
        (&["nothing.example"], "status: NXDOMAIN"),
        // What has no room in 512 bytes is asked for again by TCP.
        (
            &["+noedns", "+ignore", "many.example"],
            "flags: qr tc rd ra",
        ),
        (&["+noedns", "many.example"], "ANSWER: 60"),
        // As systemd-resolved asks, in a case of its own.
        (
            &["+edns=0", "+dnssec", "+bufsize=1472", "wEb.ExAmPlE"],
            "wEb.ExAmPlE.",
        ),
    ] {
        let said = names.dig(arguments)?;
        ensure!(said.contains(expected), "dig {arguments:?}: {said}");
    }

    let Names { site, .. } = &names;
    let hosts = site.ok(&site.a, &["getent", "ahostsv4", "www.example"])?;
    ensure!(hosts.starts_with("172.18.0.247 "), "{hosts}");
    let python = "import socket; print(socket.getaddrinfo('www.example', 80, proto=socket.IPPROTO_TCP)[0][4])";
    let said = site.ok(&site.a, &["/usr/bin/python3", "-c", python])?;
    ensure!(said == "('172.18.0.247', 80)\n", "{said}");
    let page = site.curl(&["http://www.example/"])?;
    ensure!(page.starts_with("hello"), "{page}");
    ensure!(
        site.run(&site.a, &["getent", "hosts", "nothing.example"])?
            .status
            .code()
            == Some(2)
    );
    Ok(())
}

/// A proxy that asks again and again, because its upstream is a variable.
/// A server on loopback that answers each query with SERVFAIL, for as long as the tests run; where it is.
fn servfail() -> Result<String> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let at = socket.local_addr()?.to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(message) = buffer.get_mut(..length.max(4)) {
                message[2] |= 0x80;
                message[3] = 0x82;
                let _ = socket.send_to(message, from);
            }
        }
    });
    Ok(at)
}

fn a_server_upstream_that_fails_does_not_decide() -> Result<()> {
    let closed = UdpSocket::bind("127.0.0.1:0")?;
    closed.connect(closed.local_addr()?)?;
    let (failing, closed) = (servfail()?, closed.local_addr()?.to_string());
    let site = Site::new()?;
    let template = site.template().edit(
        "IpResource: !GetAtt EC2B.PrivateIp",
        "DnsResource: {DomainName: target.example, IpAddressType: IPV4}",
    );
    let servers = ["--upstream", &failing, "--upstream", &closed];
    let mut names = Names::up_behind(&servers, &template, site, &[])?;
    names.site.nginx()?;
    for _ in 0..20 {
        // An absence is kept for no time without an SOA, and so asked for each time.
        let said = names.dig(&["absent.example"])?;
        ensure!(said.contains("status: NXDOMAIN"), "{said}");
    }
    let said = names.dig(&["+short", "www.example"])?;
    ensure!(said == "web.example.\n172.18.0.247\n", "{said}");
    let said = names.dig(&["+short", "many.example"])?;
    ensure!(said.lines().count() == 60, "{said}");
    let said = text(
        &names
            .site
            .privlink(&["dig", "EC2A", "text.example", "TXT"])?,
    );
    ensure!(said.contains("one two"), "{said}");
    // The resource is a name of upstream's.
    let page = names.site.ok(
        &names.site.a,
        &["curl", "-sS", "--max-time", "5", "172.18.0.247"],
    )?;
    ensure!(page.starts_with("hello"), "{page}");
    Ok(())
}

fn nginx_follows_a_name() -> Result<()> {
    let mut names = Names::new()?;
    names.site.nginx()?;
    let dir = names.site.dir.path().join("follower");
    fs::create_dir_all(&dir)?;
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .concat();
    let config = format!(
        "daemon off; user root; worker_processes 1; pid {dir}/pid; error_log stderr warn;\n\
         events {{}}\nhttp {{ access_log off; {temporary} resolver 172.18.0.2 valid=1s ipv6=off;\n\
         server {{ listen 127.0.0.1:8000;\n\
         location / {{ set $name www.example; proxy_pass http://$name:80; }} }} }}\n"
    );
    let file = format!("{dir}/nginx.conf");
    fs::write(&file, config)?;
    let mut follower = Command::new("ip")
        .args(["netns", "exec", &names.site.a, "nginx", "-e", "stderr"])
        .args(["-c", &file])
        .spawn()?;
    let page = wait_for("nginx", Duration::from_secs(10), || {
        let ask = ["curl", "-sS", "--max-time", "5", "http://127.0.0.1:8000/"];
        let output = names.site.run(&names.site.a, &ask)?;
        Ok(text(&output).starts_with("hello"))
    });
    end(&mut follower, Signal::TERM, Duration::from_secs(5))?;
    page
}

fn nonsense_by_the_thousand_does_no_harm() -> Result<()> {
    let names = Names::new()?;
    let Names { site, .. } = &names;
    let said = site.python_ok(&site.a, "nonsense", &["172.18.0.2", "5000"])?;
    ensure!(said == "sent 5000\n", "{said}");
    // The limit of packets per second is past.
    std::thread::sleep(Duration::from_millis(1100));
    ensure!(names.dig(&["+short", "web.example"])? == "172.18.0.247\n");
    ensure!(names.dig(&["+short", "+tcp", "web.example"])? == "172.18.0.247\n");
    let rows = site.show("resolver")?;
    let malformed = rows[0]["Formerr"].as_u64().unwrap_or_default();
    let limited = rows[0]["Limited"].as_u64().unwrap_or_default();
    ensure!(malformed > 0 && limited > 0, "{rows:?}");
    Ok(())
}

fn nobody_is_upstream_on_request() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &["--upstream", "none"])?;
    let said = site.ok(&site.a, &["dig", "+tries=1", "www.example"])?;
    ensure!(said.contains("status: NXDOMAIN"), "{said}");
    // A search list goes on behind a domain that is in no zone.
    let search = "LOCALDOMAIN=corp.example ap-northeast-1.compute.internal";
    let lookup = ["env", search, "getent", "ahostsv4", "ip-172-18-0-108"];
    let said = site.ok(&site.a, &lookup)?;
    ensure!(said.starts_with("172.18.0.108 "), "{said}");
    ensure!(site.ok(&site.a, &["dig", "+short", "localhost"])? == "127.0.0.1\n");
    let table = text(&site.privlink(&["show", "resolver"])?);
    ensure!(table.contains("Upstream is none"), "{table}");
    Ok(())
}

fn dig_says_where_an_answer_came_from() -> Result<()> {
    let names = Names::new()?;
    let Names { site, .. } = &names;
    let dig = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let output = site.privlink(&[&["dig"], arguments].concat())?;
        Ok((output.status.code(), text(&output)))
    };
    let (code, said) = dig(&["EC2A", "www.example"])?;
    ensure!(code == Some(0), "{said}");
    for expected in [
        "NOERROR: www.example. A, asked by EC2A of 172.18.0.2 in Vpc1",
        "www.example.   60  CNAME  web.example.\nweb.example.   60  A      172.18.0.247\n",
        "From upstream 127.0.0.1:",
    ] {
        ensure!(said.contains(expected), "{said}");
    }
    let (code, said) = dig(&["EC2A", "nothing.example"])?;
    ensure!(
        code == Some(0) && said.contains("NXDOMAIN") && said.contains("no such name"),
        "{said}"
    );
    ensure!(dig(&["EC2A", "-x", "192.0.2.5", "--short"])?.1 == "five.example.\n");
    ensure!(
        dig(&["EC2_A", "localhost"])?
            .1
            .contains("From special-use zone localhost.")
    );
    let (code, json) = dig(&["EC2A", "text.example", "TXT", "--output", "json"])?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(
        code == Some(0) && json["Answers"][0]["Data"] == "\"one two\"",
        "{json}"
    );
    for (arguments, expected) in [
        (
            &["EC2A", "www.example", "FOO"][..],
            "`FOO` is no type of records",
        ),
        (&["EC2A", "a..b"], "`a..b` is no domain name"),
        (&["EC2A", "192.0.2.5"], "`-x 192.0.2.5` asks for its name"),
        (&["Nobody", "www.example"], "no instance `Nobody`"),
    ] {
        let (code, said) = dig(arguments)?;
        ensure!(code == Some(1) && said.contains(expected), "{said}");
    }
    Ok(())
}

fn each_query_stands_in_the_log() -> Result<()> {
    let site = Site::new()?;
    let log = site.dir.path().join("queries.jsonl");
    let path = log.display().to_string();
    let names = Names::up(&site.template(), site, &["--query-log", &path])?;
    names.dig(&["+tcp", "www.example"])?;
    names.dig(&["nothing.example", "TXT"])?;
    wait_for("the log", Duration::from_secs(10), || {
        Ok(fs::read_to_string(&log)?.lines().count() == 2)
    })?;
    let text = fs::read_to_string(&log)?;
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let first = &lines[0];
    for (field, expected) in [
        ("version", "1.100000"),
        ("region", "ap-northeast-1"),
        ("query_name", "www.example."),
        ("query_type", "A"),
        ("query_class", "IN"),
        ("rcode", "NOERROR"),
        ("srcaddr", "172.18.0.108"),
        ("transport", "TCP"),
    ] {
        ensure!(first[field] == expected, "{field}: {first}");
    }
    ensure!(first["answers"][1]["Rdata"] == "172.18.0.247", "{first}");
    let instance = first["srcids"]["instance"].as_str().unwrap_or_default();
    ensure!(instance.starts_with("i-"), "{first}");
    ensure!(
        lines[1]["rcode"] == "NXDOMAIN" && lines[1]["transport"] == "UDP",
        "{text}"
    );
    Ok(())
}
