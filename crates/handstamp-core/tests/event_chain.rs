//! The laws of the audit log's chain: golden vectors of another implementation, and commitments and tags that fit one thing only.

#![allow(clippy::unwrap_used)]

use handstamp_core::{
    ErasedEvents, EventCommitment, EventHead, EventKeys, EventRecord, EventTag, EventTagError, SecretKey, Timestamp,
    UserId,
};

const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
const OTHER_SECRET: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";

/// Printed by golden_events.py, which shares no code with this crate. Vectors are only ever added.
const COMMITMENTS: [&str; 2] = [
    "a142a293c3f19e8f2c127ca21fac35cf4658fb2619f1f6d2a43ed06526e4971a",
    "2570e5d5d914431ee2c1049a7d12160072cd21574813af53d909dbc8e4f39098",
];
const HEAD: &str = "2:2f08a8a1b552907d5705e55f3be00d8a622d64bdf811d98be8690c222954c306";
const TAG_OF_THE_FIRST: &str = "a517e55b3fa10a6c958c73f9ce152360125598283cf555a5f050c6fdba543527b777d2ce";
const SEAL_OF_THE_SECOND: &str = "a517e55b7f28e42e65ac29a3207548ab3aeba3985715c34e6b7815820dac03ab587eeea1";
const ERASED: &str = "d09a0e13de63fa27a84d5a2b746f3e2cdfe9fa6a5ee622392bb12f9d1cfc7c51";

const FIRST: EventRecord<'_> = EventRecord {
    id: uuid::Uuid::from_u128(0x019a_af3c_6000_7001_8123_4567_89ab_cdef),
    time: Timestamp::from_unix_seconds(1_763_900_000),
    user: Some(UserId::from_uuid(uuid::Uuid::from_u128(0x019a_af3c_5c00_7a11_8b22_c33d_44e5_5f66))),
    name: "authn_login_success",
    content: r#"{"actor":"visitor"}"#,
};
const SECOND: EventRecord<'_> =
    EventRecord { time: Timestamp::from_unix_seconds(0), user: None, name: "é", content: "", ..FIRST };

fn secret(text: &str) -> SecretKey {
    SecretKey::parse(text).unwrap()
}

fn keys() -> EventKeys {
    EventKeys::new(&secret(SECRET), &[]).unwrap()
}

fn commitments() -> [EventCommitment; 2] {
    [FIRST.commitment(&std::array::from_fn(|i| i as u8)), SECOND.commitment(&[0xff; 16])]
}

/// The heads and the tags of two events.
fn sealed() -> [(EventHead, EventTag); 2] {
    let [first, second] = commitments();
    let sealed = keys().seal(&EventHead::EMPTY, &first);
    [sealed, keys().seal(&sealed.0, &second)]
}

