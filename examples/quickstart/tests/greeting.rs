//! Test of the quick start: a user registers and is greeted by name.

#[allow(dead_code, unreachable_pub)]
#[path = "../../../crates/handstamp-server/tests/stories/visitor.rs"]
mod visitor;

use std::process::{Child, Command};
use std::time::Duration;

use visitor::Visitor;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_registered_user_is_greeted_by_name() {
    let folder = std::env::temp_dir().join(format!("handstamp-quickstart-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let _running = Running(Command::new(env!("CARGO_BIN_EXE_quickstart")).current_dir(&folder).spawn().unwrap());
    while std::net::TcpStream::connect("127.0.0.1:3000").is_err() {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let ada = Visitor::new("http://localhost:3000");
    assert_eq!(ada.opens("/").await.location(), "/account/login?next=%2F");
    assert_eq!(ada.registers("Ada", "ada@example.com", "plum-octave-harbour").await.status, 303);
    assert_eq!(ada.opens("/").await.body, "Hello, Ada");
    ada.signs_out().await;
    assert_eq!(ada.opens("/").await.status, 303);
    std::fs::remove_dir_all(folder).unwrap();
}
