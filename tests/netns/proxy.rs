//! PROXY protocol as its readers see it: nginx, HAProxy, and a reader of our own, over real connections.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::site::{ENDPOINT, INSTANCE, Site, Template, sha256, wait_for};

crate::tests!(
    nginx_learns_who_the_client_is,
    haproxy_learns_who_the_client_is_and_gives_it_the_page,
    a_server_behind_haproxy_speaks_first,
    the_header_names_the_endpoint_and_either_side_may_close_first,
    a_target_that_refuses_is_heard_at_once,
    a_hundred_mb_each_way_arrive_intact_where_one_packet_of_a_hundred_is_lost,
    headers_arrive_where_one_packet_of_five_is_lost,
    ten_thousand_connections_at_once_are_each_answered_by_name,
);

const CONFIGURATION: &str = "\n  Configuration:\n";
const PROXY_PROTOCOL: &str = "    Metadata:\n      privlink:\n        ProxyProtocol: true\n";

fn proxied(site: &Site) -> Template {
    site.template()
        .edit(CONFIGURATION, &format!("{CONFIGURATION}{PROXY_PROTOCOL}"))
}

/// A site whose resource has the header before each connection; nothing listens yet.
fn site() -> Result<Site> {
    let mut site = Site::new()?;
    site.up(&proxied(&site), &[])?;
    Ok(site)
}

/// Drops one packet of so many that `namespace` takes in.
fn lose(site: &Site, namespace: &str, of: u32) -> Result<()> {
    let rules = format!(
        "table ip lossy {{ chain input {{ type filter hook input priority 0; \
         iifname eni0 numgen random mod {of} == 0 drop; }}; }}\n"
    );
    let file = site.dir.path().join("lossy.nft");
    fs::write(&file, rules)?;
    site.ok(namespace, &["nft", "-f", file.to_str().context("path")?])?;
    Ok(())
}

/// Starts an HAProxy in EC2_B whose port 80 takes the header.
fn haproxy(site: &mut Site, rest: &str) -> Result<()> {
    let config = format!(
        "global\n  maxconn 1000\n\
         defaults\n  timeout connect 10s\n  timeout client 1m\n  timeout server 1m\n\
         frontend proxied\n  bind :80 accept-proxy\n{rest}"
    );
    let file = site.dir.path().join("haproxy.cfg");
    fs::write(&file, config)?;
    let path = file.to_str().context("path")?.to_owned();
    let namespace = site.b.clone();
    let script = format!("echo ready; exec haproxy -db -f {path}");
    site.spawn(&namespace, &["sh", "-c", &script], "ready")?;
    wait_for("haproxy", Duration::from_secs(10), || {
        let listens = site.ok(&namespace, &["ss", "-Hltn", "sport = :80"])?;
        Ok(!listens.is_empty())
    })
}

/// The page says who asked for it: the client as its own VPC knows it, and the endpoint.
fn ensure_named(page: &str) -> Result<()> {
    let expected = page.starts_with(&format!("hello {INSTANCE}:"))
        && page.ends_with(&format!(" to {ENDPOINT}:80\n"));
    ensure!(expected, "{page}");
    Ok(())
}

fn nginx_learns_who_the_client_is() -> Result<()> {
    let mut site = site()?;
    site.nginx_proxied()?;
    for _ in 0..20 {
        ensure_named(&site.curl(&[ENDPOINT])?)?;
    }
    Ok(())
}

fn haproxy_learns_who_the_client_is_and_gives_it_the_page() -> Result<()> {
    let mut site = site()?;
    haproxy(&mut site, HELLO)?;
    for _ in 0..20 {
        ensure_named(&site.curl(&[ENDPOINT])?)?;
    }
    Ok(())
}

const HELLO: &str = "  mode http\n  http-request return status 200 content-type text/plain \
    lf-string \"hello %[src]:%[src_port] to %[dst]:%[dst_port]\\n\"\n";

fn a_server_behind_haproxy_speaks_first() -> Result<()> {
    let mut site = site()?;
    // HAProxy gives on what it has been told.
    let behind = "  mode tcp\n  default_backend banner\n\
                  backend banner\n  mode tcp\n  server banner 127.0.0.1:2525 send-proxy-v2\n";
    haproxy(&mut site, behind)?;
    let config = fs::read_to_string(site.dir.path().join("haproxy.cfg"))?;
    ensure!(config.contains("accept-proxy"));
    let namespace = site.b.clone();
    let server = "import socket\n\
        l = socket.create_server(('127.0.0.1', 2525))\n\
        print('ready', flush=True)\n\
        while True:\n\
        \x20 c, _ = l.accept()\n\
        \x20 c.sendall(b'220 ready\\r\\n')\n\
        \x20 c.recv(28)\n\
        \x20 c.sendall(c.recv(100))\n\
        \x20 c.close()\n";
    site.spawn(&namespace, &["python3", "-uc", server], "ready")?;
    let client = format!(
        "import socket\n\
         s = socket.create_connection(('{ENDPOINT}', 80), timeout=10)\n\
         assert s.recv(100) == b'220 ready\\r\\n'\n\
         s.sendall(b'EHLO a\\r\\n')\n\
         assert s.recv(100) == b'EHLO a\\r\\n'\n\
         assert s.recv(100) == b''\n"
    );
    for _ in 0..10 {
        site.ok(&site.a, &["python3", "-c", &client])?;
    }
    Ok(())
}