fn head() -> EventHead {
    sealed()[1].0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn commitments_heads_and_tags_are_those_of_the_golden_vectors() {
    assert_eq!(commitments().map(|commitment| hex(commitment.as_bytes())), COMMITMENTS);
    assert_eq!(head().to_string(), HEAD);
    assert_eq!(hex(keys().tag_commitment(&commitments()[0]).as_bytes()), TAG_OF_THE_FIRST);
    assert_eq!(hex(sealed()[1].1.as_bytes()), SEAL_OF_THE_SECOND);
    let erased = ErasedEvents::of(commitments().to_vec());
    assert_eq!((erased.count, erased.digest_text()), (2, ERASED.to_owned()));
}

#[test]
fn every_part_of_a_record_and_the_salt_change_its_commitment() {
    let salt = [7; 16];
    let mut other_salt = salt;
    other_salt[15] ^= 1;
    let records = [
        FIRST,
        EventRecord { id: uuid::Uuid::nil(), ..FIRST },
        EventRecord { time: Timestamp::from_unix_seconds(1_763_900_001), ..FIRST },
        EventRecord { user: None, ..FIRST },
        EventRecord { user: Some(UserId::from_uuid(uuid::Uuid::nil())), ..FIRST },
        EventRecord { name: "authn_login_succes", content: r#"s{"actor":"visitor"}"#, ..FIRST },
        EventRecord { content: "{}", ..FIRST },
    ];
    let mut commitments: Vec<_> = records.map(|record| record.commitment(&salt)).to_vec();
    commitments.push(FIRST.commitment(&other_salt));
    commitments.sort_unstable();
    commitments.dedup();
    assert_eq!(commitments.len(), 8);
}

#[test]
fn a_link_depends_on_the_link_before_the_position_the_key_and_the_commitment() {
    let [first, second] = commitments();
    let other_keys = EventKeys::new(&secret(OTHER_SECRET), &[]).unwrap();
    let links = [
        keys().seal(&EventHead::EMPTY, &first),
        keys().seal(&EventHead::EMPTY, &second),
        keys().seal(&EventHead { position: 1, ..EventHead::EMPTY }, &first),
        keys().seal(&EventHead { link: [1; 32], ..EventHead::EMPTY }, &first),
        other_keys.seal(&EventHead::EMPTY, &first),
    ]
    .map(|(head, _)| head.link);
    assert!((0..links.len()).all(|i| (0..i).all(|j| links[i] != links[j])));
}

#[test]
fn a_tag_fits_one_thing_in_one_role_under_one_key() {
    let (keys, [first, second]) = (keys(), commitments());
    let tag = keys.tag_commitment(&first);
    assert_eq!(keys.check_commitment(&first, &tag), Ok(()));
    assert_eq!(keys.check_commitment(&second, &tag), Err(EventTagError::Invalid));
    let (head, seal) = keys.seal(&EventHead::EMPTY, &first);
    let link = EventCommitment::from_bytes(head.link);
    assert_eq!(keys.check_commitment(&link, &seal), Err(EventTagError::Invalid), "a link is no commitment");
    let (_, checked) = keys.check_seal(&EventHead::EMPTY, &first, &keys.tag_commitment(&link));
    assert_eq!(checked, Err(EventTagError::Invalid));
    for byte in 0..36 {
        let mut bytes = *tag.as_bytes();
        bytes[byte] ^= 1;
        let wrong = if byte < 4 { EventTagError::UnknownKey } else { EventTagError::Invalid };
        assert_eq!(keys.check_commitment(&first, &EventTag::from_bytes(bytes)), Err(wrong), "byte {byte}");
    }
}

#[test]
fn a_rotated_secret_still_checks_the_tags_of_the_earlier_one() {
    let [first, second] = commitments();
    let rotated = EventKeys::new(&secret(OTHER_SECRET), &[secret(SECRET)]).unwrap();
    let (head, tag) = keys().seal(&EventHead::EMPTY, &first);
    assert_eq!(rotated.check_seal(&EventHead::EMPTY, &first, &tag), (head, Ok(())));
    let (next, tag) = rotated.seal(&head, &second);
    assert_eq!(keys().check_seal(&head, &second, &tag), (next, Err(EventTagError::UnknownKey)));
    assert_eq!(rotated.check_seal(&head, &second, &tag), (next, Ok(())));
}

#[test]
fn a_head_has_one_text_which_is_parsed_again() {
    assert_eq!(HEAD.parse(), Ok(head()));
    assert_eq!(EventHead::EMPTY.to_string().parse(), Ok(EventHead::EMPTY));
    let upper = HEAD.to_uppercase();
    for wrong in [
        "",
        "2",
        "2:",
        ":",
        &HEAD[1..],
        &HEAD[..65],
        &format!("{HEAD}0"),
        &upper,
        &format!("0{HEAD}"),
        &format!("+{HEAD}"),
    ] {
        assert!(wrong.parse::<EventHead>().is_err(), "{wrong}");
    }
    assert!(format!("-{HEAD}").parse::<EventHead>().is_err() && HEAD.replace(':', ":é").parse::<EventHead>().is_err());
}

#[test]
fn a_set_of_erased_events_has_no_order_and_is_read_from_its_text() {
    let [first, second] = commitments();
    let erased = ErasedEvents::of(vec![second, first]);
    assert_eq!(erased, ErasedEvents::of(vec![first, second]));
    assert_ne!(erased, ErasedEvents::of(vec![first]));
    assert_ne!(erased, ErasedEvents::of(vec![first, second, second]));
    assert_eq!(ErasedEvents::from_text(2, ERASED), Some(erased));
    assert_eq!(ErasedEvents::from_text(2, &ERASED[1..]), None);
}

#[test]
fn the_keys_are_not_printed() {
    assert_eq!(format!("{:?}", keys()), "EventKeys(…)");
}
