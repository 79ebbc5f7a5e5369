//! Cases of other projects about second factors, passkeys and authenticating again: what their tests check, and what their users
//! have reported. Each is restated here in a sentence, with its source and the test that covers it.

use std::path::Path;
use std::sync::atomic::Ordering;

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::account_life::Statements;
use super::passkeys::{Authenticator, ORIGIN, ada_with_a_passkey};
use super::second_factors::{Browser, PASSWORD, SIGN_IN, STEP, claims, codes_of, next_mail, with_app};
use super::*;
use crate::config::SecondFactorRequired;

/// The source of a case, what has to be, and the test that covers it.
///
/// A source is a test or a module of tests of django-allauth, Ory Kratos (`kratos`) or the crate `latchkey` 0.4, or an issue or a pull
/// request on GitHub.
type Case = (&'static str, &'static str, &'static str);

const TOTP_CASES: &[Case] = &[
    (
        "allauth mfa/totp: test_activate_totp_with_incorrect_code",
        "A wrong code turns no app on.",
        "an_app_is_set_up_by_its_code_and_gives_ten_recovery_codes_and_level_2",
    ),
    (
        "keycloak/keycloak#20210, #26052",
        "A page that is loaded again, or was sent with a wrong code, shows the secret that was scanned.",
        "an_app_is_set_up_by_its_code_and_gives_ten_recovery_codes_and_level_2",
    ),
    (
        "kratos totp/settings: set up TOTP device",
        "Setting an app up raises the session to level 2.",
        "an_app_is_set_up_by_its_code_and_gives_ten_recovery_codes_and_level_2",
    ),
    (
        "allauth mfa/totp: test_user_with_totp_activate_totp",
        "A user with an app sees no secret again.",
        "an_app_is_set_up_by_its_code_and_gives_ten_recovery_codes_and_level_2",
    ),
    (
        "allauth mfa/totp: test_activate_totp_with_unverified_email",
        "What was set up before the address was confirmed may be another person's, and ends with the confirmation.",
        "a_link_to_confirm_the_address_completes_no_sign_in",
    ),
    (
        "allauth mfa/totp: test_totp_time_tolerance",
        "A code of two steps ago or ahead is refused.",
        "a_code_is_accepted_one_step_early_and_late_and_names_its_own_step",
    ),
    (
        "allauth mfa/totp: test_totp_code_reuse",
        "A code works once.",
        "a_code_is_accepted_once_and_a_sign_in_waits_for_ten_minutes",
    ),
    (
        "latchkey totp: a_step_is_accepted_once_and_never_an_older_one",
        "After a code, those of earlier steps are refused.",
        "a_step_before_the_newest_is_refused",
    ),
    (
        "redhook62/adfsmfa#59",
        "A code that was valid for the skew alone ends with the next one.",
        "a_step_before_the_newest_is_refused",
    ),
    (
        "latchkey flows: setup_totp_code_cannot_be_reused_for_sign_in, teamhanko/hanko#2723",
        "The code that has set an app up signs nobody in.",
        "a_code_is_accepted_once_and_a_sign_in_waits_for_ten_minutes",
    ),
    (
        "Infisical/infisical#6112",
        "A used code is refused for as long as the skew would accept it.",
        "one_of_many_concurrent_uses_of_a_step_succeeds",
    ),
    (
        "kratos totp/login: code is empty, invalid, too long; request payload is malformed",
        "A text that is no code is an error of its field.",
        "texts_that_are_no_codes_are_errors_of_the_field",
    ),
    (
        "latchkey totp: rejects_malformed_codes",
        "Digits of other scripts are no code.",
        "spaces_are_ignored_and_anything_else_is_no_code",
    ),
    (
        "kratos totp/login: totp can not handle AAL1",
        "A code is no first factor.",
        "a_code_without_a_first_factor_signs_nobody_in",
    ),
    (
        "kratos totp/login: TOTP was not set up for identity",
        "The code of another user's app is refused.",
        "a_code_without_a_first_factor_signs_nobody_in",
    ),
    (
        "kratos totp/settings: can not unlink without privileged session",
        "Removing an app needs a recent authentication.",
        "changing_factors_needs_a_recent_authentication",
    ),
    (
        "ory/kratos#2450",
        "Removing an app needs a session at its level.",
        "a_session_confirms_with_what_is_not_weaker_than_itself",
    ),
    (
        "ory/kratos#2401",
        "A session can set an app up again after it has removed one.",
        "a_removed_app_lowers_the_session_and_ends_the_others",
    ),
    (
        "allauth mfa/totp: test_user_without_totp_deactivate_totp",
        "Removing an app that is not there changes nothing.",
        "a_removed_app_lowers_the_session_and_ends_the_others",
    ),
    (
        "keycloak/keycloak#32833, constantoine/totp-rs#68",
        "The name of a site may have a colon.",
        "an_authenticator_gets_the_name_of_the_site_and_the_address",
    ),
    (
        "latchkey seal: values_are_bound_to_owner_and_kind",
        "A sealed secret in the row of another user opens nothing.",
        "a_sealed_secret_serves_its_user_only",
    ),
    (
        "allauth mfa/totp: test_totp_login_rate_limit",
        "Codes are limited.",
        "who_has_the_password_cannot_guess_the_code_in_however_many_browsers",
    ),
    (
        "latchkey flows: concurrent_failures_from_one_snapshot_both_count",
        "Wrong codes at the same time count one by one.",
        "wrong_codes_at_the_same_time_all_count",
    ),
];

const RECOVERY_CASES: &[Case] = &[
    (
        "allauth mfa/recovery_codes: test_flow",
        "A code works once, and the others stay.",
        "a_recovery_code_signs_in_once_and_the_user_is_told",
    ),
    ("wmlele/devise-otp#144", "Codes work in any order.", "a_recovery_code_signs_in_once_and_the_user_is_told"),
    (
        "allauth mfa: test_generate_recovery_codes",
        "New codes void the former ones.",
        "new_recovery_codes_replace_the_former_ones",
    ),
    (
        "kratos lookup/settings: can not reveal or regenerate or remove without privileged session",
        "New codes need a recent authentication.",
        "changing_factors_needs_a_recent_authentication",
    ),
    (
        "allauth mfa/base: test_reauthentication, latchkey flows: step_up_with_a_recovery_code",
        "A recovery code confirms, and is used by that.",
        "a_recovery_code_confirms_once_and_the_user_is_told",
    ),
    (
        "ory/network#12, ory/kratos#1751",
        "Codes that are left do not ask for a second factor once the app is removed.",
        "a_removed_app_lowers_the_session_and_ends_the_others",
    ),
    (
        "latchkey recovery: formatting_does_not_change_the_hash",
        "Case, spaces and hyphens do not matter.",
        "a_code_is_read_as_users_type_it",
    ),
];

const PENDING_CASES: &[Case] = &[
    (
        "pennersr/django-allauth#3561",
        "Leaving the page of the code for another one signs nobody in.",
        "a_waiting_sign_in_opens_no_page_and_outlives_other_requests",
    ),
    (
        "pennersr/django-allauth#3436",
        "A request for an icon does not end a sign-in that waits.",
        "a_waiting_sign_in_opens_no_page_and_outlives_other_requests",
    ),
    (
        "valohai/django-allauth-2fa#21",
        "Without a sign-in that waits, the page of the code leads to the sign-in page.",
        "a_code_is_accepted_once_and_a_sign_in_waits_for_ten_minutes",
    ),
    (
        "latchkey flows: second_factor_stage_expires",
        "A sign-in waits for ten minutes.",
        "a_code_is_accepted_once_and_a_sign_in_waits_for_ten_minutes",
    ),
    (
        "allauth headless/mfa: test_auth_unverified_email_and_mfa",
        "Confirming the address does not complete a sign-in.",
        "a_link_to_confirm_the_address_completes_no_sign_in",
    ),
    (
        "ory/kratos#3461",
        "A program whose user has a second factor gets no session by the password.",
        "programs_sign_in_and_confirm_with_a_code",
    ),
    (
        "ory/kratos#4285, latchkey flows: email_code_needs_the_second_factor_and_works_once",
        "A mailed code stands for the password only.",
        "no_other_way_in_leads_around_the_second_factor",
    ),
    ("ory/kratos#4317", "A second mailed code is no second factor.", "a_mailed_code_is_no_second_factor"),
    (
        "ory/kratos#2190, #2832",
        "A password that was reset signs in with the second factor only.",
        "no_other_way_in_leads_around_the_second_factor",
    ),
    (
        "latchkey flows: once_a_second_factor_is_enrolled_it_is_required_again",
        "A second factor is asked for from the next sign-in on.",
        "between_the_password_and_the_code_there_is_no_session",
    ),
    (
        "kratos totp/login: type=browser set return_to",
        "The return URL outlives both steps.",
        "between_the_password_and_the_code_there_is_no_session",
    ),
    (
        "allauth headless/mfa: test_2fa_login",
        "With an app and a passkey, both are offered.",
        "an_app_and_a_passkey_are_both_offered_and_one_session_begins",
    ),
    (
        "metabase/metabase#77458",
        "Two kinds of factors complete one sign-in once.",
        "an_app_and_a_passkey_are_both_offered_and_one_session_begins",
    ),
    ("ory/kratos#2225", "A passkey that was removed is not asked for.", "a_removed_passkey_is_not_asked_for"),
];

const PASSKEY_CASES: &[Case] = &[
    (
        "allauth mfa/webauthn: test_passkey_login",
        "A passkey signs in alone.",
        "a_passkey_signs_in_alone_and_phishing_resistant",
    ),
    (
        "ory/kratos#2794",
        "A passkey that verifies its user reaches more than one factor.",
        "a_passkey_signs_in_alone_and_phishing_resistant",
    ),
    (
        "pennersr/django-allauth#4224",
        "A key that was made as a second factor does not sign in alone.",
        "without_user_verification_a_passkey_does_not_sign_in_but_is_a_second_factor",
    ),
    (
        "mozilla/fxa#20379",
        "A passkey does not lock the password where nothing requires it.",
        "a_passkey_is_no_lock_on_the_password_where_no_second_factor_is_required",
    ),
    (
        "allauth mfa/webauthn: test_invalid_passkey_login, kratos webauthn/settings: register payload is invalid",
        "An answer without meaning is refused, and is no fault of the server.",
        "answers_of_passkeys_without_meaning_are_refused",
    ),
    (
        "kratos webauthn: TestLoginUpdatesSignCount",
        "A sign-in stores the counter, and neither the id nor the time of creation changes.",
        "a_refused_counter_changes_nothing_that_is_stored",
    ),
    ("duo-labs/webauthn#93", "A refused counter is not stored.", "a_refused_counter_changes_nothing_that_is_stored"),
    (
        "ritou/elixir-web_authn_lite#10",
        "A passkey whose counter stays at zero signs in each time.",
        "a_passkey_without_a_counter_signs_in_each_time",
    ),
    (
        "latchkey passkeys: passkey_for_another_user_handle_is_rejected",
        "The user whom an authenticator names has to be the owner.",
        "a_passkey_of_another_user_confirms_nothing_and_signs_in_to_no_named_account",
    ),
    (
        "latchkey passkeys: the_same_passkey_cannot_be_registered_twice",
        "A passkey is added once.",
        "a_passkey_is_added_once_to_one_account_and_twenty_at_most",
    ),
    (
        "latchkey passkeys: ceremonies_expire_and_are_bound_to_their_session_and_user",
        "A ceremony serves its session.",
        "a_ceremony_serves_its_purpose_and_its_session_only",
    ),
    (
        "PostHog/posthog#43625, latchkey passkeys: a_ceremony_is_consumed_by_use",
        "A challenge allows one act.",
        "a_ceremony_signs_in_once",
    ),
    (
        "latchkey passkeys: passkey_sign_in_with_an_allow_list_before_any_session",
        "A passkey that cannot be discovered signs in with the address.",
        "a_passkey_that_cannot_be_discovered_signs_in_with_the_address",
    ),
    (
        "latchkey passkeys: a_relying_party_must_match_the_origin",
        "The relying party is the host or a parent domain of it.",
        "a_relying_party_id_is_the_host_of_the_site_or_a_parent_domain",
    ),
    (
        "ory/kratos#2260, latchkey account: the_last_factor_cannot_be_removed",
        "The last way in cannot be removed.",
        "the_last_way_in_cannot_be_removed",
    ),
    (
        "kratos webauthn/settings: requires privileged session for register",
        "Adding a passkey needs a recent authentication.",
        "confirming_with_a_passkey_raises_the_level_under_another_session_id",
    ),
];

const CONFIRM_CASES: &[Case] = &[
    (
        "ory/kratos#2284",
        "A second factor makes a session recent.",
        "a_session_confirms_with_what_is_not_weaker_than_itself",
    ),
    ("ory/network#237", "A session that was raised grows old like any other.", "a_raised_session_grows_old"),
    (
        "ory/kratos#3671",
        "A session without a required factor sees no list of sessions.",
        "a_required_second_factor_comes_before_anything_else",
    ),
    (
        "allauth mfa/webauthn: test_reauthenticate",
        "A passkey confirms, and leads on.",
        "a_passkey_is_the_second_factor_that_a_site_requires",
    ),
    (
        "latchkey flows: by_default_a_locked_account_cannot_step_up",
        "The limit of codes holds for sessions as well.",
        "who_has_the_password_cannot_guess_the_code_in_however_many_browsers",
    ),
    (
        "latchkey flows: issue_session_refuses_locked_and_unfinished_accounts",
        "An application cannot sign in a user who has a second factor.",
        "no_other_way_in_leads_around_the_second_factor",
    ),
    (
        "latchkey flows: the_owner_resets_a_member_who_lost_their_second_factor",
        "An operator removes the factors of a user.",
        "an_operator_removes_the_factors_of_a_user_who_has_lost_them",
    ),
    (
        "allauth mfa: test_activate_totp_success, test_deactivate_totp_success, test_generate_recovery_codes",
        "Each change of factors is told by mail.",
        "each_change_of_factors_is_told_by_mail",
    ),
    (
        "kratos totp, lookup, webauthn: CSRF token is invalid or missing",
        "Another site changes no factor.",
        "other_sites_change_no_factor_and_complete_no_sign_in",
    ),
    (
        "allauth mfa/base: test_login_required_views",
        "The pages of factors are for signed-in users.",
        "only_the_listed_routes_are_public",
    ),
];

/// The text of all Rust files beneath a folder.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn each_known_case_has_a_test() {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut text);
    let cases = [TOTP_CASES, RECOVERY_CASES, PENDING_CASES, PASSKEY_CASES, CONFIRM_CASES].concat();
    let missing = cases.iter().filter(|(.., test)| !text.contains(&format!("fn {test}(")));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&Case>::new());
    let behaviours: std::collections::BTreeSet<_> = cases.iter().map(|(_, behaviour, _)| behaviour).collect();
    assert_eq!(behaviours.len(), cases.len());
}

