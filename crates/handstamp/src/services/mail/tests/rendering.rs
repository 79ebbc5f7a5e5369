//! The content of the mails, and how messages are built.

use std::fs;
use std::path::Path;
use std::process::Command;

use handstamp_testing::TempFolder;
use minijinja::context;

use super::super::mailer::TEMPLATES;
use super::*;
use crate::MailAddress;
use crate::templates::{self, TemplateSet};

/// All mails of a site, with all of their values.
fn all(mailer: &Mailer) -> Vec<(MailTemplate, OutgoingMail)> {
    MailTemplate::ALL.into_iter().map(|template| (template, composed(mailer, &mail(template)))).collect()
}

#[test]
fn every_mail_says_the_same_as_text_and_as_html() {
    for (template, sent) in all(&mailer()) {
        let name = template.name();
        assert!(sent.subject.contains("Example") && sent.subject.len() < 70, "{name}: {}", sent.subject);
        let mail = mail(template);
        for (key, value) in &mail.values {
            let is_link = key.ends_with("link");
            let (in_text, in_html) = match *key {
                "code" => ("0835 6689".to_owned(), "0835 6689".to_owned()),
                // It chooses a sentence.
                "change" => continue,
                _ => (value.clone(), value.replace('/', "&#x2f;")),
            };
            assert!(sent.text.contains(&in_text), "{name} lacks {key}: {}", sent.text);
            assert!(sent.html.contains(&in_html), "{name} lacks {key} in HTML: {}", sent.html);
            let is_alone = sent.text.lines().any(|line| line == in_text);
            assert!(is_alone || !(is_link || *key == "code"), "{name}: {key} is not alone on its line");
        }
        for text in [&sent.text, &sent.html] {
            assert!(text.contains("Hello") && text.contains("Replies to this mail are not read."), "{name}");
            let is_notice = text.contains("If that was not you") || text.contains("do nothing");
            assert!(is_notice || template == MailTemplate::Test, "{name} does not say what to do");
        }
        let is_wide = |line: &&str| line.chars().count() > 76 && !line.starts_with("https://");
        assert_eq!(sent.text.lines().find(is_wide), None, "{name}");
        assert!(!sent.text.contains("\n\n\n") && !sent.text.contains('<') && sent.text.ends_with(".\n"), "{name}");
    }
}

#[test]
fn mails_load_nothing_and_have_no_links_but_those_of_the_act() {
    for (template, sent) in all(&mailer()) {
        for loads in ["src=", "url(", "@import", "<link", "<img", "<script", "<iframe", "background=\"", "http-equiv"] {
            assert!(!sent.html.contains(loads), "{} has {loads}", template.name());
        }
        let values = mail(template).values;
        for link in sent.html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let link = link.replace("&#x2f;", "/");
            assert!(link == "https://id.example.com" || values.values().any(|value| *value == link), "{link}");
        }
    }
}

#[test]
fn a_mail_says_whether_replies_are_read() {
    let mailer = mailer_with(|config| config.mail.reply_to = Some(MailAddress::parse("help@example.com").unwrap()));
    for (template, sent) in all(&mailer) {
        for text in [&sent.text, &sent.html] {
            assert!(text.contains("You can reply to this mail.") && !text.contains("not read"), "{}", template.name());
        }
        assert!(String::from_utf8(sent.message).unwrap().contains("\r\nReply-To: help@example.com\r\n"));
    }
}

#[test]
fn every_mail_has_its_templates_and_each_template_its_mail() {
    let mut expected: Vec<_> = MailTemplate::ALL
        .iter()
        .map(|template| template.name())
        .chain(["layout", "parts"])
        .flat_map(|name| ["txt", "html"].map(|ending| format!("mail/{name}.{ending}")))
        .collect();
    let mut found: Vec<_> = TEMPLATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/mail");
    assert_eq!(fs::read_dir(folder).unwrap().count(), TEMPLATES.len(), "of the files");
}

