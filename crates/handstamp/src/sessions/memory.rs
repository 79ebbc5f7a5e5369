//! Measures the memory that a node needs for each cached session.
//!
//! Run it with `cargo test -p handstamp --lib memory -- --ignored --nocapture`.

use handstamp_core::{Authentication, SessionSecretHash, Timestamp, UserId};
use uuid::Uuid;

use super::cache::{Cache, SessionKey};
use crate::model::{LiveSession, SessionUser};
use crate::store::Position;

const SESSIONS: u64 = 1_000_000;

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
#[ignore = "a measurement, alone in its process"]
#[expect(clippy::print_stdout, reason = "a measurement")]
fn a_cached_session_takes_at_most_216_bytes() {
    let before = resident_bytes();
    let cache = Cache::new(Position(0), usize::try_from(SESSIONS).unwrap());
    let empty = resident_bytes();
    for number in 0..SESSIONS {
        let mut hash = [0; 32];
        // Spread as SHA-256 would spread them.
        hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let user_id = UserId::from_uuid(Uuid::from_u128(u128::from(number)));
        let (secret_hash, expires_at) = (SessionSecretHash::from_bytes(hash), Timestamp::from_unix_seconds(u64::MAX));
        // Each session has its own user; two sessions of one user share no memory either.
        let created_at = Timestamp::from_unix_seconds(0);
        let user = SessionUser::new(user_id, "Ada Lovelace", "ada.lovelace@example.com", "", created_at);
        let live = LiveSession {
            session_id: Uuid::from_u128(u128::from(number)),
            authentication: Authentication::by_password(created_at),
            user,
        };
        cache.insert(Position(0), &SessionKey { secret_hash, user_id, expires_at }, live);
    }
    let each = (resident_bytes() - before) / cache.len() as u64;
    println!("{} sessions: {each} bytes each; {} bytes for the empty cache", cache.len(), empty - before);
    assert!(each <= 216, "{each} bytes");
}

/// The memory of a process that other tests share cannot be measured.
#[test]
fn a_process_with_cached_sessions_has_at_most_216_bytes_for_each() {
    let measured = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "sessions::memory::a_cached_session_takes_at_most_216_bytes"])
        .output()
        .unwrap();
    let told = String::from_utf8(measured.stdout).unwrap();
    assert!(measured.status.success() && told.contains(" 1 passed"), "{told}");
}