const SECOND_FACTOR: &str = "/account/login/second-factor";

/// A browser in which Ada has typed her password, and has to show a second factor.
async fn with_password(here: &TestSite) -> Browser<'_> {
    let browser = Browser::new(here);
    assert!(browser.submits("/account/login", SIGN_IN).await.location.starts_with(SECOND_FACTOR));
    browser
}

/// Adds a passkey in a browser whose session goes on.
async fn adds(browser: &Browser<'_>, authenticator: &mut Authenticator) {
    let token = browser.here.adds(&browser.cookie("handstamp_session").unwrap(), authenticator).await;
    browser.cookies.borrow_mut().insert("handstamp_session".to_owned(), token);
}

/// Asks for options at a route of passkeys.
async fn options(browser: &Browser<'_>, route: &str) -> Value {
    let answer = browser.posts(&format!("{route}/options"), "{}").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

async fn drops_mails(here: &TestSite) {
    while here.handstamp.0.site.services.next_mail().await.is_some() {}
}

fn everybody(config: &mut Config) {
    config.second_factor.required = SecondFactorRequired::Everybody;
}

#[tokio::test]
async fn a_waiting_sign_in_opens_no_page_and_outlives_other_requests() {
    let here = TestSite::at(ORIGIN).await;
    let (_, secret, _) = with_app(&here).await;
    here.clock.advance(STEP);
    let browser = with_password(&here).await;
    for path in ["/", "/robots.txt", "/account/login", "/account/register", "/account/forgot"] {
        browser.opens(path).await;
        assert!(!browser.is_signed_in(), "{path}");
    }
    let pending = format!("handstamp_pending={}", browser.cookie("handstamp_pending").unwrap());
    let icon = Request::get("/favicon.ico").header("host", "localhost").header("cookie", pending);
    let icon = here.send(icon.body(Body::empty()).unwrap()).await;
    assert!(icon.status() == StatusCode::OK && !icon.headers().contains_key(header::SET_COOKIE));
    for path in ["/account", "/account/security", "/account/totp", "/account/confirm", "/account/passkeys"] {
        let led = browser.opens(path).await;
        assert!(led.status == 303 && led.location.starts_with("/account/login?next="), "{path}: {}", led.location);
    }
    for path in ["/account/api/v1/session", "/auth/request"] {
        assert_eq!(browser.opens(path).await.status, 401, "{path}");
    }
    let code = secret.code_at(browser.now());
    assert_eq!(browser.submits(SECOND_FACTOR, &format!("code={code}")).await.status, 303);
    assert!(browser.is_signed_in());
}

#[tokio::test]
async fn a_recovery_code_confirms_once_and_the_user_is_told() {
    let here = TestSite::at(ORIGIN).await;
    let (browser, _, codes) = with_app(&here).await;
    drops_mails(&here).await;
    here.clock.advance(Duration::from_secs(16 * 60));
    let sent = format!("code={}&next=/account/email", codes[9]);
    let done = browser.submits("/account/confirm", &sent).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/account/email"));
    assert_eq!(browser.opens("/account/email").await.status, 200);
    let mail = next_mail(&here, "factor_changed").await;
    assert_eq!((&*mail.values["change"], &*mail.values["codes_left"]), ("recovery_code_used", "9"));
    assert_eq!(claims(&browser).await["acr"], "2");
    assert_eq!(browser.submits("/account/confirm", &sent).await.status, 422, "it was used");
}

#[tokio::test]
async fn texts_that_are_no_codes_are_errors_of_the_field() {
    let long = "1".repeat(4000);
    let full_width = "%EF%BC%91%EF%BC%92%EF%BC%93456";
    let texts = ["", "12345", "1234567", "abcdef", full_width, "%00", "%1", "0000-0000-0000-0000-0000-0000", &long];
    for path in [SECOND_FACTOR, "/account/confirm"] {
        // Each site has its own limit of codes.
        let here = TestSite::at(ORIGIN).await;
        let (owner, secret, _) = with_app(&here).await;
        here.clock.advance(STEP);
        let browser = if path == SECOND_FACTOR { with_password(&here).await } else { owner };
        for text in texts {
            let answer = browser.submits(path, &format!("code={text}")).await;
            assert_eq!(answer.status, 422, "{path} {text}");
            assert!(answer.text.contains("aria-invalid=\"true\""), "{path} {text}: {}", answer.text);
        }
        for fields in ["code=123456&code=123456", "code=%FF"] {
            assert_eq!(browser.submits(path, fields).await.status, 400, "{path} {fields}");
        }
        for body in ["", "{}", "[]", "null", r#"{"code":123456}"#, r#"{"code":["123456"]}"#] {
            for path in ["/account/api/v1/session/second-factor", "/account/api/v1/session/confirm"] {
                let status = browser.posts(path, body).await.status;
                assert!((400..500).contains(&status), "{path} {body}: {status}");
            }
        }
        let code = secret.code_at(browser.now());
        assert_eq!(browser.submits(path, &format!("code={code}")).await.status, 303, "a code");
    }
}

#[tokio::test]
async fn a_code_without_a_first_factor_signs_nobody_in() {
    let here = TestSite::at(ORIGIN).await;
    let (owner, secret, codes) = with_app(&here).await;
    here.clock.advance(STEP);
    let right = [secret.code_at(owner.now()), codes[0].clone()];
    for code in &right {
        let stranger = Browser::new(&here);
        // A session is no sign-in that waits.
        for pending in ["", &owner.cookie("handstamp_session").unwrap()] {
            stranger.cookies.borrow_mut().insert("handstamp_pending".to_owned(), pending.to_owned());
            let led = stranger.submits(SECOND_FACTOR, &format!("code={code}")).await;
            assert_eq!((led.status, led.location.as_str()), (303, "/account/login"));
            let body = json!({ "code": code }).to_string();
            let program = stranger.posts("/account/api/v1/session/second-factor", &body).await;
            assert_eq!(program.status, 401);
        }
        assert!(!stranger.is_signed_in());
    }
    let bob = Browser::new(&here);
    bob.submits("/account/register", &format!("name=Bob&email=bob@example.com&password={PASSWORD}")).await;
    let (bobs, _) = bob.sets_up().await;
    here.clock.advance(STEP);
    let waits = Browser::new(&here);
    waits.submits("/account/login", &format!("email=bob@example.com&password={PASSWORD}")).await;
    for code in [secret.code_at(waits.now()), codes[0].clone()] {
        assert_eq!(waits.submits(SECOND_FACTOR, &format!("code={code}")).await.status, 422, "it is Ada's");
    }
    let code = bobs.code_at(waits.now());
    assert_eq!(waits.submits(SECOND_FACTOR, &format!("code={code}")).await.status, 303);
}

#[tokio::test]
async fn a_sealed_secret_serves_its_user_only() {
    let here = TestSite::at(ORIGIN).await;
    let (_, secret, _) = with_app(&here).await;
    let bob = Browser::new(&here);
    bob.submits("/account/register", &format!("name=Bob&email=bob@example.com&password={PASSWORD}")).await;
    let (bobs, _) = bob.sets_up().await;
    here.clock.advance(STEP);
    here.execute(
        "UPDATE totp_secrets SET sealed = (SELECT totp_secrets.sealed FROM totp_secrets JOIN users ON users.id = user_id
         WHERE email_key = 'ada@example.com')",
    )
    .await;
    let waits = Browser::new(&here);
    waits.submits("/account/login", &format!("email=bob@example.com&password={PASSWORD}")).await;
    for code in [secret.code_at(waits.now()), bobs.code_at(waits.now())] {
        assert_eq!(waits.submits(SECOND_FACTOR, &format!("code={code}")).await.status, 422);
    }
    let ada = with_password(&here).await;
    let code = secret.code_at(ada.now());
    assert_eq!(ada.submits(SECOND_FACTOR, &format!("code={code}")).await.status, 303, "hers is where it was");
}

