//! The section `limits`: the rate limits of sign-ins and registrations.

use std::ops::RangeInclusive;

use handstamp_core::Limit;

use super::{Config, Setting};

/// Rate limits: how many attempts are allowed in 15 minutes. 0 means no limit.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Wrong passwords for one account, within [`SIGN_IN_PER_ACCOUNT_RANGE`](Self::SIGN_IN_PER_ACCOUNT_RANGE); 10 by default. All
    /// devices on which the account has not signed in yet share one count, and each device on which it has is counted by itself.
    /// Beyond the limit one attempt is allowed after a minute, and each further wait is twice as long, up to an hour. An account
    /// has a hundred wrong passwords a day at most.
    pub sign_in_per_account: u32,
    /// Wrong passwords for any account from one network, which is an IPv4 address or the first 64 bits of an IPv6 address; 100 by
    /// default.
    pub sign_in_per_network: u32,
    /// Attempts to register from one network; 20 by default.
    pub register_per_network: u32,
}

impl LimitsConfig {
    /// The bounds of [`sign_in_per_account`](Self::sign_in_per_account): 0 to 100, which is also the limit of a day
    /// (NIST SP 800-63B-4 §3.2.2).
    pub const SIGN_IN_PER_ACCOUNT_RANGE: RangeInclusive<u32> = 0..=Limit::PER_DAY;
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { sign_in_per_account: 10, sign_in_per_network: 100, register_per_network: 20 }
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::bounded(
            "limits.sign_in_per_account",
            LimitsConfig::SIGN_IN_PER_ACCOUNT_RANGE,
            |config: &Config| config.limits.sign_in_per_account,
            |config, limit| config.limits.sign_in_per_account = limit,
        )
        .about("Wrong passwords for an account within 15 minutes. 0 is no limit."),
        Setting::bounded(
            "limits.sign_in_per_network",
            0..=u32::MAX,
            |config: &Config| config.limits.sign_in_per_network,
            |config, limit| config.limits.sign_in_per_network = limit,
        )
        .values("a number")
        .about("Wrong passwords from one network within 15 minutes, and ten times as many from an IPv6 /48. 0 is no limit."),
        Setting::bounded(
            "limits.register_per_network",
            0..=u32::MAX,
            |config: &Config| config.limits.register_per_network,
            |config, limit| config.limits.register_per_network = limit,
        )
        .values("a number")
        .about("Registrations from one network within 15 minutes, and ten times as many from an IPv6 /48. 0 is no limit."),
    ]
}
