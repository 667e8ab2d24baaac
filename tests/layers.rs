//! The layers of design.md, enforced: every path in `src/` is looked at, and each layer may name only what its row allows.
//!
//! The checker works on tokens, not on types: comments, strings and `#[cfg(test)]` items are left out, `use` trees are
//! expanded, `self` and `super` are resolved by the file's place. `clippy.toml` bans clocks and sockets a second time,
//! by type, in `net` and `dataplane`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A row of the table: what the modules under one name may know.
struct Layer {
    name: &'static str,
    /// Paths of this crate, without `crate::`; a prefix allows all below it.
    knows: &'static [&'static str],
    /// Packages out of `Cargo.toml`; `None`: any.
    packages: Option<&'static [&'static str]>,
    /// Parts of the standard library that it may not touch.
    not_std: &'static [&'static str],
}

/// Clock, threads, files, processes, sockets: the world that a pure layer gets only as arguments.
const WORLD: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::time::Instant",
    "std::time::SystemTime",
];

const LAYERS: &[Layer] = &[
    Layer {
        name: "net",
        knows: &["net"],
        packages: Some(&[
            "crc32c",
            "etherparse",
            "ipnet",
            "smoltcp",
            "thiserror",
            "zerocopy",
        ]),
        not_std: WORLD,
    },
    Layer {
        name: "dataplane",
        knows: &["net", "dataplane"],
        packages: Some(&[
            "arc-swap",
            "crossbeam-utils",
            "etherparse",
            "foldhash",
            "hickory-proto",
            "ipnet",
            "parking_lot",
            "rand_chacha",
            "smoltcp",
            "thiserror",
            "tracing",
            "zerocopy",
        ]),
        not_std: WORLD,
    },
    Layer {
        name: "io",
        knows: &["net", "dataplane", "io"],
        packages: Some(&[
            "crossbeam-utils",
            "ipnet",
            "libc",
            "netlink-packet-route",
            "parking_lot",
            "rtnetlink",
            "rustix",
            "serde",
            "thiserror",
            "tokio",
            "tracing",
            "tun",
            "zerocopy",
        ]),
        not_std: &[],
    },
    Layer {
        // Packets are not its business: of the data plane it shares the configuration's values and the indices,
        // which it hands out so that they are stable; the whole configuration is `compile`'s.
        name: "control",
        knows: &[
            "control",
            "net::Addr",
            "dataplane::config",
            "dataplane::EniIdx",
            "dataplane::Idx",
            "dataplane::IdxAllocator",
        ],
        packages: Some(&[
            "foldhash",
            "ipnet",
            "serde",
            "serde_json",
            "thiserror",
            "tracing",
        ]),
        not_std: WORLD,
    },
    Layer {
        name: "control/compile",
        knows: &["control", "net::Addr", "dataplane"],
        packages: Some(&["hickory-proto", "ipnet", "thiserror", "tracing"]),
        not_std: WORLD,
    },
    Layer {
        name: "template",
        knows: &["control", "template"],
        packages: Some(&[
            "ipnet",
            "regex-lite",
            "saphyr",
            "saphyr-parser",
            "serde",
            "serde_json",
            "thiserror",
            "tracing",
        ]),
        not_std: WORLD,
    },
    Layer {
        name: "daemon",
        knows: &["net", "dataplane", "io", "control", "template", "daemon"],
        packages: None,
        not_std: &[],
    },
    Layer {
        // It talks to the daemon; packets it never sees.
        name: "cli",
        knows: &["io", "control", "template", "daemon", "cli"],
        packages: None,
        not_std: &[],
    },
    Layer {
        name: "sim",
        knows: &["net", "dataplane", "control", "template", "sim"],
        packages: Some(&[
            "etherparse",
            "hickory-proto",
            "ipnet",
            "smoltcp",
            "thiserror",
            "zerocopy",
        ]),
        not_std: WORLD,
    },
];

/// Files that belong to no layer: they only tie the layers together.
const ROOTS: &[&str] = &["lib", "main"];

/// Past this a file is split. (style.md: the 90th percentile is 350-450.)
const MAX_PRODUCTION_LINES: usize = 800;

