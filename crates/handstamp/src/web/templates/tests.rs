//! Tests of the templates: each renders with every kind of value that the pages give it.

use std::fs;
use std::path::Path;

use handstamp_core::{Authentication, Claims, SessionSecret, Timestamp, UserId};

use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::model::SessionUser;

const NAMES: [&str; 4] = ["Ada", "محمد", "<b>Bobby</b> \"Tables\" & Co", "Wolfeschlegelsteinhausenbergerdorff"];

fn config() -> Config {
    let secret = crate::SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
    Config::new(PublicUrl::parse("http://localhost").unwrap(), DatabaseUrl::Sqlite("unused".into()), secret)
}

fn visitor(name: &str) -> Value {
    context! { name, email => "ada@example.com", email_verified => name == "Ada", is_admin => name != "Ada", since => "1 May 2026", since_iso => "2026-05-01T00:00:00Z" }
}

const ONE_FIELD: [&str; 7] = [
    "authentication/code.html",
    "authentication/code_request.html",
    "authentication/confirm.html",
    "authentication/second_factor.html",
    "email/change.html",
    "email/verify.html",
    "password/forgot.html",
];

/// The templates that only a signed-in user sees.
const OF_MEMBERS: [&str; 7] = [
    "account/delete.html",
    "account/index.html",
    "account/passkeys.html",
    "authentication/confirm.html",
    "email/change.html",
    "email/confirm.html",
    "password/change.html",
];

/// The refusals for which the page has words of its own, and another.
const REFUSALS: [&str; 16] = [
    "cancelled",
    "state",
    "replayed",
    "unavailable",
    "account_exists",
    "not_connected",
    "registration_closed",
    "email_unverified",
    "no_email",
    "organisation",
    "taken",
    "provider_taken",
    "user",
    "session",
    "disabled",
    "signature",
];

/// An event of the page of activity, with a client or by an operator.
fn event(name: &str, client: Option<&str>) -> Value {
    context! {
        what => name, time => "1 May 2026, 12:00 UTC", time_iso => "2026-05-01T12:00:00Z", ago => client,
        browser => client, address => name, by_operator => client.is_none(), current => client.is_some(),
    }
}