#[tokio::test]
async fn wrong_codes_at_the_same_time_all_count() {
    let here = TestSite::at(ORIGIN).await;
    with_app(&here).await;
    let browsers = [with_password(&here).await, with_password(&here).await];
    let sends = (0..30).map(|number| browsers[number % 2].submits(SECOND_FACTOR, "code=000000"));
    let answers = futures_util::future::join_all(sends).await;
    let of = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(422), of(429)), (10, 20));
}

#[tokio::test]
async fn a_link_to_confirm_the_address_completes_no_sign_in() {
    let here = TestSite::at(ORIGIN).await;
    let (owner, secret, _) = with_app(&here).await;
    drops_mails(&here).await;
    assert_eq!(owner.submits("/account/verify/send", "").await.status, 303);
    let link = next_mail(&here, "verify_email").await.values["link"].clone();
    here.clock.advance(STEP);
    let browser = with_password(&here).await;
    let led = browser.opens(link.strip_prefix(ORIGIN).unwrap()).await;
    assert_eq!(led.location, "/account/verify");
    let confirmed = browser.submits("/account/verify", "").await;
    assert_eq!((confirmed.status, confirmed.location.as_str()), (303, "/account/reset"), "{}", confirmed.text);
    assert!(!browser.is_signed_in() && owner.opens("/account").await.status == 303, "what was before has ended");
    let code = secret.code_at(browser.now());
    let ended = browser.submits(SECOND_FACTOR, &format!("code={code}")).await;
    assert_eq!((ended.status, ended.location.as_str()), (303, "/account/login"));
    assert!(!browser.is_signed_in());
}

