//! The rules of Handstamp, without input or output.
//!
//! Nothing in this crate reads a clock, a random number, a file or a socket: time and randomness are arguments. That makes
//! every rule a plain function, which can be tested, fuzzed and explored without a server.
//!
//! Start with [`SessionTokens`], which issues and opens the token of the session cookie.

mod assertion;
mod authentication;
pub mod blocklist;
mod client_address;
mod common_passwords;
pub mod cookie;
mod decoy_passkey;
mod device;
mod display_name;
mod email;
mod event_chain;
mod factors;
pub mod federation;
mod form;
mod group;
mod ids;
mod invisible;
mod keyring;
pub mod legacy_cookie;
mod one_time;
mod password;
mod password_advice;
mod return_to;
mod sealing;
mod setting;
mod throttle;
mod time;
mod token;
mod webhook;

pub use assertion::{Assertion, AssertionKeys};
pub use authentication::{AssuranceLevel, Authentication, AuthenticationMethods};
pub use client_address::{Network, TrustedProxies};
pub use decoy_passkey::DecoyPasskeys;
pub use device::{DeviceId, DeviceTokens, KnownDevices};
pub use display_name::{DisplayName, NameError};
pub use email::{EmailAddress, EmailError};
pub use event_chain::{
    ErasedEvents, EventCommitment, EventHead, EventKeys, EventRecord, EventSalt, EventTag, EventTagError,
    InvalidEventHead,
};
pub use factors::recovery_code::{RecoveryCode, RecoveryCodeHash};
pub use factors::totp::{TotpSecret, TotpStep};
pub use form::{Form, FormError};
pub use group::{GroupName, GroupNameError};
pub use ids::{SessionSecret, SessionSecretHash, UserId};
pub use keyring::{InvalidSecretKeyId, KeyRingError, SecretError, SecretKey, SecretKeyId};
pub use one_time::{OneTimeClaims, OneTimeId, OneTimePurpose, OneTimeTokenError, OneTimeTokens};
pub use password::{
    Argon2Params, Argon2ParamsError, FirebaseParams, HashCost, HashCosts, HashMemory, HashWork, ImportSecrets,
    ImportedHash, ImportedPasswords, InvalidHashError, InvalidSignerKey, NewPassword, Password, PasswordError,
    PasswordHash, PasswordMatch, PasswordPolicy, PasswordTooLong, UnsupportedHash, WeakFormat, WeakHash,
};
pub use password_advice::PasswordAdvice;
pub use return_to::{ReturnHost, ReturnHosts, ReturnTo};
pub use sealing::{Opened, SealNonce, Sealer};
pub use setting::InvalidSetting;
pub use throttle::{AttemptKey, Attempts, Limit, RetryAfter};
pub use time::Timestamp;
pub use token::{Claims, OpenedToken, SessionTokens, TokenError, TokenText, TokenToEnd};
pub use webhook::WebhookSecret;