/// Values for every template, with and without the optional ones.
fn samples(name: &str) -> Vec<(&'static str, Value)> {
    let none: Option<&str> = None;
    let session = |current: bool| {
        context! {
            browser => name, address => "2001:db8::1", since => "1 May 2026", since_iso => "2026-05-01T00:00:00Z",
            last_seen => "just now", last_seen_iso => "2026-05-01T00:00:00Z", current, id => "h",
        }
    };
    let providers = || vec![context! { url => "/account/with/sso", label => name }];
    let mut samples = Vec::new();
    for error in [none, Some(name)] {
        for next in ["", "/account/sessions?a=b&c=d"] {
            let register = context! {
                values => context! { name, email => name }, next, min_length => 8, sign_in_url => "/account/login",
                register_url => "/account/register", providers => if next.is_empty() { Vec::new() } else { providers() },
                errors => context! { name => error, email => error, password => error },
            };
            let sign_in = context! {
                values => context! { email => name, remember => next.is_empty() }, next, lifetime => "30 days",
                notice => error, form_not_sent => error.is_some(), sign_in_url => "/account/login",
                errors => context! { email => error, password => error }, register_url => "/account/register",
                code_url => error.map(|_| "/account/login/mail"), providers => if next.is_empty() { Vec::new() } else { providers() },
            };
            // The pages with one field and a return URL.
            let field = context! {
                values => context! { email => name }, next, valid_for => "10 minutes", again_url => "/account/login/mail",
                errors => context! { email => error, code => error, password => error }, sign_in_url => "/account/login",
                register_url => "/account/register", sent => next.is_empty(), by_code => error.is_some(),
                by_password => next.is_empty(), by_passkey => !next.is_empty(), providers => providers(),
            };
            samples.extend([("authentication/register.html", register), ("authentication/sign_in.html", sign_in)]);
            samples.extend(ONE_FIELD.map(|template| (template, field.clone())));
        }
        let password = context! {
            errors => context! { current_password => error, password => error }, has_password => true, min_length => 8,
        };
        let first_password = context! { errors => context! { current_password => none, password => error }, has_password => false, min_length => 8 };
        let link = context! {
            email => name, values => context! { name }, errors => context! { name => error, password => error },
            min_length => 8,
        };
        let error_page = context! {
            status => 503, heading => "Error", message => name, retry_after => error.map(|_| 5), reference => error,
            refresh => error.map(|_| 2),
            link_href => "/", link_text => "Home",
        };
        let passkey = |used: Option<&str>| {
            context! {
                id => "1", name => name, synced => used.is_some(), created => "1 May 2026", created_iso => "2026-05-01T00:00:00Z",
                used, used_iso => used,
            }
        };
        samples.extend([
            (
                "account/passkeys.html",
                context! { passkeys => vec![passkey(none), passkey(error)], has_room => true, done => none, error => error },
            ),
            (
                "account/passkeys.html",
                context! { passkeys => Vec::<Value>::new(), has_room => false, done => error, error => none },
            ),
            ("home.html", context! { notice => error }),
            ("authentication/sign_out.html", context! { next => error }),
            ("account/index.html", context! { done => error }),
            ("account/profile.html", context! { values => context! { name }, errors => context! { name => error } }),
            ("password/change.html", password),
            ("password/change.html", first_password),
            ("password/reset.html", link.clone()),
            ("authentication/invitation.html", link.clone()),
            ("email/verify_link.html", link.clone()),
            ("email/confirm.html", link.clone()),
            ("email/undo.html", link),
            ("link/invalid.html", context! {}),
            ("password/forgot_sent.html", context! { valid_for => "1 hour" }),
            ("account/delete.html", context! {}),
            (
                "factors/totp.html",
                context! {
                    errors => context! { code => error }, next => error, secret => "GEZD GNBV", otpauth_url => name,
                    qr_code => "", is_required => error.is_some(),
                },
            ),
            (
                "factors/recovery_codes.html",
                context! { codes => vec!["0000-0000"], after_set_up => error.is_some(), next => error },
            ),
            (
                "factors/security.html",
                context! {
                    notice => error, has_password => error.is_none(), recovery_codes => 1,
                    passkeys => u8::from(error.is_some()),
                    totp => error.map(|_| context! { since => "1 May 2026", since_iso => "2026-05-01T00:00:00Z" }),
                    providers => error.map(|_| vec![
                        context! { name => "sso", label => name, url => "/account/with/sso?start=a", connected => none },
                        context! {
                            name => "sso", label => name, url => none,
                            connected => context! { email => name, since => "1 May 2026", since_iso => "2026-05-01T00:00:00Z" },
                        },
                    ]),
                },
            ),
            (
                "account/activity.html",
                context! { events => vec![event(name, error)], older => error, is_first => false },
            ),
            (
                "account/activity.html",
                context! { events => Vec::<Value>::new(), older => none, is_first => error.is_none() },
            ),
            ("account/sessions.html", context! { sessions => vec![session(true)], has_others => false }),
            ("account/sessions.html", context! { sessions => vec![session(true), session(false)], has_others => true }),
            ("error.html", error_page),
        ]);
        samples.extend(REFUSALS.map(|reason| {
            let values = context! {
                label => name, reason, is_of_a_clock => error.is_some(), retry_url => "/account/with/sso",
                sign_in_url => "/account/login",
            };
            ("providers/refused.html", values)
        }));
        let at = || context! { text => "1 May 2026, 12:00 UTC", iso => "2026-05-01T12:00:00Z" };
        let person = || context! { id => "1", email => error, href => error.map(|_| "/account/admin/users/1") };
        let listed = context! {
            href => "/account/admin/users/1", name, email => name, email_verified => error.is_none(), disabled => error.is_some(),
            groups => error.map_or_else(Vec::new, |_| vec!["admins", "staff"]), created => at(), signed_in => error.map(|_| at()),
        };
        let admin_event = context! {
            what => name, name => "user_updated", time => at(), ago => error, user => person(), by => "the administrator",
            operator => error.map(|_| person()), browser => error, address => name,
        };
        let user = context! {
            notice => none, refusal => none, here => "/account/admin/users/1", has_password => error.is_none(),
            user => context! {
                id => "1", name, email => name, email_verified => error.is_none(), created => at(), signed_in => error.map(|_| at()),
                disabled => error.is_some(), groups => vec!["admins", "staff"], legacy_id => error,
            },
            totp_since => error.map(|_| at()), recovery_codes => 1,
            passkeys => vec![context! { name, synced => true, created => at(), used => error.map(|_| at()) }],
            sessions => vec![context! { browser => name, address => name, since => at(), last_seen => at() }],
            events => vec![admin_event.clone()], all_events => error.map(|_| "/account/admin/events?user=1"),
            why_not => context! {
                disable => error, end_sessions => error, reset_link => error, reset_factors => error, demote => error,
                delete => none,
            },
            values => context! { group => name, email => name }, errors => context! { group => none, email => none },
        };
        samples.extend([
            (
                "admin/overview.html",
                context! {
                    is_day => error.is_none(), first => "08:00", last => "07:00",
                    plots => vec![context! {
                        title => name, name => "sign-ins", width => 640, height => 96, total => 3, most => 2,
                        bars => vec![context! { left => 0, top => 48, width => 8, height => 48 }],
                    }],
                    rows => vec![context! { begins => at(), label => "08:00", sign_ins => 1, refusals => 2, registrations => 3 }],
                },
            ),
            (
                "admin/events.html",
                context! {
                    events => vec![admin_event], older => error, newest => error, is_filtered => true,
                    names => vec!["user_created"], actors => vec!["operator"],
                    values => context! { event => "user_created", user => name, actor => "operator", from => name, until => name },
                    errors => context! { user => none, from => error, until => error },
                },
            ),
            (
                "admin/events.html",
                context! {
                    events => Vec::<Value>::new(), older => error, newest => none, is_filtered => error.is_some(),
                    names => vec!["user_created"], actors => vec!["operator"],
                    values => context! { event => "", user => "", actor => "", from => "", until => "" },
                    errors => context! { user => none, from => none, until => none },
                },
            ),
            (
                "admin/cluster.html",
                context! {
                    this_node => context! { state => name, lease_left => "1.4 s", position => 7, entries => 1 }, version => "1",
                    newest => 7,
                    nodes => vec![context! {
                        id => "1", version => error, position => 6, behind => u8::from(error.is_some()), lease => "1.5 s",
                        silence => "2 s", is_overdue => error.is_some(),
                    }],
                    outbox => vec![context! { channel => "mail", count => "3", oldest => error.map(|_| at()) }],
                    undelivered => vec![context! { kind => name, attempts => 1, error => name, created => at(), due => at() }],
                    database => context! { kind => "SQLite", version => name, schema => 18, size => error },
                },
            ),
            (
                "admin/cluster.html",
                context! {
                    this_node => context! { state => name }, version => "1", newest => 0, nodes => Vec::<Value>::new(),
                    outbox => Vec::<Value>::new(), undelivered => Vec::<Value>::new(),
                    database => context! { kind => "SQLite", version => "3", schema => 18, size => none },
                },
            ),
            (
                "admin/users.html",
                context! {
                    q => name, users => vec![listed], next => error.map(|_| "/account/admin/users?after=x"), first => error,
                    notice => none, can_invite => true, why_not_invite => none, values => context! { email => name, group => "" },
                    errors => context! { email => error, group => error },
                },
            ),
            (
                "admin/users.html",
                context! {
                    q => "", users => Vec::<Value>::new(), next => none, first => error, notice => error, can_invite => false,
                    why_not_invite => name, values => context! { email => "", group => "" },
                    errors => context! { email => none, group => none },
                },
            ),
            ("admin/user.html", context! { notice => Some(name), ..user.clone() }),
            ("admin/user.html", context! { refusal => error, ..user.clone() }),
            ("admin/user.html", context! { errors => context! { group => error, email => none }, ..user.clone() }),
            ("admin/user.html", context! { errors => context! { group => none, email => error }, ..user }),
        ]);
    }
    samples
}

