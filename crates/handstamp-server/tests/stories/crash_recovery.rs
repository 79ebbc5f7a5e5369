//! Kills of the server at random moments while users act, and the state after the next start.

use std::time::{Duration, Instant};

use handstamp_testing::{SeededRng, TestServer, User};
use tokio::task::JoinSet;

/// How many users act at once.
const ACTIVE_USERS: usize = 6;
/// The interval at which new users register.
const REGISTER_EVERY: Duration = Duration::from_millis(200);
/// A lease is one second, so a sign-out waits that long for the node that was killed. Some sign-outs are answered before the
/// next kill, and some are not.
const KILLED_WITHIN: Duration = Duration::from_secs(3);
/// How often a started server is asked whether it is ready, every 10 ms, before the test fails.
const READINESS_CHECKS: u32 = 6000;

/// How often the server is killed. `HANDSTAMP_KILLS=200` takes some minutes.
fn kills() -> u32 {
    std::env::var("HANDSTAMP_KILLS").map_or(3, |kills| kills.parse().unwrap())
}

/// The seed of all random choices: `HANDSTAMP_SEED`, or a different one each time.
fn seed() -> u64 {
    std::env::var("HANDSTAMP_SEED").map_or(u64::from(std::process::id()), |seed| seed.parse().unwrap())
}

/// Registers users until a registration is not answered.
async fn register_users(url: String, rng: SeededRng) -> Vec<User> {
    let mut users = Vec::new();
    while let Some(user) = User::register(&url, &rng).await {
        users.push(user);
        tokio::time::sleep(REGISTER_EVERY).await;
    }
    users
}

/// Kills the server while the latest of these users act and new ones register. Returns the number of idle users.
async fn kill_while_users_act(server: &mut TestServer, users: &mut Vec<User>, rng: &SeededRng) -> usize {
    let idle = users.len().saturating_sub(ACTIVE_USERS);
    let mut active = JoinSet::new();
    for user in users.split_off(idle) {
        active.spawn(user.act_until_unanswered());
    }
    let register_users = tokio::spawn(register_users(server.url.clone(), rng.clone()));
    tokio::time::sleep(rng.up_to(KILLED_WITHIN)).await;
    server.kill();
    users.extend(active.join_all().await);
    users.extend(register_users.await.unwrap());
    idle
}

/// The time from the start of the server until it reports that it is ready.
async fn start_until_ready(server: &mut TestServer) -> Duration {
    let begun = Instant::now();
    server.start();
    let visitor = server.visitor();
    for _ in 0..READINESS_CHECKS {
        if visitor.opens("/readyz").await.status == 200 {
            return begun.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server does not become ready: {}", server.log());
}

handstamp_testing::stories! {
    async fn every_confirmed_change_survives_a_kill_of_the_server(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SESSION__LEASE", "1s");
        let (seed, mut users, mut ready) = (seed(), Vec::new(), Vec::new());
        eprintln!("HANDSTAMP_SEED={seed}");
        let rng = SeededRng::new(seed);
        users.extend(User::register(&server.url, &rng).await);
        for _ in 0..kills() {
            let idle = kill_while_users_act(&mut server, &mut users, &rng).await;
            ready.push(start_until_ready(&mut server).await);
            for user in &mut users[idle..] {
                user.verify_after_start(&server.url).await;
            }
        }
        for user in &mut users {
            user.verify_after_start(&server.url).await;
            user.verify_all_devices().await;
        }
        assert!(server.passes_integrity_check().await);
        ready.sort();
        let (median, longest) = (ready[ready.len() / 2], ready[ready.len() - 1]);
        eprintln!("killed {} times, {} users; ready again after {median:.0?}, at most {longest:.0?}", ready.len(), users.len());
    }
}
