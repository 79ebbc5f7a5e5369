//! Time-based one-time passwords (RFC 6238): SHA-1, six digits, steps of 30 seconds, and one step of skew on either side. These are
//! the parameters that every authenticator app supports.

use std::fmt;

use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::Timestamp;

const STEP_SECONDS: u64 = 30;
const SKEW_STEPS: u16 = 1;
const DIGITS: u8 = 6;

/// The secret that a user's authenticator shares: 160 bits, as RFC 4226 §4 recommends.
pub struct TotpSecret(Zeroizing<[u8; TotpSecret::BYTES]>);

/// A step of 30 seconds since the Unix epoch. A code is that of one step, and each step is accepted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TotpStep(pub u64);

impl TotpSecret {
    /// The length of a secret.
    pub const BYTES: usize = 20;

    /// The secret made of these random bytes, or stored as them.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret as it is sealed.
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The secret in Base32 (RFC 4648 §6), in groups of four characters, for users who type it.
    pub fn text(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(self.totp("", "").secret().to_base32());
        let groups =
            text.as_bytes().chunks(4).map(|group| group.iter().map(|byte| char::from(*byte)).collect::<String>());
        Zeroizing::new(groups.collect::<Vec<_>>().join(" "))
    }

    /// The URL for authenticators (Key URI Format), which a QR code shows. It has the name of the site and the address of the account.
    pub fn url(&self, site_name: &str, email: &str) -> Zeroizing<String> {
        // A colon separates the two in the label.
        let (site_name, email) = (site_name.replace(':', " "), email.replace(':', " "));
        Zeroizing::new(self.totp(&site_name, &email).to_url().expect("the account has a name without a colon"))
    }

    /// The step whose code this is, among those at most one step from now. Spaces in it do not matter. The digits are compared in
    /// constant time.
    pub fn step_of(&self, typed: &str, now: Timestamp) -> Option<TotpStep> {
        let typed: String = typed.chars().filter(|character| !character.is_whitespace()).collect();
        let is_code = typed.len() == usize::from(DIGITS) && typed.bytes().all(|byte| byte.is_ascii_digit());
        let step = is_code.then(|| self.totp("", "").check(&typed, now.unix_seconds())).flatten();
        step.map(TotpStep)
    }

    /// The code of the step that contains a time, as an authenticator shows it.
    pub fn code_at(&self, time: Timestamp) -> String {
        self.totp("", "").generate(time.unix_seconds()).to_string()
    }

    fn totp(&self, issuer: &str, account: &str) -> Totp {
        let issuer = (!issuer.trim().is_empty()).then_some(issuer);
        Builder::new()
            .with_secret(Secret::new_stack(*self.0))
            .with_digits(DIGITS)
            .with_skew(SKEW_STEPS)
            .with_step_duration(STEP_SECONDS)
            .with_issuer(issuer)
            .with_account_name(account)
            .build()
            .expect("the parameters are those of RFC 6238")
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of the vectors in RFC 6238, appendix B.
    fn of_the_rfc() -> TotpSecret {
        TotpSecret::from_bytes(*b"12345678901234567890")
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (time, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            // The RFC has eight digits, of which six are the last.
            assert_eq!(of_the_rfc().code_at(at(time)), code[2..]);
            assert_eq!(of_the_rfc().step_of(&code[2..], at(time)), Some(TotpStep(time / 30)));
        }
    }

    #[test]
    fn a_code_is_accepted_one_step_early_and_late_and_names_its_own_step() {
        let code = of_the_rfc().code_at(at(3000));
        let accepted: Vec<_> =
            (2900..3100).filter(|now| of_the_rfc().step_of(&code, at(*now)) == Some(TotpStep(100))).collect();
        assert_eq!(accepted, (2970..3060).collect::<Vec<_>>());
    }

    #[test]
    fn spaces_are_ignored_and_anything_else_is_no_code() {
        assert_eq!(of_the_rfc().step_of(" 287 082 ", at(59)), Some(TotpStep(1)));
        for wrong in ["", "28708", "2870820", "28708２", "-87082", "287082x", "+287082", "94287082"] {
            assert_eq!(of_the_rfc().step_of(wrong, at(59)), None, "{wrong}");
        }
    }

    #[test]
    fn an_authenticator_gets_the_name_of_the_site_and_the_address() {
        let url = of_the_rfc().url("Ada’s: Notes", "ada@example.com");
        assert!(url.starts_with("otpauth://totp/Ada%E2%80%99s%20%20Notes:ada%40example.com?"), "{}", *url);
        assert!(url.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "{}", *url);
        assert!(!of_the_rfc().url("", "ada@example.com").contains("issuer"));
        assert_eq!(*of_the_rfc().text(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
    }
}