#[tokio::test]
async fn a_mailed_code_is_no_second_factor() {
    let here = TestSite::with(ORIGIN, |config| config.sign_in.mail = true).await;
    with_app(&here).await;
    here.handstamp.users().verify(here.ada().await).await.unwrap();
    let mailed = async |browser: &Browser<'_>| {
        drops_mails(&here).await;
        browser.submits("/account/login/mail", "email=ada@example.com").await;
        next_mail(&here, "sign_in_code").await.values["code"].clone()
    };
    let browser = Browser::new(&here);
    let first = mailed(&browser).await;
    assert_eq!(browser.submits("/account/login/code", &format!("code={first}")).await.location, SECOND_FACTOR);
    here.clock.advance(Duration::from_secs(60));
    let second = mailed(&Browser::new(&here)).await;
    for code in [first, second] {
        assert_eq!(browser.submits(SECOND_FACTOR, &format!("code={code}")).await.status, 422);
    }
    assert!(!browser.is_signed_in());
}

#[tokio::test]
async fn an_app_and_a_passkey_are_both_offered_and_one_session_begins() {
    let here = TestSite::at(ORIGIN).await;
    let (owner, secret, _) = with_app(&here).await;
    let ada = here.ada().await;
    let mut key = Authenticator::of(ada);
    adds(&owner, &mut key).await;
    here.clock.advance(STEP);
    let route = format!("{SECOND_FACTOR}/passkey");
    let sessions = async || here.handstamp.0.site.services.store.sessions_of(ada, owner.now()).await.unwrap().len();

    let browser = with_password(&here).await;
    let page = browser.opens(SECOND_FACTOR).await.text;
    assert!(page.contains("name=\"code\"") && page.contains(&format!("data-url=\"{route}\"")), "{page}");
    let options = options(&browser, &route).await;
    let answer = json!({ "ceremony": options["ceremony"], "credential": key.uses(&options) }).to_string();
    let sent = format!("code={}", secret.code_at(browser.now()));
    let before = sessions().await;
    let (by_code, by_key) = tokio::join!(browser.submits(SECOND_FACTOR, &sent), browser.posts(&route, &answer));
    assert_eq!(sessions().await, before + 1, "{} {}", by_code.status, by_key.status);
    assert!(browser.is_signed_in());
}

