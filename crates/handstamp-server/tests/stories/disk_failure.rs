//! Disks that are full, read-only or broken, and the recovery from them.

use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, Page, TestServer, Visitor};

use crate::disk::{Failure, FaultyDisk, SmallDisk};

const NEW: &str = "walnut-trumpet-glacier";
const HEALS_WITHIN: Duration = Duration::from_secs(5);

/// The devices of Ada: she is signed in on a computer and a phone, and signed out on a tablet that still has the cookie.
struct Devices {
    computer: Visitor,
    phone: Visitor,
    tablet: Visitor,
}

impl Devices {
    async fn of_ada(server: &TestServer) -> Self {
        let (computer, phone, tablet) = (server.ada().await, server.visitor(), server.visitor());
        for device in [&phone, &tablet] {
            assert_eq!(device.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        }
        let copy = tablet.copy();
        assert_eq!(tablet.signs_out().await.status, 303);
        Self { computer, phone, tablet: copy }
    }

    /// Live sessions stay live, no other session is accepted, and no act that needs a write is confirmed.
    async fn find_that_nothing_is_written(&self) {
        let anonymous = Visitor::new(&self.computer.url);
        is_told_to_come_back("sign-out", &self.phone.signs_out().await);
        is_told_to_come_back("others", &self.computer.submits("/account/sessions/revoke-others", &[]).await);
        is_told_to_come_back("password", &self.computer.changes_password(ADAS_PASSWORD, NEW).await);
        is_told_to_come_back("sign-in", &anonymous.signs_in("ada@example.com", ADAS_PASSWORD).await);
        is_told_to_come_back("registration", &anonymous.registers("Bob", "bob@example.com", NEW).await);
        is_told_to_come_back("guess that cannot be counted", &anonymous.signs_in("ada@example.com", "wrong").await);
        assert!(!anonymous.has_cookie() && anonymous.opens("/").await.status == 200);
        assert!(self.computer.is_signed_in().await && self.phone.is_signed_in().await);
        assert!(!self.tablet.is_signed_in().await);
    }

    /// All refused acts succeed again without intervention, and none of them had taken effect.
    async fn find_it_healthy(&self, server: &TestServer) {
        let (begun, anonymous) = (Instant::now(), server.visitor());
        while anonymous.opens("/readyz").await.status != 200 {
            assert!(begun.elapsed() < HEALS_WITHIN, "{}", server.log());
        }
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 2);
        assert_eq!(anonymous.registers("Bob", "bob@example.com", NEW).await.status, 303);
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let copy = self.phone.copy();
        assert_eq!(self.phone.signs_out().await.status, 303);
        assert!(!copy.is_signed_in().await && !self.tablet.is_signed_in().await);
        assert_eq!(self.computer.changes_password(ADAS_PASSWORD, NEW).await.status, 303);
        assert!(server.passes_integrity_check().await);
    }
}

fn is_told_to_come_back(act: &str, page: &Page) {
    assert_eq!((page.status, page.header("retry-after"), page.set_cookie()), (503, "5", ""), "{act}: {}", page.body);
}

/// Without a lease, no session in the cache is trusted any more.
async fn wait_until_the_lease_has_ended(server: &TestServer) {
    let (begun, mut page) = (Instant::now(), server.visitor().opens("/readyz").await);
    while (page.status, page.body.as_str()) != (503, "not ready (lease_ended): this node's lease has ended\n") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} {}", page.status, page.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
        page = server.visitor().opens("/readyz").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_recovers_from_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut server = disk.server();
    server.restart_with("HANDSTAMP_SESSION__LEASE", "1s");
    let ada = Devices::of_ada(&server).await;
    disk.fill_up();
    ada.find_that_nothing_is_written().await;
    wait_until_the_lease_has_ended(&server).await;
    ada.find_that_nothing_is_written().await;
    disk.free_up();
    ada.find_it_healthy(&server).await;
}

async fn with(failure: Failure) {
    let mut server = TestServer::on_sqlite();
    server.set("HANDSTAMP_SESSION__LEASE", "1s");
    let disk = FaultyDisk::under(&mut server);
    let ada = Devices::of_ada(&server).await;
    disk.fail(failure);
    ada.find_that_nothing_is_written().await;
    wait_until_the_lease_has_ended(&server).await;
    ada.find_that_nothing_is_written().await;
    disk.recover();
    ada.find_it_healthy(&server).await;
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
