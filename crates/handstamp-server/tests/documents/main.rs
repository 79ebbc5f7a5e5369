//! Runs the commands of the documents as they are printed there, and compares the command line with its reference.
#![allow(clippy::unwrap_used)]

mod command_line;
mod commands;
mod site;

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Reads a file, given by its path from the root of the repository.
fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The documents for users and developers, by their paths from the root of the repository.
fn documents() -> Vec<String> {
    let mut found = vec!["CONTRIBUTING.md".to_owned(), "README.md".to_owned()];
    let mut folders = vec![PathBuf::from(ROOT).join("docs/src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(ROOT).unwrap().to_str().unwrap().trim_start_matches('/').to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The blocks of commands in a document.
fn blocks_of_commands(document: &str) -> Vec<String> {
    let text = read(document);
    text.split("\n```sh\n").skip(1).map(|rest| format!("{}\n", rest.split("\n```").next().unwrap())).collect()
}

/// The block of commands in a document whose first line begins so.
fn commands(document: &str, beginning: &str) -> String {
    let block = blocks_of_commands(document).into_iter().find(|block| block.starts_with(beginning));
    block.unwrap_or_else(|| panic!("{document} has commands that begin with {beginning:?}"))
}
