//! Tests of the routes, without a server: on a site in a temporary folder.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use handstamp::testing::TestSite;
use tower::ServiceExt;

use super::*;

/// Sends a request, and returns the status and the page.
async fn send(app: &Router, method: Method, path: &str, cookie: &str, form: &'static str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::COOKIE, cookie)
        .header(header::ORIGIN, "http://localhost")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let response = app.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn each_user_sees_and_deletes_their_own_notes_only() {
    let site = TestSite::open_with(configure).await;
    let app = open(site.handstamp().clone(), &site.folder().join("handstamp.db")).await.unwrap();
    let app = routes(app);
    let (ada, bob) = (site.signed_in("ada@example.com", &[]).await, site.signed_in("bob@example.com", &[]).await);
    assert_eq!(send(&app, Method::POST, "/notes", &ada, "text=milk").await.0, StatusCode::SEE_OTHER);
    assert!(send(&app, Method::GET, "/notes", &ada, "").await.1.contains("<p>milk</p>"));
    assert!(!send(&app, Method::GET, "/notes", &bob, "").await.1.contains("milk"));
    assert_eq!(send(&app, Method::POST, "/notes/1/delete", &bob, "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(&app, Method::POST, "/notes/1/delete", &ada, "").await.0, StatusCode::SEE_OTHER);
    assert_eq!(send(&app, Method::GET, "/notes", "", "").await.0, StatusCode::UNAUTHORIZED);
}
