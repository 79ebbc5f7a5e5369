//! The definition of a setting: its name, its values and its meaning in words, and how a text is parsed, checked and stored.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use handstamp_core::InvalidSetting;

use super::{ConfigError, ConfigErrors};

/// A value as a settings file or the environment gives it, before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// One value, or a list whose items are separated by commas.
    Text(String),
    /// A list.
    List(Vec<String>),
}

/// The definition of a setting that is stored in `T`.
///
/// [`Config::settings`](crate::Config::settings) defines the settings of [`Config`](crate::Config). A program that reads its
/// own settings from files or the environment can define them in the same way.
///
/// A name with the segment `NAME`, such as `apps.NAME.url`, stands for the settings of all entries of a table:
/// `apps.notes.url` is that of the entry `notes`.
pub struct Setting<T> {
    name: String,
    secret: bool,
    values: String,
    default: Option<&'static str>,
    about: &'static str,
    set: Set<T>,
    show: Show<T>,
    checks: Vec<Check<T>>,
}

type Set<T> = Box<dyn Fn(&mut T, &str, &SettingValue) -> Vec<Rejection>>;
type Show<T> = Box<dyn Fn(&T) -> Option<String>>;
type Check<T> = Box<dyn Fn(&T) -> Vec<Rejection>>;

/// Why a value is rejected, and which one it is: the entry of a table, the item of a list.
struct Rejection {
    entry: String,
    item: Option<String>,
    error: InvalidSetting,
}

impl Rejection {
    fn of(error: InvalidSetting) -> Self {
        Self { entry: String::new(), item: None, error }
    }

    fn of_item(item: &str, error: InvalidSetting) -> Self {
        Self { item: Some(item.to_owned()), ..Self::of(error) }
    }

    fn in_entry(self, entry: &str) -> Self {
        Self { entry: entry.to_owned(), ..self }
    }
}

