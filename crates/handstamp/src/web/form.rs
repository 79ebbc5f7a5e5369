use std::collections::HashMap;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode;

use super::failure::Failure;

/// The longest form.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_FIELDS: usize = 100;
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The fields of a form, `application/x-www-form-urlencoded`. Unlike the parser of the URL Standard it refuses invalid
/// UTF-8 instead of replacing it: a password is what was typed, or nothing.
pub(super) struct Fields(HashMap<String, Option<String>>);

impl Fields {
    /// Parses a body or a query.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let mut fields = HashMap::new();
        for (count, pair) in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).enumerate() {
            if count == MAX_FIELDS {
                return Err(Failure::refused(StatusCode::BAD_REQUEST, "The form has too many fields."));
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            fields.entry(name).and_modify(|twice| *twice = None).or_insert(Some(value));
        }
        Ok(Self(fields))
    }

    /// The value of a field; empty when it is not there.
    ///
    /// # Errors
    /// When the field is there twice: whoever takes the one and checks the other is fooled.
    pub(super) fn get(&self, name: &str) -> Result<&str, Failure> {
        match self.0.get(name) {
            None => Ok(""),
            Some(Some(value)) => Ok(value),
            Some(None) => {
                Err(Failure::refused(StatusCode::BAD_REQUEST, format!("The field “{name}” was sent more than once.")))
            }
        }
    }
}

fn decode(text: &[u8]) -> Result<String, Failure> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect())
        .map_err(|_| Failure::refused(StatusCode::BAD_REQUEST, "The form is not valid UTF-8."))
}

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        if !is_form(request.headers()) {
            let message = "Send the form as application/x-www-form-urlencoded.";
            return Err(Failure::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), MAX_BODY_BYTES)).await;
        match body {
            Ok(Ok(body)) => Self::parse(&body),
            Ok(Err(error)) if is_too_long(&error) => {
                Err(Failure::refused(StatusCode::PAYLOAD_TOO_LARGE, "The form is too long."))
            }
            Ok(Err(_)) => Err(Failure::refused(StatusCode::BAD_REQUEST, "The form broke off.")),
            Err(_) => Err(Failure::refused(StatusCode::REQUEST_TIMEOUT, "The form took too long to arrive.")),
        }
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<http_body_util::LengthLimitError>() || error.source().is_some_and(is_too_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &[u8]) -> Option<StatusCode> {
        Fields::parse(text).err().map(|failure| failure.status())
    }

    #[test]
    fn fields_are_decoded_once() {
        let fields = Fields::parse(b"name=Zo%C3%AB+%2B+%2526&password=%00a%3Db=c&empty=&bare&&next=%2F").unwrap();
        assert_eq!(fields.get("name").unwrap(), "Zoë + %26");
        assert_eq!(fields.get("password").unwrap(), "\0a=b=c");
        assert_eq!(fields.get("empty").unwrap(), "");
        assert_eq!(fields.get("bare").unwrap(), "");
        assert_eq!(fields.get("absent").unwrap(), "");
        assert_eq!(fields.get("next").unwrap(), "/");
    }

    #[test]
    fn invalid_utf_8_is_refused_and_not_mended() {
        for text in [b"password=%FF".as_slice(), b"password=\xff", b"%C3=x", b"password=%C3%28", b"password=%ED%A0%80"]
        {
            assert_eq!(status(text), Some(StatusCode::BAD_REQUEST), "{text:?}");
        }
    }

    #[test]
    fn a_field_that_comes_twice_is_refused_when_it_is_asked_for() {
        let fields = Fields::parse(b"next=/a&next=/b&n%65xt=/c&name=x").unwrap();
        assert_eq!(fields.get("next").unwrap_err().status(), StatusCode::BAD_REQUEST);
        assert_eq!(fields.get("name").unwrap(), "x");
    }

    #[test]
    fn a_hundred_fields_are_enough() {
        let fields = |count| (0..count).map(|i| format!("f{i}=x")).collect::<Vec<_>>().join("&");
        assert_eq!(status(fields(100).as_bytes()), None);
        assert_eq!(status(fields(101).as_bytes()), Some(StatusCode::BAD_REQUEST));
    }
}
