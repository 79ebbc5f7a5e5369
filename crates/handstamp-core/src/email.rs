//! E-mail addresses: a strict parser, and the key that is unique among accounts.

use std::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use crate::invisible::is_ignorable;

const MAX_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;

/// An e-mail address that mail can be sent to.
///
/// The part before the `@` is a dot-atom of printable ASCII (RFC 5321 §4.1.2) of at most 64 characters. The domain is in
/// its ASCII form (UTS 46, strict), and the whole address has at most 254 characters. Two addresses belong to the same
/// account when their [`key`](Self::key)s are the same bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress {
    address: String,
    key: String,
}

impl EmailAddress {
    /// Parses an address as it was typed, without the white space and the invisible characters around it, which are often
    /// pasted along.
    ///
    /// A domain may be written in another script and in capitals. A character that merely looks like ASCII never becomes
    /// ASCII: one that the mapping of UTS 46 would turn into another letter, or drop, is refused.
    ///
    /// # Errors
    /// When it is empty, too long, or not such an address.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim_matches(|c: char| c.is_whitespace() || is_ignorable(c));
        if text.is_empty() {
            return Err(EmailError::Empty);
        }
        if text.contains(is_ignorable) {
            return Err(EmailError::Invisible);
        }
        let (local, domain) = text.split_once('@').ok_or(EmailError::Malformed)?;
        if let Some(c) = local.chars().find(|c| !c.is_ascii()) {
            return Err(EmailError::NotAscii(c));
        }
        if !is_dot_atom(local) {
            return Err(EmailError::Malformed);
        }
        let domain = domain_to_ascii(domain).ok_or(EmailError::Malformed)?;
        let address = format!("{local}@{domain}");
        if local.len() > MAX_LOCAL_BYTES || address.len() > MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        let key = address.to_ascii_lowercase();
        Ok(Self { address, key })
    }

    /// The address, with the local part as it was typed.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// The address in lower case, which is unique among accounts.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Redacted: an address is personal data, and a user may type a password into its field.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

/// Whether a text is a dot-atom (RFC 5322 §3.2.3) of ASCII characters.
fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| {
        !atom.is_empty()
            && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    })
}

fn domain_to_ascii(domain: &str) -> Option<String> {
    let lower: String = domain.chars().map(lower_case).collect::<Option<String>>()?.nfc().collect();
    let uts46 = Uts46::new();
    let ascii = uts46.to_ascii(lower.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify).ok()?;
    let unchanged = if lower.is_ascii() {
        ascii == lower
    } else {
        uts46.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::Check).0 == lower
    };
    let (_, top_level) = ascii.rsplit_once('.')?;
    let is_number = top_level.bytes().all(|byte| byte.is_ascii_digit());
    (unchanged && !is_number).then(|| ascii.into_owned())
}

/// The lower case of a character. None where that is several characters, or is ASCII though the character is not: the Kelvin
/// sign is not a `k`.
fn lower_case(c: char) -> Option<char> {
    let mut lower = c.to_lowercase();
    let first = lower.next()?;
    (lower.next().is_none() && first.is_ascii() == c.is_ascii()).then_some(first)
}

/// Why a text is refused as an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailError {
    /// Nothing but white space.
    Empty,
    /// More than 254 characters, or more than 64 before the `@`.
    TooLong,
    /// Not of the form `name@example.com`.
    Malformed,
    /// It contains an invisible character.
    Invisible,
    /// A character before the `@` is not ASCII.
    NotAscii(char),
}

impl fmt::Display for EmailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the address is empty"),
            Self::TooLong => f.write_str("the address is too long"),
            Self::Malformed => f.write_str("the address is not of the form name@example.com"),
            Self::Invisible => f.write_str("the address contains an invisible character"),
            Self::NotAscii(c) => write!(f, "{c:?} before the @ is not ASCII"),
        }
    }
}

