//! The named kinds of providers, by the answers in their documentation, which a fake server replays.

use handstamp_testing::{FakeProvider, Page, TestServer, Visitor};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ACME, SITE, begins, comes_back, identities, offer, set, signs_in, tells_a_refusal, users};

/// A server with a provider of this kind, and the provider.
fn with_kind(kind: &str, settings: &[(&str, &str)]) -> (TestServer, FakeProvider) {
    let (mut server, provider) = (TestServer::on_sqlite(), FakeProvider::start());
    let settings: Vec<_> = [("KIND", kind)].iter().chain(settings).copied().collect();
    offer(&mut server, &provider, &settings);
    (server, provider)
}

fn is_verified(server: &TestServer, email: &str) -> bool {
    server.cli_json(&["user", "show", email])["email_verified"] == true
}

/// The reason of the newest refusal.
fn reason(server: &TestServer) -> Value {
    server.events("provider_refused").last().map(|event| event["reason"].clone()).unwrap_or_default()
}

/// The claims of an ID token of Google (Using OAuth 2.0 to access Google APIs, OpenID Connect, "An ID token's payload").
fn of_google() -> Value {
    json!({ "claims": {
        "azp": FakeProvider::CLIENT, "sub": "10769150350006150715113082367", "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
        "hd": "example.com", "email": "jsmith@example.com", "email_verified": true, "name": "Jane Smith",
        "picture": "https://lh3.googleusercontent.com/a", "given_name": "Jane", "family_name": "Smith", "auth_time": null,
    } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_signs_in_the_members_of_chosen_organisations() {
    let (server, provider) = with_kind("google", &[("HOSTED_DOMAINS", "Example.com")]);
    provider.changes(of_google());
    let url = begins(&server.visitor(), ACME).await;
    assert!(url.contains("hd=example.com"), "{url}");
    for (number, hosted) in
        [Value::Null, json!("example.org"), json!(""), json!(["example.com"])].into_iter().enumerate()
    {
        provider.changes(json!({ "claims": { "hd": hosted } }));
        let page = signs_in(&server.visitor(), &provider).await;
        tells_a_refusal(&page);
        assert_eq!((reason(&server), server.events("provider_refused").len()), (json!("organisation"), number + 1));
    }
    assert_eq!(users(&server).await, 0);
    provider.changes(of_google());
    let jane = server.visitor();
    assert_eq!(signs_in(&jane, &provider).await.location(), "/account", "{}", server.log());
    assert!(jane.opens("/account").await.shows("Welcome, Jane Smith"));
    assert!(server.visitor().opens("/account/login").await.shows("Continue with Acme"));
}

const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const ANOTHER_TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// Claims of an ID token of Microsoft (ID token claims reference, version 2.0) for a tenant.
fn of_microsoft(provider: &FakeProvider, tenant: &str, claims: Value) -> Value {
    let mut all = json!({
        "iss": format!("{}/{tenant}/v2.0", provider.url()), "tid": tenant, "ver": "2.0", "uti": "5qBhnJ1l0kqGVE9BzuABAQ",
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "name": "Abe Lincoln", "preferred_username": "abeli@microsoft.com", "email": "abeli@microsoft.com",
        "email_verified": null, "auth_time": null,
    });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    json!({ "claims": all, "callback": { "iss": null }, "discovery": {
        "authorization_response_iss_parameter_supported": null,
        "jwks_uri": format!("{}/common/discovery/v2.0/keys", provider.url()),
        "authorization_endpoint": format!("{}/common/oauth2/v2.0/authorize", provider.url()),
        "token_endpoint": format!("{}/common/oauth2/v2.0/token", provider.url()),
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
    } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsoft_signs_in_the_members_of_chosen_tenants_by_their_object_id() {
    let tenants = format!("{TENANT}, {}", ANOTHER_TENANT.to_uppercase());
    let (server, provider) = with_kind("microsoft", &[("TENANTS", &tenants)]);
    let all_tenants = json!({ "discovery": { "issuer": format!("{}/{{tenantid}}/v2.0", provider.url()) } });
    provider.changes(all_tenants);
    provider.changes(of_microsoft(&provider, TENANT, json!({})));
    let abe = server.visitor();
    assert_eq!(signs_in(&abe, &provider).await.location(), "/account", "{}", server.log());
    assert!(abe.opens("/account").await.shows("Welcome, Abe Lincoln"));
    assert!(!is_verified(&server, "abeli@microsoft.com"), "Microsoft does not say that the address is his");
    let same = of_microsoft(&provider, TENANT, json!({ "sub": "another pairwise id", "email": "moved@example.com" }));
    provider.changes(same);
    assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303);
    assert_eq!((users(&server).await, identities(&server).await), (1, 1), "the object id is who it is");

    let foreign = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let url = provider.url().to_owned();
    for (claims, expected) in [
        // A tenant that is not allowed.
        (of_microsoft(&provider, foreign, json!({ "oid": "new" })), "issuer"),
        // A tenant that claims to be another.
        (of_microsoft(&provider, foreign, json!({ "tid": TENANT })), "issuer"),
        (of_microsoft(&provider, TENANT, json!({ "tid": ANOTHER_TENANT })), "issuer"),
        (of_microsoft(&provider, TENANT, json!({ "iss": format!("{url}/{{tenantid}}/v2.0") })), "issuer"),
        (
            of_microsoft(&provider, TENANT, json!({ "tid": "{tenantid}", "iss": format!("{url}/{{tenantid}}/v2.0") })),
            "issuer",
        ),
        (of_microsoft(&provider, TENANT, json!({ "tid": null })), "issuer"),
        (of_microsoft(&provider, TENANT, json!({ "oid": null })), "subject"),
        // nOAuth: the attacker is an administrator of an allowed tenant, and has set the address of the victim.
        (of_microsoft(&provider, ANOTHER_TENANT, json!({ "oid": "of the attacker" })), "account_exists"),
        (
            of_microsoft(
                &provider,
                ANOTHER_TENANT,
                json!({ "oid": "of the attacker", "email_verified": true, "xms_edov": true }),
            ),
            "account_exists",
        ),
    ] {
        provider.changes(claims.clone());
        let attacker = server.visitor();
        let page = signs_in(&attacker, &provider).await;
        tells_a_refusal(&page);
        assert_eq!(reason(&server), expected, "{claims}");
        assert!(!attacker.is_signed_in().await);
    }
    // The same object id in another tenant is another person.
    provider.changes(of_microsoft(&provider, ANOTHER_TENANT, json!({ "email": "eve@example.com" })));
    let eve = server.visitor();
    assert_eq!(signs_in(&eve, &provider).await.status, 303);
    assert_eq!(users(&server).await, 2);
    assert!(eve.opens("/account").await.shows("eve@example.com"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsoft_with_one_tenant_asks_at_that_tenant() {
    let (server, provider) = with_kind("microsoft", &[("TENANTS", TENANT)]);
    provider.changes(of_microsoft(&provider, TENANT, json!({})));
    assert_eq!(signs_in(&server.visitor(), &provider).await.location(), "/account", "{}", server.log());
    let path = format!("/{TENANT}/v2.0/.well-known/openid-configuration");
    assert_eq!(provider.newest_request("discovery")["path"], path);
}

/// The answers of GitHub's REST API ("Get the authenticated user", "List email addresses for the authenticated user").
fn of_github(user: Value, emails: Value) -> Value {
    let mut all = json!({
        "login": "octocat", "id": 1, "node_id": "MDQ6VXNlcjE=", "type": "User", "site_admin": false, "name": "monalisa octocat",
        "company": "GitHub", "email": "octocat@github.com", "two_factor_authentication": true,
        "created_at": "2008-01-14T04:33:35Z", "updated_at": "2008-01-14T04:33:35Z",
    });
    all.as_object_mut().unwrap().extend(user.as_object().unwrap().clone());
    json!({ "token": { "id_token": null, "scope": "read:user,user:email" }, "documents": {
        "/api/v3/user": all, "/api/v3/user/emails": emails,
    }, "callback": { "iss": "https://github.com/login/oauth" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_signs_in_by_the_id_of_the_user_with_the_primary_address() {
    let (server, provider) = with_kind("github", &[("TRUSTED_DOMAINS", "github.com")]);
    let emails = json!([
        { "email": "other@example.com", "verified": true, "primary": false, "visibility": null },
        { "email": "octocat@github.com", "verified": true, "primary": true, "visibility": "public" },
    ]);
    provider.changes(of_github(json!({}), emails.clone()));
    let octocat = server.visitor();
    let url = begins(&octocat, ACME).await;
    assert!(url.starts_with(&format!("{}/login/oauth/authorize?", provider.url())), "{url}");
    let page = comes_back(&octocat, &provider.answers(&url)).await;
    assert_eq!((page.status, page.location()), (303, "/account"), "{}", server.log());
    assert!(octocat.opens("/account").await.shows("Welcome, monalisa octocat"));
    assert!(is_verified(&server, "octocat@github.com"));
    let asked = provider.newest_request("token");
    assert_eq!(asked["headers"]["accept"], "application/json", "GitHub answers as a form otherwise");
    assert!(
        !provider.newest_request("document")["headers"]["user-agent"].as_str().unwrap().is_empty(),
        "GitHub requires it"
    );
    // The user name passes to another person.
    for (user, emails, expected) in [
        (json!({ "id": 2 }), emails.clone(), "account_exists"),
        (json!({ "id": 2 }), json!([]), "no_email"),
        (json!({ "id": 2 }), json!([{ "email": "new@github.com", "verified": true, "primary": false }]), "no_email"),
        (json!({ "id": "1" }), emails.clone(), "unavailable"),
        (json!({ "id": null }), emails.clone(), "unavailable"),
        (json!({ "id": 0 }), emails.clone(), "unavailable"),
        (json!({}), json!({ "message": "Not Found" }), "unavailable"),
    ] {
        provider.changes(of_github(user.clone(), emails));
        let visitor = server.visitor();
        tells_a_refusal(&signs_in(&visitor, &provider).await);
        assert_eq!(reason(&server), expected, "{user}");
        assert!(!visitor.is_signed_in().await);
    }
    let unverified = json!([{ "email": "new@github.com", "verified": false, "primary": true, "visibility": null }]);
    provider.changes(of_github(json!({ "id": 3, "name": null }), unverified));
    let third = server.visitor();
    assert_eq!(signs_in(&third, &provider).await.status, 303);
    assert!(!is_verified(&server, "new@github.com") && third.opens("/account").await.shows("Welcome, octocat"));
    // OAuth errors of GitHub have the status 200.
    let error =
        json!({ "error": "bad_verification_code", "error_description": "The code passed is incorrect or expired." });
    provider.changes(json!({ "faults": { "token": { "body": error.to_string() } } }));
    tells_a_refusal(&signs_in(&server.visitor(), &provider).await);
    assert_eq!(reason(&server), "provider");
}

const APPLE_SITE: &str = "https://id.example.com";

/// A server behind a proxy with TLS, with Apple as its provider, and the provider.
fn with_apple() -> (TestServer, FakeProvider) {
    let (mut server, provider) = (TestServer::on_sqlite(), FakeProvider::start());
    let key = server.folder().join("AuthKey_ABC123DEFG.p8");
    std::fs::write(&key, FakeProvider::apple_key()).unwrap();
    server.set("HANDSTAMP_PUBLIC_URL", APPLE_SITE);
    server.set("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
    server.set("HANDSTAMP_MAIL__URL", "smtp://127.0.0.1:1");
    server.set("HANDSTAMP_MAIL__FROM", "accounts@example.com");
    for (setting, value) in [
        ("KIND", "apple"),
        ("LABEL", "Acme"),
        ("ISSUER", provider.url()),
        ("CLIENT_ID", FakeProvider::CLIENT),
        ("TEAM_ID", "DEF123GHIJ"),
        ("KEY_ID", "ABC123DEFG"),
        ("KEY_FILE", key.to_str().unwrap()),
        ("TRUSTED_DOMAINS", "privaterelay.appleid.com"),
    ] {
        set(&mut server, setting, value);
    }
    server.restart();
    provider.changes(json!({
        "apple": { "team_id": "DEF123GHIJ", "key_id": "ABC123DEFG", "audience": provider.url() },
        "callback": { "iss": null },
        "discovery": {
            "authorization_response_iss_parameter_supported": null, "userinfo_endpoint": null,
            "token_endpoint_auth_methods_supported": ["client_secret_post"], "response_modes_supported": ["query", "fragment", "form_post"],
        },
        // Sign in with Apple REST API, "Authenticate users": the claims are texts.
        "claims": {
            "sub": "001999.d41d8cd98f00b204e9800998ecf8427e.1234", "email": "dpdcnf87nu@privaterelay.appleid.com",
            "email_verified": "true", "is_private_email": "true", "nonce_supported": true, "name": null, "real_user_status": 2,
        },
    }));
    (server, provider)
}

/// A request as the proxy with TLS sends it.
async fn through_tls(visitor: &Visitor, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Page {
    let mut request =
        visitor.request(method, path).header("host", "id.example.com").header("x-forwarded-proto", "https");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    visitor.send(request.header("sec-fetch-mode", "navigate").body(body)).await
}

/// Signs in through Apple. Apple sends this text about the user at the first sign-in.
async fn signs_in_by_form(server: &TestServer, visitor: &Visitor, provider: &FakeProvider, user: Option<&str>) -> Page {
    let with_user = |mut fields: Vec<(String, String)>| {
        fields.extend(user.map(|user| ("user".to_owned(), user.to_owned())));
        fields
    };
    answers_by_form(server, visitor, provider, with_user).await
}

/// Begins a sign-in through Apple, whose page then sends a form with these fields, made from those of a success. Cookies that are Lax
/// do not come with it.
async fn answers_by_form(
    server: &TestServer,
    visitor: &Visitor,
    provider: &FakeProvider,
    change: impl FnOnce(Vec<(String, String)>) -> Vec<(String, String)>,
) -> Page {
    let begun = through_tls(visitor, Method::GET, ACME, &[("sec-fetch-site", "same-origin")], String::new()).await;
    assert_eq!(begun.status, 303, "{}", begun.body);
    assert!(begun.location().contains("response_mode=form_post"), "{}", begun.location());
    let (action, fields) = provider.answers_with_fields(begun.location());
    assert_eq!(action, format!("{APPLE_SITE}{ACME}/callback"));
    let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(change(fields)).finish();
    let headers = [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://appleid.apple.com"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let bare = server.visitor();
    let posted = through_tls(&bare, Method::POST, &format!("{ACME}/callback"), &headers, body).await;
    assert_eq!(posted.status, 303, "{}", posted.body);
    let (name, value) = posted.header("set-cookie").split(';').next().unwrap().split_once('=').unwrap();
    visitor.presents_as(name, value);
    let path = posted.location().strip_prefix(APPLE_SITE).unwrap_or(posted.location()).to_owned();
    assert!(!path.contains("code="), "the code stands in no URL of ours: {path}");
    through_tls(visitor, Method::GET, &path, &[("sec-fetch-site", "cross-site")], String::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apple_answers_by_a_form_and_verifies_the_client_by_its_key() {
    let (server, provider) = with_apple();
    let user = r#"{"name":{"firstName":"Jane","lastName":"Appleseed"},"email":"victim@example.com"}"#;
    let jane = server.visitor();
    let page = signs_in_by_form(&server, &jane, &provider, Some(user)).await;
    assert_eq!(
        (page.status, page.location()),
        (303, "/account"),
        "{}\n{}\n{:?}",
        page.body,
        server.log(),
        provider.complaints()
    );
    let account = through_tls(&jane, Method::GET, "/account", &[("sec-fetch-site", "none")], String::new()).await;
    assert!(account.shows("Welcome, Jane Appleseed"), "{}", account.body);
    let shown = server.cli_json(&["user", "show", "dpdcnf87nu@privaterelay.appleid.com"]);
    assert_eq!(shown["email_verified"], true, "Apple writes true as a text");
    assert_eq!(server.run_cli(&["user", "show", "victim@example.com"], "").0, 3, "the form is not signed");
    assert_eq!(provider.complaints(), [] as [String; 0]);
    let again = server.visitor();
    assert_eq!(signs_in_by_form(&server, &again, &provider, None).await.location(), "/account");
    assert_eq!(users(&server).await, 1);
    // The person cancels: Apple has a word of its own.
    let stranger = server.visitor();
    let cancels = |mut fields: Vec<(String, String)>| {
        fields.retain(|(name, _)| name == "state");
        fields.push(("error".to_owned(), "user_cancelled_authorize".to_owned()));
        fields
    };
    tells_a_refusal(&answers_by_form(&server, &stranger, &provider, cancels).await);
    super::logs_refusal(&server, "cancelled", 1);
    let account = through_tls(&stranger, Method::GET, "/account", &[("sec-fetch-site", "none")], String::new()).await;
    assert!(account.location().contains("/account/login"), "{} {}", account.status, account.location());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_apple_with_odd_texts_makes_no_error_of_ours() {
    let (server, provider) = with_apple();
    for (number, user) in [
        "",
        "{",
        "[]",
        r#"{"name":"Jane"}"#,
        r#"{"name":{"firstName":["a"]}}"#,
        "{\"name\":{\"firstName\":\"\u{202e}\"}}",
    ]
    .into_iter()
    .enumerate()
    {
        let claims =
            json!({ "sub": format!("user {number}"), "email": format!("user{number}@privaterelay.appleid.com") });
        provider.changes(json!({ "claims": claims }));
        let page = signs_in_by_form(&server, &server.visitor(), &provider, Some(user)).await;
        assert_eq!((page.status, page.location()), (303, "/account"), "{user}: {}", page.body);
    }
    let long = format!("{SITE}{}", "a".repeat(20_000));
    let bare = server.visitor();
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "cross-site")];
    let page =
        through_tls(&bare, Method::POST, &format!("{ACME}/callback"), &headers, format!("state={long}&code=a")).await;
    assert!((400..500).contains(&page.status), "{}", page.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gitlab_signs_in_as_any_provider_does() {
    let (server, provider) = with_kind("gitlab", &[("GROUPS_CLAIM", "groups_direct"), ("GROUPS", "gitlab-org=staff")]);
    // GitLab tells the groups at its userinfo endpoint ("GitLab as OpenID Connect identity provider").
    provider.changes(json!({
        "claims": { "sub": "98765", "name": null, "email": null, "email_verified": null },
        "userinfo": {
            "sub": "98765", "name": "Sidney Jones", "nickname": "sjones", "email": "sidney@example.com", "email_verified": true,
            "groups_direct": ["gitlab-org", "gitlab-org/sub"],
        },
    }));
    let sidney = server.visitor();
    assert_eq!(signs_in(&sidney, &provider).await.location(), "/account", "{}", server.log());
    let shown = server.cli_json(&["user", "show", "sidney@example.com"]);
    assert_eq!((&shown["groups"], &shown["email_verified"]), (&json!(["staff"]), &json!(false)));
}
