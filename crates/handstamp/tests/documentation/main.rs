//! Checks the documents against the repository: files, tests, links, examples, and the names in the reference.
#![allow(clippy::unwrap_used)]

mod examples;
mod links;
mod names;
mod reference;

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Reads a file, given by its path from the root of the repository.
fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The files below a folder of the repository whose names end so, by their paths from its root, in order.
fn files(folder: &str, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
                    folders.push(path);
                }
            } else if name.ends_with(end) {
                found.push(path.strip_prefix(ROOT).unwrap().to_str().unwrap().trim_start_matches('/').to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The documents of the project as it is now: all but the changelog, which tells of the past.
fn documents() -> Vec<String> {
    let root = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"].map(str::to_owned);
    root.into_iter().chain(files("docs/src", ".md")).collect()
}

/// The lines of a document outside of its code blocks, each with its number.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push((number + 1, line));
        }
    }
    lines
}

/// The code spans in the prose of a document.
fn spans(document: &str) -> Vec<String> {
    let text = read(document);
    let lines: Vec<&str> = prose(&text).into_iter().map(|(_, line)| line).collect();
    lines.join("\n").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A code block: the document, its language with all that follows on the line, and its text.
struct Block {
    document: String,
    language: String,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let text = read(document);
    let mut parts = text.split("\n```");
    let mut blocks = Vec::new();
    parts.next();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap_or((block, ""));
        blocks.push(Block { document: document.to_owned(), language: language.to_owned(), text: format!("{text}\n") });
    }
    blocks
}