#[test]
fn each_layer_knows_only_what_stands_to_its_left() {
    let packages = packages_in(&fs::read_to_string(root().join("Cargo.toml")).unwrap());
    assert!(
        packages.contains("tun"),
        "Cargo.toml was not understood: {packages:?}"
    );
    let mut complaints = Vec::new();
    for (file, source) in sources() {
        complaints.extend(check(&file, &source, &packages));
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let complaints: Vec<_> = sources()
        .into_iter()
        .filter(|(file, _)| !is_test_file(file))
        .map(|(file, source)| (production_lines(&source), file))
        .filter(|(lines, _)| *lines > MAX_PRODUCTION_LINES)
        .map(|(lines, file)| {
            format!("{file}: {lines} production lines, more than {MAX_PRODUCTION_LINES}")
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// What a panic ends is replaced or taken back (`io/supervise.rs`, `daemon/live.rs`), which only unwinding allows.
#[test]
fn a_panic_unwinds_in_every_profile() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let setting = |line: &&str| line.trim_start().starts_with("panic");
    assert_eq!(manifest.lines().find(setting), None);
}

#[test]
fn the_pipeline_is_one_screen() {
    let file = root().join("src/dataplane/pipeline.rs");
    if !file.exists() {
        // The file is part of what this checks; it may not vanish once the data plane is there.
        assert!(
            !root().join("src/dataplane/flow.rs").exists(),
            "{} is missing",
            file.display()
        );
        return;
    }
    let source = fs::read_to_string(file).unwrap();
    let lines: BTreeSet<_> = tokens(&source).iter().map(|token| token.line).collect();
    assert!(
        lines.len() <= 150,
        "pipeline.rs has {} lines of code, more than 150",
        lines.len()
    );
}

#[test]
fn the_checker_finds_what_is_forbidden() {
    let packages = ["tokio", "tun", "zerocopy", "rustix"]
        .map(String::from)
        .into();
    for (file, source, offence) in [
        (
            "src/net/packet.rs",
            "use crate::dataplane::Instant;",
            "crate::dataplane::Instant",
        ),
        (
            "src/net/packet.rs",
            "use crate::{net::Addr, io::{Tun, self}};",
            "crate::io::Tun",
        ),
        (
            "src/net/packet.rs",
            "use super::super::io::Tun;",
            "crate::io::Tun",
        ),
        (
            "src/net/mod.rs",
            "use super::control::Vpc;",
            "crate::control::Vpc",
        ),
        (
            "src/net/packet.rs",
            "fn f() { let x = crate::sim::World::new(); }",
            "crate::sim::World::new",
        ),
        (
            "src/dataplane/flow.rs",
            "use std::{fs, net::UdpSocket};",
            "std::net::UdpSocket",
        ),
        (
            "src/dataplane/flow.rs",
            "fn f() { std::fs::read(\"x\"); }",
            "std::fs::read",
        ),
        (
            "src/dataplane/flow.rs",
            "use std::time::{Duration, Instant};",
            "std::time::Instant",
        ),
        ("src/dataplane/flow.rs", "use tokio::time;", "tokio::time"),
        ("src/dataplane/flow.rs", "use tun as other;", "tun"),
        (
            "src/dataplane/flow.rs",
            "#[cfg(test)] mod tests { use std::fs; } use std::fs;",
            "std::fs",
        ),
        (
            "src/io/tun.rs",
            "use crate::control::SecurityGroup;",
            "crate::control::SecurityGroup",
        ),
        ("src/control/model.rs", "use crate::net;", "crate::net"),
        (
            "src/control/model.rs",
            "use crate::dataplane::DataplaneConfig;",
            "crate::dataplane::DataplaneConfig",
        ),
        (
            "src/control/compile/mod.rs",
            "use crate::net::packet::Packet;",
            "crate::net::packet::Packet",
        ),
        (
            "src/template/load.rs",
            "use crate::net::Addr;",
            "crate::net::Addr",
        ),
        (
            "src/cli/up.rs",
            "use crate::dataplane::Dataplane;",
            "crate::dataplane::Dataplane",
        ),
        ("src/daemon.rs", "use crate::cli::Args;", "crate::cli::Args"),
        ("src/elsewhere.rs", "fn f() {}", "belongs to no layer"),
    ] {
        let complaints = check(file, source, &packages);
        assert!(
            complaints
                .iter()
                .any(|complaint| complaint.contains(offence)),
            "{file}: {source}\nnot found: {offence}\nfound: {complaints:?}"
        );
    }
}

#[test]
fn the_checker_lets_pass_what_is_allowed() {
    let packages = ["tokio", "tun", "zerocopy"].map(String::from).into();
    for (file, source) in [
        (
            "src/net/packet.rs",
            "use super::Addr; use zerocopy::FromBytes; use std::net::{IpAddr, Ipv4Addr};",
        ),
        (
            "src/net/packet.rs",
            "// use crate::io::Tun;\n/* use tokio::x; /* nested */ use tun::x; */ fn f() {}",
        ),
        (
            "src/net/packet.rs",
            r##"const A: &str = "std::fs::read"; const B: &str = r#"use "tokio"::x"#;"##,
        ),
        (
            "src/net/packet.rs",
            "fn f<'a>(x: &'a u8) -> char { '\"' } fn g() -> char { '\\'' }",
        ),
        (
            "src/dataplane/flow.rs",
            "#[cfg(test)]\nmod tests { use std::fs; fn f() { if true {} } }",
        ),
        ("src/dataplane/flow/tests.rs", "use std::fs;"),
        (
            "src/io/tun.rs",
            "use crate::dataplane::Dataplane; use tokio::net::UnixStream; use std::fs;",
        ),
        (
            "src/control/compile/mod.rs",
            "use crate::dataplane::config::Interface;",
        ),
        ("src/lib.rs", "pub mod net;"),
    ] {
        assert_eq!(
            check(file, source, &packages),
            Vec::<String>::new(),
            "{file}: {source}"
        );
    }
}

#[test]
fn lines_of_tests_are_no_production_lines() {
    assert_eq!(
        production_lines("fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n"),
        1
    );
    assert_eq!(production_lines("fn f() {\n}\n"), 2);
}

/// The complaints about one file, each with its place.
fn check(file: &str, source: &str, packages: &BTreeSet<String>) -> Vec<String> {
    let module = module_of(file);
    if is_test_file(file) || ROOTS.contains(&module[0].as_str()) {
        return Vec::new();
    }
    let Some(layer) = layer_of(&module) else {
        return vec![format!(
            "{file}: belongs to no layer of the table in tests/layers.rs"
        )];
    };
    paths(&tokens(source), &module)
        .into_iter()
        .filter(|(_, path)| !allowed(layer, path, packages))
        .map(|(line, path)| {
            format!(
                "{file}:{line}: {} may not know {}",
                layer.name,
                path.join("::")
            )
        })
        .collect()
}

fn allowed(layer: &Layer, path: &[String], packages: &BTreeSet<String>) -> bool {
    let begins = |prefix: &str| {
        prefix.split("::").eq(path
            .iter()
            .map(String::as_str)
            .take(prefix.split("::").count()))
    };
    let name = path[0].as_str();
    if name == "crate" {
        // `crate` alone, and items at the crate's root, are nobody's layer.
        let rest = &path[1..];
        let known = |prefix: &&str| {
            let prefix = prefix.split("::");
            prefix
                .clone()
                .eq(rest.iter().map(String::as_str).take(prefix.count()))
        };
        let is_layer = rest
            .first()
            .is_some_and(|first| LAYERS.iter().any(|layer| layer.name == first));
        return !is_layer || layer.knows.iter().any(known);
    }
    if name == "std" {
        return !layer.not_std.iter().any(|prefix| begins(prefix));
    }
    let package = packages
        .iter()
        .find(|package| package.replace('-', "_") == name);
    package.is_none_or(|package| {
        layer
            .packages
            .is_none_or(|allowed| allowed.contains(&package.as_str()))
    })
}

/// The most specific row for a module.
fn layer_of(module: &[String]) -> Option<&'static Layer> {
    let fits = |layer: &&Layer| {
        layer.name.split('/').zip(module).all(|(a, b)| a == b)
            && layer.name.split('/').count() <= module.len()
    };
    LAYERS
        .iter()
        .filter(fits)
        .max_by_key(|layer| layer.name.len())
}

/// `src/dataplane/eni/mod.rs` -> `["dataplane", "eni"]`.
fn module_of(file: &str) -> Vec<String> {
    let path = file
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    path.split('/').map(String::from).collect()
}

fn is_test_file(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// The names under `[dependencies]` and `[dev-dependencies]`.
fn packages_in(manifest: &str) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            packages.insert(name.trim().to_owned());
        }
    }
    packages
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    found.sort();
    assert!(found.len() > 5, "src/ was not found: {found:?}");
    let relative = |path: &Path| {
        path.strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    found
        .iter()
        .map(|path| (relative(path), fs::read_to_string(path).unwrap()))
        .collect()
}

fn production_lines(source: &str) -> usize {
    let all = raw_tokens(source);
    let kept = without_tests(all.clone());
    let lines = |tokens: &[Token]| {
        tokens
            .iter()
            .map(|token| token.line)
            .collect::<BTreeSet<_>>()
    };
    let tests: BTreeSet<_> = lines(&all).difference(&lines(&kept)).copied().collect();
    // Comments and blank lines count, outside of tests: from a test item's first token to its last.
    let (mut count, mut skipping) = (0, false);
    for line in 1..=source.lines().count() {
        if tests.contains(&line) {
            skipping = true;
        } else if lines(&kept).contains(&line) {
            skipping = false;
        }
        count += usize::from(!skipping);
    }
    count
}

#[derive(Clone, Debug, PartialEq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The tokens of production code.
fn tokens(source: &str) -> Vec<Token> {
    without_tests(raw_tokens(source))
}

/// Names, `::` and single characters, without comments and literals.
fn raw_tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest),
            ['r', '"', ..] | ['r', '#', '"', ..] | ['r', '#', '#', ..] => raw_string(rest),
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(0),
            ['\'', _, '\'', ..] => 3,
            [':', ':', ..] => {
                tokens.push(Token {
                    line,
                    text: "::".into(),
                });
                2
            }
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let end = rest
                    .iter()
                    .position(|c| !c.is_alphanumeric() && *c != '_')
                    .unwrap_or(rest.len());
                tokens.push(Token {
                    line,
                    text: rest[..end].iter().collect(),
                });
                end
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    tokens.push(Token {
                        line,
                        text: c.to_string(),
                    });
                }
                1
            }
            [] => break,
        };
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    tokens
}