#[tokio::test]
async fn a_removed_passkey_is_not_asked_for() {
    let here = TestSite::with(ORIGIN, everybody).await;
    let (owner, ..) = with_app(&here).await;
    let ada = here.ada().await;
    adds(&owner, &mut Authenticator::of(ada)).await;
    let removes = async || {
        let id = here.passkeys(ada).await[0].id;
        owner.submits("/account/passkeys/remove", &format!("passkey={id}")).await.location
    };
    assert_eq!(removes().await, "/account/passkeys?notice=removed");
    let page = with_password(&here).await.opens(SECOND_FACTOR).await.text;
    assert!(page.contains("name=\"code\"") && !page.contains("data-passkey") && !page.contains("/passkey\""), "{page}");

    // With nothing left, the site leads the user to set a factor up, and asks for none.
    assert_eq!(owner.submits("/account/totp/remove", "").await.status, 303);
    let browser = Browser::new(&here);
    assert_eq!(browser.submits("/account/login", SIGN_IN).await.location, "/account");
    let led = browser.opens("/account").await.location;
    assert_eq!(led, "/account/confirm?assurance=2&next=%2Faccount");
    assert_eq!(browser.opens(&led).await.location, "/account/totp?next=%2Faccount");
}

#[tokio::test]
async fn answers_of_passkeys_without_meaning_are_refused() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut key) = ada_with_a_passkey(&here).await;
    let owner = Browser::new(&here);
    owner.cookies.borrow_mut().insert("handstamp_session".to_owned(), token);
    let used = key.uses(&options(&owner, "/account/confirm/passkey").await);
    let without = |field: &str| {
        let mut changed = used.clone();
        changed["response"][field] = Value::Null;
        changed
    };
    let credentials = [
        json!({}),
        Value::Null,
        json!("text"),
        json!({ "id": "", "rawId": "", "type": "public-key", "response": {} }),
        without("clientDataJSON"),
        without("authenticatorData"),
        without("signature"),
        json!({ "id": used["id"], "rawId": used["rawId"], "type": "public-key", "response": { "clientDataJSON": "e30", "authenticatorData": "", "signature": "", "attestationObject": "oA" } }),
    ];
    let stranger = Browser::new(&here);
    for (browser, route) in
        [(&stranger, "/account/login/passkey"), (&owner, "/account/confirm/passkey"), (&owner, "/account/passkeys")]
    {
        let ceremony = options(browser, route).await["ceremony"].clone();
        let meant = credentials.iter().map(|credential| json!({ "ceremony": ceremony, "credential": credential }));
        let bodies = meant.map(|body| body.to_string()).chain(["", "{}", "[]", "{\"ceremony\":1}"].map(str::to_owned));
        for body in bodies {
            let answer = browser.posts(route, &body).await;
            assert!((400..500).contains(&answer.status), "{route} {body}: {}", answer.status);
            let is_problem =
                serde_json::from_str::<Value>(&answer.text).is_ok_and(|problem| problem["detail"].is_string());
            assert!(is_problem, "{route} {body}: {}", answer.text);
        }
    }
    assert!(!stranger.is_signed_in());
    assert_eq!(here.passkeys(here.ada().await).await.len(), 1);
    assert!(here.signs_in_with(&mut key).await.token.is_some());
}

