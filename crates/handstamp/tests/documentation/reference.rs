//! The names in the reference (`docs/src/reference`), compared with the sources in both directions.
//!
//! The settings are compared by `settings/reference.rs` of the binary, and the command line by `commands_of_the_documents.rs`.

use std::collections::BTreeSet;

use super::{documents, files, read, spans};

type Names = BTreeSet<String>;

/// The code of both crates without their tests: the path and the text of each file.
fn sources() -> Vec<(String, String)> {
    let is_code = |file: &String| {
        file.contains("/src/")
            && !file.contains("/tests")
            && !file.contains("/contract")
            && !file.starts_with("crates/handstamp-testing/")
    };
    let without_tests = |text: String| text.split("\n#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
    let files = files("crates", ".rs").into_iter().filter(is_code);
    files.map(|file| (file.clone(), without_tests(read(&file)))).collect()
}

/// The cells of the table rows of a document whose first cell is one code span or more.
fn rows(document: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(cells).collect()
}

/// The code spans of a cell.
fn spans_of(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The texts between a mark and the next quotation mark, wherever the mark is.
fn after<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(mark).skip(1).filter_map(|rest| rest.split('"').next())
}

fn are_equal(document: &str, documented: &Names, defined: &Names) {
    let lacks: Vec<_> = defined.difference(documented).collect();
    let invents: Vec<_> = documented.difference(defined).collect();
    assert!(lacks.is_empty() && invents.is_empty(), "{document} lacks {lacks:?}, and the code lacks {invents:?}");
}

#[test]
fn the_reference_has_all_log_events_and_no_other() {
    let document = "docs/src/reference/log-events.md";
    let mut defined = Names::new();
    for (file, text) in sources() {
        defined.extend(after(&text, "event = \"").map(str::to_owned));
        if file.ends_with("/events.rs") {
            let is_level = |word: &str| ["debug", "error", "info", "warn"].contains(&word);
            let events = text.lines().filter(|line| line.split_whitespace().next().is_some_and(is_level));
            defined.extend(events.filter_map(|line| line.split('"').nth(1)).map(str::to_owned));
        }
    }
    let documented = rows(document).iter().flat_map(|cells| spans_of(&cells[0]).collect::<Vec<_>>()).collect();
    assert!(defined.len() > 60, "only {} events are in the code", defined.len());
    are_equal(document, &documented, &defined);
}

/// Names that begin like a metric and are cookies and tables.
const NO_METRICS: [&str; 5] =
    ["handstamp_device", "handstamp_migrations", "handstamp_moved", "handstamp_session", "handstamp_signed_out"];

#[test]
fn the_reference_has_all_metrics_and_no_other() {
    let document = "docs/src/reference/metrics.md";
    let is_metric = |name: &&str| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            && !name.is_empty()
            && !NO_METRICS.contains(&format!("handstamp_{name}").as_str())
    };
    let mut defined = Names::new();
    for (_, text) in sources() {
        defined.extend(after(&text, "\"handstamp_").filter(is_metric).map(|name| format!("handstamp_{name}")));
    }
    let rows = rows(document);
    let documented: Names = rows.iter().flat_map(|cells| spans_of(&cells[0]).collect::<Vec<_>>()).collect();
    assert!(defined.len() > 10, "only {} metrics are in the code", defined.len());
    are_equal(document, &documented, &defined);
    for cells in rows.iter().filter(|cells| cells[0].starts_with('`')) {
        assert_eq!(cells[1] == "counter", cells[0].ends_with("_total`"), "{cells:?}");
    }

    // Other documents name metrics as well.
    for other in documents() {
        for span in spans(&other).iter().filter(|span| span.starts_with("handstamp_") && span.matches('_').count() > 2)
        {
            let name = span.split(['{', '[', ' ']).next().unwrap();
            assert!(documented.contains(name) || name.starts_with("handstamp_session_8"), "{other} names {span}");
        }
    }
}

#[test]
fn the_reference_has_all_exit_statuses_and_no_other() {
    let document = "docs/src/reference/exit-statuses.md";
    let main = read("crates/handstamp-server/src/main.rs");
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut defined: Names = main.split("Self(reason.to_string(), ").skip(1).map(digits).collect();
    let (_, of_errors) = main.split_once("impl From<handstamp::Error> for CliError").expect("main.rs maps errors");
    defined.extend(of_errors.split("\n}").next().unwrap().split("=> ").skip(1).map(digits));
    defined.retain(|status| !status.is_empty());
    assert!(main.contains("ExitCode::SUCCESS"));
    defined.insert("0".to_owned());
    let statuses = rows(document).iter().map(|cells| cells[0].clone()).filter(|cell| cell != "status").collect();
    assert!(defined.len() > 3, "{defined:?}");
    are_equal(document, &statuses, &defined);
}