#[test]
fn every_template_renders_from_samples() {
    for (registration, mail_on) in [(Registration::Open, true), (Registration::Closed, false)] {
        let templates = Templates::new(&Config { registration, ..config() }, mail_on);
        for name in NAMES {
            for (template, values) in samples(name) {
                for visitor in [None, Some(visitor(name))] {
                    if OF_MEMBERS.contains(&template) && visitor.is_none() {
                        continue;
                    }
                    let values = context! { nav => template != "error.html", visitor, ..values.clone() };
                    let html =
                        templates.render(template, values).unwrap_or_else(|error| panic!("{template}: {error:#}"));
                    assert!(html.contains("<h1") && html.contains("<title>"), "{template}");
                    assert!(!html.contains("<b>"), "{template} does not escape");
                }
            }
        }
    }
}

#[test]
fn every_template_is_among_the_samples() {
    let rendered: Vec<_> = samples("Ada").iter().map(|(template, _)| *template).collect();
    for (template, _) in TEMPLATES {
        assert!(
            rendered.contains(template)
                || ["layout.html", "fields.html", "passkey.html", "providers.html", "admin/parts.html"]
                    .contains(template),
            "{template}"
        );
    }
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/templates"));
    assert_eq!(files_in(folder) - files_in(&folder.join("mail")), TEMPLATES.len(), "of the files");
}