#[tokio::test]
async fn a_refused_counter_changes_nothing_that_is_stored() {
    let here = TestSite::at(ORIGIN).await;
    let (_, mut key) = ada_with_a_passkey(&here).await;
    let ada = here.ada().await;
    let made = here.passkeys(ada).await.remove(0);
    let [earlier, later] =
        [here.options("/account/login/passkey", "").await, here.options("/account/login/passkey", "").await];
    let (copied, used) = (key.uses(&earlier), key.uses(&later));
    here.clock.advance(Duration::from_secs(60));
    assert!(here.finishes("/account/login/passkey", "", &later, used).await.token.is_some());
    let stored = here.passkeys(ada).await.remove(0);
    assert_eq!((stored.id, stored.created_at, stored.counter), (made.id, made.created_at, 2));
    here.clock.advance(Duration::from_secs(60));
    here.finishes("/account/login/passkey", "", &earlier, copied).await.refusal();
    assert_eq!(here.passkeys(ada).await, [stored]);
}

/// A passkey that is synchronised between devices: it is backed up, and counts nothing.
struct SyncedPasskey {
    key: SigningKey,
    user: UserId,
}

impl SyncedPasskey {
    const ID: [u8; 16] = [7; 16];

    fn of(user: UserId) -> Self {
        Self { key: SigningKey::from_slice(&[9; 32]).unwrap(), user }
    }

    /// The authenticator data (WebAuthn Level 3, 6.1) with these flags besides user presence, user verification, and both of a backup.
    fn data(flags: u8) -> Vec<u8> {
        let counter = [0; 4];
        [Sha256::digest(b"localhost").as_slice(), &[0x1d | flags], &counter].concat()
    }

