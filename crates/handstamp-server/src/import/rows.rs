//! The rows of a file of users, CSV (RFC 4180) or JSON Lines: read as a stream, whatever the bytes are, in bounded memory.

use std::fmt;
use std::io::{BufRead, Chain, Cursor, Read};

use csv_core::ReadRecordResult;
use handstamp::{ImportParser, ImportUser};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::mapping::{Mapping, RowTexts};
use super::shown::Shown;
use crate::user_file::{Field, Format};

/// The most bytes of a row.
pub(super) const MAX_ROW_BYTES: usize = 64 << 10;
/// The most columns of a CSV file.
const MAX_COLUMNS: usize = 1000;
/// Some programs begin a text file with these bytes.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where a row is, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The number of the line that it begins on.
    Line(u64),
    /// The number of the row of a table without a key.
    Row(u64),
    /// The row of a table by its key.
    RowWithId(String),
    /// The number of the user in an export.
    User(u64),
    /// The user of an export by the id in its system.
    UserWithId(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
            Self::RowWithId(id) => write!(f, "row with id {}", Shown(id)),
            Self::User(number) => write!(f, "user {number}"),
            Self::UserWithId(id) => write!(f, "user with id {}", Shown(id)),
        }
    }
}

/// A row of the file.
pub(super) struct Row {
    pub(super) place: Place,
    /// The bytes of the row without the line end, cut at [`MAX_ROW_BYTES`].
    pub(super) raw: Vec<u8>,
    /// The user, or why the row is refused.
    pub(super) user: Result<ImportUser, String>,
}

/// Why a file is not read to its end.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(std::io::Error),
    /// The file is not of its format, or the command does not fit it.
    Format(String),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the rows of a file.
pub(super) struct Rows<R> {
    /// Its beginning was read to tell the format.
    input: Chain<Cursor<Vec<u8>>, R>,
    mapping: Mapping,
    checker: ImportParser,
    /// The number of the line at which the input is.
    line: u64,
    parser: Parser,
}

enum Parser {
    Csv(Box<Csv>),
    JsonLines,
}

struct Csv {
    reader: csv_core::Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// For each column, the field that it is.
    columns: Vec<Option<Field>>,
    header: Vec<u8>,
}

impl<R: BufRead> Rows<R> {
    /// Reads the beginning of a file, of this format or of the one that its first byte tells.
    pub(super) fn open(
        mut input: R,
        format: Option<Format>,
        mapping: Mapping,
        checker: ImportParser,
    ) -> Result<Self, ReadError> {
        let beginning = beginning(&mut input)?;
        let Some(first) = beginning.iter().copied().find(|byte| !byte.is_ascii_whitespace()) else {
            return Err(ReadError::Format("the input is empty".to_owned()));
        };
        let input = Cursor::new(beginning).chain(input);
        let is_json = matches!(first, b'{' | b'[');
        let mut rows = Self { input, mapping, checker, line: 1, parser: Parser::JsonLines };
        match format {
            Some(Format::Jsonl) => {}
            None if is_json => {}
            Some(Format::Csv) | None => rows.read_header()?,
        }
        if first == b'[' && matches!(rows.parser, Parser::JsonLines) {
            let message =
                "the input is one JSON list; JSON Lines has an object on each line, as `jq -c '.[]'` prints them";
            return Err(ReadError::Format(message.to_owned()));
        }
        Ok(rows)
    }

    pub(super) fn format(&self) -> Format {
        match self.parser {
            Parser::Csv(_) => Format::Csv,
            Parser::JsonLines => Format::Jsonl,
        }
    }

