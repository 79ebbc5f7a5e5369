//! Disks that are full, read-only or broken, and the recovery from them.

use std::time::{Duration, Instant};

use crate::disk::{Failure, FaultyDisk, SmallDisk};
use crate::house::{ADAS_PASSWORD, House};
use crate::visitor::{Page, Visitor};

const NEW: &str = "walnut-trumpet-glacier";
/// Longer than the lease of these tests, so that no session in the cache is trusted any more.
const LONGER_THAN_A_LEASE: Duration = Duration::from_millis(1500);
const HEALS_WITHIN: Duration = Duration::from_secs(5);

/// The devices of Ada: she is signed in on a computer and a phone, and signed out on a tablet that still has the cookie.
struct Devices {
    computer: Visitor,
    phone: Visitor,
    tablet: Visitor,
}

impl Devices {
    async fn of_ada(house: &House) -> Self {
        let (computer, phone, tablet) = (house.ada().await, house.visitor(), house.visitor());
        for device in [&phone, &tablet] {
            assert_eq!(device.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        }
        let copy = tablet.copy();
        assert_eq!(tablet.signs_out().await.status, 303);
        Self { computer, phone, tablet: copy }
    }

    /// Live sessions stay live, no other session is accepted, and no act that needs a write is confirmed.
    async fn find_that_nothing_is_written(&self) {
        let stranger = Visitor::new(&self.computer.url);
        is_told_to_come_back("sign-out", &self.phone.signs_out().await);
        is_told_to_come_back("others", &self.computer.submits("/account/sessions/revoke-others", &[]).await);
        is_told_to_come_back("password", &self.computer.changes_password(ADAS_PASSWORD, NEW).await);
        is_told_to_come_back("sign-in", &stranger.signs_in("ada@example.com", ADAS_PASSWORD).await);
        is_told_to_come_back("registration", &stranger.registers("Bob", "bob@example.com", NEW).await);
        is_told_to_come_back("guess that cannot be counted", &stranger.signs_in("ada@example.com", "wrong").await);
        assert!(!stranger.has_cookie() && stranger.opens("/").await.status == 200);
        assert!(self.computer.is_signed_in().await && self.phone.is_signed_in().await);
        assert!(!self.tablet.is_signed_in().await);
    }

    /// All refused acts succeed again without intervention, and none of them had taken effect.
    async fn find_it_healthy(&self, house: &House) {
        let (begun, stranger) = (Instant::now(), house.visitor());
        while stranger.opens("/readyz").await.status != 200 {
            assert!(begun.elapsed() < HEALS_WITHIN, "{}", house.log());
        }
        assert_eq!(house.count("SELECT COUNT(*) FROM users").await, 1);
        assert_eq!(house.count("SELECT COUNT(*) FROM sessions").await, 2);
        assert_eq!(stranger.registers("Bob", "bob@example.com", NEW).await.status, 303);
        assert_eq!(house.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let copy = self.phone.copy();
        assert_eq!(self.phone.signs_out().await.status, 303);
        assert!(!copy.is_signed_in().await && !self.tablet.is_signed_in().await);
        assert_eq!(self.computer.changes_password(ADAS_PASSWORD, NEW).await.status, 303);
        assert!(house.is_sound().await);
    }
}

fn is_told_to_come_back(act: &str, page: &Page) {
    assert_eq!((page.status, page.header("retry-after"), page.set_cookie()), (503, "5", ""), "{act}: {}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_recovers_from_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut house = disk.house();
    house.restart_with("HANDSTAMP_SESSION__LEASE", "1s");
    let ada = Devices::of_ada(&house).await;
    disk.is_filled_up();
    ada.find_that_nothing_is_written().await;
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    ada.find_that_nothing_is_written().await;
    let ready = house.visitor().opens("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: this node's lease has ended\n"));
    disk.has_room_again();
    ada.find_it_healthy(&house).await;
}

async fn with(failure: Failure) {
    let mut house = House::on_sqlite();
    house.set("HANDSTAMP_SESSION__LEASE", "1s");
    let disk = FaultyDisk::under(&mut house);
    let ada = Devices::of_ada(&house).await;
    disk.fails(failure);
    ada.find_that_nothing_is_written().await;
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    ada.find_that_nothing_is_written().await;
    disk.is_well_again();
    ada.find_it_healthy(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_recovers_from_no_space_left_errors() {
    with(Failure::NoSpaceLeft).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_recovers_from_a_read_only_disk() {
    with(Failure::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_recovers_from_disk_input_output_errors() {
    with(Failure::InputOutput).await;
}