    fn client_data(kind: &str, options: &Value) -> String {
        let challenge = &options["publicKey"]["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": ORIGIN, "crossOrigin": false }).to_string()
    }

    fn credential(response: &Value) -> Value {
        let id = base64(&Self::ID);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {} })
    }

    fn makes(&self, options: &Value) -> Value {
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        // COSE: an elliptic curve key of ES256 on P-256, with its coordinates.
        let public = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat();
        let data = [&Self::data(0x40), [0; 16].as_slice(), &[0, 16], &Self::ID, &public].concat();
        // CBOR: the format "none", an empty statement, and the data.
        let length = u8::try_from(data.len()).unwrap();
        let object = [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".as_slice(), &[length], &data].concat();
        let client_data = Self::client_data("webauthn.create", options);
        Self::credential(
            &json!({ "clientDataJSON": base64(client_data.as_bytes()), "attestationObject": base64(&object) }),
        )
    }

    fn uses(&self, options: &Value) -> Value {
        let (data, client_data) = (Self::data(0), Self::client_data("webauthn.get", options));
        let signed = [data.as_slice(), Sha256::digest(client_data.as_bytes()).as_slice()].concat();
        let signature: Signature = self.key.sign(&signed);
        Self::credential(&json!({
            "clientDataJSON": base64(client_data.as_bytes()),
            "authenticatorData": base64(&data),
            "signature": base64(signature.to_der().as_bytes()),
            "userHandle": base64(self.user.as_uuid().as_bytes()),
        }))
    }
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes)
}

#[tokio::test]
async fn a_passkey_without_a_counter_signs_in_each_time() {
    let here = TestSite::at(ORIGIN).await;
    let token = here.registers().await;
    let passkey = SyncedPasskey::of(here.ada().await);
    let options = here.options("/account/passkeys", &token).await;
    let added = here.finishes("/account/passkeys", &token, &options, passkey.makes(&options)).await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.body);
    for _ in 0..3 {
        let options = here.options("/account/login/passkey", "").await;
        let signed_in = here.finishes("/account/login/passkey", "", &options, passkey.uses(&options)).await;
        assert_eq!(here.authentication(signed_in.session()).await.1, 3);
    }
    let stored = here.passkeys(here.ada().await).await.remove(0);
    assert!(stored.counter == 0 && stored.backup_eligible && stored.backed_up && stored.user_verified);
}

#[tokio::test]
async fn a_raised_session_grows_old() {
    let here = TestSite::at(ORIGIN).await;
    let (_, mut key) = ada_with_a_passkey(&here).await;
    let token = here.signs_in_for_now().await;
    let raised = here.confirms_with(&token, &mut key).await.session().to_owned();
    here.options("/account/passkeys", &raised).await;
    here.clock.advance(Duration::from_secs(1000));
    let late = here.asks("/account/passkeys/options", &raised, &json!({})).await;
    assert_eq!((late.status, &late.body["type"]), (StatusCode::FORBIDDEN, &json!("reauthentication-required")));
    assert_eq!(here.authentication(&raised).await.1, 3, "its level stays");
    for (query, status) in
        [("assurance=3", 200), ("max_age=1000", 200), ("max_age=999", 401), ("assurance=3&max_age=900", 401)]
    {
        let asked = here.opens(&format!("/auth/request?{query}"), &raised).await;
        assert_eq!(asked.status().as_u16(), status, "{query}");
    }
}

#[tokio::test]
async fn each_change_of_factors_is_told_by_mail() {
    let here = TestSite::at(ORIGIN).await;
    let told = async || {
        let mail = next_mail(&here, "factor_changed").await;
        assert_eq!(mail.recipient, "ada@example.com");
        mail.values["change"].clone()
    };
    let (browser, ..) = with_app(&here).await;
    let ada = here.ada().await;
    assert_eq!(told().await, "totp_added");
    let page = browser.submits("/account/recovery-codes", "").await.text;
    assert_eq!((codes_of(&page).len(), told().await.as_str()), (10, "recovery_codes_replaced"));
    adds(&browser, &mut Authenticator::of(ada)).await;
    assert_eq!(told().await, "passkey_added");
    let id = here.passkeys(ada).await[0].id;
    browser.submits("/account/passkeys/remove", &format!("passkey={id}")).await;
    assert_eq!(told().await, "passkey_removed");
    browser.submits("/account/totp/remove", "").await;
    assert_eq!(told().await, "totp_removed");
    browser.sets_up().await;
    assert_eq!(told().await, "totp_added");
    here.handstamp.users().reset_factors(ada).await.unwrap();
    assert_eq!(told().await, "reset");
}

