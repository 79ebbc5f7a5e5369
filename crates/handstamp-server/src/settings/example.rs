//! The example of a settings file: every setting with its documentation and its default, as a comment.

use std::fmt::Write;

use handstamp::Setting;

use super::{Settings, definitions, section_of, sections};

/// The columns of a line of documentation.
const WIDTH: usize = 100;

/// A `handstamp.toml` in which all settings are comments, with their defaults.
pub(crate) fn example() -> String {
    let (settings, defaults) = (definitions(), Settings::defaults());
    let mut text = String::new();
    comment(
        &mut text,
        "All settings with their defaults. To change one, remove the # before it, and that before its [section].",
    );
    comment(
        &mut text,
        "A duration has units, such as 30d or 1h 30m. A secret can be read from a file: secret_key_file = \"/run/secrets/key\".",
    );
    for section in sections(&settings) {
        if let Some(section) = &section {
            write!(text, "\n#[{section}]\n").expect("a string takes all");
        }
        for setting in settings.iter().filter(|setting| section_of(setting) == section) {
            text.push('\n');
            describe(&mut text, setting, &setting.default_in_words(&defaults));
        }
    }
    text
}

fn describe(text: &mut String, setting: &Setting<Settings>, default: &str) {
    comment(text, setting.documentation());
    let value = literal(default);
    let values = format!("Values: {}.", setting.values_in_words());
    match value {
        Some(_) => comment(text, &values),
        None => comment(text, &format!("{values} Default: {default}.")),
    }
    let name = setting.name().rsplit('.').next().unwrap_or_default();
    let empty = if setting.values_in_words().starts_with("a list") { "[]" } else { "\"\"" };
    writeln!(text, "#{name} = {}", value.as_deref().unwrap_or(empty)).expect("a string takes all");
}

/// A default as TOML, if it is a value and not a description.
fn literal(default: &str) -> Option<String> {
    let value = default.strip_prefix('`')?.strip_suffix('`').filter(|value| !value.contains('`'))?;
    let is_bare = matches!(value, "true" | "false") || value.parse::<u64>().is_ok();
    Some(if is_bare { value.to_owned() } else { format!("{value:?}") })
}

/// Appends lines of a comment, with the marks of Markdown left out.
fn comment(text: &mut String, words: &str) {
    let mut width = 0;
    for word in words.replace('`', "").split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length <= WIDTH {
            text.push(' ');
            width += 1 + length;
        } else {
            text.push_str(if width == 0 { "# " } else { "\n# " });
            width = length;
        }
        text.push_str(word);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use handstamp_testing::TempFolder;

    use super::*;
    use crate::cli::{AddressArgs, DataArgs};
    use crate::settings::InForce;

    /// The settings of a file with this text.
    fn in_force(text: &str) -> Vec<InForce> {
        let folder = TempFolder::new();
        let file = folder.path().join("handstamp.toml");
        std::fs::write(&file, text).unwrap();
        let data = DataArgs { config: Some(file), data_dir: None };
        let (settings, errors) = Settings::in_force(&data, &AddressArgs::default(), []);
        errors.unwrap();
        settings
    }

    #[test]
    fn the_example_gives_each_setting_its_default() {
        let example = example();
        assert!(in_force(&example).iter().all(|setting| setting.source.is_none()), "everything is a comment");
        // The settings without a fixed default are left as comments, and so are the sections of entries.
        let uncommented = |line: &str| {
            let line = line.strip_prefix('#').filter(|line| !line.starts_with(' ')).unwrap_or_default();
            let is_value = line.contains(" = ") && !line.ends_with("= \"\"") && !line.ends_with("= []");
            (is_value || line.starts_with('[')).then(|| line.to_owned() + "\n")
        };
        let sections: Vec<&str> = example.split("\n#[").filter(|section| !section.contains("NAME]")).collect();
        let text: String = sections.join("\n#[").lines().filter_map(uncommented).collect();
        let (given, defaults) = (in_force(&text), in_force(""));
        assert!(given.iter().filter(|setting| setting.source.is_some()).count() > 30, "{text}");
        for (given, default) in given.iter().zip(&defaults) {
            assert_eq!((&given.name, &given.value), (&default.name, &default.value));
        }
    }

    #[test]
    fn every_setting_is_in_the_example() {
        let example = example();
        for setting in definitions() {
            let (_, name) = setting.name().rsplit_once('.').unwrap_or(("", setting.name()));
            assert!(example.contains(&format!("\n#{name} = ")), "{name}");
        }
        let is_short = |line: &str| !line.starts_with("# ") || line.chars().count() <= WIDTH + 2;
        assert!(example.lines().all(is_short) && !example.contains('`'), "{example}");
    }
}