impl std::error::Error for EmailError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> Result<String, EmailError> {
        EmailAddress::parse(text).map(|email| email.key().to_owned())
    }

    #[test]
    fn an_address_is_trimmed_and_keeps_the_case_of_its_local_part() {
        let email = EmailAddress::parse(" \tAda.Lovelace+math@Example.COM\n").unwrap();
        assert_eq!(email.as_str(), "Ada.Lovelace+math@example.com");
        assert_eq!(email.key(), "ada.lovelace+math@example.com");
        assert_eq!(format!("{email:?}"), "EmailAddress(…)");
        assert_eq!(key("\u{202A}\u{200B} ada@example.com\u{FEFF}\u{202C}").unwrap(), "ada@example.com");
    }

    #[test]
    fn the_error_of_a_refused_address_names_the_cause() {
        let error = |text| key(text).unwrap_err();
        assert_eq!(error("müller@example.com"), EmailError::NotAscii('ü'));
        for text in ["a\u{200B}da@example.com", "ada@ex\u{AD}ample.com", "ada\u{2060}@example.com"] {
            assert_eq!(error(text), EmailError::Invisible, "{text:?}");
        }
        assert_eq!(error("a\u{A0}da@example.com"), EmailError::NotAscii('\u{A0}'));
    }

    #[test]
    fn a_domain_in_another_script_is_stored_in_ascii() {
        assert_eq!(key("ada@münchen.example").unwrap(), "ada@xn--mnchen-3ya.example");
        assert_eq!(key("ada@MÜNCHEN.example").unwrap(), "ada@xn--mnchen-3ya.example");
        assert_eq!(key("ada@mu\u{0308}nchen.example").unwrap(), "ada@xn--mnchen-3ya.example");
        assert_eq!(key("ada@XN--mnchen-3ya.example").unwrap(), "ada@xn--mnchen-3ya.example");
        assert_eq!(key("ada@例え.example").unwrap(), "ada@xn--r8jz45g.example");
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "ada",
            "@example.com",
            "ada@",
            "ada@@example.com",
            "ada@b@example.com",
            "ada@example",
            "ada @example.com",
            "\"ada\"@example.com",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            ".ada@example.com",
            "ada.@example.com",
            "a..da@example.com",
            "ada@example..com",
            "ada@.example.com",
            "ada@example.com.",
            "ada@-example.com",
            "ada@example-.com",
            "ada@exa_mple.com",
            "ada@exa mple.com",
            "Ada <ada@example.com>",
            "ada@example.com,b@example.com",
            "ada@xn--a.com",
            "ada@xn--zzzzzz-.com",
            "ada(comment)@example.com",
            "ada@example.com\r\nBcc: eve@example.com",
        ] {
            assert_eq!(key(text), Err(EmailError::Malformed), "{text:?}");
        }
        assert_eq!(key(" \n"), Err(EmailError::Empty));
    }

    #[test]
    fn a_look_alike_address_never_reaches_another_account() {
        for text in [
            "m\u{0131}ke@example.com",
            "\u{017F}am@example.com",
            "\u{212A}im@example.com",
            "sam\u{FF20}example.com",
            "sam@ex\u{200B}ample.com",
            "sam\u{200B}@example.com",
            "sam@\u{17F}ite.com",
            "sam@\u{212A}ite.com",
            "sam@ｅxample.com",
            "sam@example\u{3002}com",
            "sam@exam\u{AD}ple.com",
            "sam@\u{FEFF}example.com",
            "sam@e\u{2060}xample.com",
            "sam@ﬁle.com",
            "sam@\u{130}stanbul.com",
            "sam@①.com",
        ] {
            assert!(key(text).is_err(), "{text:?}");
        }
        assert_ne!(key("sam@exаmple.com"), key("sam@example.com"), "a Cyrillic а is another domain");
    }

    #[test]
    fn an_address_is_no_longer_than_mail_allows() {
        let label = "d".repeat(61);
        let domain = format!("{label}.{label}.{label}.abc");
        assert!(key(&format!("{}@{domain}", "l".repeat(64))).is_ok());
        assert_eq!(key(&format!("{}@{domain}d", "l".repeat(64))), Err(EmailError::TooLong));
        assert_eq!(key(&format!("{}@example.com", "l".repeat(65))), Err(EmailError::TooLong));
    }

    proptest! {
        #[test]
        fn an_accepted_address_is_ascii_and_parses_to_itself(text in "\\PC{0,20}@\\PC{1,20}\\.[a-zéİK]{2,5}") {
            if let Ok(email) = EmailAddress::parse(&text) {
                prop_assert!(email.as_str().is_ascii());
                prop_assert_eq!(key(email.as_str()).unwrap(), email.key());
                prop_assert_eq!(key(email.key()).unwrap(), email.key());
            }
        }

        #[test]
        fn ascii_capitals_never_make_another_account(text in "[a-z.+]{1,12}@[a-z]{1,8}\\.[a-z]{2,3}") {
            prop_assert_eq!(key(&text), key(&text.to_ascii_uppercase()));
        }
    }
}
