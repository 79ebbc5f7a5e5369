//! The measured parts of a request, and the lower bounds that they are compared with.

use std::hint::black_box;

use handstamp_core::{
    Argon2Params, Claims, HashMemory, NewPassword, Password, PasswordPolicy, SecretKey, SessionSecret, SessionTokens,
    Timestamp, UserId,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
/// How often an operation that is too short for the clock is repeated for one reading.
pub const MANY: u32 = 1000;
/// The bytes that the tag of a token covers.
const SIGNED: [u8; 55] = [7; 55];

pub fn tokens() -> SessionTokens {
    let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").expect("it is strong");
    SessionTokens::new(&secret, &[]).expect("there is one secret")
}

pub fn claims() -> Claims {
    Claims {
        user_id: UserId::new(NOW, [7; 10]),
        session_secret: SessionSecret::from_bytes([9; 16]),
        issued_at: NOW,
        expires_at: Timestamp::from_unix_seconds(1_802_592_000),
        remembered: true,
    }
}

pub fn key() -> Hmac<Sha256> {
    Hmac::new_from_slice(&[5; 32]).expect("any length will do")
}

/// The lower bound of opening and of issuing a token: the MAC of as many bytes, with a prepared key.
pub fn bare_hmac(key: &Hmac<Sha256>) -> impl Sized {
    let mut mac = black_box(key).clone();
    mac.update(black_box(&SIGNED));
    mac.finalize()
}

/// Hashes a password at the settings of every sign-in.
pub struct Hasher {
    settings: Argon2Params,
    memory: HashMemory,
    password: NewPassword,
}

impl Default for Hasher {
    fn default() -> Self {
        let password = Password::parse("plum-octave-harbour").expect("it is short");
        Self {
            settings: Argon2Params::default(),
            memory: HashMemory::default(),
            password: PasswordPolicy::default().accept(password, &[]).expect("it is strong"),
        }
    }
}

impl Hasher {
    pub fn hash(&mut self) -> impl Sized + use<> {
        self.settings.hash(&self.password, [3; 16], &mut self.memory)
    }
}