#[tokio::test]
async fn other_sites_change_no_factor_and_complete_no_sign_in() {
    let here = TestSite::at(ORIGIN).await;
    let (owner, secret, _) = with_app(&here).await;
    let ada = here.ada().await;
    adds(&owner, &mut Authenticator::of(ada)).await;
    here.clock.advance(STEP);
    let waits = with_password(&here).await;
    let before = here.handstamp.0.site.services.factors_of(ada).await.unwrap();
    let form = format!("code={}&passkey={}", secret.code_at(owner.now()), here.passkeys(ada).await[0].id);
    for (browser, path) in [
        (&owner, "/account/totp"),
        (&owner, "/account/totp/remove"),
        (&owner, "/account/recovery-codes"),
        (&owner, "/account/confirm"),
        (&owner, "/account/confirm/passkey/options"),
        (&owner, "/account/confirm/passkey"),
        (&owner, "/account/passkeys"),
        (&owner, "/account/passkeys/options"),
        (&owner, "/account/passkeys/remove"),
        (&owner, "/account/api/v1/session/confirm"),
        (&waits, SECOND_FACTOR),
        (&waits, "/account/login/second-factor/passkey/options"),
        (&waits, "/account/login/second-factor/passkey"),
        (&waits, "/account/login/passkey/options"),
        (&waits, "/account/login/passkey"),
        (&waits, "/account/api/v1/session/second-factor"),
    ] {
        let cookies =
            browser.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        for site in ["cross-site", "same-site"] {
            let request = Request::post(path)
                .header("host", "localhost")
                .header("sec-fetch-site", site)
                .header("origin", "https://evil.example")
                .header("cookie", cookies.join("; "))
                .header("content-type", "application/x-www-form-urlencoded");
            let refused = here.send(request.body(Body::from(form.clone())).unwrap()).await;
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{site} {path}");
            assert!(!refused.headers().contains_key(header::SET_COOKIE), "{site} {path}");
        }
    }
    assert_eq!(here.handstamp.0.site.services.factors_of(ada).await.unwrap(), before);
    assert_eq!(owner.opens("/account").await.status, 200);
    let done = waits.submits(SECOND_FACTOR, &form).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/account"), "the code was not used");
}

#[tokio::test]
async fn a_token_signed_anew_has_the_level_of_its_row() {
    let old = SecretKey::from_random(&[3; 32]);
    let tokens = |secret: &SecretKey| SessionTokens::new(secret, &[]).unwrap();
    for (level, row) in [
        ("1", "UPDATE sessions SET methods = 'pwd', assurance = 1"),
        ("2", "UPDATE sessions SET methods = 'pwd otp mfa', assurance = 2"),
    ] {
        let here = TestSite::with(ORIGIN, |config| config.secret_key_fallbacks = vec![old.clone()]).await;
        let token = here.registers().await;
        here.execute(row).await;
        let claims = tokens(&SecretKey::parse(SECRET).unwrap()).open(&token, NOW).unwrap().claims;
        let renewed = token_of(&here.opens("/account", tokens(&old).issue(&claims).expose()).await);
        assert_eq!(assertion_of(&here, &renewed).await.1["acr"], level);
    }
}

#[tokio::test]
async fn a_subrequest_with_a_session_of_any_level_costs_no_statement() {
    for (level, row) in [
        (1, "UPDATE sessions SET methods = 'pwd', assurance = 1"),
        (2, "UPDATE sessions SET methods = 'pwd otp mfa', assurance = 2"),
        (3, "UPDATE sessions SET methods = 'mfa pop user', assurance = 3"),
    ] {
        let here = TestSite::with(ORIGIN, everybody).await;
        let token = here.registers().await;
        here.execute(row).await;
        let first = here.opens("/auth/request?assurance=1", &token).await.status();
        assert_eq!(first == StatusCode::OK, level >= 2, "everybody has to have a second factor");
        // The session is cached now. Whatever asks the database is answered 503.
        here.handstamp.0.site.services.store.close().await;
        assert_eq!(here.opens("/auth/envoy/notes", &token).await.status() == StatusCode::OK, level >= 2);
        for path in ["/auth/request", "/auth/forward"] {
            for (query, passes) in [
                ("", level >= 2),
                ("?assurance=1", level >= 2),
                ("?assurance=2", level >= 2),
                ("?assurance=3", level >= 3),
                ("?max_age=600", level >= 2),
                ("?assurance=3&max_age=600", level >= 3),
            ] {
                let status = here.opens(&format!("{path}{query}"), &token).await.status();
                assert_eq!(status == StatusCode::OK, passes, "{path}{query} at {level}: {status}");
                assert!(!status.is_server_error(), "{path}{query} at {level}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn passkeys_cost_no_hash_and_their_options_the_same_statements_for_any_address() {
    let statements = Statements::default();
    let _recorder = metrics::set_default_local_recorder(&statements);
    let here = TestSite::at(ORIGIN).await;
    let (_, mut key) = ada_with_a_passkey(&here).await;
    here.submits("/account/register", "name=Bob&email=bob@example.com&password=plum-octave-harbour").await;
    let hashed = || here.handstamp.0.site.services.hashing.work_kib();
    let before = hashed();
    let mut costs = Vec::new();
    for body in [
        json!({ "email": "ada@example.com" }),
        json!({ "email": "bob@example.com" }),
        json!({ "email": "nobody@example.com" }),
        json!({}),
    ] {
        let counted = statements.0.load(Ordering::Relaxed);
        assert_eq!(here.asks("/account/login/passkey/options", "", &body).await.status, StatusCode::OK);
        costs.push(statements.0.load(Ordering::Relaxed) - counted);
    }
    assert_eq!(costs, [1, 1, 1, 0]);
    assert!(here.signs_in_with(&mut key).await.token.is_some());
    assert_eq!(hashed(), before, "a passkey waits for no password hash");
}
