//! The documents, as far as a program can check them: what they name is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_test_that_the_tables_name_is_there() {
    let functions = functions();
    for document in ["docs/behaviours.md", "docs/nat-conformance.md"] {
        let text = read(document);
        let named: Vec<_> = in_backticks(&text)
            .filter(|word| is_test_name(word))
            .collect();
        assert!(named.len() > 40, "only {} tests are named", named.len());
        let missing: Vec<_> = named
            .into_iter()
            .filter(|name| !functions.contains(name.rsplit("::").next().unwrap_or(name)))
            .collect();
        assert!(
            missing.is_empty(),
            "{document} names tests that are not there: {missing:#?}"
        );
    }
}

#[test]
fn every_ignored_type_is_listed() {
    let source = read("src/template/schema/ignored.rs");
    let list = source
        .split("const IGNORED")
        .nth(1)
        .and_then(|rest| rest.split("];").next())
        .expect("the list is where it was");
    let behaviours = read("docs/behaviours.md");
    let listed: BTreeSet<_> = in_backticks(&behaviours).collect();
    let types: Vec<_> = list
        .split('"')
        .filter(|word| word.starts_with("AWS::"))
        .collect();
    assert!(types.len() > 20, "the list was not understood");
    let missing: Vec<_> = types
        .into_iter()
        .filter(|name| !listed.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "ignored, but docs/behaviours.md does not say so: {missing:#?}"
    );
}

#[test]
fn every_file_that_the_documents_name_is_there() {
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "docs/behaviours.md",
        "docs/glossary.md",
        "docs/nat-conformance.md",
        "docs/packet-walk.md",
    ] {
        let text = read(document);
        let missing: Vec<_> = in_backticks(&text)
            .map(|word| word.trim_start_matches("./"))
            .filter(|word| {
                ["src/", "tests/", "scripts/", "docs/", "examples/"]
                    .iter()
                    .any(|dir| word.starts_with(dir))
            })
            // `tests/*.rs`, `docs/design/0001`, `scripts/bench.sh --quick`
            .map(|word| word.split(['*', ' ']).next().unwrap_or(word))
            .filter(|word| !is_there(word))
            .collect();
        assert!(
            missing.is_empty(),
            "{document} names what is not there: {missing:#?}"
        );
    }
}

fn is_there(name: &str) -> bool {
    let path = root().join(name);
    // `docs/design/0001` stands for the file that begins so.
    let beginning = || {
        let files = path.parent().and_then(|dir| fs::read_dir(dir).ok())?;
        let start = path.file_name()?.to_str()?.to_owned();
        files
            .flatten()
            .find(|file| file.file_name().to_string_lossy().starts_with(&start))
    };
    path.exists() || beginning().is_some()
}

/// `traffic::curl_gets_the_page`: a path whose last part is a sentence.
fn is_test_name(word: &str) -> bool {
    let last = word.rsplit("::").next().unwrap_or(word);
    word.chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':')
        && (word.contains("::") || last.matches('_').count() > 2)
        && !last.is_empty()
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

/// The names of all functions in `src/` and `tests/`.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut directories = vec![root().join("src"), root().join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                let after_fn = source.split("fn ").skip(1);
                names.extend(
                    after_fn
                        .filter_map(|rest| rest.split_once('('))
                        .map(|(name, _)| name.to_owned()),
                );
            }
        }
    }
    names
}

fn read(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
