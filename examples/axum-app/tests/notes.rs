//! Tests of the example: notes are private to their author, and are deleted with the account.

use std::process::Command;

use handstamp::{Config, Handstamp};
use handstamp_testing::{Program, TempFolder, Visitor};
use sqlx::SqlitePool;

/// A visitor who has just registered.
async fn registered(url: &str, name: &str) -> Visitor {
    let visitor = Visitor::new(url);
    let email = format!("{name}@example.com");
    let fields = [("name", name), ("email", &email), ("password", "plum-octave-harbour"), ("next", "/notes")];
    assert_eq!(visitor.submits("/account/register", &fields).await.location(), "/notes");
    visitor
}

#[tokio::test]
async fn notes_are_private_to_their_author_and_are_deleted_with_the_account() {
    let folder = TempFolder::new();
    let data = folder.path().join("data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_axum-app"));
    let app = Program::start(command.env("LISTEN", "127.0.0.1:0").env("DATA_DIR", &data), "listening on ");
    let url = &format!("http://{}", app.address());
    assert_eq!(Visitor::new(url).opens("/").await.location(), "/account/login?next=%2Fnotes");
    assert_eq!(Visitor::new(url).opens("/notes").await.location(), "/account/login?next=%2Fnotes");

    let (ada, bob) = (registered(url, "Ada").await, registered(url, "Bob").await);
    assert!(ada.opens("/notes").await.shows("There is nothing here yet."));
    assert_eq!(ada.submits("/notes", &[("text", "milk & <b>read")]).await.status, 303);
    let page = ada.opens("/notes").await;
    assert!(
        page.shows("<p>milk &amp; &lt;b&gt;read</p>") && page.shows("The notes of <bdi>Ada</bdi>"),
        "{}",
        page.body
    );
    assert!(page.shows(">Sign out</button>"), "the layout is Handstamp's");
    for text in ["", "  ", &"x".repeat(1001)] {
        let page = ada.submits("/notes", &[("text", text)]).await;
        assert!(page.status == 422 && page.shows("1 to 1000 characters"), "{}", page.status);
    }

    assert!(!bob.opens("/notes").await.shows("milk"));
    assert_eq!(bob.submits("/notes/1/delete", &[]).await.status, 404);
    assert!(ada.opens("/notes").await.shows("milk"));
    let elsewhere = ada.bare_request(reqwest::Method::POST, "/notes").header("origin", "https://evil.example");
    assert_eq!(ada.send(elsewhere.header("sec-fetch-site", "cross-site")).await.status, 403);
    assert_eq!(ada.submits("/notes/1/delete", &[]).await.status, 303);
    assert!(ada.opens("/notes").await.shows("There is nothing here yet."));

    ada.submits("/notes", &[("text", "for ever?")]).await;
    let database = SqlitePool::connect(&format!("sqlite:{}", data.join("handstamp.db").display())).await.unwrap();
    let operator = Handstamp::open(Config::in_folder(&data, url).unwrap()).await.unwrap();
    let id = operator.users().find_by_email("ada@example.com").await.unwrap().unwrap().id;
    operator.users().delete(id).await.unwrap();
    operator.close().await;
    assert_eq!(ada.opens("/notes").await.status, 303, "signed out at once");
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM notes").fetch_one(&database).await.unwrap();
    assert_eq!(left, 0, "notes are deleted with the account");
}
