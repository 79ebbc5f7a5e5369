//! One sign-in for two hosts over https in Chromium, which applies the Content-Security-Policy of the form's page to every
//! redirect that follows the form.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::browser_user::ADA;
use crate::site::Site;

/// Caddy with certificates of its own. The process is killed when this is dropped.
struct Caddy(Child);

impl Caddy {
    fn starts(folder: &Path, file: &str) -> Self {
        std::fs::write(folder.join("Caddyfile"), file).unwrap();
        let log = std::fs::File::create(folder.join("caddy.log")).unwrap();
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config", "Caddyfile"]).current_dir(folder);
        command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> String {
    handstamp_testing::free_address().rsplit(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_sign_in_leads_back_to_the_requested_page_on_another_host() {
    let (id_port, app_port) = (free_port(), free_port());
    let id = format!("https://id.handstamp.test:{id_port}");
    let app = format!("https://app.handstamp.test:{app_port}");
    let app_host = app.trim_start_matches("https://");
    let settings = [
        ("HANDSTAMP_PUBLIC_URL", id.as_str()),
        ("HANDSTAMP_SESSION__COOKIE_DOMAIN", "handstamp.test"),
        ("HANDSTAMP_RETURN_HOSTS", app_host),
    ];
    let site = Site::opens_with(&settings);
    let handstamp = site.address();
    let _caddy = Caddy::starts(
        site.folder(),
        &format!(
            "{{
	admin off
	skip_install_trust
	auto_https disable_redirects
}}
{id} {{
	bind 127.0.0.1
	tls internal
	reverse_proxy {handstamp}
}}
{app} {{
	bind 127.0.0.1
	tls internal
	forward_auth {handstamp} {{
		uri /auth/forward?
		copy_headers Remote-User Remote-Name Remote-Email Remote-Groups Handstamp-Assertion Cookie
	}}
	header Content-Type \"text/html; charset=utf-8\"
	respond \"<main>The notes of {{http.request.header.Remote-Name}}</main>\"
}}
"
        ),
    );
    let ada = site.visitor_at(&id).await;
    ada.comes_as_soon_as_there_is("/account/register").await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    ada.signs_out().await;

    let notes = format!("{app}/notes?a=b&c=d");
    ada.browser.goto(&notes).await.unwrap();
    let next: String = url::form_urlencoded::byte_serialize(notes.as_bytes()).collect();
    ada.is_at(&format!("/account/login?next={next}")).await;
    ada.says_who_they_are(&ADA).await;
    ada.sees(&format!("The notes of {}", ADA.name)).await;
    assert_eq!(ada.browser.current_url().await.unwrap().as_str(), notes);

    ada.goes_to("/").await;
    ada.signs_out().await;
    ada.browser.goto(&notes).await.unwrap();
    ada.is_at(&format!("/account/login?next={next}")).await;
}
