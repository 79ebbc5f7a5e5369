//! The section `sign_in`: the ways to sign in beside the password.

use super::{Config, Setting};

/// The ways to sign in beside the password.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SignInConfig {
    /// Whether users can sign in with a mailed code; false by default. It needs mail.
    pub mail: bool,
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::flag(
            "sign_in.mail",
            |config: &Config| config.sign_in.mail,
            |config, mail| config.sign_in.mail = mail,
        )
        .about("Whether users can sign in with a code that is mailed to them. The code works only in the browser that asked for it."),
    ]
}
