//! Links between the Markdown files.

use std::path::{Component, Path, PathBuf};

use super::{ROOT, files, prose, read};

/// The anchor that GitHub and mdBook give a heading: in lower case, without punctuation, with hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = |char: &char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|char| if char == ' ' { '-' } else { char }).collect()
}

/// The anchors of a document. A heading that is there twice gets a number the second time.
fn anchors(document: &str) -> Vec<String> {
    let text = read(document);
    let mut found = Vec::new();
    for (_, line) in prose(&text) {
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') {
            let anchor = anchor(heading.trim());
            let before = found.iter().filter(|other| **other == anchor).count();
            found.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
        }
    }
    found
}

/// The targets of links and images in a line, without those in code spans.
fn targets(line: &str) -> Vec<String> {
    let prose: Vec<&str> = line.split('`').step_by(2).collect();
    let prose = prose.join("code");
    let of_markdown = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let of_html = ["href=\"", "src=\""].into_iter().flat_map(|mark| prose.split(mark).skip(1));
    let of_html = of_html.filter_map(|rest| rest.split('"').next());
    of_markdown.chain(of_html).map(str::to_owned).collect()
}

/// The path from the root of the repository without `.` and `..`; none if it leads out of it.
fn resolved(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => parts.pop().then_some(())?,
            Component::Normal(name) => parts.push(name),
            _ => {}
        }
    }
    Some(parts)
}

/// Why a link leads nowhere, if it does.
fn fault(document: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, fragment) = target.split_once('#').map_or((target, None), |(path, fragment)| (path, Some(fragment)));
    let file = if path.is_empty() {
        PathBuf::from(document)
    } else {
        match resolved(&Path::new(document).parent().unwrap().join(path)) {
            Some(file) => file,
            None => return Some("it leads out of the repository".to_owned()),
        }
    };
    if !Path::new(ROOT).join(&file).exists() {
        return Some("there is no such file".to_owned());
    }
    let fragment = fragment?;
    let file = file.to_str().unwrap();
    let is_there = !file.ends_with(".md") || anchors(file).iter().any(|anchor| anchor == fragment);
    (!is_there).then(|| "there is no such heading".to_owned())
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    let mut faults = Vec::new();
    for document in files("", ".md") {
        let text = read(&document);
        for (line, text) in prose(&text) {
            for target in targets(text) {
                checked += 1;
                faults.extend(fault(&document, &target).map(|fault| format!("{document}:{line}: {target}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked > 100, "only {checked} links were found");
}

#[test]
fn every_chapter_of_the_guide_is_in_its_summary() {
    let summary = read("docs/src/SUMMARY.md");
    for chapter in files("docs/src", ".md").iter().filter_map(|file| file.strip_prefix("docs/src/")) {
        assert!(chapter == "SUMMARY.md" || summary.contains(&format!("({chapter})")), "{chapter}");
    }
}

#[test]
fn a_link_to_a_missing_file_or_heading_is_a_fault() {
    let fault = |target| fault("docs/src/guide/axum.md", target);
    assert_eq!(fault("../quick-start-axum.md#next"), None);
    assert_eq!(fault("https://example.com/nothing"), None);
    assert_eq!(fault("quick-start-axum.md"), Some("there is no such file".to_owned()));
    assert_eq!(fault("../quick-start-axum.md#nothing"), Some("there is no such heading".to_owned()));
    assert_eq!(fault("#nothing"), Some("there is no such heading".to_owned()));
    assert_eq!(fault("../../../../README.md"), Some("it leads out of the repository".to_owned()));
    assert_eq!(targets("[a](b.md), [`c`](d.md#e) and `[f](g.md)` <img src=\"h.png\">"), ["b.md", "d.md#e", "h.png"]);
    assert_eq!(anchor("Headers of `every` response, 2"), "headers-of-every-response-2");
}
