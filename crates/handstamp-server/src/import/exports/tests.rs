//! Tests of exports: documents in any form, and of any length.

use std::io::{Cursor, Read};

use serde_json::json;

use super::document::each_user;
use super::*;

/// The users of a document, each by its id or the reason why it is refused.
fn users(bytes: impl Read, shape: Shape) -> Result<Vec<String>, String> {
    let mut users = Vec::new();
    let read = each_user(BufReader::with_capacity(16, bytes), shape, &mut |user| {
        users.push(user.map_or_else(|reason| reason, |user| user["id"].to_string()));
        Ok(())
    });
    match read {
        Ok(()) => Ok(users),
        Err(ReadFailed::Format(message)) => Err(message),
        Err(ReadFailed::Io(error)) => Err(format!("io: {error}")),
        Err(ReadFailed::NobodyReceives) => Err("unreachable".to_owned()),
    }
}

fn of_document(text: &str) -> Result<Vec<String>, String> {
    users(text.as_bytes(), Shape::UsersOfDocument)
}

#[test]
fn users_are_those_of_the_list_of_the_document() {
    assert_eq!(
        of_document(r#" {"a": [1, {"users": 2}], "users": [{"id": 1}, {"id": 2}], "b": {}}"#).unwrap(),
        ["1", "2"]
    );
    assert_eq!(
        of_document(r#"[{"users": [{"id": 1}]}, {"users": [], "x": 1}, {"users": [{"id": 3}]}]"#).unwrap(),
        ["1", "3"]
    );
    assert_eq!(of_document(r#"{"users": []}"#).unwrap(), [] as [&str; 0]);
    assert_eq!(users(&b"[{\"id\": 1}, {\"id\": 2}]"[..], Shape::Lines).unwrap(), ["1", "2"]);
    let lines = "\n{\"id\": 1}\r\n\n{\"id\": \n[]\n{\"id\": 4}";
    let read = users(lines.as_bytes(), Shape::Lines).unwrap();
    assert_eq!((read.len(), read[0].as_str(), read[3].as_str()), (4, "1", "4"));
    assert!(read[1].starts_with("is not JSON"), "{read:?}");
}

#[test]
fn documents_that_are_none_are_refused() {
    for (text, says) in [
        ("", "empty"),
        ("   \n ", "empty"),
        ("email,name", "not JSON"),
        ("{}", "no list \"users\""),
        (r#"{"users": {}}"#, "list of users"),
        (r#"{"users": [{"id": 1}"#, "not JSON"),
        (r#"{"users": [{"id": 1}]} x"#, "trailing"),
        (r#"{"users": [{"id": 1}, nonsense]}"#, "not JSON"),
    ] {
        let error = of_document(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn what_is_not_a_user_may_be_long_and_a_user_may_not() {
    let long = "x".repeat(2 << 20);
    assert_eq!(
        of_document(&format!(r#"{{"theme": "{long}", "users": [{{"id": 1}}], "end": "{long}"}}"#)).unwrap(),
        ["1"]
    );
    for text in [
        format!(r#"{{"users": [{{"id": 1}}, {{"id": 2, "about": "{long}"}}]}}"#),
        format!(r#"{{"{long}": 1}}"#),
        format!(r#"{{"users": [{}"#, " ".repeat(2 << 20)),
    ] {
        assert!(of_document(&text).unwrap_err().contains("longer than 1048576 bytes"));
    }
    let deep = format!(r#"{{"users": [{}]}}"#, "[".repeat(100_000));
    assert!(of_document(&deep).unwrap_err().contains("recursion"));
}

#[test]
fn a_document_of_many_users_is_read_as_a_stream() {
    let user = format!(r#"{{"id": 1, "about": "{}"}},"#, "x".repeat(10_000));
    let endless = Cursor::new(b"{\"users\": [".to_vec()).chain(Repeated(user.into_bytes(), 0));
    let mut count = 0;
    let read = each_user(BufReader::new(endless), Shape::UsersOfDocument, &mut |user| {
        assert!(user.is_ok());
        count += 1;
        if count == 2000 { Err(ReadFailed::NobodyReceives) } else { Ok(()) }
    });
    assert!(matches!(read, Err(ReadFailed::NobodyReceives)) && count == 2000);
}

/// Gives bytes again and again.
struct Repeated(Vec<u8>, usize);

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let part = &self.0[self.1..];
        let length = part.len().min(buffer.len());
        buffer[..length].copy_from_slice(&part[..length]);
        self.1 = (self.1 + length) % self.0.len();
        Ok(length)
    }
}

#[test]
fn a_user_of_auth0_is_read_from_either_file() {
    let user = auth0::user(&json!({
        "user_id": "auth0|60425dc43519d90068f82973", "email": "ada@example.com", "email_verified": true,
        "name": "ada@example.com", "given_name": "Ada", "created_at": "2021-03-05T16:35:16.775Z", "blocked": false
    }))
    .unwrap();
    assert_eq!((user.get(Field::Name), user.get(Field::Disabled)), ("Ada", "false"));
    assert_eq!(user.get(Field::LegacyId), "auth0|60425dc43519d90068f82973");
    let user = auth0::user(&json!({
        "_id": {"$oid": "60425dc43519d90068f82973"}, "email": "ada@example.com", "passwordHash": "$2b$10$x"
    }))
    .unwrap();
    assert_eq!((user.get(Field::CreatedAt), user.get(Field::PasswordHash)), ("1614962116", "$2b$10$x"));
    assert_eq!(user.get(Field::LegacyId), "auth0|60425dc43519d90068f82973");
    let custom = |encoding: &str| {
        let hash = json!({"value": "$6$x", "encoding": encoding});
        auth0::user(&json!({"email": "ada@example.com", "custom_password_hash": {"algorithm": "bcrypt", "hash": hash}}))
    };
    assert_eq!(custom("utf8").unwrap().get(Field::PasswordHash), "$6$x");
    assert!(custom("hex").is_err());
    assert!(auth0::user(&json!({"email": ["ada@example.com"]})).is_err());
    assert_eq!(auth0::user(&json!({"_id": "short"})).unwrap().get(Field::LegacyId), "");
}

#[test]
fn a_user_of_keycloak_is_enabled_only_if_the_export_says_so() {
    let user = |value: Value| keycloak::user(&value);
    let enabled = |value: Value| user(json!({"enabled": value})).unwrap().get(Field::Disabled).to_owned();
    assert_eq!(
        (enabled(json!(true)), enabled(json!(false)), enabled(json!(null))),
        ("false".into(), "true".into(), "true".into())
    );
    let ada = user(json!({
        "username": "ada", "firstName": "Ada", "lastName": null, "groups": ["/staff", "/a/b"],
        "realmRoles": ["default-roles-example", "offline_access", "uma_authorization", "editor"]
    }))
    .unwrap();
    assert_eq!(
        (ada.get(Field::Name), ada.groups.clone()),
        ("Ada", vec!["staff".to_owned(), "a/b".to_owned(), "editor".to_owned()])
    );
    assert!(user(json!({"serviceAccountClientId": "app"})).unwrap_err().contains("service account"));
    assert_eq!(user(json!({"credentials": [{"type": "otp"}]})).unwrap().get(Field::PasswordHash), "");
    for credentials in [
        json!([{"type": "password"}]),
        json!([{"type": "password", "secretData": "{}", "credentialData": "{}"}]),
        json!({"type": "password"}),
    ] {
        assert!(user(json!({"credentials": credentials})).is_err());
    }
}

#[test]
fn a_user_of_firebase_has_its_hash_with_the_settings_of_the_project() {
    let params = firebase::params(None).unwrap();
    let user = |value: Value| firebase::user(&value, &params);
    let ada = user(json!({"localId": "a", "email": "ada@example.com", "passwordHash": "_-8=", "salt": "QUJD"}));
    // A hash of two bytes is none.
    assert!(ada.is_err());
    let hash = "9TZOUO7FGRAf8C85FmlytLOu3TJruqpBd8dg_QTia1i52kxd73ez7w-dGpyCZdl6SjycSbF6mA8Z4SzXuDxlFQ==";
    let ada =
        user(json!({"localId": "a", "passwordHash": hash, "salt": "42xEC-ixf3L2lw==", "createdAt": "1614834367890"}));
    let ada = ada.unwrap();
    assert!(ada.get(Field::PasswordHash).starts_with("handstamp-firebase$"), "{}", ada.get(Field::PasswordHash));
    assert_eq!((ada.get(Field::CreatedAt), ada.get(Field::LegacyId)), ("1614834367890", "a"));
    assert_eq!(user(json!({"email": "x"})).unwrap().get(Field::PasswordHash), "");
}