fn files_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}

#[test]
fn the_page_title_announces_an_error() {
    let templates = Templates::new(&config(), true);
    for (template, values) in samples("Wrong!") {
        let html = templates.render(template, context! { nav => true, visitor => visitor("Ada"), ..values }).unwrap();
        let of_the_page = html.contains("role=\"alert\"><span class=\"visually-hidden\">Error");
        let errs = html.contains("aria-invalid=\"true\"") || of_the_page || template == "error.html";
        assert_eq!(html.contains("<title>Error: "), errs, "{template}");
        assert_eq!(
            html.matches(" autofocus").count(),
            usize::from(errs && !of_the_page && template != "error.html"),
            "{template}"
        );
    }
}

#[test]
fn a_template_of_the_application_fills_the_blocks_of_the_layout() {
    let mut config = config();
    let mine = "{% extends 'layout.html' %}{% block head %}<meta name=x>{% endblock %}{% block nav %}<a>{{ \
                visitor.groups|join('+') }}</a>{% endblock %}{% block main %}<h1>{% endblock %}{% block footer \
                %}<footer>{{ version }}</footer>{% endblock %}";
    config.templates = vec![("mine/page.html".to_owned(), mine.to_owned())];
    config.globals.insert("version".to_owned(), "1.2 <beta>".to_owned());
    let templates = Templates::new(&config, true);
    let created_at = Timestamp::from_unix_seconds(1_800_000_000);
    let user = SessionUser::new(UserId::new(created_at, [7; 10]), "Ada", "ada@example.com", "board,staff", created_at);
    let visitor = templates.visitor(Some(&session_of(user)));
    let html = templates.render("mine/page.html", context! { nav => true, visitor }).unwrap();
    let (head, body) = html.split_once("</head>").unwrap();
    assert!(head.contains("<meta name=x>"), "{head}");
    let (header, rest) = body.split_once("</header>").unwrap();
    assert!(header.contains("<a>board+staff</a>") && header.contains(">Sign out</button>"), "{header}");
    let (_, footer) = rest.split_once("</main>").unwrap();
    assert!(footer.contains("<footer>1.2 &lt;beta&gt;</footer>"), "{footer}");
}

#[test]
fn the_prerendered_account_page_equals_the_rendered_one() {
    let templates = Templates::new(&config(), true);
    for name in NAMES {
        let created_at = Timestamp::from_unix_seconds(1_800_000_000);
        let session =
            session_of(SessionUser::new(UserId::new(created_at, [7; 10]), name, "a&b@example.com", "", created_at));
        for _ in 0..2 {
            assert_eq!(
                templates.account_page(&session).unwrap(),
                templates.account_page_of(templates.visitor(Some(&session))).unwrap(),
                "{name}"
            );
        }
    }
}

fn session_of(user: SessionUser) -> Session {
    let claims = Claims {
        user_id: user.id,
        session_secret: SessionSecret::from_bytes([7; 16]),
        issued_at: user.created_at,
        expires_at: user.created_at,
        remembered: true,
    };
    let secret_hash = claims.session_secret.hash();
    Session {
        user,
        session_id: uuid::Uuid::nil(),
        authentication: Authentication::by_password(claims.issued_at),
        claims,
        secret_hash,
        signed_by_fallback: false,
    }
}
