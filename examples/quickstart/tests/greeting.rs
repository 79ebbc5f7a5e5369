//! Test of the quick start: a user registers and is greeted by name.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use handstamp_testing::{TempFolder, Visitor};

/// Written into the quick start, which stays as short as it can be.
const ADDRESS: &str = "127.0.0.1:3000";

/// The quick start, which is killed when this is dropped.
struct Quickstart(Child);

impl Quickstart {
    async fn start(folder: &TempFolder) -> Self {
        wait_until_free().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
        let mut quickstart = Self(command.current_dir(folder.path()).spawn().unwrap());
        while TcpStream::connect(ADDRESS).is_err() {
            quickstart.assert_runs();
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        quickstart
    }

    fn assert_runs(&mut self) {
        let ended = self.0.try_wait().unwrap();
        assert!(ended.is_none(), "the quick start ended: {ended:?}. Is another program listening at {ADDRESS}?");
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the test of another checkout, which takes a few seconds.
async fn wait_until_free() {
    for _ in 0..600 {
        if TcpListener::bind(ADDRESS).is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("another program listens at {ADDRESS}, where the quick start does: stop it, and run this test again");
}

#[tokio::test]
async fn a_registered_user_is_greeted_by_name() {
    let folder = TempFolder::new();
    let mut quickstart = Quickstart::start(&folder).await;
    let ada = Visitor::new("http://localhost:3000");
    assert_eq!(ada.opens("/").await.location(), "/account/login?next=%2F");
    assert_eq!(ada.registers("Ada", "ada@example.com", "plum-octave-harbour").await.status, 303);
    assert_eq!(ada.opens("/").await.body, "Hello, Ada");
    ada.signs_out().await;
    assert_eq!(ada.opens("/").await.status, 303);
    // It was the quick start that answered, and not a program that took its port.
    quickstart.assert_runs();
}