#[test]
fn a_message_has_the_headers_of_an_automatic_mail() {
    let mut mail = mail(MailTemplate::PasswordChanged);
    mail.values.insert("name", "Zo\u{eb} \u{645}\u{62d}\u{645}\u{62f}".to_owned());
    let mailer = mailer_with(|config| {
        config.site_name = "\u{c9}xample, Inc.".to_owned();
        config.mail.from = Some(MailAddress::parse("accounts@example.com").unwrap());
    });
    let sent = composed(&mailer, &mail);
    let message = String::from_utf8(sent.message.clone()).unwrap();
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    for line in [
        "Message-ID: <01936d2b-4c00-7000-8000-000000000007@example.com>",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000",
        "To: ada@example.com",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "Content-Language: en",
        "MIME-Version: 1.0",
    ] {
        assert!(head.lines().any(|of| of == line), "{line} is missing in {head}");
    }
    assert!(head.contains("=?utf-8?") && head.contains("<accounts@example.com>"), "{head}");
    assert_eq!(sent.message_id, "01936d2b-4c00-7000-8000-000000000007@example.com");
    assert_eq!((sent.sender.as_str(), sent.recipient.as_str()), ("accounts@example.com", "ada@example.com"));
    assert!(message.is_ascii() && !message.replace("\r\n", "").contains(['\r', '\n']));
    assert!(message.lines().all(|line| line.len() <= 998), "RFC 5322 section 2.1.1");
    let (text, html) = (body.find("text/plain").unwrap(), body.find("text/html").unwrap());
    assert!(text < html, "programs show the last alternative that they can");
    assert_eq!(composed(&mailer, &mail).message, sent.message, "it is the same when it is sent again");
}

#[test]
fn no_value_adds_a_header_a_line_or_markup() {
    let evil = "Eve\r\nBcc: all@example.com\r\n\r\n<b>hello</b>\u{2028}";
    for template in MailTemplate::ALL {
        let plain = composed(&mailer(), &mail(template));
        let mut mail = mail(template);
        for key in ["name", "browser", "address", "time", "new_email", "valid_for"] {
            if mail.values.contains_key(key) {
                mail.values.insert(key, evil.to_owned());
            }
        }
        let sent = composed(&mailer(), &mail);
        let head = |mail: &OutgoingMail| {
            let message = String::from_utf8(mail.message.clone()).unwrap();
            message.split_once("\r\n\r\n").unwrap().0.to_owned()
        };
        assert_eq!(head(&sent), head(&plain), "{}", template.name());
        assert!(!sent.text.lines().any(|line| line.trim_start().starts_with("Bcc:")), "{}", sent.text);
        assert!(!sent.html.contains("<b>"), "{}", template.name());
    }
}

#[test]
fn a_subject_of_a_replaced_template_stays_one_line() {
    let subject =
        "{% extends 'mail/layout.txt' %}{% block subject %}From {{ browser }}\n  Bcc: eve@example.com{% endblock %}";
    let mailer = mailer_with(|config| {
        config.templates = vec![("mail/new_device.txt".to_owned(), subject.to_owned())];
    });
    let mut mail = mail(MailTemplate::NewDevice);
    mail.values.insert("browser", format!("Firefox\r\nX-Evil: 1 {}", "a".repeat(500)));
    let sent = composed(&mailer, &mail);
    assert!(!sent.subject.contains(char::is_control) && sent.subject.chars().count() == 200, "{}", sent.subject);
    let message = String::from_utf8(sent.message).unwrap();
    let is_injected = |line: &str| line.starts_with("Bcc") || line.starts_with("X-Evil");
    assert!(!message.lines().any(is_injected), "{message}");
}

#[test]
fn a_name_that_looks_like_a_link_is_not_shown() {
    for name in ["You won: https://evil.example", "evil.example", "www.evil.example/x", "eve@evil.example", "a\\b"] {
        let mut mail = mail(MailTemplate::ConfirmRegistration);
        mail.values.insert("name", name.to_owned());
        let sent = composed(&mailer(), &mail);
        assert!(sent.text.starts_with("Hello,\n") && sent.html.contains(">Hello,</p>"), "{name}: {}", sent.text);
        assert!(!sent.text.contains(name), "{name}");
    }
    for name in ["Ada Lovelace", "J.R.R. Tolkien", "Dr. No", "Martin Luther King Jr.", "Ren\u{e9}e O'Neill-Smith"] {
        let mut mail = mail(MailTemplate::ConfirmRegistration);
        mail.values.insert("name", name.to_owned());
        assert!(composed(&mailer(), &mail).text.starts_with(&format!("Hello {name},\n")), "{name}");
    }
}

