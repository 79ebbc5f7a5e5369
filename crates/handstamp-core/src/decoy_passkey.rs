//! The seeds of decoy passkeys: what an address without passkeys is answered, so that it looks like one that has some.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::EmailAddress;
use crate::keyring::{Purpose, SecretKey};

/// Makes the seeds of decoy passkeys. An address has the same seed each time, and only the secret tells it from a random one.
pub struct DecoyPasskeys(Zeroizing<[u8; 32]>);

impl DecoyPasskeys {
    /// The seeds under this secret. Those under earlier secrets are not needed: with a new secret the decoys change, once.
    pub fn new(current: &SecretKey) -> Self {
        Self(current.derive(Purpose::DecoyPasskey))
    }

    /// The seed of an address: HMAC-SHA-256 of the key by which the address is unique.
    pub fn seed(&self, email: &EmailAddress) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("HMAC takes keys of any length");
        mac.chain_update(email.key()).finalize().into_bytes().into()
    }
}

impl fmt::Debug for DecoyPasskeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecoyPasskeys(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_same_seed_in_any_case_and_another_under_another_secret() {
        let decoys = |byte| DecoyPasskeys::new(&SecretKey::from_random(&[byte; 32]));
        let email = |text| EmailAddress::parse(text).unwrap();
        let seed = decoys(1).seed(&email("ada@example.com"));
        assert_eq!(decoys(1).seed(&email("ADA@Example.com")), seed);
        assert_ne!(decoys(1).seed(&email("bob@example.com")), seed);
        assert_ne!(decoys(2).seed(&email("ada@example.com")), seed);
    }
}
