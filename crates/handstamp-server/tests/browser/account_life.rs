//! A lost password, a confirmed address and a changed one, in a real browser, with the mails of a site on the local machine.

use std::time::Duration;

use crate::browser_user::{ADA, BrowserUser, Person};
use crate::site::Site;

const NEW: Person = Person { name: ADA.name, email: ADA.email, password: "tin whistles mend gravity" };

/// The mails of this subject in the outbox of the site, the oldest first, without soft line breaks.
async fn mail(site: &Site, subject: &str) -> String {
    let outbox = site.folder().join("data/outbox");
    for _ in 0..500 {
        let files = std::fs::read_dir(&outbox).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut mails: Vec<_> = files.filter(|path| path.extension().is_some_and(|of| of == "eml")).collect();
        mails.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
        for path in mails.iter().rev() {
            let text = std::fs::read_to_string(path).unwrap().replace("=\r\n", "").replace("=\n", "");
            if text.lines().any(|line| line.starts_with("Subject: ") && line.contains(subject)) {
                return text;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there is no mail about {subject} in {}", outbox.display());
}

/// The path of the link of a mail.
fn link(mail: &str) -> String {
    let start = mail.find("/account/link/").expect("the mail has a link");
    mail[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || "/_-".contains(*c)).collect()
}

/// The code of a mail: two groups of four digits.
fn code(mail: &str) -> String {
    let is_code = |line: &&str| line.len() == 9 && line.chars().all(|c| c.is_ascii_digit() || c == ' ');
    mail.lines().map(str::trim).find(is_code).expect("the mail has a code").to_owned()
}

async fn sets_a_password(visitor: &BrowserUser, password: &str) {
    visitor.is_at("/account/reset").await;
    visitor.fills_in("New password", password).await;
    visitor.clicks("Set password").await;
    visitor.is_at("/account/login?notice=new-password").await;
    visitor.sees("Your new password is set.").await;
}

#[tokio::test]
async fn a_lost_password_is_reset_by_the_link_of_a_mail() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.signs_out().await;
    ada.goes_to("/account/login").await;
    ada.clicks("Forgot your password?").await;
    ada.fills_in("E-mail address", ADA.email).await;
    ada.clicks("Mail me a link").await;
    ada.is_at("/account/forgot/sent").await;
    ada.goes_to(&link(&mail(&site, "password").await)).await;
    ada.is_at("/account/reset").await;
    ada.fills_in("New password", "password").await;
    ada.clicks("Set password").await;
    ada.is_told_beside("password", "easy to guess").await;
    sets_a_password(&ada, NEW.password).await;
    ada.says_who_they_are(&NEW).await;
    ada.is_welcomed_as(&ADA).await;
    ada.sees("ada@example.com").await;
}

#[tokio::test]
async fn an_address_is_confirmed_by_the_code_of_the_mail() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.sees("not confirmed").await;
    ada.clicks("Confirm your e-mail address").await;
    ada.fills_in("Code", "1234").await;
    ada.clicks("Confirm").await;
    ada.is_told_beside("code", "This code is wrong").await;
    ada.fills_in("Code", &code(&mail(&site, "Confirm").await)).await;
    ada.clicks("Confirm").await;
    ada.is_at("/account?done=verified").await;
    ada.sees("Your e-mail address is confirmed.").await;
}

#[tokio::test]
async fn the_link_of_a_confirmation_in_another_browser_ends_the_account_that_another_person_prepared() {
    let site = Site::opens();
    let eve = site.visitor().await;
    eve.registers_as(&ADA).await;
    eve.is_at("/account").await;
    let ada = site.visitor().await;
    ada.goes_to(&link(&mail(&site, "Confirm").await)).await;
    ada.is_at("/account/verify").await;
    ada.clicks("Confirm").await;
    sets_a_password(&ada, NEW.password).await;
    eve.is_signed_out().await;
    ada.says_who_they_are(&NEW).await;
    ada.is_welcomed_as(&ADA).await;
}

#[tokio::test]
async fn an_address_is_changed_by_the_link_to_the_new_one_and_changed_back_by_the_old_one() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    ada.goes_to(&link(&mail(&site, "Confirm").await)).await;
    ada.clicks("Confirm").await;
    ada.is_at("/account?done=verified").await;
    ada.clicks("Change your e-mail address").await;
    ada.fills_in("New e-mail address", "ada@new.example").await;
    ada.clicks("Mail a link to it").await;
    ada.is_at("/account/email?notice=sent").await;
    ada.goes_to(&link(&mail(&site, "new").await)).await;
    ada.is_at("/account/email/confirm").await;
    ada.clicks("Change the address").await;
    ada.is_at("/account?done=email").await;
    ada.sees("ada@new.example").await;
    let owner = site.visitor().await;
    owner.goes_to(&link(&mail(&site, "was changed").await)).await;
    owner.is_at("/account/email/undo").await;
    owner.clicks("Undo the change").await;
    sets_a_password(&owner, NEW.password).await;
    ada.is_signed_out().await;
    owner.says_who_they_are(&NEW).await;
    owner.is_welcomed_as(&ADA).await;
}

#[tokio::test]
async fn an_account_is_deleted_after_the_password_was_entered_again() {
    let site = Site::opens_with(&[("HANDSTAMP_SESSION__CONFIRM_AFTER", "1m")]);
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    ada.goes_to("/account/confirm?next=/account/delete").await;
    ada.fills_in("Password", "wrong").await;
    ada.clicks("Confirm").await;
    ada.is_told_beside("password", "This is not your password.").await;
    ada.fills_in("Password", ADA.password).await;
    ada.clicks("Confirm").await;
    ada.is_at("/account/delete").await;
    ada.clicks_twice("Delete my account", Duration::from_millis(20)).await;
    ada.is_at("/").await;
    ada.sees("Your account and all of its data are deleted.").await;
    ada.is_signed_out().await;
}
