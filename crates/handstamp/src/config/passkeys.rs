//! The section `passkeys`.

use handstamp_core::InvalidSetting;

use super::public_url::PublicUrl;
use super::session::is_within;
use super::{Config, Setting};

/// Passkeys.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PasskeysConfig {
    /// The relying party id: the host of the public URL, which is the default, or a parent domain of it. Any host of that domain can
    /// then ask for these passkeys, so a parent domain is for sites that move to another host of it. It cannot be changed later:
    /// passkeys of another id are not found any more.
    pub rp_id: Option<String>,
}

impl PasskeysConfig {
    /// Whether there are passkeys: with the feature of that name, and at a host with a name, since browsers make none for an address.
    pub(crate) fn are_on(&self, public_url: &PublicUrl) -> bool {
        cfg!(feature = "passkeys") && public_url.has_name()
    }

    /// The relying party id of a site.
    #[cfg(feature = "passkeys")]
    pub(crate) fn rp_id<'a>(&'a self, public_url: &'a PublicUrl) -> &'a str {
        self.rp_id.as_deref().unwrap_or(public_url.host())
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("passkeys.rp_id", |config: &mut Config, domain| {
            config.passkeys.rp_id = Some(domain.to_owned());
            Ok(())
        })
        .check(|config| {
            let domain = config.passkeys.rp_id.as_deref();
            domain.map_or(Ok(()), |domain| check_rp_id(domain, &config.public_url))
        })
        .values("the host of `public_url`, or a domain that it belongs to")
        .default_is("the host of `public_url`")
        .about(
            "The domain that passkeys are for. Every host of a parent domain can ask for them, and with another one they are not found \
             any more.",
        ),
    ]
}

/// Checks that browsers take `domain` as the relying party id of the site. They also refuse a public suffix, such as `co.uk`, of
/// which only those without a dot are recognised here.
fn check_rp_id(domain: &str, public_url: &PublicUrl) -> Result<(), InvalidSetting> {
    let host = public_url.host();
    if domain == host {
        Ok(())
    } else if !is_within(host, domain) || !domain.contains('.') || domain.starts_with('.') {
        Err(InvalidSetting::new(format!("must be {host} or a domain that it belongs to, such as example.com")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relying_party_id_is_the_host_of_the_site_or_a_parent_domain() {
        let public = PublicUrl::parse("https://id.example.com").unwrap();
        for good in ["id.example.com", "example.com"] {
            assert!(check_rp_id(good, &public).is_ok(), "{good}");
        }
        for bad in ["com", ".example.com", "ample.com", "other.com", "", "www.id.example.com", "EXAMPLE.com"] {
            assert!(check_rp_id(bad, &public).is_err(), "{bad}");
        }
        let local = PublicUrl::parse("http://localhost:8080").unwrap();
        assert!(check_rp_id("localhost", &local).is_ok() && check_rp_id("localhost:8080", &local).is_err());
    }
}
