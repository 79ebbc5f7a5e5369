//! Kills of the server at random moments while users act, and the state after the next start.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::at_work::Person;
use crate::chance::Chance;
use crate::house::House;

/// How many users act at once.
const AT_WORK: usize = 6;
/// The interval at which new users register.
const NEWCOMER_EVERY: Duration = Duration::from_millis(200);
/// A lease is one second, so a sign-out waits that long for the node that was killed. Some sign-outs are answered before the
/// next kill, and some are not.
const KILLED_WITHIN: Duration = Duration::from_secs(3);
/// A start may take half a second, and takes a few hundredths. A machine that runs all tests at once may be slower, so only
/// the quickest start counts.
const READY_WITHIN: Duration = Duration::from_millis(2500);

/// How often the server is killed. `HANDSTAMP_KILLS=200` takes some minutes.
fn kills() -> u32 {
    std::env::var("HANDSTAMP_KILLS").map_or(3, |kills| kills.parse().unwrap())
}

/// The seed of all random choices: `HANDSTAMP_SEED`, or a different one each time.
fn seed() -> u64 {
    std::env::var("HANDSTAMP_SEED").map_or(u64::from(std::process::id()), |seed| seed.parse().unwrap())
}

/// Registers users until a registration is not answered.
async fn newcomers(url: String, chance: Chance) -> Vec<Person> {
    let mut people = Vec::new();
    while let Some(person) = Person::registers(&url, &chance).await {
        people.push(person);
        tokio::time::sleep(NEWCOMER_EVERY).await;
    }
    people
}

/// Kills the server while the latest of these users act and new ones register. Returns the number of idle users.
async fn is_killed_at_work(house: &mut House, people: &mut Vec<Person>, chance: &Chance) -> usize {
    let at_home = people.len().saturating_sub(AT_WORK);
    let mut at_work = JoinSet::new();
    for person in people.split_off(at_home) {
        at_work.spawn(person.works());
    }
    let newcomers = tokio::spawn(newcomers(house.url.clone(), chance.clone()));
    tokio::time::sleep(chance.up_to(KILLED_WITHIN)).await;
    house.dies();
    people.extend(at_work.join_all().await);
    people.extend(newcomers.await.unwrap());
    at_home
}

/// The time from the start of the server until it reports that it is ready.
async fn is_ready_again(house: &mut House) -> Duration {
    let begun = Instant::now();
    house.start();
    let visitor = house.visitor();
    while visitor.opens("/readyz").await.status != 200 {}
    begun.elapsed()
}

crate::stories! {
    async fn every_confirmed_change_survives_a_kill_of_the_server(mut house: House) {
        house.restart_with("HANDSTAMP_SESSION__LEASE", "1s");
        let (seed, mut people, mut ready) = (seed(), Vec::new(), Vec::new());
        eprintln!("HANDSTAMP_SEED={seed}");
        let chance = Chance::new(seed);
        people.extend(Person::registers(&house.url, &chance).await);
        for _ in 0..kills() {
            let at_home = is_killed_at_work(&mut house, &mut people, &chance).await;
            ready.push(is_ready_again(&mut house).await);
            for person in &mut people[at_home..] {
                person.finds_all_as_it_was(&house.url).await;
            }
        }
        for person in &mut people {
            person.finds_all_as_it_was(&house.url).await;
            person.tries_everything().await;
        }
        assert!(house.is_sound().await);
        ready.sort();
        let (shortest, median, longest) = (ready[0], ready[ready.len() / 2], ready[ready.len() - 1]);
        eprintln!("killed {} times, {} users; ready again after {median:.0?}, at most {longest:.0?}", ready.len(), people.len());
        assert!(shortest < READY_WITHIN, "{ready:?}");
    }
}
