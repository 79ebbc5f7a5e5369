//! Fuzzes the search for a cookie: it finds what a plain byte-by-byte parser of the header finds.
#![no_main]

use handstamp_core::cookie::{self, CookieLookup};
use libfuzzer_sys::fuzz_target;

const NAME: &[u8] = b"id";

/// Scans a line byte by byte and collects every value of the name.
fn values_in(line: &[u8], values: &mut Vec<Vec<u8>>) {
    let mut at = 0;
    while at <= line.len() {
        let end = (at..line.len()).find(|i| line[*i] == b';').unwrap_or(line.len());
        let (mut from, mut to) = (at, end);
        while from < to && line[from].is_ascii_whitespace() {
            from += 1;
        }
        while from < to && line[to - 1].is_ascii_whitespace() {
            to -= 1;
        }
        let pair = &line[from..to];
        if pair == NAME {
            values.push(Vec::new());
        } else if pair.len() > NAME.len() && pair.starts_with(NAME) && pair[NAME.len()] == b'=' {
            values.push(pair[NAME.len() + 1..].to_vec());
        }
        at = end + 1;
    }
}

fuzz_target!(|input: &[u8]| {
    // A header contains no line feeds, so they can separate its lines here.
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let mut values = Vec::new();
    for line in &lines {
        values_in(line, &mut values);
    }
    let found = cookie::find(lines.iter().copied(), "id");
    match values.as_slice() {
        [] => assert_eq!(found, CookieLookup::Missing),
        [value] => assert_eq!(found, CookieLookup::Found(std::str::from_utf8(value).unwrap_or(""))),
        _ => assert_eq!(found, CookieLookup::Ambiguous),
    }
});
