//! The published attacks on accounts with several ways in: by accounts that an attacker makes first (A. Sudhodanan and A. Paverd,
//! Pre-hijacked Accounts, USENIX Security 2022), and by addresses that a provider lets its users choose (nOAuth).

use handstamp_testing::{ADAS_PASSWORD, FakeProvider, TestServer, Visitor};
use serde_json::{Value, json};

use super::{
    ACME, begins_to_connect, comes_back, connects, identities, logs_refusal, mailed_link, offer, owner_resets_password,
    signs_in, tells_a_refusal, users,
};

const VICTIM: &str = "victim@example.com";
const MALLORYS_PASSWORD: &str = "walnut-trumpet-glacier";

/// A server with a provider that is trusted for every address, and the provider.
fn with_provider(mut server: TestServer) -> (TestServer, FakeProvider) {
    let provider = FakeProvider::start();
    offer(&mut server, &provider, &[("TRUSTED_DOMAINS", "*")]);
    (server, provider)
}

/// Whether the address of an account counts as verified.
fn is_verified(server: &TestServer, email: &str) -> bool {
    server.cli_json(&["user", "show", email])["email_verified"] == true
}

/// A stranger registers with the address of the victim, and connects an identity of their own. Returns the browser of that, and one that
/// is signed in by the identity.
async fn prepares_account(server: &TestServer, provider: &FakeProvider) -> [Visitor; 2] {
    let (mallory, trojan) = (server.visitor(), server.visitor());
    mallory.registers("Mallory", VICTIM, MALLORYS_PASSWORD).await;
    provider.signs_in_as("of Mallory", "mallory@example.net");
    connects(&mallory, provider).await;
    assert_eq!(signs_in(&trojan, provider).await.location(), "/account");
    [mallory, trojan]
}

/// Asserts that nothing of a prepared account is left but its verified address.
async fn the_account_is_the_owners(server: &TestServer, provider: &FakeProvider, before: [&Visitor; 2]) {
    assert!(is_verified(server, VICTIM));
    assert_eq!(identities(server).await, 0);
    for browser in before {
        assert!(!browser.is_signed_in().await);
    }
    provider.changes(json!({ "claims": { "email": VICTIM } }));
    tells_a_refusal(&signs_in(before[1], provider).await);
    assert!(!before[1].is_signed_in().await);
}