impl<T: 'static> Setting<T> {
    /// A setting with one value. `set` parses the text and stores the value.
    pub fn text(name: impl Into<String>, set: impl Fn(&mut T, &str) -> Result<(), InvalidSetting> + 'static) -> Self {
        Self::new(name, move |target, value| match value {
            SettingValue::Text(text) => set(target, text).err().map(Rejection::of).into_iter().collect(),
            SettingValue::List(_) => vec![Rejection::of(InvalidSetting::new("is a list and must be one value"))],
        })
    }

    /// A setting with a list of values. `clear` empties the list; `push` parses an item and appends it.
    pub fn list(
        name: impl Into<String>,
        clear: impl Fn(&mut T) + 'static,
        push: impl Fn(&mut T, &str) -> Result<(), InvalidSetting> + 'static,
    ) -> Self {
        Self::new(name, move |target, value| {
            let items: Vec<&str> = match value {
                SettingValue::Text(text) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
                SettingValue::List(items) => items.iter().map(String::as_str).collect(),
            };
            clear(target);
            let push = |item: &str| push(target, item).err().map(|error| Rejection::of_item(item, error));
            items.into_iter().filter_map(push).collect()
        })
    }

    /// A number or a duration that must be within bounds.
    pub fn bounded<V: BoundedValue>(
        name: impl Into<String>,
        bounds: RangeInclusive<V>,
        get: fn(&T) -> V,
        set: fn(&mut T, V),
    ) -> Self {
        let (least, most) = (bounds.start().to_text(), bounds.end().to_text());
        Self::text(name, move |target, text| V::parse(text).map(|value| set(target, value)))
            .values(format!("`{least}` to `{most}`"))
            .shown(move |target| get(target).to_text())
            .check(move |target| {
                if bounds.contains(&get(target)) {
                    Ok(())
                } else {
                    Err(InvalidSetting::new(format!("must be between {least} and {most}")))
                }
            })
    }

    /// A setting that is on or off.
    pub fn flag(name: impl Into<String>, get: fn(&T) -> bool, set: fn(&mut T, bool)) -> Self {
        Self::text(name, move |target, text| parse(text).map(|value| set(target, value)))
            .values("`true` or `false`")
            .shown(move |target| get(target).to_string())
    }

    fn new(name: impl Into<String>, set: impl Fn(&mut T, &SettingValue) -> Vec<Rejection> + 'static) -> Self {
        Self {
            name: name.into(),
            secret: false,
            values: String::new(),
            default: None,
            about: "",
            set: Box::new(move |target, _, value| set(target, value)),
            show: Box::new(|_| None),
            checks: Vec::new(),
        }
    }

    /// Makes it a secret: its value is never shown, and may be read from a file.
    #[must_use]
    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Describes its values in words, in Markdown.
    #[must_use]
    pub fn values(self, values: impl Into<String>) -> Self {
        Self { values: values.into(), ..self }
    }

    /// Shows its current value, for the documentation of the default.
    #[must_use]
    pub fn shown(self, show: impl Fn(&T) -> String + 'static) -> Self {
        Self { show: Box::new(move |target| Some(show(target))), ..self }
    }

    /// Describes a default that is not a fixed value, in Markdown.
    #[must_use]
    pub fn default_is(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// Documents it in one or two sentences, in Markdown.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Adds a check of the stored value, which may depend on other settings.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&T) -> Result<(), InvalidSetting> + 'static) -> Self {
        self.checks.push(Box::new(move |target| check(target).err().map(Rejection::of).into_iter().collect()));
        self
    }

    /// Adds a check of the items of a list, which returns the invalid ones as text.
    #[must_use]
    pub fn check_items(mut self, check: impl Fn(&T) -> Vec<(String, InvalidSetting)> + 'static) -> Self {
        self.checks.push(Box::new(move |target| {
            check(target).into_iter().map(|(item, error)| Rejection::of_item(&item, error)).collect()
        }));
        self
    }

    /// Adds a check of the entries of a table, which returns the names of the invalid ones.
    #[must_use]
    pub fn check_entries(mut self, check: impl Fn(&T) -> Vec<(String, InvalidSetting)> + 'static) -> Self {
        self.checks.push(Box::new(move |target| {
            check(target).into_iter().map(|(entry, error)| Rejection::of(error).in_entry(&entry)).collect()
        }));
        self
    }

    /// The same setting in a struct that holds a `T`.
    #[must_use]
    pub fn within<U: 'static>(self, get: fn(&U) -> &T, get_mut: fn(&mut U) -> &mut T) -> Setting<U> {
        let Self { name, secret, values, default, about, set, show, checks } = self;
        let within = |check: Check<T>| -> Check<U> { Box::new(move |target| check(get(target))) };
        Setting {
            name,
            secret,
            values,
            default,
            about,
            set: Box::new(move |target, entry, value| set(get_mut(target), entry, value)),
            show: Box::new(move |target| show(get(target))),
            checks: checks.into_iter().map(within).collect(),
        }
    }

    /// The same setting in each entry of a table, whose name becomes `TABLE.NAME.` and the name of this one. An entry is
    /// created when its first setting is set.
    #[must_use]
    pub fn in_each<U: 'static>(
        self,
        table: &str,
        get: fn(&U) -> &BTreeMap<String, T>,
        get_mut: fn(&mut U) -> &mut BTreeMap<String, T>,
    ) -> Setting<U>
    where
        T: Default,
    {
        let Self { name, secret, values, default, about, set, show, checks } = self;
        let in_each = |check: Check<T>| -> Check<U> {
            Box::new(move |target| {
                let check = |(entry, item): (&String, &T)| {
                    check(item).into_iter().map(|rejection| rejection.in_entry(entry)).collect::<Vec<_>>()
                };
                get(target).iter().flat_map(check).collect()
            })
        };
        Setting {
            name: format!("{table}.{NAME}.{name}"),
            secret,
            values,
            default,
            about,
            set: Box::new(move |target, entry, value| {
                if !is_entry_name(entry) {
                    return vec![Rejection::of(InvalidSetting::new(ENTRY_NAMES)).in_entry(entry)];
                }
                let item = get_mut(target).entry(entry.to_owned()).or_default();
                set(item, entry, value).into_iter().map(|rejection| rejection.in_entry(entry)).collect()
            }),
            show: Box::new(move |_| show(&T::default())),
            checks: checks.into_iter().map(in_each).collect(),
        }
    }
}

impl<T> Setting<T> {
    /// The name, such as `session.lifetime` or `apps.NAME.url`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its value is never shown, and may be read from a file.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// Its values in words, in Markdown.
    pub fn values_in_words(&self) -> &str {
        &self.values
    }

