//! The text encodings of password hashes: fields, decimal and hexadecimal numbers, and Base64 in the alphabet of each scheme.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::UnsupportedHash;

/// The alphabet of RFC 4648.
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The alphabet of bcrypt, which is otherwise like RFC 4648.
const BCRYPT: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The alphabet of crypt(3).
const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The output of a hash function as it was stored, compared in constant time and wiped.
pub(super) struct Output(Zeroizing<Vec<u8>>);

impl Output {
    /// At least 16 bytes, so that no password matches by chance. The longest outputs of the supported systems have 64.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, UnsupportedHash> {
        let bytes = Zeroizing::new(bytes);
        if (16..=128).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(UnsupportedHash::Malformed) }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is(&self, computed: &[u8]) -> bool {
        self.0.ct_eq(computed).into()
    }
}

/// A text of exactly so many fields.
pub(super) fn fields<const N: usize>(text: &str, separator: char) -> Result<[&str; N], UnsupportedHash> {
    let fields: Vec<&str> = text.split(separator).take(N + 1).collect();
    fields.try_into().map_err(|_| UnsupportedHash::Malformed)
}

/// A decimal number without a sign or leading zeros.
pub(super) fn number(digits: &str) -> Result<u32, UnsupportedHash> {
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    if !plain || digits.is_empty() {
        return Err(UnsupportedHash::Malformed);
    }
    // The digits of a number that does not fit tell of a cost beyond all caps.
    digits.parse().map_err(|_| UnsupportedHash::CostTooHigh)
}

/// A number after `name` and an equals sign.
pub(super) fn parameter(text: &str, name: &str) -> Result<u32, UnsupportedHash> {
    let value = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
    number(value.ok_or(UnsupportedHash::Malformed)?)
}

/// Hexadecimal digits, in either case.
pub(super) fn hex(digits: &str) -> Result<Vec<u8>, UnsupportedHash> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    bytes.collect::<Option<_>>().ok_or(UnsupportedHash::Malformed)
}

/// Base64 with or without padding. The alphabet is that of RFC 4648, its variant for URLs, or that of passlib, which has `.`
/// in place of `+`.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, UnsupportedHash> {
    let digits: Vec<u8> = text
        .trim_end_matches('=')
        .bytes()
        .map(|digit| match digit {
            b'-' | b'.' => b'+',
            b'_' => b'/',
            _ => digit,
        })
        .collect();
    base64_simd::STANDARD_NO_PAD.decode_to_vec(digits).map_err(|_| UnsupportedHash::Malformed)
}

/// Base64 of RFC 4648 without padding, as PHC strings have it.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD_NO_PAD.encode_to_string(bytes)
}

/// Bytes in bcrypt's Base64. Some tools leave bits set that no byte has; bcrypt ignores them.
pub(super) fn bcrypt_base64<const N: usize>(text: &str) -> Result<[u8; N], UnsupportedHash> {
    let values = values_in(text, BCRYPT)?;
    let used_bits = |index: usize| (N * 8).saturating_sub(index * 6).min(6);
    let digits: Vec<u8> = (0..)
        .zip(values)
        .map(|(index, value)| STANDARD[usize::from(value & (0x3f << (6 - used_bits(index)) & 0x3f))])
        .collect();
    let bytes = base64_simd::STANDARD_NO_PAD.decode_to_vec(digits).map_err(|_| UnsupportedHash::Malformed)?;
    bytes.try_into().map_err(|_| UnsupportedHash::Malformed)
}

/// Bytes in the Base64 of crypt(3), where the first digit has the lowest bits.
pub(super) fn crypt_base64(text: &str) -> Result<Vec<u8>, UnsupportedHash> {
    let (mut bytes, mut bits, mut pending) = (Vec::new(), 0_u16, 0);
    for value in values_in(text, CRYPT)? {
        bits |= u16::from(value) << pending;
        pending += 6;
        if pending >= 8 {
            let [_, low] = bits.to_be_bytes();
            bytes.push(low);
            bits >>= 8;
            pending -= 8;
        }
    }
    if bits != 0 || pending == 6 {
        return Err(UnsupportedHash::Malformed);
    }
    Ok(bytes)
}

