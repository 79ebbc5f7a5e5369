//! The JSON API, as programs use it, and its OpenAPI description.

use std::process::Command;

use handstamp_testing::{ADAS_PASSWORD, Page, TestServer, Visitor};
use reqwest::Method;
use serde_json::{Value, json};

/// Sends the request of a program: JSON, its cookies, and its origin.
async fn sends(program: &Visitor, method: Method, path: &str, body: Option<Value>) -> Page {
    let mut request = program.bare_request(method, &format!("/account/api/v1{path}")).header("origin", &program.url);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    program.send(request).await
}

fn told(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body))
}

fn ada() -> Value {
    json!({ "name": "Ada", "email": "ada@example.com", "password": ADAS_PASSWORD })
}

/// The refused fields of a problem document.
fn refused_fields(page: &Page) -> Vec<String> {
    assert_eq!((page.status, page.header("content-type")), (422, "application/problem+json"), "{}", page.body);
    let errors = told(page)["errors"].as_array().unwrap().clone();
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

handstamp_testing::stories! {
    async fn the_api_registers_signs_out_and_signs_in(server: TestServer) {
        let program = server.visitor();
        let anonymous = sends(&program, Method::GET, "/session", None).await;
        assert_eq!((anonymous.status, anonymous.header("content-type")), (401, "application/problem+json"));
        let registered = sends(&program, Method::POST, "/users", Some(ada())).await;
        assert_eq!(registered.status, 201, "{}", registered.body);
        let who = sends(&program, Method::GET, "/session", None).await;
        assert_eq!((who.status, who.header("cache-control"), told(&who)), (200, "no-store", told(&registered)));
        let who = told(&who);
        let account = server.cli_json(&["user", "show", "ada@example.com"]);
        assert_eq!([&who["user"]["id"], &who["user"]["name"], &who["user"]["email"]], [&account["id"], &json!("Ada"), &json!("ada@example.com")]);
        assert_eq!(who["user"]["email_verified"], false);
        assert_eq!(who["session"]["id"], server.cli_json(&["session", "list", "--user", "ada@example.com"])[0]["id"]);

        let thief = program.copy();
        let signed_out = sends(&program, Method::DELETE, "/session", None).await;
        assert_eq!((signed_out.status, program.has_cookie()), (204, false));
        assert_eq!(sends(&thief, Method::GET, "/session", None).await.status, 401);
        assert_eq!(sends(&program, Method::DELETE, "/session", None).await.status, 204);
        let credentials = json!({ "email": "ADA@example.com", "password": ADAS_PASSWORD, "remember": false });
        let signed_in = sends(&program, Method::POST, "/session", Some(credentials)).await;
        assert!(signed_in.status == 201 && !signed_in.set_cookie().contains("Max-Age"), "{}", signed_in.body);
        assert_eq!(told(&signed_in)["user"], who["user"]);
        assert!(program.is_signed_in().await, "the pages accept the same session");
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff"], "");
        assert_eq!(told(&sends(&program, Method::GET, "/session", None).await)["user"]["groups"], json!(["staff"]));
    }

    async fn the_api_revokes_sessions_and_changes_the_password(server: TestServer) {
        let program = server.visitor();
        sends(&program, Method::POST, "/users", Some(ada())).await;
        let (second, third) = (server.visitor(), server.visitor());
        for device in [&second, &third] {
            let credentials = json!({ "email": "ada@example.com", "password": ADAS_PASSWORD });
            assert_eq!(sends(device, Method::POST, "/session", Some(credentials)).await.status, 201);
        }
        let list = told(&sends(&program, Method::GET, "/sessions", None).await);
        let current: Vec<_> = list.as_array().unwrap().iter().map(|session| session["current"] == true).collect();
        assert_eq!(current.iter().filter(|current| **current).count(), 1);
        let of_second = told(&sends(&second, Method::GET, "/session", None).await)["session"]["id"].as_str().unwrap().to_owned();
        let path = format!("/sessions/{of_second}");
        let anonymous = server.visitor();
        sends(&anonymous, Method::POST, "/users", Some(json!({ "name": "Eve", "email": "eve@example.com", "password": ADAS_PASSWORD }))).await;
        assert_eq!(sends(&anonymous, Method::DELETE, &path, None).await.status, 404, "a session of another user");
        assert_eq!(sends(&second, Method::GET, "/session", None).await.status, 200);
        assert_eq!(sends(&program, Method::DELETE, &path, None).await.status, 204);
        assert_eq!(sends(&program, Method::DELETE, &path, None).await.status, 404);
        assert_eq!(sends(&program, Method::DELETE, "/sessions/nonsense", None).await.status, 404);
        assert_eq!(sends(&second, Method::GET, "/session", None).await.status, 401);
        assert_eq!(sends(&program, Method::POST, "/sessions/revoke-others", None).await.status, 204);
        assert_eq!(sends(&third, Method::GET, "/session", None).await.status, 401);

        let thief = program.copy();
        let wish = |current: &str, new: &str| Some(json!({ "current_password": current, "password": new }));
        let wrong = sends(&program, Method::PUT, "/password", wish("wrong", "walnut-trumpet-glacier")).await;
        assert_eq!(refused_fields(&wrong), ["current_password"]);
        let weak = sends(&program, Method::PUT, "/password", wish(ADAS_PASSWORD, "password1")).await;
        assert_eq!(refused_fields(&weak), ["password"]);
        assert_eq!(sends(&program, Method::PUT, "/password", wish(ADAS_PASSWORD, "walnut-trumpet-glacier")).await.status, 204);
        assert_eq!(sends(&program, Method::GET, "/session", None).await.status, 200);
        assert_eq!(sends(&thief, Method::GET, "/session", None).await.status, 401, "the change rotates the token");
    }

    async fn api_errors_are_problem_documents(server: TestServer) {
        let program = server.visitor();
        let nothing = sends(&program, Method::POST, "/users", Some(json!({ "name": "", "email": "ada", "password": "x" }))).await;
        assert_eq!(refused_fields(&nothing), ["name", "email", "password"]);
        sends(&program, Method::POST, "/users", Some(ada())).await;
        assert_eq!(refused_fields(&sends(&server.visitor(), Method::POST, "/users", Some(ada())).await), ["email"]);
        for (email, password) in [("ada@example.com", "wrong"), ("bob@example.com", ADAS_PASSWORD)] {
            let refused = sends(&server.visitor(), Method::POST, "/session", Some(json!({ "email": email, "password": password }))).await;
            assert_eq!(refused_fields(&refused), ["password"]);
        }
        let raw = async |kind: &str, body: &str| {
            let request = server.visitor().bare_request(Method::POST, "/account/api/v1/session").header("content-type", kind);
            let page = server.visitor().send(request.body(body.to_owned())).await;
            assert_eq!(page.header("content-type"), "application/problem+json");
            (page.status, page.body)
        };
        assert_eq!(raw("text/plain", "{}").await.0, 415);
        assert_eq!(raw("application/x-www-form-urlencoded", "email=a").await.0, 415);
        assert_eq!(raw("application/json", "{").await.0, 400);
        assert_eq!(raw("application/json", &" ".repeat(70_000)).await.0, 413);
        let (status, problem) = raw("application/json; charset=utf-8", r#"{"email":1,"password":"hunter2-hunter2"}"#).await;
        assert!(status == 422 && !problem.contains("hunter2"), "{problem}");
        assert_eq!(raw("application/json", r#"{"email":"a@b.c","password":"x","password":"y"}"#).await.0, 422);
        assert!(!server.log().contains("hunter2"));
        for path in ["/account/api/v1/nowhere", "/account/api/v1", "/account/api/v2/session"] {
            assert_eq!(program.send(program.bare_request(Method::GET, path).header("accept", "application/json")).await.status, 404);
        }
        assert_eq!(sends(&program, Method::PATCH, "/session", None).await.status, 405);
    }

    async fn the_api_shares_rate_limits_with_the_pages(server: TestServer) {
        let program = server.visitor();
        sends(&program, Method::POST, "/users", Some(ada())).await;
        let guess = async || sends(&server.visitor(), Method::POST, "/session", Some(json!({ "email": "ada@example.com", "password": "wrong" }))).await;
        for _ in 0..10 {
            assert_eq!(guess().await.status, 422);
        }
        let refused = guess().await;
        assert_eq!((refused.status, refused.header("content-type")), (429, "application/problem+json"));
        assert!(refused.header("retry-after").parse::<u32>().unwrap() > 50);
        let page = server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
        assert_eq!(page.status, 429, "guesses on the pages and in the API are counted together");
    }

    async fn cross_site_api_requests_are_refused(server: TestServer) {
        let ada_herself = server.ada().await;
        for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("accept", "*/*")] {
            for (method, path) in [(Method::DELETE, "/account/api/v1/session"), (Method::POST, "/account/api/v1/sessions/revoke-others"), (Method::PUT, "/account/api/v1/password")] {
                let request = ada_herself.bare_request(method, path).header(name, value);
                assert_eq!(ada_herself.send(request).await.status, 403, "{path} {name}: {value}");
            }
        }
        let preflight = ada_herself.bare_request(Method::OPTIONS, "/account/api/v1/session").header("origin", "https://evil.example");
        let preflight = ada_herself.send(preflight.header("access-control-request-method", "DELETE")).await;
        assert!(preflight.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
        assert!(ada_herself.is_signed_in().await);
    }
}

/// Runs schemathesis, which generates requests from the description and checks the responses, without some of its checks.
fn is_as_described(server: &TestServer, excluded: &str, more: &[&str]) {
    let schemathesis = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/schemathesis");
    let mut command = Command::new(schemathesis);
    command.args([
        "run",
        &format!("{}/account/api/v1/openapi.json", server.url),
        "--seed",
        "1",
        "--max-examples",
        "20",
    ]);
    command.args(["--exclude-checks", excluded, "--no-color"]).args(more);
    let output = command.current_dir(server.folder()).output().expect("script/test installs schemathesis");
    assert!(output.status.success(), "{}", String::from_utf8(output.stdout).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_responses_match_the_openapi_description() {
    let mut server = TestServer::on_sqlite();
    server.restart_with("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "0");
    let origin = format!("Origin: {}", server.url);
    // Some values that the schema allows are refused by rules that no schema can express, such as those for passwords.
    is_as_described(&server, "positive_data_acceptance", &["-H", &origin]);
    let ada = server.ada().await;
    let cookie = format!("Cookie: handstamp_session={}", ada.token());
    // Every request has the cookie, even where schemathesis assumes that it has none.
    let excluded = "positive_data_acceptance,negative_data_rejection,ignored_auth";
    // Requests that sign out, sign in or change the password are left out, because they replace the token.
    let keeps =
        ["--include-path-regex", "^/sessions|^/session$", "--exclude-method", "POST", "--exclude-method", "DELETE"];
    is_as_described(&server, excluded, &[["-H", &cookie, "-H", &origin].as_slice(), &keeps].concat());
    assert!(ada.is_signed_in().await);
}
