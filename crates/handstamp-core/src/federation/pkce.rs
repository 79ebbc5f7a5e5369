//! Proof Key for Code Exchange (RFC 7636): a code is of use only to the client that has asked for it.

use base64_simd::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The challenge of a verifier, by the method `S256`.
pub fn code_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode_to_string(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_that_of_rfc_7636() {
        // Appendix B.
        let challenge = code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
