//! The errors of [`Config::validate`](super::Config::validate): which settings are wrong, and why.

use std::fmt;

/// A setting whose value is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The name of the setting, such as `session.lifetime`.
    pub setting: String,
    /// The invalid item of a list; none for settings with one value, and for secrets.
    pub value: Option<String>,
    /// A predicate that says what is wrong, such as `must be between 1m and 30d`.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, value, message } = self;
        match value {
            Some(value) => write!(f, "{setting} {value} {message}"),
            None => write!(f, "{setting} {message}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// All settings whose values are invalid: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// One error.
    pub(crate) fn of(error: ConfigError) -> Self {
        Self(vec![error])
    }

    /// Success if the list is empty.
    pub(crate) fn check(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The errors, in the order in which the settings are documented.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The errors in one line, separated by semicolons.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.iter().enumerate() {
            write!(f, "{}{error}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
