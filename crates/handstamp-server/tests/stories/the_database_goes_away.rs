use std::time::{Duration, Instant};

use crate::house::{ADAS_PASSWORD, House};
use crate::postgres_server::Server;
use crate::visitor::{Page, Visitor};

/// Every page that needs the database, and how long the slowest of them took.
async fn asks_for_everything(ada: &Visitor) -> (Vec<Page>, Duration) {
    let mut slowest = Duration::ZERO;
    let mut pages = Vec::new();
    let stranger = Visitor::new(&ada.url);
    for number in 0..5 {
        let begun = Instant::now();
        pages.push(match number {
            0 => ada.opens("/account").await,
            1 => ada.signs_out().await,
            2 => stranger.signs_in("ada@example.com", ADAS_PASSWORD).await,
            3 => stranger.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await,
            _ => stranger.opens("/readyz").await,
        });
        slowest = slowest.max(begun.elapsed());
    }
    (pages, slowest)
}

async fn heals(ada: &Visitor) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        if ada.opens("/account").await.status == 200 {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_while_without_a_word() {
    let server = Server::start();
    let house = House::on(server.new_database());
    let ada = house.ada().await;
    server.signal("STOP");
    let (pages, slowest) = asks_for_everything(&ada).await;
    server.signal("CONT");
    assert!(
        pages.iter().all(|page| page.status == 503),
        "{:?}",
        pages.iter().map(|page| page.status).collect::<Vec<_>>()
    );
    assert!(pages[..4].iter().all(|page| page.header("retry-after") == "5" && page.set_cookie().is_empty()));
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert!(heals(&ada).await, "whoever was told 503 is signed in when it is back: nothing was answered");
    let strangers = house.visitor();
    assert_eq!(strangers.opens("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_nobody_is_anybody() {
    let server = Server::start();
    let house = House::on(server.new_database());
    let ada = house.ada().await;
    drop(server);
    let (pages, slowest) = asks_for_everything(&ada).await;
    assert!(
        pages.iter().all(|page| page.status == 503),
        "{:?}",
        pages.iter().map(|page| page.status).collect::<Vec<_>>()
    );
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert_eq!(house.visitor().opens("/").await.status, 200, "a page that needs nobody");
}
