//! Second factors: time-based one-time passwords, and recovery codes.

pub(crate) mod recovery_code;
pub(crate) mod totp;
