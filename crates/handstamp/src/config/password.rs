//! The section `password`: the requirements for a new password.

use std::ops::RangeInclusive;

use handstamp_core::InvalidSetting;

use super::{Config, Setting};

/// The bounds of `min_length`. NIST SP 800-63B-4 §3.1.1.2 allows no less than 8.
const MIN_LENGTH_RANGE: RangeInclusive<usize> = 8..=256;
/// The bounds of `min_strength`: the scores of zxcvbn.
const MIN_STRENGTH_RANGE: RangeInclusive<u8> = 0..=4;

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::bounded(
            "password.min_length",
            MIN_LENGTH_RANGE,
            |config: &Config| config.password.min_length,
            |config, length| config.password.min_length = length,
        )
        .about("The fewest characters of a new password."),
        Setting::bounded(
            "password.min_strength",
            MIN_STRENGTH_RANGE,
            |config: &Config| config.password.min_strength,
            |config, strength| config.password.min_strength = strength,
        )
        .about("The least strength of a new password, by zxcvbn."),
        Setting::text("password.blocklist", |config: &mut Config, text| {
            config.password_blocklist = Some(text.into());
            Ok(())
        })
        .check(|config| match &config.password_blocklist {
            Some(file) if !file.is_file() => Err(InvalidSetting::new("is not a file")),
            _ => Ok(()),
        })
        .values("a file that `handstamp passwords build` makes")
        .about("A filter of breached passwords. A new password that is in it is refused."),
    ]
}
