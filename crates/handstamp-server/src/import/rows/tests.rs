//! Tests of the readers with files as people and attackers write them.

use std::io::BufReader;

use super::*;
use crate::user_file::MappedColumn;

const PARSER: ImportParser = ImportParser::new(handstamp::Timestamp::from_unix_seconds(1_800_000_000));

/// Gives a few bytes at a time, as a pipe may.
struct Slowly<'a>(&'a [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(self.0.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

/// For each row its line, and the user's e-mail address and name, or the reason why it is refused.
type RowsRead = Vec<(u64, Result<String, String>)>;

fn read_with(bytes: &[u8], format: Option<Format>, map: &[&str], at_once: usize) -> Result<RowsRead, String> {
    let map: Vec<MappedColumn> = map.iter().map(|text| text.parse().unwrap()).collect();
    let input = BufReader::with_capacity(at_once.max(16), Slowly(bytes, at_once));
    let mut rows = Rows::open(input, format, Mapping::new(&map), PARSER).map_err(|error| match error {
        ReadError::Format(message) => message,
        ReadError::Io(error) => error.to_string(),
    })?;
    let mut read = Vec::new();
    while let Some(row) = rows.next_row().unwrap() {
        assert!(row.raw.len() <= MAX_ROW_BYTES);
        let Place::Line(line) = row.place else { panic!("{:?}", row.place) };
        read.push((line, row.user.map(|user| format!("{user:?}"))));
    }
    Ok(read)
}

/// The same whether the bytes come at once or in small parts.
fn read(bytes: impl AsRef<[u8]>) -> Result<RowsRead, String> {
    let bytes = bytes.as_ref();
    let at_once = read_with(bytes, None, &[], 1 << 20);
    for part in [1, 37] {
        assert_eq!(read_with(bytes, None, &[], part), at_once, "in parts of {part}");
    }
    at_once
}

/// The lines of the rows that are taken, and the others with their reasons.
fn lines(bytes: impl AsRef<[u8]>) -> (Vec<u64>, Vec<(u64, String)>) {
    let rows = read(bytes).unwrap();
    let taken = rows.iter().filter(|(_, user)| user.is_ok()).map(|(line, _)| *line).collect();
    (taken, rows.into_iter().filter_map(|(line, user)| Some((line, user.err()?))).collect())
}

fn refused(bytes: impl AsRef<[u8]>) -> Vec<(u64, String)> {
    let (taken, refused) = lines(bytes);
    assert_eq!(taken, [] as [u64; 0]);
    refused
}

#[test]
fn csv_is_read_as_rfc_4180_says() {
    let name = |bytes: &str| {
        let rows = read(bytes).unwrap();
        let user = rows[0].1.clone().unwrap();
        user.split("name: DisplayName(").nth(1).unwrap().split(')').next().unwrap().to_owned()
    };
    assert_eq!(name("email,name\na@example.com,\"Ada, \"\"the\"\" Countess\"\n"), r#""Ada, \"the\" Countess""#);
    assert_eq!(name("name,email\r\nAda,a@example.com\r\n"), "\"Ada\"");
    assert_eq!(name("email,name\na@example.com,Ada"), "\"Ada\"", "no newline at the end");
    assert_eq!(name("\u{FEFF}email,name\na@example.com,Ada\n"), "\"Ada\"", "a byte order mark");
    assert_eq!(name("\u{FEFF}\"email\",\"name\"\na@example.com,Ada\n"), "\"Ada\"");
    assert_eq!(name("EMAIL, Name \na@example.com,Ada\n"), "\"Ada\"");
    assert_eq!(name("email,name\na@example.com,\n"), "\"a\"", "an empty name");
}

#[test]
fn rows_have_the_number_of_the_line_that_they_begin_on() {
    let (taken, refused) =
        lines("email,bio\r\n\r\na@example.com,\"1\n2\n3\"\r\nb@example.com,\r\n\n\nbad,\nc@example.com,\n");
    assert_eq!((taken, refused.iter().map(|(line, _)| *line).collect::<Vec<_>>()), (vec![3, 6, 10], vec![9]));
    let (taken, refused) = lines("{\"email\":\"a@example.com\"}\n\n \r\nnonsense\n{\"email\":\"b@example.com\"}");
    assert_eq!((taken, refused[0].0), (vec![1, 5], 4));
}

#[test]
fn a_row_with_another_number_of_fields_is_refused() {
    let (taken, refused) = lines("email,name\na@example.com\nb@example.com,B,more\nc@example.com,C\n");
    assert_eq!(taken, [4]);
    assert_eq!(refused[0].1, "has 1 fields, and the header line has 2");
    assert_eq!(refused[1].1, "has 3 fields, and the header line has 2");
}

#[test]
fn a_quote_that_is_not_closed_hides_no_row_and_is_told() {
    // All up to the next quote is one record. A user of the former system may have written what looks like rows within it.
    let refused_rows = refused("bio,email\n\"hello,a@example.com\nx,admin@example.com\ny,b@example.com\n");
    assert_eq!(refused_rows, [(2, "has a quote that is not closed".to_owned())]);
    let hidden = format!("email,bio\na@example.com,\"{}\nevil@example.com,\n\"\nb@example.com,\n", "x".repeat(70_000));
    let (taken, refused) = lines(hidden);
    assert_eq!((taken, refused), (vec![5], vec![(2, too_long())]), "what a bio contains is no row");
}

#[test]
fn a_row_over_the_limit_is_refused_and_the_next_is_read() {
    let most = MAX_ROW_BYTES - "a@example.com,".len();
    for (length, taken_lines) in [(most, vec![2, 3]), (most + 1, vec![3]), (1 << 20, vec![3])] {
        let (taken, _) = lines(format!("email,bio\na@example.com,{}\nb@example.com,\n", "x".repeat(length)));
        assert_eq!(taken, taken_lines, "{length}");
    }
    let most = MAX_ROW_BYTES - "{\"email\":\"a@example.com\",\"bio\":\"\"}".len();
    for (length, taken_lines) in [(most, vec![1, 2]), (most + 1, vec![2]), (1 << 20, vec![2])] {
        for end in ["\n", "\r\n"] {
            let row = format!("{{\"email\":\"a@example.com\",\"bio\":\"{}\"}}{end}", "x".repeat(length));
            let (taken, _) = lines(format!("{row}{{\"email\":\"b@example.com\"}}"));
            assert_eq!(taken, taken_lines, "{length}");
        }
    }
    assert_eq!(refused(format!("{{\"email\":\"{}", "x".repeat(1 << 20))), [(1, too_long())]);
    let many = refused(format!("email\n{}\n", ",".repeat(2000)));
    assert_eq!(many[0].1, "has more than 1000 columns");
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_row() {
    let (taken, refused) = lines(b"email,name,bio\na@example.com,\xff,\nb@example.com,B,\xff\nc@example.com,C\0,\n");
    assert_eq!(taken, [3], "a column that is not imported may have any bytes");
    assert_eq!(refused, [(2, "name is not UTF-8".to_owned()), (4, "the name contains a control character".to_owned())]);
    let (taken, refused) =
        lines(b"{\"email\":\"\xff\"}\n{\"email\":\"a\\u0000@example.com\"}\n\0\n{\"email\":\"b@example.com\"}\n");
    assert_eq!((taken, refused.len(), refused[0].1.as_str()), (vec![4], 3, "is not UTF-8"));
    assert!(read(b"em\xffail\n").unwrap_err().contains("not UTF-8"));
}

#[test]
fn hostile_json_is_refused_with_its_row() {
    let deep = format!("{{\"email\":\"a@example.com\",\"x\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let (taken, _) = lines(format!("{deep}\n{{\"email\":\"b@example.com\"}}\n"));
    assert_eq!(taken.last(), Some(&2), "a value that is not imported may be nested");
    for (row, says) in [
        (r#"{"email":"a@example.com","email":"b@example.com"}"#, "has two values of email"),
        (r#"{"email":"a@example.com","Email":"a@example.com"}"#, "has two values of email"),
        (r#"{"email":"a@example.com","groups":["a"],"groups":"b"}"#, "has two values of groups"),
        (r#"{"email":["a@example.com"]}"#, "has a list as email"),
        (r#"{"email":{"a":1}}"#, "invalid type: map"),
        (r#"{"email":"a@example.com","legacy_id":1.5}"#, "invalid type: floating point"),
        (r#"{"email":"a@example.com","legacy_id":123456789012345678901}"#, "invalid type: floating point"),
        (r#"{"email":"a@example.com","groups":[1]}"#, "invalid type: integer"),
        (r#"{"email":"a@example.com"} {}"#, "is not a JSON object"),
        (r#"{"email":"a@example.com""#, "is not a JSON object"),
        (r#"{"email":"\ud800@example.com"}"#, "is not a JSON object"),
        ("{}", "the address is empty"),
        (r#"{"email":null}"#, "the address is empty"),
    ] {
        let (taken, refused) = lines(format!("{row}\n{{\"email\":\"b@example.com\"}}\n"));
        assert_eq!((taken, refused.len()), (vec![2], 1), "{row}");
        assert!(refused[0].1.starts_with(says), "{row}: {}", refused[0].1);
    }
    assert!(read("[{\"email\":\"a@example.com\"}]").unwrap_err().contains("one JSON list"));
}

#[test]
fn json_values_are_taken_as_texts() {
    let row = r#"{"email":"a@example.com","legacy_id":42,"disabled":true,"created_at":1700000000,"email_verified":false,"groups":["b","a"],"name":null}"#;
    let user = read(row).unwrap()[0].1.clone().unwrap();
    for part in [
        "legacy_id: Some(\"42\")",
        "disabled: true",
        "created_at: Timestamp(1700000000)",
        "email_verified_at: None",
        "groups: [GroupName(\"a\"), GroupName(\"b\")]",
        "name: DisplayName(\"a\")",
    ] {
        assert!(user.contains(part), "{part}: {user}");
    }
    let cell = "email,groups\na@example.com,\"b; a,c d\"\n";
    let user = read(cell).unwrap()[0].1.clone().unwrap();
    assert!(user.contains(r#"[GroupName("a"), GroupName("b"), GroupName("c"), GroupName("d")]"#), "{user}");
}

#[test]
fn an_input_that_is_none_is_an_error_that_says_so() {
    for empty in ["", "\n\n", " \r\n", "\u{FEFF}"] {
        for format in [None, Some(Format::Csv), Some(Format::Jsonl)] {
            assert_eq!(read_with(empty.as_bytes(), format, &[], 100).unwrap_err(), "the input is empty", "{empty:?}");
        }
    }
    let missing = read("a@example.com,Ada\nb@example.com,Bob\n").unwrap_err();
    assert!(missing.contains("no column email") && missing.contains("--map COLUMN=email"), "{missing}");
    assert!(read("email,E-Mail,email\n").unwrap_err().contains("two columns for email"));
    assert!(read(format!("{},email\n", "x".repeat(1 << 20))).unwrap_err().contains("longer than"));
    assert_eq!(read("email\n").unwrap(), [], "a header line alone is a file of no users");
}

#[test]
fn columns_are_mapped_by_name() {
    let csv = b"id,mail,name\n7,a@example.com,Ada\n";
    let user = read_with(csv, None, &["mail=email", "id=legacy_id"], 100).unwrap()[0].1.clone().unwrap();
    assert!(user.contains("legacy_id: Some(\"7\")"), "{user}");
    let unknown = read_with(csv, None, &["mail=email", "uid=legacy_id"], 100).unwrap_err();
    assert!(unknown.contains("\"uid\"") && unknown.contains("id, mail, name"), "{unknown}");
    let twice = read_with(b"id,legacy_id,email\n", None, &["id=legacy_id"], 100).unwrap_err();
    assert!(twice.contains("two columns for legacy_id"), "{twice}");
    let json = b"{\"_id\":\"x\",\"email\":\"a@example.com\"}";
    let user = read_with(json, None, &["_id=legacy_id"], 100).unwrap()[0].1.clone().unwrap();
    assert!(user.contains("legacy_id: Some(\"x\")"), "{user}");
}

#[test]
fn the_format_is_told_by_the_first_byte_or_by_a_flag() {
    assert_eq!(read(" \n{\"email\":\"a@example.com\"}\n").unwrap()[0].0, 2);
    assert!(read_with(b"{\"email\":1}\n", Some(Format::Csv), &[], 100).unwrap_err().contains("no column email"));
    assert_eq!(read_with(b"email\na@example.com\n", Some(Format::Jsonl), &[], 100).unwrap().len(), 2);
}
