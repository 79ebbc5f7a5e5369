//! The reference of the settings, docs/src/reference/settings.md: its tables are made from the definitions.
//!
//! To write the tables anew: `HANDSTAMP_UPDATE_DOCS=1 cargo test -p handstamp-server --bin handstamp reference`

use std::fmt::Write;

use handstamp::Setting;

use super::sources::{FLAGS, PREFIX};
use super::{Settings, definitions, section_of, sections};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/reference/settings.md");
const BEGIN: &str = "<!-- The tables down to the next such mark are made from the code by settings/reference.rs. -->\n";
const END: &str = "<!-- The end of these tables. -->\n";

/// The environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('.', "__"))
}

/// A table of each section, in the order in which the sections are defined, and one of secrets in files. Settings without a
/// section come first.
fn tables() -> String {
    let (settings, defaults) = (definitions(), Settings::defaults());
    let mut text = String::new();
    for section in sections(&settings) {
        let title = section.as_ref().map_or("General".to_owned(), |section| format!("`{section}`"));
        write!(text, "\n## {title}\n\n| setting | environment variable | values | default | meaning |\n").unwrap();
        text.push_str("| --- | --- | --- | --- | --- |\n");
        for setting in settings.iter().filter(|setting| section_of(setting) == section) {
            let (name, values, about) = (setting.name(), setting.values_in_words(), setting.documentation());
            let values = if setting.is_secret() { format!("{values}; secret") } else { values.to_owned() };
            let default = setting.default_in_words(&defaults);
            let flag = FLAGS.iter().find(|(of, _)| *of == name).map(|(_, flag)| format!(" The flag is `{flag}`."));
            let flag = flag.unwrap_or_default();
            writeln!(text, "| `{name}` | `{}` | {values} | {default} | {about}{flag} |", variable(name)).unwrap();
        }
    }
    text.push_str(
        "\n## Secrets in files\n\nEach secret has a second setting, which names a file. Giving both is an error.\n",
    );
    text.push_str("\n| setting | environment variable | the file holds |\n| --- | --- | --- |\n");
    for name in settings.iter().filter(|setting| setting.is_secret()).map(Setting::name) {
        writeln!(text, "| `{name}_file` | `{}_FILE` | `{name}` |", variable(name)).unwrap();
    }
    text + "\n"
}

#[test]
fn the_reference_lists_all_settings() {
    let document = std::fs::read_to_string(FILE).unwrap();
    let (head, rest) = document.split_once(BEGIN).expect("the document has the first mark");
    let (found, tail) = rest.split_once(END).expect("the document has the second mark");
    let expected = tables();
    if std::env::var_os("HANDSTAMP_UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(FILE, format!("{head}{BEGIN}{expected}{END}{tail}")).unwrap();
    } else {
        assert!(found == expected, "{FILE} is out of date; run this test with HANDSTAMP_UPDATE_DOCS=1\n{expected}");
    }
}

#[test]
fn every_setting_is_documented() {
    for setting in definitions() {
        let (values, about) = (setting.values_in_words(), setting.documentation());
        assert!(!values.is_empty() && about.ends_with('.') && about.matches(". ").count() <= 1, "{setting:?}");
        assert!(!values.contains('|') && !about.contains('|'), "{setting:?} would break the table");
    }
}
