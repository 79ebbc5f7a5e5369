//! Fuzzes forms: an accepted form means what the URL Standard says it means, and the same when it is sent again.
#![no_main]

use std::collections::HashMap;

use handstamp_core::{Form, FormError};
use libfuzzer_sys::fuzz_target;
use url::form_urlencoded;

fn holds(form: &Form, pairs: &[(String, String)]) {
    let mut fields: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, value) in pairs {
        fields.entry(name).or_default().push(value);
    }
    for (name, values) in &fields {
        match values.as_slice() {
            [value] => assert_eq!(form.get(name), Ok(*value)),
            _ => assert_eq!(form.get(name), Err(FormError::Repeated { field: (*name).to_owned() })),
        }
    }
    let absent = (0..).map(|i| format!("absent{i}")).find(|name| !fields.contains_key(name.as_str()));
    assert_eq!(form.get(&absent.expect("there are more numbers than fields")), Ok(""));
}

fuzz_target!(|text: &[u8]| {
    // This parser replaces invalid UTF-8.
    let pairs: Vec<(String, String)> = form_urlencoded::parse(text).into_owned().collect();
    match Form::parse(text) {
        Ok(form) => {
            assert!(pairs.len() <= Form::MAX_FIELDS);
            holds(&form, &pairs);
            let again = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            holds(&Form::parse(again.as_bytes()).expect("what was accepted is accepted again"), &pairs);
        }
        Err(FormError::TooManyFields) => assert!(pairs.len() > Form::MAX_FIELDS),
        Err(FormError::NotUtf8) => {
            assert!(pairs.iter().any(|(name, value)| name.contains('\u{FFFD}') || value.contains('\u{FFFD}')));
        }
        Err(FormError::Repeated { .. }) => unreachable!("no field was read"),
    }
});