    /// Its default in words, in Markdown, from a `T` that holds the defaults.
    pub fn default_in_words(&self, defaults: &T) -> String {
        let shown = || (self.show)(defaults).map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
        self.default.map_or_else(shown, str::to_owned)
    }

    /// Its documentation: one or two sentences, in Markdown.
    pub fn documentation(&self) -> &'static str {
        self.about
    }

    /// The name of the entry if `key` names this setting of an entry, empty if this is no setting of entries, and none if
    /// `key` names another setting.
    pub fn entry_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        let Some((table, name)) = self.name.split_once(&format!(".{NAME}.")) else {
            return (key == self.name).then_some("");
        };
        let entry = key.strip_prefix(table)?.strip_prefix('.')?.strip_suffix(name)?.strip_suffix('.')?;
        (!entry.is_empty() && !entry.contains('.')).then_some(entry)
    }

    /// Parses a value and stores it. [`validate`](Self::validate) checks bounds, once all settings are stored. `entry` is empty
    /// except for settings of entries.
    ///
    /// # Errors
    /// When the value cannot be parsed. The valid items of a list are stored nevertheless, so that all errors can be found.
    pub fn set(&self, target: &mut T, entry: &str, value: &SettingValue) -> Result<(), ConfigErrors> {
        self.errors((self.set)(target, entry, value))
    }

    /// Checks the stored value.
    ///
    /// # Errors
    /// When the value is invalid, by itself or beside those of other settings.
    pub fn validate(&self, target: &T) -> Result<(), ConfigErrors> {
        self.errors(self.checks.iter().flat_map(|check| check(target)).collect())
    }

    /// Whether stored values are checked.
    #[cfg(test)]
    pub(super) fn is_checked(&self) -> bool {
        !self.checks.is_empty()
    }

    fn errors(&self, rejections: Vec<Rejection>) -> Result<(), ConfigErrors> {
        let error = |rejection: Rejection| ConfigError {
            setting: self.name.replace(NAME, &rejection.entry),
            value: rejection.item.filter(|_| !self.secret),
            message: rejection.error.to_string(),
        };
        ConfigErrors::check(rejections.into_iter().map(error).collect())
    }
}

impl<T> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("name", &self.name).field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// The segment of a name that stands for the name of an entry.
const NAME: &str = "NAME";
const ENTRY_NAMES: &str = "must have a name of lower-case ASCII letters, digits, hyphens and single underscores";

/// Whether an entry can have this name. Two underscores separate segments in the environment, where case is lost too.
fn is_entry_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.bytes().all(is_allowed) && !name.contains("__")
}

/// Parses a text, and turns the error into one of a setting.
pub(super) fn parse<V: FromStr<Err: fmt::Display>>(text: &str) -> Result<V, InvalidSetting> {
    text.parse().map_err(invalid)
}

/// The error of a setting with the message of another error.
pub(super) fn invalid(error: impl fmt::Display) -> InvalidSetting {
    InvalidSetting::new(error.to_string())
}

/// A value that can be bounded: a number or a duration.
pub trait BoundedValue: PartialOrd + Sized + 'static {
    /// Parses a text.
    ///
    /// # Errors
    /// When it is not such a value.
    fn parse(text: &str) -> Result<Self, InvalidSetting>;

    /// The text that [`parse`](Self::parse) turns into this value.
    fn to_text(&self) -> String;
}