/// A route in the spelling of both sides: `/auth/envoy/{*path}` and `/auth/envoy/{path}` are `/auth/envoy`.
fn route(method: &str, path: &str) -> String {
    let path = path.trim_end_matches("{*path}").trim_end_matches("{path}");
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    format!("{} {path}", method.to_ascii_uppercase())
}

#[test]
fn the_reference_has_all_routes_and_no_other() {
    let document = "docs/src/reference/routes.md";
    let (code, _) = read("crates/handstamp/src/web/routes.rs").split_once("\n/// Routes, most of them").map_or_else(
        || panic!("routes.rs begins with the lists of routes"),
        |(lists, rest)| (lists.to_owned(), rest.to_owned()),
    );
    let constant = |file: &str, name: &str| {
        let text = read(file);
        let definition = format!("const {name}: &str = \"");
        after(&text, &definition).next().unwrap_or_else(|| panic!("{file} defines {name}")).to_owned()
    };
    let mut defined = Names::new();
    for method in ["get", "post", "put", "patch", "delete", "any"] {
        for rest in code.split(&format!(".{method}(")).skip(1) {
            let argument = rest.split(',').next().unwrap().trim();
            let path = match argument {
                "assets::ROUTE" => constant("crates/handstamp/src/web/assets.rs", "ROUTE"),
                "WELL_KNOWN" => constant("crates/handstamp/src/web/urls.rs", "WELL_KNOWN"),
                literal => literal.trim_matches('"').to_owned(),
            };
            assert!(path.starts_with('/'), "{argument} is a path");
            defined.insert(route(method, &path));
        }
    }
    let metrics = read("crates/handstamp-server/src/metrics.rs");
    defined.extend(after(&metrics, ".route(\"").map(|path| route("get", path)));

    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "any"];
    let mut documented = Names::new();
    for cells in rows(document).iter().filter(|cells| methods.contains(&cells[0].as_str())) {
        documented.extend(spans_of(&cells[1]).map(|path| route(&cells[0], &path)));
    }
    assert!(defined.len() > 30, "only {} routes are in the code", defined.len());
    are_equal(document, &documented, &defined);
}

#[test]
fn the_guide_names_every_table() {
    let guide = read("docs/src/guide/axum.md");
    let (_, list) = guide.split_once("must differ from those of Handstamp:\n\n").expect("the guide lists the tables");
    let documented = spans_of(list.split("\n\n").next().unwrap()).collect();
    let defined: Names = files("crates/handstamp/migrations", ".sql")
        .iter()
        .flat_map(|file| read(file).split("CREATE TABLE ").skip(1).map(first_word).collect::<Vec<_>>())
        .chain(["handstamp_migrations".to_owned()])
        .collect();
    are_equal("docs/src/guide/axum.md", &documented, &defined);
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Environment variables that are no settings of the server: those of the packages for apps, of the tests, and of scripts.
const NO_SETTINGS: [&str; 11] = [
    "HANDSTAMP_GROUPS",
    "HANDSTAMP_KILLS",
    "HANDSTAMP_ORIGINS",
    "HANDSTAMP_PORT",
    "HANDSTAMP_REQUESTS",
    "HANDSTAMP_ROUNDS",
    "HANDSTAMP_SEED",
    "HANDSTAMP_SERVICE_",
    "HANDSTAMP_STEPS",
    "HANDSTAMP_UPDATE_DOCS",
    "HANDSTAMP_URL",
];

#[test]
fn settings_in_other_documents_are_in_the_reference() {
    let settings: Names = rows("docs/src/reference/settings.md")
        .iter()
        .flat_map(|cells| cells.iter().take(2).flat_map(|cell| spans_of(cell)).collect::<Vec<_>>())
        .collect();
    let sections: Names =
        settings.iter().filter_map(|name| name.split_once('.')).map(|(name, _)| name.to_owned()).collect();
    assert!(settings.len() > 60 && sections.len() > 5, "{settings:?}");
    let mut named = 0;
    for document in documents() {
        for span in spans(&document) {
            let name = span.split([' ', '=', '…']).next().unwrap();
            let is_variable = name.starts_with("HANDSTAMP_") && name.len() > "HANDSTAMP_".len();
            let is_setting = name.split_once('.').is_some_and(|(section, rest)| {
                sections.contains(section)
                    && !["", "html", "js", "py"].contains(&rest)
                    && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            });
            if is_variable || is_setting {
                let is_known = settings.contains(name) || NO_SETTINGS.contains(&name);
                assert!(is_known, "{document} names {name}, which is no setting");
                named += 1;
            }
        }
    }
    assert!(named > 100, "only {named} settings are named");
}