fn the_header_names_the_endpoint_and_either_side_may_close_first() -> Result<()> {
    let mut site = site()?;
    let namespace = site.b.clone();
    let lines = site.python(&namespace, "proxied", &["80", "220", "ready"])?;
    let said = site.python_ok(&site.a, "greeted", &[ENDPOINT, "220 ready", "20", "100000"])?;
    ensure!(said == "all\n", "{said}");
    let endpoints = site.show("endpoints")?;
    let id = endpoints[0]["VpcEndpointId"].as_str().context("id")?;
    for _ in 0..20 {
        let line = lines.recv_timeout(Duration::from_secs(5))?;
        ensure!(line.starts_with(&format!("{INSTANCE}:")), "{line}");
        ensure!(line.ends_with(&format!(" {ENDPOINT}:80 {id}")), "{line}");
    }
    // A client that ends without a word, and one that is gone at once.
    let script = format!(
        "import socket, struct\n\
         s = socket.create_connection(('{ENDPOINT}', 80), timeout=10)\n\
         s.shutdown(socket.SHUT_WR)\n\
         got = b''\n\
         while more := s.recv(1000): got += more\n\
         assert got.startswith(b'220 ready0 '), got\n\
         s = socket.create_connection(('{ENDPOINT}', 80), timeout=10)\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n\
         s.close()\n"
    );
    site.ok(&site.a, &["python3", "-c", &script])?;
    let line = lines.recv_timeout(Duration::from_secs(5))?;
    ensure!(line.ends_with(id), "{line}");
    wait_for("the reset", Duration::from_secs(10), || {
        let open = site.ok(&site.b, &["ss", "-Htn", "state", "established"])?;
        Ok(open.is_empty())
    })
}

fn a_target_that_refuses_is_heard_at_once() -> Result<()> {
    let site = site()?;
    let output = site.run(&site.a, &["curl", "-sS", "--max-time", "5", ENDPOINT])?;
    ensure!(output.status.code() == Some(7), "{output:?}");
    Ok(())
}

fn a_hundred_mb_each_way_arrive_intact_where_one_packet_of_a_hundred_is_lost() -> Result<()> {
    let mut site = site()?;
    site.nginx_proxied()?;
    for namespace in [&site.a, &site.b] {
        lose(&site, namespace, 100)?;
    }
    let (sent, sum) = site.payload(100)?;
    let url = format!("http://{ENDPOINT}/files");
    let to = site.dir.path().join("download");
    let to_text = to.to_str().context("path")?;
    site.curl(&["-o", to_text, &format!("{url}/payload")])?;
    ensure!(sha256(&to)? == sum, "the download is not what was sent");
    site.curl(&[
        "-T",
        sent.to_str().context("path")?,
        &format!("{url}/upload"),
    ])?;
    let arrived = sha256(&site.files().join("upload"))?;
    ensure!(arrived == sum, "the upload is not what was sent");
    Ok(())
}

fn headers_arrive_where_one_packet_of_five_is_lost() -> Result<()> {
    let mut site = site()?;
    let namespace = site.b.clone();
    let lines = site.python(&namespace, "proxied", &["80", "220", "ready"])?;
    for namespace in [&site.a, &site.b] {
        lose(&site, namespace, 5)?;
    }
    let said = site.python_ok(&site.a, "greeted", &[ENDPOINT, "220 ready", "20", "3000"])?;
    ensure!(said == "all\n", "{said}");
    ensure!(lines.try_iter().count() == 20, "a header each");
    Ok(())
}

fn ten_thousand_connections_at_once_are_each_answered_by_name() -> Result<()> {
    let mut site = site()?;
    site.nginx_proxied()?;
    let script = format!(
        "import resource, socket\n\
         resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))\n\
         sockets = [socket.create_connection(('{ENDPOINT}', 80), timeout=30) for _ in range(10000)]\n\
         for s in sockets: s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n\
         for s in sockets:\n\
         \x20 name = 'hello %s:%d to {ENDPOINT}:80' % s.getsockname()\n\
         \x20 page = s.recv(1000).decode()\n\
         \x20 assert name in page, (name, page)\n\
         print('all')\n"
    );
    let said = site.ok(&site.a, &["python3", "-c", &script])?;
    ensure!(said == "all\n", "{said}");
    Ok(())
}