#[test]
fn an_invitation_without_a_name_greets_without_one() {
    let mut mail = mail(MailTemplate::Invitation);
    mail.values.insert("name", String::new());
    assert!(composed(&mailer(), &mail).text.starts_with("Hello,\n"));
}

/// A site with this template of its operator, and the text and the HTML of a mail in this language.
fn rendered(files: &[(&str, &str)], language: &str) -> (OutgoingMail, TempFolder) {
    let folder = TempFolder::new();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mailer = mailer_with(|config| config.templates_dir = Some(folder.path().to_owned()));
    let mail = Mail { language: language.to_owned(), ..mail(MailTemplate::NewDevice) };
    (composed(&mailer, &mail), folder)
}

#[test]
fn a_mail_is_in_the_language_of_the_user_where_there_is_a_template() {
    let german = "{% extends 'mail/layout.txt' %}{% block subject %}Neue Anmeldung{% endblock %}";
    let swiss = "{% extends 'mail/layout.txt' %}{% block subject %}Neui Aamaldig{% endblock %}";
    let files = [("mail/de/new_device.txt", german), ("mail/de-CH/new_device.txt", swiss)];
    let english = "A new sign-in to your account at Example";
    for (language, subject) in [
        ("de", "Neue Anmeldung"),
        ("de-AT", "Neue Anmeldung"),
        ("de-CH", "Neui Aamaldig"),
        ("en", english),
        ("fr", english),
        ("", english),
        ("../de", english),
        ("de/../../x", english),
    ] {
        let (sent, _folder) = rendered(&files, language);
        assert_eq!(sent.subject, subject, "{language}");
        let is_tag = !language.is_empty() && !language.contains('.');
        let lang = format!("<html lang=\"{}\">", if is_tag { language } else { "en" });
        assert!(sent.html.contains(&lang) && sent.html.contains("sign-in"), "{language}: the HTML is not replaced");
    }
}

#[test]
fn a_broken_template_of_a_mail_is_not_used() {
    let english = "A new sign-in to your account at Example";
    for broken in [
        "{% extends 'mail/layout.txt' %}{% block subject %}{{ nothing }}{% endblock %}",
        "{% extends 'mail/layout.txt' %}",
        "{% if %}",
        "A text without a subject",
    ] {
        for name in ["mail/new_device.txt", "mail/de/new_device.txt"] {
            let (sent, _folder) = rendered(&[(name, broken)], "de");
            assert_eq!(sent.subject, english, "{name}: {broken}");
        }
    }
    let (sent, _folder) = rendered(&[("mail/new_device.html", "{{ nothing }}")], "en");
    assert!(sent.html.contains("A new sign-in to your account"));
}

#[test]
fn the_log_of_a_broken_template_does_not_quote_the_link() {
    let mut config = config_with(DatabaseUrl::parse("sqlite:unused").unwrap());
    config.templates = vec![("mail/mine.txt".to_owned(), "{% include link %}".to_owned())];
    let set = TemplateSet::new(TEMPLATES, &config);
    let error = set.render("mail/mine.txt", &context! { link => LINK }).unwrap_err();
    assert!(format!("{error:#}").contains("account/link"), "the message of the engine quotes it: {error:#}");
    let words = templates::words("mail/mine.txt", &error);
    assert!(!words.contains("account") && words.contains("mail/mine.txt:1"), "{words}");
}

