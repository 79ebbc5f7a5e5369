//! Tests of the templates: each renders with every kind of value that the pages give it.

use std::fs;
use std::time::Duration;

use handstamp_core::{Authentication, Claims, SessionSecret, UserId};
use handstamp_testing::TempFolder;

use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::model::SessionUser;

const NAMES: [&str; 4] = ["Ada", "محمد", "<b>Bobby</b> \"Tables\" & Co", "Wolfeschlegelsteinhausenbergerdorff"];

fn config() -> Config {
    let secret = crate::SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
    Config::new(PublicUrl::parse("http://localhost").unwrap(), DatabaseUrl::Sqlite("unused".into()), secret)
}

fn visitor(name: &str) -> Value {
    context! { name, email => "ada@example.com", since => "1 May 2026", since_iso => "2026-05-01T00:00:00Z" }
}

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
    let mut samples = Vec::new();
    for error in [none, Some(name)] {
        for next in ["", "/account/sessions?a=b&c=d"] {
            let register = context! {
                values => context! { name, email => name }, next, min_length => 8, sign_in_url => "/account/login",
                register_url => "/account/register",
                errors => context! { name => error, email => error, password => error },
            };
            let sign_in = context! {
                values => context! { email => name, remember => next.is_empty() }, next, lifetime => "30 days",
                notice => error, form_not_sent => error.is_some(), sign_in_url => "/account/login",
                errors => context! { email => error, password => error }, register_url => "/account/register",
            };
            samples.extend([("authentication/register.html", register), ("authentication/sign_in.html", sign_in)]);
        }
        let password =
            context! { errors => context! { current_password => error, password => error }, min_length => 8 };
        let error_page = context! {
            status => 503, heading => "Error", message => name, retry_after => error.map(|_| 5), reference => error,
            link_href => "/", link_text => "Home",
        };
        samples.extend([
            ("home.html", context! { notice => error }),
            ("authentication/sign_out.html", context! { next => error }),
            ("account/index.html", context! { done => error }),
            ("account/profile.html", context! { values => context! { name }, errors => context! { name => error } }),
            ("password/change.html", password),
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
    }
    samples
}

#[test]
fn every_template_renders_from_samples() {
    for registration in [Registration::Open, Registration::Closed] {
        let templates = Templates::new(&Config { registration, ..config() });
        for name in NAMES {
            for (template, values) in samples(name) {
                for visitor in [None, Some(visitor(name))] {
                    let is_members = ["account/index.html", "password/change.html"].contains(&template);
                    if is_members && visitor.is_none() {
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
        assert!(rendered.contains(template) || ["layout.html", "fields.html"].contains(template), "{template}");
    }
    assert_eq!(files_in(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/templates"))), TEMPLATES.len(), "of the files");
}

fn files_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}

#[test]
fn the_page_title_announces_an_error() {
    let templates = Templates::new(&config());
    for (template, values) in samples("Wrong!") {
        let html = templates.render(template, context! { nav => true, visitor => visitor("Ada"), ..values }).unwrap();
        let errs = html.contains("aria-invalid=\"true\"") || template == "error.html";
        assert_eq!(html.contains("<title>Error: "), errs, "{template}");
        assert_eq!(html.matches(" autofocus").count(), usize::from(errs && template != "error.html"), "{template}");
    }
}

#[test]
fn templates_outside_the_template_folder_are_not_loaded() {
    let folder = TempFolder::new();
    let folder = folder.path();
    fs::create_dir(folder.join("inside")).unwrap();
    fs::write(folder.join("outside.html"), "outside").unwrap();
    let inside = folder.join("inside");
    fs::create_dir_all(inside.join(".git")).unwrap();
    fs::create_dir_all(inside.join("account")).unwrap();
    for hidden in [".hidden", ".git/config", "account/.hidden"] {
        fs::write(inside.join(hidden), "hidden").unwrap();
    }
    fs::write(inside.join("account/index.html"), "inside").unwrap();
    assert!(load(&inside, "account/index.html", || None).unwrap().is_some(), "names have folders");
    for name in [
        "../outside.html",
        "account/../../outside.html",
        "account/..",
        "/etc/passwd",
        "//etc/passwd",
        "account//etc/passwd",
        "..\\outside.html",
        "account\\..\\..\\outside.html",
        ".hidden",
        ".git/config",
        "account/.hidden",
        "./account/index.html",
        "account/index.html/",
        "outside.html\0",
        "",
    ] {
        assert!(load(&inside, name, || None).unwrap().is_none(), "{name}");
    }
    let absolute = folder.join("outside.html");
    assert!(load(&inside, absolute.to_str().unwrap(), || None).unwrap().is_none(), "join would replace the folder");
}

#[test]
fn a_template_of_the_application_fills_the_blocks_of_the_layout() {
    let mut config = config();
    let mine = "{% extends 'layout.html' %}{% block head %}<meta name=x>{% endblock %}{% block nav %}<a>{{ \
                visitor.groups|join('+') }}</a>{% endblock %}{% block main %}<h1>{% endblock %}{% block footer \
                %}<footer>{{ version }}</footer>{% endblock %}";
    config.templates = vec![("mine/page.html".to_owned(), mine.to_owned())];
    config.globals.insert("version".to_owned(), "1.2 <beta>".to_owned());
    let templates = Templates::new(&config);
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
fn dates_and_relative_times_are_formatted_for_people() {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let told = |seconds| format_relative(Timestamp::from_unix_seconds(now.unix_seconds() - seconds), now);
    assert_eq!(told(0), "just now");
    assert_eq!(told(89), "just now");
    assert_eq!(told(120), "2 minutes ago");
    assert_eq!(told(3600), "60 minutes ago");
    assert_eq!(told(7200), "2 hours ago");
    assert_eq!(told(200_000), "13 January 2027");
    assert_eq!(format_relative(now.after(Duration::from_secs(500)), now), "just now", "the clock was set back");
    assert_eq!(format_date(Timestamp::from_unix_seconds(0)), "1 January 1970");
    assert_eq!(format_datetime(now), "15 January 2027, 08:00 UTC");
    assert_eq!(format_rfc3339(now), "2027-01-15T08:00:00Z");
    assert!(!format_date(Timestamp::from_unix_seconds(u64::MAX)).is_empty(), "the largest time does not panic");
}

#[test]
fn durations_are_formatted_in_the_largest_exact_unit() {
    let told = |seconds| lasting(Duration::from_secs(seconds));
    assert_eq!(told(30 * 86_400), "30 days");
    assert_eq!(told(86_400), "1 day");
    assert_eq!(told(36 * 3600), "36 hours");
    assert_eq!(told(3600), "1 hour");
    assert_eq!(told(90 * 60), "90 minutes");
    assert_eq!(told(61), "61 seconds");
    assert_eq!(told(0), "0 days");
}

#[test]
fn the_prerendered_account_page_equals_the_rendered_one() {
    let templates = Templates::new(&config());
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