fn block_comment(chars: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string(chars: &[char]) -> usize {
    let mut at = 1;
    while at < chars.len() && chars[at] != '"' {
        at += 1 + usize::from(chars[at] == '\\');
    }
    (at + 1).min(chars.len())
}

fn raw_string(chars: &[char]) -> usize {
    let hashes = chars[1..].iter().take_while(|c| **c == '#').count();
    let mut at = 2 + hashes;
    while at < chars.len() {
        if chars[at] == '"'
            && chars[at + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
        {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

/// Drops each item under `#[cfg(test)]`: up to its `;` or its closing brace.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..]
            .iter()
            .map(|token| token.text.as_str())
            .take(7)
            .eq(CFG_TEST)
        {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        at += CFG_TEST.len();
        while at < tokens.len() {
            let text = tokens[at].text.as_str();
            at += 1;
            match text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && (text == "}" || text == ";") {
                break;
            }
        }
    }
    kept
}

/// Every path, with its line: `use` trees expanded, `self` and `super` resolved against `module`.
fn paths(tokens: &[Token], module: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is_name() {
            at = path(tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    let single = |path: &[String]| path.len() == 1;
    // A name alone is a local one, but for `use tun as other`.
    let used: BTreeSet<_> = tokens
        .windows(2)
        .filter(|pair| pair[0].text == "use")
        .map(|pair| &pair[1])
        .map(|t| (t.line, t.text.clone()))
        .collect();
    found.retain(|(line, path)| !single(path) || used.contains(&(*line, path[0].clone())));
    found
        .into_iter()
        .map(|(line, path)| (line, resolve(path, module)))
        .collect()
}

/// Reads one path, or a `use` tree, that begins at `at`; returns where it ends.
fn path(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens[at].line;
    loop {
        path.push(tokens[at].text.clone());
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        match tokens.get(at + 1) {
            Some(next) if next.is_name() => at += 1,
            Some(next) if next.text == "{" => return tree(tokens, at + 2, &path, found),
            // A glob, or a turbofish.
            _ => break,
        }
    }
    found.push((line, path));
    at
}

/// Reads the inside of `{...}` in a `use` tree.
fn tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "}" => return at + 1,
            "self" => {
                found.push((token.line, prefix.to_vec()));
                at += 1;
            }
            "as" => at += 2,
            _ if token.is_name() => at = path(tokens, at, prefix, found),
            _ => at += 1,
        }
    }
    at
}

fn resolve(path: Vec<String>, module: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    if ups == 0 && path[0] != "self" {
        return path;
    }
    let rest = path
        .iter()
        .skip_while(|name| *name == "super" || *name == "self")
        .cloned();
    let base = module[..module.len().saturating_sub(ups)].iter().cloned();
    std::iter::once("crate".to_owned())
        .chain(base)
        .chain(rest)
        .collect()
}