    /// The header line of a CSV file.
    pub(super) fn header(&self) -> &[u8] {
        match &self.parser {
            Parser::Csv(csv) => &csv.header,
            Parser::JsonLines => &[],
        }
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The next row; none at the end.
    pub(super) fn next_row(&mut self) -> std::io::Result<Option<Row>> {
        match &mut self.parser {
            Parser::Csv(csv) => {
                let Some(record) = csv.read(&mut self.input, &mut self.line)? else { return Ok(None) };
                let user = record.fault.map_or_else(|| csv.user(record.fields, self.checker), Err);
                Ok(Some(Row { place: Place::Line(record.line), raw: record.raw, user }))
            }
            Parser::JsonLines => loop {
                let line = self.line;
                let Some((raw, is_too_long)) = read_line(&mut self.input)? else { return Ok(None) };
                self.line += 1;
                if raw.trim_ascii().is_empty() && !is_too_long {
                    continue;
                }
                let user =
                    if is_too_long { Err(too_long()) } else { parse_json(&raw, &mut self.mapping, self.checker) };
                return Ok(Some(Row { place: Place::Line(line), raw, user }));
            },
        }
    }

    fn read_header(&mut self) -> Result<(), ReadError> {
        let mut csv = Box::new(Csv {
            reader: csv_core::Reader::new(),
            fields: vec![0; MAX_ROW_BYTES],
            ends: vec![0; MAX_COLUMNS + 1],
            columns: Vec::new(),
            header: Vec::new(),
        });
        let wrong = |reason: String| ReadError::Format(format!("the header line {reason}"));
        let Some(record) = csv.read(&mut self.input, &mut self.line)? else {
            return Err(ReadError::Format("the input is empty".to_owned()));
        };
        if let Some(fault) = record.fault {
            return Err(wrong(fault));
        }
        let names: Result<Vec<&str>, _> = csv.columns_of(record.fields).map(std::str::from_utf8).collect();
        let names = names.map_err(|_| wrong("is not UTF-8".to_owned()))?;
        let mut columns = Vec::with_capacity(names.len());
        for name in &names {
            let field = self.mapping.field(name);
            if let Some(field) = field.filter(|_| columns.contains(&field)) {
                return Err(wrong(format!("has two columns for {}", field.name())));
            }
            columns.push(field);
        }
        let listed = names.iter().map(|name| name.chars().take(40).collect::<String>()).collect::<Vec<_>>().join(", ");
        if let Some(unseen) = self.mapping.unseen() {
            return Err(ReadError::Format(format!("--map names the column {unseen:?}; the columns are {listed}")));
        }
        if !columns.contains(&Some(Field::Email)) {
            return Err(wrong(format!(
                "has no column email; the columns are {listed}; name one with --map COLUMN=email"
            )));
        }
        (csv.columns, csv.header) = (columns, record.raw);
        self.parser = Parser::Csv(csv);
        Ok(())
    }
}

/// A record of a CSV file: its fields are in the buffers of the reader.
struct Record {
    line: u64,
    raw: Vec<u8>,
    /// How many fields it has.
    fields: usize,
    /// Why it cannot be one.
    fault: Option<String>,
}

impl Csv {
    /// Reads a record. One that is too long is read to its end and left out. Within quotes, what follows a line end is no row of its own: a
    /// user of the former system may have written it.
    fn read(&mut self, input: &mut impl BufRead, line: &mut u64) -> std::io::Result<Option<Record>> {
        let (mut raw, mut quotes, mut length, mut written, mut fields) = (Vec::new(), 0_u64, 0, 0, 0);
        let (mut lines, mut begins_on, mut has_begun) = (0, *line, false);
        let (mut is_too_long, mut has_too_many) = (false, false);
        loop {
            let available = input.fill_buf()?;
            if is_too_long || has_too_many {
                (written, fields) = (0, 0);
            }
            let (result, read, wrote, ended) =
                self.reader.read_record(available, &mut self.fields[written..], &mut self.ends[fields..]);
            (written, fields) = (written + wrote, fields + ended);
            let mut part = &available[..read];
            if !has_begun {
                let begin = part.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(part.len());
                begins_on += count(b'\n', &part[..begin]);
                lines += count(b'\n', &part[..begin]);
                part = &part[begin..];
                has_begun = !part.is_empty();
            }
            lines += count(b'\n', part);
            quotes += count(b'"', part);
            length += part.len();
            raw.extend_from_slice(&part[..part.len().min(MAX_ROW_BYTES - raw.len())]);
            input.consume(read);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => is_too_long = true,
                ReadRecordResult::OutputEndsFull => has_too_many = true,
                ReadRecordResult::End => {
                    *line += lines;
                    return Ok(None);
                }
                ReadRecordResult::Record => break,
            }
        }
        *line += lines;
        let end = raw.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        raw.truncate(end);
        let fault = match () {
            // A quote that is never closed makes one record of all lines up to the end.
            () if !quotes.is_multiple_of(2) => Some("has a quote that is not closed".to_owned()),
            () if is_too_long || length > MAX_ROW_BYTES + 2 => Some(too_long()),
            () if has_too_many || fields > MAX_COLUMNS => Some(format!("has more than {MAX_COLUMNS} columns")),
            () if !self.columns.is_empty() && fields != self.columns.len() => {
                Some(format!("has {fields} fields, and the header line has {}", self.columns.len()))
            }
            () => None,
        };
        Ok(Some(Record { line: begins_on, raw, fields, fault }))
    }

