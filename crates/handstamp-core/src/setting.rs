//! The error of a text that is not a valid value of a setting.

use std::borrow::Cow;
use std::fmt;

/// Why a text is not a valid value of a setting.
///
/// The message is a predicate such as `must be https`. Its subject is the setting or the text, which the message does not
/// repeat, since it may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting(Cow<'static, str>);

impl InvalidSetting {
    /// An error with this message.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidSetting {}
