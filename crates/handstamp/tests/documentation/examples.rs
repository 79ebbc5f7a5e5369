//! Examples in the documents: each is compiled, run or compared.

use super::{Block, blocks, documents, read};

/// The first code block of a document in this language.
fn block(document: &str, language: &str) -> String {
    let block = blocks(document).into_iter().find(|block| block.language == language);
    block.unwrap_or_else(|| panic!("{document} has a block in {language}")).text
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
    let of_the_crate = documentation.split("```no_run\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let plain = |text: &str| text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
    assert_eq!(plain(of_the_crate), plain(program), "the documentation of the crate");
    assert_eq!(block("README.md", "rust"), program, "README.md");
    assert_eq!(block("docs/src/quick-start-axum.md", "rust,no_run"), program, "docs/src/quick-start-axum.md");
    assert!(program.contains("fn main()") && program.lines().count() <= 30, "{program}");

    let manifest = read("examples/quickstart/Cargo.toml");
    let missing = |line: &&str| !manifest.contains(line) && !line.starts_with("handstamp = ");
    for document in ["README.md", "docs/src/quick-start-axum.md"] {
        let dependencies = block(document, "toml");
        assert_eq!(dependencies.lines().find(missing), None, "the dependencies in {document}");
        assert_eq!(dependencies.lines().count(), 4, "{dependencies}");
    }
}

/// The library includes documents in its documentation tests. The example of README.md is compared above instead, since a
/// documentation test would have to be marked as one that is not run.
#[test]
fn every_rust_example_is_compiled() {
    let library = read("crates/handstamp/src/lib.rs");
    let mut examples = 0;
    for Block { document, language, .. } in documents().iter().flat_map(|document| blocks(document)) {
        if language != "rust" && !language.starts_with("rust,") {
            continue;
        }
        examples += 1;
        let is_compared = document == "README.md" && language == "rust";
        let is_included = library.contains(&format!("include_str!(\"../../../{document}\")"));
        let is_compiled = !language.contains("ignore") && !language.contains("text");
        assert!(
            is_compared || (is_included && is_compiled),
            "{document} has an example ({language}) that is not compiled"
        );
    }
    assert!(examples > 8, "only {examples} examples were found");
}
