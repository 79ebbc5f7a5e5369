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
const HEAD: &str = "2:a9e498ed7704a81fb6f8f36294cdcc12e675bbe5ad4e863b09be0f5c45939da5";
const TAG_OF_THE_FIRST: &str = "a517e55b3fa10a6c958c73f9ce152360125598283cf555a5f050c6fdba543527b777d2ce";
const SEAL_OF_THE_SECOND: &str = "a517e55b48b1a3d9e9e8da386e1705b2d34f724da60433aae265f9ae2738956e7051b15b";
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

fn head() -> EventHead {
    commitments().iter().fold(EventHead::EMPTY, |head, commitment| head.next(commitment))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn commitments_heads_and_tags_are_those_of_the_golden_vectors() {
    assert_eq!(commitments().map(|commitment| hex(commitment.as_bytes())), COMMITMENTS);
    assert_eq!(head().to_string(), HEAD);
    assert_eq!(hex(keys().tag_commitment(&commitments()[0]).as_bytes()), TAG_OF_THE_FIRST);
    assert_eq!(hex(keys().tag_link(&head()).as_bytes()), SEAL_OF_THE_SECOND);
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
fn a_link_depends_on_the_link_before_the_position_and_the_commitment() {
    let [first, second] = commitments();
    let links = [
        EventHead::EMPTY.next(&first),
        EventHead::EMPTY.next(&second),
        EventHead { position: 1, ..EventHead::EMPTY }.next(&first),
        EventHead { link: [1; 32], ..EventHead::EMPTY }.next(&first),
    ]
    .map(|head| head.link);
    assert!((0..4).all(|i| (0..i).all(|j| links[i] != links[j])));
}

#[test]
fn a_tag_fits_one_thing_in_one_role_under_one_key() {
    let (keys, [first, second]) = (keys(), commitments());
    let tag = keys.tag_commitment(&first);
    assert_eq!(keys.check_commitment(&first, &tag), Ok(()));
    assert_eq!(keys.check_commitment(&second, &tag), Err(EventTagError::Invalid));
    let same_bytes = EventHead { position: 1, link: *first.as_bytes() };
    assert_eq!(keys.check_link(&same_bytes, &tag), Err(EventTagError::Invalid), "a commitment is no link");
    assert_eq!(keys.check_commitment(&first, &keys.tag_link(&same_bytes)), Err(EventTagError::Invalid));
    for byte in 0..36 {
        let mut bytes = *tag.as_bytes();
        bytes[byte] ^= 1;
        let wrong = if byte < 4 { EventTagError::UnknownKey } else { EventTagError::Invalid };
        assert_eq!(keys.check_commitment(&first, &EventTag::from_bytes(bytes)), Err(wrong), "byte {byte}");
    }
}

#[test]
fn a_rotated_secret_still_checks_the_tags_of_the_earlier_one() {
    let (old, head) = (keys(), head());
    let rotated = EventKeys::new(&secret(OTHER_SECRET), &[secret(SECRET)]).unwrap();
    assert_eq!(rotated.check_link(&head, &old.tag_link(&head)), Ok(()));
    assert_ne!(rotated.tag_link(&head), old.tag_link(&head), "the current key makes new tags");
    assert_eq!(old.check_link(&head, &rotated.tag_link(&head)), Err(EventTagError::UnknownKey));
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
    assert!(format!("-{HEAD}").parse::<EventHead>().is_err() && HEAD.replace(":a", ":é").parse::<EventHead>().is_err());
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
