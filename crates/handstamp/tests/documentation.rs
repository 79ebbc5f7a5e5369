//! Checks the documents: files and tests that they name exist, and the first example is a complete program.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The code spans in a document.
fn spans(document: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join(document)).unwrap();
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn is_path(span: &str) -> bool {
    ["crates/", "script/", "fuzz/", "docs/"].iter().any(|start| span.starts_with(start))
        && !span.contains(char::is_whitespace)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

#[test]
fn every_file_named_in_the_documents_exists() {
    let mut named = 0;
    for document in ["ARCHITECTURE.md", "SECURITY.md", "README.md"] {
        for span in spans(document).iter().filter(|span| is_path(span)) {
            assert!(Path::new(ROOT).join(span).exists(), "{document} names {span}");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} files are named");
}

#[test]
fn every_test_named_in_security_md_exists() {
    let mut files = Vec::new();
    sources(&Path::new(ROOT).join("crates"), &mut files);
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut named = 0;
    for span in spans("SECURITY.md") {
        let is_test = span.matches('_').count() >= 2
            && span.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
        if is_test {
            assert!(code.contains(&format!("fn {span}(")), "SECURITY.md names {span}");
            named += 1;
        }
    }
    assert!(named > 30, "only {named} tests are named");
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap()
}

/// The first code block of a document in this language.
fn block(document: &str, language: &str) -> String {
    let rest = document.split(&format!("```{language}\n")).nth(1).unwrap();
    rest.split("```").next().unwrap().to_owned()
}

/// The program is compiled and run by its own test, and compiled again as the example in the crate's documentation.
#[test]
fn the_first_example_is_a_complete_program() {
    let program = read("examples/quickstart/src/main.rs");
    let (_, program) = program.split_once("\n\n").unwrap();
    let lines = read("crates/handstamp/src/lib.rs");
    let lines = lines.lines().take_while(|line| line.starts_with("//!"));
    let documentation: String =
        lines.map(|line| format!("{}\n", line.trim_start_matches("//!").trim_start_matches(' '))).collect();
    let plain = |text: &str| text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
    assert_eq!(plain(&block(&documentation, "no_run")), plain(program), "the documentation of the crate");
    assert_eq!(block(&read("README.md"), "rust"), program, "README.md");
    assert!(program.contains("fn main()") && program.lines().count() <= 30, "{program}");

    let dependencies = block(&read("README.md"), "toml");
    let manifest = read("examples/quickstart/Cargo.toml");
    let missing = |line: &&str| !manifest.contains(line) && !line.starts_with("handstamp = ");
    assert_eq!(dependencies.lines().find(missing), None, "the dependencies in README.md");
    assert_eq!(dependencies.lines().count(), 4, "{dependencies}");
}
