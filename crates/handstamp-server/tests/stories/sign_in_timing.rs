//! The time of a failed sign-in: it reveals neither whether an account exists nor how old its hash is.
//!
//! The test needs an idle machine, so it runs on request only:
//! `cargo test -p handstamp-server --test stories -- --ignored sign_in_timing`.

use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, TestServer};

/// As many wrong passwords as an account allows in a day, so that few accounts suffice.
const TRIES_EACH: usize = 100;

/// The probability that a time of the first sample exceeds one of the second; one half if the samples do not differ. See
/// Mann and Whitney ("On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other", 1947).
fn longer(ones: &[Duration], others: &[Duration]) -> f64 {
    let mut others = others.to_vec();
    others.sort_unstable();
    let shorter =
        |one: &Duration| others.partition_point(|other| other < one) + others.partition_point(|other| other <= one);
    let wins: usize = ones.iter().map(shorter).sum();
    wins as f64 / 2.0 / ones.len() as f64 / others.len() as f64
}

/// `HANDSTAMP_PAIRS`, or 2,000.
fn pairs() -> usize {
    std::env::var("HANDSTAMP_PAIRS").map_or(2000, |pairs| pairs.parse().unwrap())
}

/// `HANDSTAMP_MEMORY_KIB`, or so little that the hash hides other differences in time the least.
fn memory_kib() -> String {
    std::env::var("HANDSTAMP_MEMORY_KIB").unwrap_or_else(|_| "2048".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures time, which needs an idle machine; `every_wrong_sign_in_costs_the_same_work` counts the work instead"]
async fn sign_in_timing_reveals_neither_accounts_nor_old_hashes() {
    let mut server = TestServer::on_sqlite();
    server.set("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "100");
    let accounts = pairs().div_ceil(TRIES_EACH);
    for (kind, memory_kib) in [("older", "1024".to_owned()), ("known", memory_kib())] {
        server.set("HANDSTAMP_HASHING__ITERATIONS", "2");
        server.restart_with("HANDSTAMP_HASHING__MEMORY_KIB", &memory_kib);
        for number in 0..accounts {
            let page = server.visitor().registers("Ada", &format!("{kind}{number}@example.com"), ADAS_PASSWORD).await;
            assert_eq!(page.status, 303);
        }
    }
    let kinds = ["unknown", "known", "older"];
    let anonymous = server.visitor();
    let mut times = [const { Vec::new() }; 3];
    for try_number in 0..pairs() {
        for place in 0..3 {
            // Each kind comes first, second and third equally often.
            let kind = (try_number + place) % 3;
            let email = format!("{}{}@example.com", kinds[kind], try_number / TRIES_EACH);
            let begun = Instant::now();
            let status = anonymous.signs_in(&email, "not the password of anybody").await.status;
            times[kind].push(begun.elapsed());
            assert_eq!(status, 422);
        }
    }
    let [unknown, known, older] = times;
    let (known, older) = (longer(&unknown, &known), longer(&unknown, &older));
    eprintln!(
        "an unknown account takes longer than a known one with probability {known:.3}, than an older one {older:.3}"
    );
    assert!((known - 0.5).abs() < 0.05, "{known}");
    assert!((older - 0.5).abs() < 0.05, "{older}");
}
