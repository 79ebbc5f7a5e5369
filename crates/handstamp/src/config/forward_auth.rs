//! The section `forward_auth`: the identity that apps behind a proxy receive.

use super::{Config, Setting};

/// The identity that apps behind a proxy receive.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ForwardAuthConfig {
    /// Whether apps also receive unverified addresses, which are what users typed at registration; false by default.
    pub unverified_email: bool,
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::flag(
            "forward_auth.unverified_email",
            |config: &Config| config.forward_auth.unverified_email,
            |config, unverified_email| config.forward_auth.unverified_email = unverified_email,
        )
        .about("Whether apps behind a proxy get addresses that are not verified."),
    ]
}