/// The value of a digit of crypt(3).
pub(super) fn crypt_digit(digit: &str) -> Result<u32, UnsupportedHash> {
    match values_in(digit, CRYPT)?.as_slice() {
        [value] => Ok((*value).into()),
        _ => Err(UnsupportedHash::Malformed),
    }
}

fn values_in(text: &str, alphabet: &[u8; 64]) -> Result<Vec<u8>, UnsupportedHash> {
    let value = |digit| alphabet.iter().position(|known| *known == digit).and_then(|value| u8::try_from(value).ok());
    text.bytes().map(value).collect::<Option<_>>().ok_or(UnsupportedHash::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALFORMED: UnsupportedHash = UnsupportedHash::Malformed;

    #[test]
    fn a_number_has_digits_only() {
        assert_eq!(number("0"), Ok(0));
        assert_eq!(number("4294967295"), Ok(u32::MAX));
        assert_eq!(number("4294967296"), Err(UnsupportedHash::CostTooHigh));
        for text in ["", "+1", "-1", "01", "1 ", "1x", "١"] {
            assert_eq!(number(text), Err(MALFORMED), "{text:?}");
        }
        assert_eq!(
            (parameter("r=8", "r"), parameter("r8", "r"), parameter("p=8", "r")),
            (Ok(8), Err(MALFORMED), Err(MALFORMED))
        );
    }

    #[test]
    fn a_text_has_exactly_so_many_fields() {
        assert_eq!(fields("a$$c", '$'), Ok(["a", "", "c"]));
        assert_eq!((fields::<2>("a$b$c", '$'), fields::<4>("a$b$c", '$')), (Err(MALFORMED), Err(MALFORMED)));
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(hex("00fFa0"), Ok(vec![0, 255, 160]));
        for text in ["0", "0g", "+1", "é"] {
            assert_eq!(hex(text), Err(MALFORMED), "{text:?}");
        }
    }

    #[test]
    fn base64_is_read_in_the_alphabets_of_all_systems() {
        for text in ["+/8=", "+/8", "-_8", "./8"] {
            assert_eq!(base64(text), Ok(vec![0xfb, 0xff]), "{text}");
        }
        for text in ["+/9", "+", "+ 8", "é"] {
            assert_eq!(base64(text), Err(MALFORMED), "{text}");
        }
        assert_eq!(to_base64(&[0xfb, 0xff]), "+/8");
    }

    #[test]
    fn bits_beyond_the_last_byte_are_ignored_by_bcrypt_only() {
        assert_eq!(bcrypt_base64::<2>("..."), Ok([0, 0]));
        assert_eq!(bcrypt_base64::<2>("../"), Ok([0, 0]), "two unused bits");
        assert_eq!(bcrypt_base64::<2>("..2"), Ok([0, 14]));
        assert_eq!(
            (bcrypt_base64::<2>(".."), bcrypt_base64::<2>("...."), bcrypt_base64::<2>("..+")),
            (Err(MALFORMED), Err(MALFORMED), Err(MALFORMED))
        );
        assert_eq!(crypt_base64("z1"), Ok(vec![0xff]));
        assert_eq!(crypt_base64("zzzz"), Ok(vec![0xff; 3]));
        assert_eq!(
            (crypt_base64("z2"), crypt_base64("z"), crypt_base64("z+")),
            (Err(MALFORMED), Err(MALFORMED), Err(MALFORMED))
        );
        assert_eq!((crypt_base64(""), crypt_base64("..")), (Ok(vec![]), Ok(vec![0])));
    }

    #[test]
    fn an_output_of_a_few_bytes_is_refused() {
        let output = |length| Output::new(vec![0; length]).is_ok();
        assert_eq!([15, 16, 128, 129].map(output), [false, true, true, false]);
        let output = Output::new(vec![7; 20]).unwrap();
        assert!(output.is(&[7; 20]) && !output.is(&[7; 19]) && !output.is(&[8; 20]) && output.len() == 20);
    }
}
