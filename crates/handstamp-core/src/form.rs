//! HTML forms as `application/x-www-form-urlencoded`: a strict parser.

use std::collections::HashMap;
use std::fmt;

use percent_encoding::percent_decode;

/// The fields of a form, `application/x-www-form-urlencoded`. Unlike the parser of the URL Standard it refuses invalid
/// UTF-8 instead of replacing it, so that a password is never altered.
pub struct Form(HashMap<String, Vec<String>>);

impl Form {
    /// The most fields a form may have.
    pub const MAX_FIELDS: usize = 100;

    /// Parses a body or a query.
    ///
    /// # Errors
    /// When it has more than [`MAX_FIELDS`](Self::MAX_FIELDS), or is not UTF-8 once it is decoded.
    pub fn parse(text: &[u8]) -> Result<Self, FormError> {
        let mut fields = HashMap::<_, Vec<_>>::new();
        for (count, pair) in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).enumerate() {
            if count == Self::MAX_FIELDS {
                return Err(FormError::TooManyFields);
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            fields.entry(name).or_default().push(value);
        }
        Ok(Self(fields))
    }

    /// The value of a field; empty when the field is absent.
    ///
    /// # Errors
    /// When the field is repeated: code that checks one of the values and uses the other would be deceived.
    pub fn get(&self, name: &str) -> Result<&str, FormError> {
        match self.all(name) {
            [] => Ok(""),
            [value] => Ok(value),
            _ => Err(FormError::Repeated { field: name.to_owned() }),
        }
    }

    /// The names of all fields, each once and in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All values of a field that may be repeated.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

fn decode(text: &[u8]) -> Result<String, FormError> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).map_err(|_| FormError::NotUtf8)
}

/// Why a form is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormError {
    /// More than [`Form::MAX_FIELDS`].
    TooManyFields,
    /// A name or a value is not UTF-8.
    NotUtf8,
    /// A field was sent more than once.
    Repeated {
        /// The name by which the caller asked for it.
        field: String,
    },
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyFields => f.write_str("The form has too many fields."),
            Self::NotUtf8 => f.write_str("The form is not valid UTF-8."),
            Self::Repeated { field } => write!(f, "The field “{field}” was sent more than once."),
        }
    }
}

impl std::error::Error for FormError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_values_of_a_repeated_field_can_be_read() {
        let form = Form::parse(b"group=a&group=b+c").unwrap();
        assert_eq!(
            (form.all("group"), form.all("other")),
            (["a".to_owned(), "b c".to_owned()].as_slice(), [].as_slice())
        );
    }

    fn refusal(text: &[u8]) -> Option<FormError> {
        Form::parse(text).err()
    }

    #[test]
    fn form_fields_are_decoded_once() {
        let form = Form::parse(b"name=Zo%C3%AB+%2B+%2526&password=%00a%3Db=c&empty=&bare&&next=%2F").unwrap();
        assert_eq!(form.get("name").unwrap(), "Zoë + %26");
        assert_eq!(form.get("password").unwrap(), "\0a=b=c");
        assert_eq!(form.get("empty").unwrap(), "");
        assert_eq!(form.get("bare").unwrap(), "");
        assert_eq!(form.get("absent").unwrap(), "");
        assert_eq!(form.get("next").unwrap(), "/");
    }

    #[test]
    fn invalid_utf_8_in_a_form_is_refused_and_not_repaired() {
        for text in [b"password=%FF".as_slice(), b"password=\xff", b"%C3=x", b"password=%C3%28", b"password=%ED%A0%80"]
        {
            assert_eq!(refusal(text), Some(FormError::NotUtf8), "{text:?}");
        }
    }

    #[test]
    fn a_repeated_field_is_refused_where_one_value_is_expected() {
        let form = Form::parse(b"next=/a&next=/b&n%65xt=/c&name=x").unwrap();
        assert_eq!(form.get("next"), Err(FormError::Repeated { field: "next".to_owned() }));
        assert_eq!(form.get("name").unwrap(), "x");
    }

    #[test]
    fn a_form_has_at_most_a_hundred_fields() {
        let fields = |count| (0..count).map(|i| format!("f{i}=x")).collect::<Vec<_>>().join("&");
        assert_eq!(refusal(fields(100).as_bytes()), None);
        assert_eq!(refusal(fields(101).as_bytes()), Some(FormError::TooManyFields));
    }
}