macro_rules! bounded_numbers {
    ($($number:ty),+) => {$(
        impl BoundedValue for $number {
            fn parse(text: &str) -> Result<Self, InvalidSetting> {
                parse(text)
            }

            fn to_text(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

bounded_numbers!(u8, u32, usize);

/// A duration is written with its unit, such as `30d` or `1h 30m`.
impl BoundedValue for Duration {
    fn parse(text: &str) -> Result<Self, InvalidSetting> {
        humantime::parse_duration(text).map_err(invalid)
    }

    fn to_text(&self) -> String {
        let unit = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")].into_iter().find(|(seconds, _)| {
            self.subsec_nanos() == 0 && self.as_secs() > 0 && self.as_secs().is_multiple_of(*seconds)
        });
        let exactly = || humantime::format_duration(*self).to_string();
        unit.map_or_else(exactly, |(seconds, unit)| format!("{}{unit}", self.as_secs() / seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of an application with a table of apps, each with its own settings.
    #[derive(Debug, Default, PartialEq)]
    struct Site {
        apps: BTreeMap<String, App>,
    }

    #[derive(Debug, Default, PartialEq)]
    struct App {
        url: String,
        groups: Vec<String>,
        token: Option<u32>,
    }

    fn text(text: &str) -> SettingValue {
        SettingValue::Text(text.to_owned())
    }

    fn url() -> Setting<App> {
        let set = |app: &mut App, text: &str| {
            app.url = text.to_owned();
            Ok(())
        };
        Setting::text("url", set)
            .check(|app| if app.url.is_empty() { Err(InvalidSetting::new("must be set")) } else { Ok(()) })
    }

    fn groups() -> Setting<App> {
        let push = |app: &mut App, item: &str| {
            if item == "?" {
                return Err(InvalidSetting::new("is no group"));
            }
            app.groups.push(item.to_owned());
            Ok(())
        };
        Setting::list("groups", |app: &mut App| app.groups.clear(), push)
    }

    fn token() -> Setting<App> {
        let push = |app: &mut App, text: &str| {
            app.token = Some(parse(text)?);
            Ok(())
        };
        Setting::list("token", |app: &mut App| app.token = None, push).secret()
    }

    fn of_apps(setting: Setting<App>) -> Setting<Site> {
        setting.in_each("apps", |site| &site.apps, |site| &mut site.apps)
    }

    #[test]
    fn a_setting_of_entries_is_named_with_the_entry() {
        let url = of_apps(url());
        assert_eq!(url.name(), "apps.NAME.url");
        assert_eq!(url.entry_of("apps.notes.url"), Some("notes"));
        for other in ["apps.url", "apps..url", "apps.a.b.url", "apps.notes.urls", "app.notes.url", "appsxnotes.url"] {
            assert_eq!(url.entry_of(other), None, "{other}");
        }
        let plain: Setting<App> = groups();
        assert_eq!((plain.entry_of("groups"), plain.entry_of("group")), (Some(""), None));
    }

    #[test]
    fn a_setting_of_entries_is_stored_and_checked_in_each() {
        let mut site = Site::default();
        let (url, groups) = (of_apps(url()), of_apps(groups()));
        url.set(&mut site, "notes", &text("http://localhost:3000")).unwrap();
        groups.set(&mut site, "notes", &text("staff, board")).unwrap();
        groups.set(&mut site, "wiki", &SettingValue::List(vec!["staff".to_owned()])).unwrap();
        assert_eq!(site.apps["notes"].groups, ["staff", "board"]);
        assert_eq!(site.apps["wiki"].groups, ["staff"]);
        let errors = url.validate(&site).unwrap_err();
        assert_eq!(errors.to_string(), "apps.wiki.url must be set");

        let errors = groups.set(&mut site, "notes", &text("?, staff, ?")).unwrap_err();
        assert_eq!(errors.to_string(), "apps.notes.groups ? is no group; apps.notes.groups ? is no group");
        assert_eq!(site.apps["notes"].groups, ["staff"], "the valid items replace the list");

        for bad in ["Notes", "n\u{f6}tes", "a__b", "a b"] {
            let errors = url.set(&mut site, bad, &text("http://localhost")).unwrap_err();
            assert!(errors.to_string().starts_with(&format!("apps.{bad}.url must have a name of")), "{errors}");
        }
        assert_eq!(site.apps.len(), 2, "an entry with an invalid name is not created");
    }

    #[test]
    fn an_error_never_contains_a_secret() {
        let mut site = Site::default();
        let errors = of_apps(token()).set(&mut site, "notes", &text("hunter2")).unwrap_err();
        assert_eq!(errors.to_string(), "apps.notes.token invalid digit found in string");
    }

    #[test]
    fn a_list_is_not_one_value() {
        let mut app = App::default();
        let errors = url().set(&mut app, "", &SettingValue::List(vec!["a".to_owned()])).unwrap_err();
        assert_eq!(errors.to_string(), "url is a list and must be one value");
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for (written, milliseconds) in [("30d", 2_592_000_000), ("1h", 3_600_000), ("90m", 5_400_000), ("5s", 5000)] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!((duration.to_text().as_str(), Duration::parse(written)), (written, Ok(duration)));
        }
        for exact in [Duration::ZERO, Duration::from_millis(1500)] {
            assert_eq!(Duration::parse(&exact.to_text()), Ok(exact));
        }
    }
}