    fn columns_of(&self, fields: usize) -> impl Iterator<Item = &[u8]> {
        (0..fields).map(|field| {
            let begin = if field == 0 { 0 } else { self.ends[field - 1] };
            &self.fields[begin..self.ends[field]]
        })
    }

    fn user(&self, fields: usize, checker: ImportParser) -> Result<ImportUser, String> {
        let mut texts = RowTexts::default();
        for (column, bytes) in self.columns.iter().zip(self.columns_of(fields)) {
            if let Some(field) = column {
                let text = std::str::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", field.name()))?;
                texts.set(*field, text.to_owned());
            }
        }
        texts.parse(checker)
    }
}

fn count(byte: u8, bytes: &[u8]) -> u64 {
    memchr::memchr_iter(byte, bytes).count() as u64
}

fn too_long() -> String {
    format!("is longer than {MAX_ROW_BYTES} bytes")
}

/// Reads the beginning of an input, up to the first byte that is no white space. A byte order mark is left out.
fn beginning(input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    loop {
        let text = read.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&read);
        let is_part_of_a_mark = BYTE_ORDER_MARK.starts_with(text);
        let tells = !is_part_of_a_mark && !text.trim_ascii().is_empty();
        let available = input.fill_buf()?;
        if tells || available.is_empty() || read.len() > MAX_ROW_BYTES {
            return Ok(text.to_vec());
        }
        read.push(available[0]);
        input.consume(1);
    }
}

/// A line without its end, cut at [`MAX_ROW_BYTES`], and whether it was longer; none at the end.
pub(super) fn read_line(input: &mut impl BufRead) -> std::io::Result<Option<(Vec<u8>, bool)>> {
    let mut line = Vec::new();
    let most = MAX_ROW_BYTES as u64 + 2;
    if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let mut is_complete = line.last() == Some(&b'\n');
    while line.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) && line.pop() == Some(b'\n') {}
    let is_too_long = line.len() > MAX_ROW_BYTES;
    line.truncate(MAX_ROW_BYTES);
    while is_too_long && !is_complete {
        let available = input.fill_buf()?;
        let (read, found) = match memchr::memchr(b'\n', available) {
            Some(end) => (end + 1, true),
            None => (available.len(), available.is_empty()),
        };
        input.consume(read);
        is_complete = found;
    }
    Ok(Some((line, is_too_long)))
}

/// The user of a line of JSON.
fn parse_json(line: &[u8], mapping: &mut Mapping, checker: ImportParser) -> Result<ImportUser, String> {
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    let mut json = serde_json::Deserializer::from_str(text);
    let texts = JsonRow(mapping).deserialize(&mut json).and_then(|texts| json.end().map(|()| texts));
    // The position in the message is within the line.
    let texts = texts.map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            let message = error.to_string();
            message.split(" at line ").next().unwrap_or_default().to_owned()
        }
        _ => format!("is not a JSON object (character {})", error.column()),
    })?;
    texts.parse(checker)
}

/// Reads an object whose keys are columns.
struct JsonRow<'a>(&'a mut Mapping);

impl<'de> DeserializeSeed<'de> for JsonRow<'_> {
    type Value = RowTexts;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<RowTexts, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for JsonRow<'_> {
    type Value = RowTexts;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RowTexts, A::Error> {
        let mut texts = RowTexts::default();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let Some(field) = self.0.field(&key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let is_first = match map.next_value_seed(JsonValue(field))? {
                Value::Text(text) => texts.set(field, text),
                Value::Groups(names) => texts.set_groups(names),
            };
            if !is_first {
                return Err(A::Error::custom(format_args!("has two values of {}", field.name())));
            }
        }
        Ok(texts)
    }
}

enum Value {
    Text(String),
    Groups(Vec<String>),
}

/// Reads the value of a field.
struct JsonValue(Field);

impl<'de> DeserializeSeed<'de> for JsonValue {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonValue {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a text, a whole number, true, false or null as {}", self.0.name())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Text(String::new()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        if self.0 != Field::Groups {
            return Err(A::Error::custom(format_args!("has a list as {}", self.0.name())));
        }
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(name);
        }
        Ok(Value::Groups(names))
    }
}

#[cfg(test)]
mod tests;
