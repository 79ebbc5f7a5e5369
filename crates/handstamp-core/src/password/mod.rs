//! Passwords: which are accepted, how they are stored, and how one is checked without revealing which accounts exist.

mod hashes;
mod imported;
mod policy;
#[cfg(test)]
mod tests;

pub use hashes::{Argon2Params, Argon2ParamsError, HashMemory, InvalidHashError, PasswordHash, PasswordMatch};
pub use imported::{
    FirebaseParams, HashCost, HashCosts, HashWork, ImportSecrets, ImportedHash, ImportedPasswords, InvalidSignerKey,
    UnsupportedHash, WeakFormat, WeakHash,
};
pub use policy::{NewPassword, Password, PasswordError, PasswordPolicy, PasswordTooLong};