#[test]
fn mails_of_an_application_replace_ours() {
    let mailer = mailer_with(|config| {
        let mine = "{% extends 'mail/layout.html' %}{% block body %}<b>{{ version }}</b> {{ browser }}{% endblock %}";
        config.templates = vec![("mail/new_device.html".to_owned(), mine.to_owned())];
        config.globals.insert("version".to_owned(), "1 & 2".to_owned());
    });
    let sent = composed(&mailer, &mail(MailTemplate::NewDevice));
    assert!(sent.html.contains("<b>1 &amp; 2</b> Firefox on Linux"), "{}", sent.html);
    assert!(sent.text.contains("If that was not you"), "the text is still ours");
}

/// The data of caniemail.com comes with the package that script/test installs.
#[test]
fn mail_programs_render_the_mails_but_for_accepted_losses() {
    let folder = TempFolder::new();
    let files: Vec<_> = all(&mailer())
        .into_iter()
        .map(|(template, sent)| {
            let file = folder.path().join(format!("{}.html", template.name()));
            fs::write(&file, sent.html).unwrap();
            file
        })
        .collect();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail_clients");
    let output = Command::new("node").arg(here.join("check.mjs")).args(files).output().unwrap();
    assert!(output.status.success(), "npm ci --prefix {}: {output:?}", here.display());
    let found: Vec<_> = str::from_utf8(&output.stdout).unwrap().lines().map(str::to_owned).collect();
    let list = fs::read_to_string(here.join("accepted.txt")).unwrap();
    let accepted = list.lines().filter(|line| !line.starts_with('#'));
    let accepted: Vec<_> = accepted.map(|line| line.split_once(" | ").unwrap().0.to_owned()).collect();
    assert_eq!(found, accepted, "accepted.txt lists what some mail program does not show");
    assert!(found.len() > 10);
}

/// Runs Chromium on a page, and returns its document or, with a file, takes a screenshot.
fn chromium(page: &Path, scheme: &str, size: (usize, usize), screenshot: Option<&Path>) -> String {
    let profile = TempFolder::new();
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("--blink-settings=preferredColorScheme={}", usize::from(scheme == "light")));
    command.arg(format!("--window-size={},{}", size.0, size.1));
    match screenshot {
        Some(file) => command.arg(format!("--screenshot={}", file.display())),
        None => command.args(["--virtual-time-budget=5000", "--dump-dom"]),
    };
    let output = command.arg(page).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// It leaves a screenshot of all mails in the folder `screenshots`, for each width in light and in dark.
#[test]
fn mails_fit_windows_of_a_telephone_and_are_dark_in_dark_mode() {
    const HEIGHT: usize = 980;
    let folder = TempFolder::new();
    let names = MailTemplate::ALL.map(MailTemplate::name);
    for (template, sent) in all(&mailer()) {
        fs::write(folder.path().join(format!("{}.html", template.name())), sent.html).unwrap();
    }
    let screenshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    for (width, columns) in [(320, 4), (600, 3)] {
        for (scheme, background) in [("light", "rgb(250, 247, 242)"), ("dark", "rgb(23, 20, 18)")] {
            let frames = names.map(|name| {
                format!(
                    "<iframe src='{name}.html' width={width} height={HEIGHT} style='color-scheme:{scheme}'></iframe>"
                )
            });
            let measure = "onload = () => { \
                 const measured = [...document.querySelectorAll('iframe')].map(frame => { \
                     const { body, documentElement } = frame.contentDocument; \
                     return `${documentElement.scrollWidth} ${getComputedStyle(body).backgroundColor}` }); \
                 document.title = measured.join(';') }";
            let page = format!(
                "<!doctype html><html style='color-scheme:{scheme}'><script>{measure}</script><body>{}",
                frames.concat()
            );
            let file = folder.path().join("page.html");
            fs::write(&file, page).unwrap();
            let size = ((width + 10) * columns + 30, (HEIGHT + 10) * names.len().div_ceil(columns) + 20);
            let document = chromium(&file, scheme, size, None);
            let title = document.split("<title>").nth(1).unwrap().split("</title>").next().unwrap();
            let found: Vec<_> = title.split(';').collect();
            assert_eq!(
                found,
                [format!("{width} {background}").as_str(); 13],
                "{scheme}: width and background of each mail"
            );
            chromium(&file, scheme, size, Some(&screenshots.join(format!("mail-{width}-{scheme}.png"))));
        }
    }
}
