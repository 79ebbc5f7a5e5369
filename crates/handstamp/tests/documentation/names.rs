//! Files and tests that the documents name.

use std::path::Path;

use super::{ROOT, documents, files, read, spans};

/// The path in a code span, without what follows a pattern: `crates/handstamp-core/src` of `crates/handstamp-core/src/**`.
fn path(span: &str) -> Option<&str> {
    let folders = ["bench/", "crates/", "docs/", "examples/", "fuzz/", "script/", "sdk/", ".cargo/", ".ci/"];
    if !folders.iter().any(|folder| span.starts_with(folder)) {
        return None;
    }
    // A command has arguments.
    let path = span.split([' ', '*']).next().unwrap();
    Some(path.trim_end_matches('/'))
}

#[test]
fn every_file_named_in_the_documents_exists() {
    let mut named = 0;
    let mut faults = Vec::new();
    for document in documents() {
        for span in spans(&document) {
            if let Some(path) = path(&span) {
                named += 1;
                if !Path::new(ROOT).join(path).exists() {
                    faults.push(format!("{document} names {path}, which does not exist"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(named > 100, "only {named} files are named");
}

/// Splits `file::test`; a name of at least three words alone is a test as well.
fn cited_test(span: &str) -> Option<(Option<&str>, &str)> {
    let is_name = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
            && text.matches('_').count() >= 2
    };
    match span.split_once("::") {
        // `Type::function` is no test.
        Some((file, test)) if is_name(test) && file.starts_with(|first: char| first.is_ascii_lowercase()) => {
            Some((Some(file), test))
        }
        None if is_name(span) => Some((None, span)),
        _ => None,
    }
}

/// The files of these sources that have a test of this name.
fn with_test(sources: &[(String, String)], file: Option<&str>, test: &str) -> Vec<String> {
    let end = file.map(|file| format!("/{file}.rs"));
    let is_there = |(path, text): &&(String, String)| {
        end.as_ref().is_none_or(|end| path.ends_with(end)) && text.contains(&format!("fn {test}("))
    };
    sources.iter().filter(is_there).map(|(path, _)| path.clone()).collect()
}

#[test]
fn every_test_named_in_the_documents_exists_in_its_file() {
    let sources: Vec<_> = files("crates", ".rs").into_iter().map(|file| (file.clone(), read(&file))).collect();
    let mut named = 0;
    let mut faults = Vec::new();
    for document in documents() {
        for span in spans(&document) {
            let Some((file, test)) = cited_test(&span) else { continue };
            let is_security = document == "SECURITY.md";
            // Other documents have names of three words that are no tests, and functions of other crates.
            if !is_security && file.is_none_or(|file| ["axum", "handstamp", "sqlx", "tokio"].contains(&file)) {
                continue;
            }
            named += 1;
            let found = with_test(&sources, file, test);
            if found.is_empty() {
                faults.push(format!("{document} names {span}, which does not exist"));
            } else if file.is_some() && found.len() > 1 {
                faults.push(format!("{document} names {span}, which is in each of {found:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(named > 150, "only {named} tests are named");
}