handstamp_testing::stories! {
    async fn an_account_of_a_stranger_is_not_merged_with_the_identity_of_the_owner_of_its_address(server: TestServer) {
        let (server, provider) = with_provider(server);
        let mallory = server.visitor();
        mallory.registers("Mallory", VICTIM, MALLORYS_PASSWORD).await;
        provider.signs_in_as("of the victim", VICTIM);
        let victim = server.visitor();
        let page = signs_in(&victim, &provider).await;
        assert_eq!(page.status, 403, "{}", page.body);
        tells_a_refusal(&page);
        logs_refusal(&server, "account_exists", 1);
        assert!(!victim.is_signed_in().await && !is_verified(&server, VICTIM));
        assert_eq!((users(&server).await, identities(&server).await), (1, 0));
        // The owner gets the account by the mailbox, and connects.
        let owner = owner_resets_password(&server, VICTIM, ADAS_PASSWORD).await;
        assert_eq!(owner.signs_in(VICTIM, ADAS_PASSWORD).await.status, 303);
        connects(&owner, &provider).await;
        assert_eq!(signs_in(&victim, &provider).await.location(), "/account");
        assert!(!mallory.is_signed_in().await);
        assert_eq!(server.visitor().signs_in(VICTIM, MALLORYS_PASSWORD).await.status, 422);
    }

    async fn an_address_that_a_provider_lets_its_users_choose_opens_no_account(server: TestServer) {
        let (server, provider) = with_provider(server);
        let ada = server.ada().await;
        connects(&ada, &provider).await;
        for (verified, domain_owner_verified) in [(json!(true), json!(true)), (json!(false), Value::Null), (Value::Null, Value::Null)] {
            provider.changes(json!({ "claims": {
                "sub": "of Mallory", "email": "ada@example.com", "email_verified": verified, "xms_edov": domain_owner_verified,
                "preferred_username": "ada@example.com", "upn": "ada@example.com",
            } }));
            let mallory = server.visitor();
            let page = signs_in(&mallory, &provider).await;
            tells_a_refusal(&page);
            assert!(!mallory.is_signed_in().await);
        }
        assert_eq!((users(&server).await, identities(&server).await), (1, 1));
        assert_eq!(server.events("provider_refused").iter().filter(|refused| refused["reason"] == "account_exists").count(), 3);
        // Another address at the provider changes neither who Ada is nor her address here.
        provider.signs_in_as(FakeProvider::SUBJECT, "moved@example.com");
        let phone = server.visitor();
        assert_eq!(signs_in(&phone, &provider).await.location(), "/account");
        let account = phone.opens("/account").await;
        assert!(account.shows("ada@example.com") && !account.shows("moved@example.com"));
    }

    async fn an_identity_that_a_stranger_has_connected_before_is_gone_once_the_owner_resets_the_password(server: TestServer) {
        let (server, provider) = with_provider(server);
        let [mallory, trojan] = prepares_account(&server, &provider).await;
        owner_resets_password(&server, VICTIM, ADAS_PASSWORD).await;
        the_account_is_the_owners(&server, &provider, [&mallory, &trojan]).await;
        assert_eq!(server.visitor().signs_in(VICTIM, ADAS_PASSWORD).await.status, 303);
    }

    async fn an_identity_that_a_stranger_has_connected_before_is_gone_once_the_owner_confirms_the_address(server: TestServer) {
        let (server, provider) = with_provider(server);
        let [mallory, trojan] = prepares_account(&server, &provider).await;
        // Connecting has made the first mail worthless.
        assert_eq!(mallory.submits("/account/verify/send", &[]).await.status, 303);
        let owner = server.visitor();
        assert_eq!(owner.opens(&mailed_link(&server, "verify_email", 2).await).await.location(), "/account/verify");
        let page = owner.submits("/account/verify", &[]).await;
        assert!([200, 303].contains(&page.status), "{} {}", page.status, page.body);
        the_account_is_the_owners(&server, &provider, [&mallory, &trojan]).await;
        assert_eq!(server.visitor().signs_in(VICTIM, MALLORYS_PASSWORD).await.status, 422);
    }

    async fn a_session_that_has_ended_connects_no_identity(server: TestServer) {
        let (server, provider) = with_provider(server);
        let other = server.start_node();
        let mallory = server.visitor();
        mallory.registers("Mallory", VICTIM, MALLORYS_PASSWORD).await;
        provider.signs_in_as("of Mallory", "mallory@example.net");
        // The attempt stays at the provider while the owner gets the account.
        let answer = provider.answers(&begins_to_connect(&mallory).await);
        owner_resets_password(&server, VICTIM, ADAS_PASSWORD).await;
        for node in [&server, &other] {
            let page = comes_back(&mallory.at(&node.url), &answer).await;
            assert!(page.status != 303 || page.location().starts_with("/account/login"), "{} {}", page.status, page.location());
        }
        assert_eq!(identities(&server).await, 0);
        assert!(!mallory.is_signed_in().await);
        let page = signs_in(&server.visitor(), &provider).await;
        assert_eq!(page.status, 303, "Mallory has an account of their own now: {}", page.body);
        assert!(server.cli_json(&["user", "show", "mallory@example.net"])["email"] == "mallory@example.net");
    }

    async fn a_change_of_the_address_that_a_stranger_has_begun_ends_with_the_reset_of_the_owner(server: TestServer) {
        let (server, provider) = with_provider(server);
        let mallory = server.visitor();
        mallory.registers("Mallory", VICTIM, MALLORYS_PASSWORD).await;
        mallory.submits("/account/email", &[("email", "mallory@example.net")]).await;
        let change = mailed_link(&server, "change_email", 1).await;
        let owner = owner_resets_password(&server, VICTIM, ADAS_PASSWORD).await;
        assert_eq!(owner.signs_in(VICTIM, ADAS_PASSWORD).await.status, 303);
        // The link needs a session of the account. Mallory sends it to the owner, who has one.
        owner.opens(&change).await;
        let page = owner.submits("/account/email/confirm", &[]).await;
        assert_eq!(page.status, 404, "{} {}", page.location(), page.body);
        provider.signs_in_as("of the victim", VICTIM);
        connects(&owner, &provider).await;
        let elsewhere = server.visitor();
        elsewhere.opens(&change).await;
        let page = elsewhere.submits("/account/email/confirm", &[]).await;
        assert!(page.status >= 400 || page.location().contains("form-not-sent"), "{} {}", page.status, page.location());
        assert_eq!(signs_in(&server.visitor(), &provider).await.location(), "/account");
        assert_eq!(server.cli_json(&["user", "show", VICTIM])["email"], VICTIM);
        assert_eq!(server.run_cli(&["user", "show", "mallory@example.net"], "").0, 3);
    }

    async fn an_address_counts_as_verified_by_the_word_of_a_trusted_provider_only(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[("TRUSTED_DOMAINS", "example.com, example.org")]);
        for (number, (email, verified, expected)) in [
            ("a@example.com", json!(true), true),
            ("b@EXAMPLE.org", json!(true), true),
            ("c@example.net", json!(true), false),
            ("d@sub.example.com", json!(true), false),
            ("e@notexample.com", json!(true), false),
            ("f@example.com", json!("true"), false),
            ("g@example.com", json!("True"), false),
            ("h@example.com", json!(1), false),
            ("i@example.com", json!(false), false),
            ("j@example.com", Value::Null, false),
            ("k@example.com", json!(["true"]), false),
        ].into_iter().enumerate() {
            provider.changes(json!({ "claims": { "sub": format!("user {number}"), "email": email, "email_verified": verified } }));
            let page = signs_in(&server.visitor(), &provider).await;
            assert_eq!(page.status, 303, "{email} {verified}: {}", page.body);
            assert_eq!(is_verified(&server, email), expected, "{email} {verified}");
        }
        // Without trusted domains no provider is believed.
        offer(&mut server, &provider, &[("TRUSTED_DOMAINS", "")]);
        provider.changes(json!({ "claims": { "sub": "last", "email": "last@example.com", "email_verified": true } }));
        assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303);
        assert!(!is_verified(&server, "last@example.com"));
    }

    async fn an_identity_is_of_one_user_and_a_user_has_one_of_a_provider(server: TestServer) {
        let (server, provider) = with_provider(server);
        let ada = server.ada().await;
        connects(&ada, &provider).await;
        let bob = server.visitor();
        bob.registers("Bob", "bob@example.com", MALLORYS_PASSWORD).await;
        let page = comes_back(&bob, &provider.answers(&begins_to_connect(&bob).await)).await;
        tells_a_refusal(&page);
        assert_eq!(server.events("provider_refused").last().unwrap()["reason"], "taken");
        // Two begun before either is connected.
        let urls = [begins_to_connect(&bob).await, begins_to_connect(&bob).await];
        provider.signs_in_as("of Bob", "bob@example.com");
        assert_eq!(comes_back(&bob, &provider.answers(&urls[0])).await.status, 303);
        provider.signs_in_as("also of Bob", "bob@example.com");
        tells_a_refusal(&comes_back(&bob, &provider.answers(&urls[1])).await);
        assert_eq!(identities(&server).await, 2);
        for (subject, name) in [(FakeProvider::SUBJECT, "Welcome, Ada"), ("of Bob", "Welcome, Bob")] {
            provider.signs_in_as(subject, "any@example.com");
            let browser = server.visitor();
            assert_eq!(signs_in(&browser, &provider).await.location(), "/account");
            assert!(browser.opens("/account").await.shows(name));
        }
    }

    async fn the_same_subject_of_another_issuer_is_another_person(mut server: TestServer) {
        let (first, second) = (FakeProvider::start(), FakeProvider::start());
        offer(&mut server, &first, &[]);
        assert_eq!(signs_in(&server.visitor(), &first).await.status, 303);
        // The operator gives the name of the provider to another issuer.
        offer(&mut server, &second, &[]);
        second.changes(json!({ "claims": { "email": "eve@example.com" } }));
        let eve = server.visitor();
        assert_eq!(signs_in(&eve, &second).await.status, 303);
        assert_eq!(users(&server).await, 2);
        assert!(eve.opens("/account").await.shows("eve@example.com"));
        // Subjects are compared byte by byte.
        second.changes(json!({ "claims": { "sub": "ABC", "email": "upper@example.com" } }));
        assert_eq!(signs_in(&server.visitor(), &second).await.status, 303);
        second.changes(json!({ "claims": { "sub": "abc", "email": "lower@example.com" } }));
        assert_eq!(signs_in(&server.visitor(), &second).await.status, 303);
        assert_eq!((users(&server).await, identities(&server).await), (4, 4));
    }

    async fn of_sign_ins_of_a_new_user_at_once_one_makes_the_account(server: TestServer) {
        let (server, provider) = with_provider(server);
        let other = server.start_node();
        let mut begun = Vec::new();
        for node in [&server, &other, &server, &other] {
            let browser = node.visitor();
            let url = super::begins(&browser, ACME).await;
            begun.push((browser, provider.answers(&url)));
        }
        let pages = futures_util::future::join_all(begun.iter().map(|(browser, answer)| comes_back(browser, answer))).await;
        for page in &pages {
            assert!([303, 400, 403, 503].contains(&page.status), "{}: {}", page.status, page.body);
        }
        assert!(pages.iter().any(|page| page.status == 303));
        assert_eq!((users(&server).await, identities(&server).await), (1, 1));
    }
}
