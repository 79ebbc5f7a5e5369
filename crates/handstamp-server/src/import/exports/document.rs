//! The users of a JSON document, one after the other, so that only one of them is in memory.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::super::rows::{MAX_ROW_BYTES, read_line};
use super::ReadFailed;

/// The most bytes of a user or a key in a document.
const MAX_USER_BYTES: usize = 1 << 20;

/// Where the users are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object on each line, or one list of objects.
    Lines,
    /// The list `users` of an object, or of each object of a list.
    UsersOfDocument,
}

type Act<'a> = dyn FnMut(Result<Value, String>) -> Result<(), ReadFailed> + 'a;

/// Calls `act` with each user, or why it cannot be one.
///
/// # Errors
/// Those of `act`, and when the input cannot be read or has no users.
pub(super) fn each_user(mut input: impl BufRead, shape: Shape, act: &mut Act<'_>) -> Result<(), ReadFailed> {
    let first = loop {
        let available = input.fill_buf().map_err(ReadFailed::Io)?;
        let skipped = available.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match available.get(skipped) {
            Some(byte) => break *byte,
            None if available.is_empty() => return Err(ReadFailed::Format("the input is empty".to_owned())),
            None => input.consume(skipped),
        }
    };
    match (shape, first) {
        (Shape::Lines, b'{') => each_line(&mut input, act),
        (Shape::Lines | Shape::UsersOfDocument, b'{' | b'[') => each_element(input, shape, act),
        _ => Err(ReadFailed::Format("the input is not JSON".to_owned())),
    }
}

fn each_line(input: &mut impl BufRead, act: &mut Act<'_>) -> Result<(), ReadFailed> {
    while let Some((line, is_too_long)) = read_line(input).map_err(ReadFailed::Io)? {
        if is_too_long {
            act(Err(format!("is longer than {MAX_ROW_BYTES} bytes")))?;
        } else if !line.trim_ascii().is_empty() {
            act(serde_json::from_slice(&line).map_err(|error| format!("is not JSON (character {})", error.column())))?;
        }
    }
    Ok(())
}

fn each_element(input: impl BufRead, shape: Shape, act: &mut Act<'_>) -> Result<(), ReadFailed> {
    let left = Cell::new(usize::MAX);
    let mut failed = None;
    let mut found = false;
    let mut json = serde_json::Deserializer::from_reader(Bounded { input, left: &left });
    let mut walk = Walk { left: &left, failed: &mut failed, found: &mut found, act };
    let walked = match shape {
        Shape::Lines => Elements(&mut walk).deserialize(&mut json),
        Shape::UsersOfDocument => Document(&mut walk).deserialize(&mut json),
    };
    if walked.is_ok() && !found {
        return Err(ReadFailed::Format("the input has no list \"users\"".to_owned()));
    }
    let walked = walked.and_then(|()| json.end());
    match (failed, walked) {
        (Some(failed), _) => Err(failed),
        (None, Err(error)) if left.get() == 0 => Err(ReadFailed::Format(format!(
            "a user or a key is longer than {MAX_USER_BYTES} bytes (line {})",
            error.line()
        ))),
        (None, Err(error)) => Err(match error.io_error_kind() {
            Some(_) => ReadFailed::Io(error.into()),
            None => ReadFailed::Format(format!("the input is not JSON of this system: {error}")),
        }),
        (None, Ok(())) => Ok(()),
    }
}

/// An input of which only so many bytes can be read until the number is set again.
struct Bounded<'a, R> {
    input: R,
    left: &'a Cell<usize>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left.get());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("a user or a key is too long"));
        }
        let read = self.input.read(&mut buffer[..most])?;
        self.left.set(self.left.get().saturating_sub(read));
        Ok(read)
    }
}

/// The way through a document.
struct Walk<'a, 'b> {
    /// How many bytes may still be read.
    left: &'a Cell<usize>,
    failed: &'a mut Option<ReadFailed>,
    /// Whether there is a list of users.
    found: &'a mut bool,
    act: &'a mut Act<'b>,
}

/// An object with the list `users`, or a list of such objects.
struct Document<'w, 'a, 'b>(&'w mut Walk<'a, 'b>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with a list of users")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        loop {
            self.0.left.set(MAX_USER_BYTES);
            let Some(key) = map.next_key::<String>()? else { return Ok(()) };
            // Ignored values of any length are not kept.
            self.0.left.set(usize::MAX);
            if key == "users" {
                map.next_value_seed(Elements(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Document(self.0))?.is_some() {}
        Ok(())
    }
}

/// A list of users.
struct Elements<'w, 'a, 'b>(&'w mut Walk<'a, 'b>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of users")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        *self.0.found = true;
        loop {
            self.0.left.set(MAX_USER_BYTES);
            let Some(user) = list.next_element::<Value>()? else {
                self.0.left.set(usize::MAX);
                return Ok(());
            };
            if let Err(failed) = (self.0.act)(Ok(user)) {
                *self.0.failed = Some(failed);
                return Err(A::Error::custom("the import has failed"));
            }
        }
    }
}
