//! Sessions of a real Flask app, whose users stay signed in when Handstamp takes over.

use std::process::Command;

use handstamp_testing::{Program, Visitor, free_address};

use super::in_front_of_an_app::in_front_of;

const FORMER_SECRET: &str = "Zr8vB2nQ5tW9yC3fH6kM1pS4uX7aD0gJ";

fn flask() -> Command {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut command = Command::new(format!("{root}/target/tools/bin/python"));
    command.arg(format!("{root}/crates/handstamp-server/tests/stories/former_flask_app.py"));
    command.env("FORMER_SECRET", FORMER_SECRET);
    command
}

/// The cookie that the app gives a user whom it signs in.
async fn signed_in_before(app: &str, id: &str) -> String {
    let visitor = Visitor::new(&format!("http://{app}"));
    for _ in 0..100 {
        if let Ok(page) = visitor.tries(visitor.form("/login", &[("id", id)])).await {
            let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
            return cookie.strip_prefix("session=").unwrap().to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the app does not answer");
}

handstamp_testing::stories! {
    async fn users_of_a_flask_app_stay_signed_in_when_the_site_moves(mut server: TestServer) {
        let hash = flask().arg("hash").output().unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        let users = format!("id,email,password_hash\n42,ada@example.com,{}\n", hash.trim());
        let (status, _, errors) = server.run_cli(&["import", "-", "--map", "id=legacy_id"], &users);
        assert_eq!(status, 0, "{errors}");
        let app = free_address();
        let _app = Program::start(flask().env("LISTEN", &app).stderr(std::process::Stdio::null()), "listening on ");
        let cookie = signed_in_before(&app, "42").await;

        server.set("HANDSTAMP_LEGACY__KIND", "flask");
        server.set("HANDSTAMP_LEGACY__SECRET", FORMER_SECRET);
        let until = Command::new("date").args(["-u", "-d", "14 days", "+%F"]).output().unwrap();
        server.set("HANDSTAMP_LEGACY__UNTIL", String::from_utf8(until.stdout).unwrap().trim());
        let server = in_front_of(server, &app);
        server.wait_for_event("legacy_window_open").await;
        let ada = server.visitor();
        ada.presents_as("session", &cookie);
        let led = ada.opens("/notes").await;
        assert!(led.location().contains("/account/resume?next=%2Fnotes"), "{}", led.location());
        let exchanged = ada.opens("/account/resume?next=%2Fnotes").await;
        assert_eq!((exchanged.status, exchanged.location()), (303, "/notes"));
        let id = server.cli_json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
        let notes = ada.opens("/notes").await;
        assert!(notes.shows(&format!("user {id}")), "{}", notes.body);
        let thief = server.visitor();
        thief.presents_as("session", &cookie);
        assert_eq!(thief.opens("/account/resume").await.location(), "/account/login");
        assert_eq!(ada.signs_out().await.status, 303);
        assert!(!ada.is_signed_in().await);
        let again = server.visitor();
        again.presents_as("session", &cookie);
        assert_eq!(again.opens("/account/resume").await.location(), "/account/login");
    }
}
