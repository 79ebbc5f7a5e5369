//! The section `providers.NAME`: the providers through which users sign in.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use handstamp_core::{EmailAddress, GroupName, InvalidSetting};
use url::Url;

use super::public_url::is_loopback;
use super::setting::{invalid, parse};
use super::{Config, Setting};

/// A provider through which users sign in.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ProviderConfig {
    /// The kind, which is required.
    pub kind: Option<ProviderKind>,
    /// The address of the provider. Required for [`ProviderKind::Oidc`]; by default that of the kind.
    pub issuer: Option<ProviderUrl>,
    /// The id that the provider has given this site. Required.
    pub client_id: String,
    /// The secret that the provider has given this site. Required, except for [`ProviderKind::Apple`], which has a key.
    pub client_secret: Option<ClientSecret>,
    /// The scopes that are asked for; empty for those of the kind.
    pub scopes: Vec<String>,
    /// The name on the button. None for that of the kind.
    pub label: Option<String>,
    /// The domains of addresses that count as verified when the provider says so. None by default, except for what the provider of a
    /// kind is known to host itself.
    pub trusted_domains: Vec<TrustedDomain>,
    /// The organisations at Google whose members may sign in; empty for everybody.
    pub hosted_domains: Vec<String>,
    /// The tenants at Microsoft whose members may sign in. Required for [`ProviderKind::Microsoft`].
    pub tenants: Vec<Tenant>,
    /// The team that a key of Apple belongs to.
    pub team_id: Option<String>,
    /// The id of a key of Apple.
    pub key_id: Option<String>,
    /// The file with a key of Apple, as it was downloaded.
    pub key_file: Option<PathBuf>,
    /// The claim that decides about groups. None by default.
    pub groups_claim: Option<String>,
    /// The groups that the claim decides about.
    pub groups: Vec<GroupOfClaim>,
    /// The claims by which the second factor of the provider counts. None by default.
    pub second_factor: Vec<FactorClaim>,
}

/// The kind of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderKind {
    /// Any provider of OpenID Connect.
    Oidc,
    /// Google.
    Google,
    /// Microsoft Entra ID.
    Microsoft,
    /// Apple.
    Apple,
    /// GitHub, which speaks OAuth 2.
    Github,
    /// GitLab.
    Gitlab,
}

/// The properties of a kind.
struct Kind {
    kind: ProviderKind,
    name: &'static str,
    label: &'static str,
    issuer: Option<&'static str>,
    scopes: &'static [&'static str],
    /// The domains whose mailboxes this provider hosts.
    own_domains: &'static [&'static str],
}

const OPENID: &[&str] = &["openid", "email", "profile"];

const KINDS: [Kind; 6] = [
    Kind { kind: ProviderKind::Oidc, name: "oidc", label: "", issuer: None, scopes: OPENID, own_domains: &[] },
    Kind {
        kind: ProviderKind::Google,
        name: "google",
        label: "Google",
        issuer: Some("https://accounts.google.com"),
        scopes: OPENID,
        own_domains: &["gmail.com", "googlemail.com"],
    },
    Kind {
        kind: ProviderKind::Microsoft,
        name: "microsoft",
        label: "Microsoft",
        issuer: Some("https://login.microsoftonline.com"),
        scopes: OPENID,
        own_domains: &[],
    },
    Kind {
        kind: ProviderKind::Apple,
        name: "apple",
        label: "Apple",
        issuer: Some("https://appleid.apple.com"),
        scopes: &["openid", "email", "name"],
        own_domains: &["privaterelay.appleid.com", "icloud.com", "me.com", "mac.com"],
    },
    Kind {
        kind: ProviderKind::Github,
        name: "github",
        label: "GitHub",
        issuer: Some("https://github.com"),
        scopes: &["read:user", "user:email"],
        own_domains: &[],
    },
    Kind {
        kind: ProviderKind::Gitlab,
        name: "gitlab",
        label: "GitLab",
        issuer: Some("https://gitlab.com"),
        scopes: OPENID,
        own_domains: &[],
    },
];

impl ProviderKind {
    fn described(self) -> &'static Kind {
        KINDS.iter().find(|described| described.kind == self).expect("every kind is described")
    }

    /// The name in the settings.
    pub fn name(self) -> &'static str {
        self.described().name
    }
}

impl FromStr for ProviderKind {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let described = KINDS.iter().find(|described| described.name == text);
        let names = || KINDS.map(|described| described.name).join(", ");
        described
            .map(|described| described.kind)
            .ok_or_else(|| InvalidSetting::new(format!("must be one of {}", names())))
    }
}

/// The address of a provider: https, or http on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderUrl(String);

impl ProviderUrl {
    /// Parses a URL such as `https://sso.example.com/realms/staff`. It is kept as it was written, since a provider repeats it byte by byte.
    ///
    /// # Errors
    /// When it is not a URL, is plain http to another machine, or has credentials, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let url = Url::parse(text).map_err(|error| InvalidSetting::new(format!("is not a URL: {error}")))?;
        let host = url.host().ok_or(InvalidSetting::new("has no host"))?;
        let is_secure = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&host);
        if !is_secure {
            return Err(InvalidSetting::new("must begin with https://: plain http is for this machine"));
        }
        let has_more =
            !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some();
        if has_more {
            return Err(InvalidSetting::new("must have no credentials, no query and no fragment"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderUrl {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

/// The secret that a provider has given this site. It is never printed.
#[derive(Clone)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// Takes a secret as it is.
    ///
    /// # Errors
    /// When it is empty, or has characters that no form can send.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(InvalidSetting::new("must be the secret that the provider shows, without line breaks"));
        }
        Ok(Self(text.to_owned()))
    }

    #[cfg_attr(not(feature = "federation"), allow(dead_code))]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// The domain of addresses that a provider is trusted for, in lower case, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedDomain(String);

impl FromStr for TrustedDomain {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let domain = text.to_lowercase();
        let is_domain = domain == "*" || EmailAddress::parse(&format!("somebody@{domain}")).is_ok();
        if is_domain {
            Ok(Self(domain))
        } else {
            Err(InvalidSetting::new("must be a domain such as example.com, or *"))
        }
    }
}

impl TrustedDomain {
    /// Whether an address is of this domain.
    #[cfg_attr(not(feature = "federation"), allow(dead_code))]
    pub(crate) fn covers(&self, email: &EmailAddress) -> bool {
        self.0 == "*" || is_in_domain(email, &self.0)
    }
}

#[cfg_attr(not(feature = "federation"), allow(dead_code))]
fn is_in_domain(email: &EmailAddress, domain: &str) -> bool {
    email.key().rsplit_once('@').is_some_and(|(_, of)| of == domain)
}

/// A tenant of Microsoft Entra ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant(String);

/// The tenant of personal accounts.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

impl FromStr for Tenant {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        if text == "consumers" {
            return Ok(Self(CONSUMERS.to_owned()));
        }
        let id = uuid::Uuid::try_parse(text).ok().filter(|_| text.len() == CONSUMERS.len());
        let id = id.ok_or(InvalidSetting::new(
            "must be the id of a tenant, such as 8eaef023-2b34-4da1-9baa-8bc8c9d6a490, or consumers",
        ))?;
        Ok(Self(id.to_string()))
    }
}

impl Tenant {
    /// The id, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A group, and the value of a claim by which a user is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOfClaim {
    /// The value of the claim.
    pub value: String,
    /// The group.
    pub group: GroupName,
}

/// `VALUE=GROUP`, or the name of a group that is the value as well.
impl FromStr for GroupOfClaim {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let (value, group) = text.rsplit_once('=').unwrap_or((text, text));
        if value.is_empty() {
            return Err(InvalidSetting::new("must be VALUE=GROUP"));
        }
        Ok(Self { value: value.to_owned(), group: GroupName::parse(group).map_err(invalid)? })
    }
}

/// A claim and its value, by which the second factor of a provider counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorClaim {
    /// `amr` or `acr`.
    pub claim: String,
    /// The value.
    pub value: String,
}

impl FromStr for FactorClaim {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        match text.split_once('=') {
            Some((claim @ ("amr" | "acr"), value)) if !value.is_empty() => {
                Ok(Self { claim: claim.to_owned(), value: value.to_owned() })
            }
            _ => Err(InvalidSetting::new("must be amr=VALUE or acr=VALUE")),
        }
    }
}

#[cfg_attr(not(feature = "federation"), allow(dead_code))]
impl ProviderConfig {
    /// The address of the provider, without a slash at its end where the kind knows its paths.
    pub(crate) fn issuer(&self) -> &str {
        let default = || self.kind.and_then(|kind| kind.described().issuer).unwrap_or_default();
        self.issuer.as_ref().map_or_else(default, ProviderUrl::as_str)
    }

    /// Whether the address is that of the kind.
    pub(crate) fn has_default_issuer(&self) -> bool {
        self.kind.is_some_and(|kind| kind.described().issuer == Some(self.issuer()))
    }

    /// The scopes that are asked for, separated by spaces.
    pub(crate) fn scope(&self) -> String {
        let default = self.kind.map_or(OPENID, |kind| kind.described().scopes);
        if self.scopes.is_empty() { default.join(" ") } else { self.scopes.join(" ") }
    }

    /// The name on the button of the provider that the settings call `name`.
    pub(crate) fn label<'a>(&'a self, name: &'a str) -> &'a str {
        let of_kind = || self.kind.map(|kind| kind.described().label).filter(|label| !label.is_empty());
        self.label.as_deref().or_else(of_kind).unwrap_or(name)
    }

    /// Whether an address counts as verified when this provider says so, about a member of this organisation of Google.
    pub(crate) fn is_trusted_for(&self, email: &EmailAddress, hosted_domain: Option<&str>) -> bool {
        let kind = self.kind.filter(|_| self.has_default_issuer());
        let own = kind.map_or(&[][..], |kind| kind.described().own_domains);
        // Google hosts the mailboxes of its organisations.
        let hosted = hosted_domain.filter(|_| kind == Some(ProviderKind::Google));
        own.iter().copied().chain(hosted).any(|domain| is_in_domain(email, domain))
            || self.trusted_domains.iter().any(|of| of.covers(email))
    }

    /// Whether the provider sends its answer by a form.
    pub(crate) fn answers_by_form(&self) -> bool {
        self.kind == Some(ProviderKind::Apple)
    }
}

impl ProviderConfig {
    /// Refuses a setting that only one kind has.
    fn only_for(&self, is_set: bool, kind: ProviderKind) -> Result<(), InvalidSetting> {
        if is_set && self.kind.is_some_and(|of| of != kind) {
            return Err(InvalidSetting::new(format!("is for kind = {} alone", kind.name())));
        }
        Ok(())
    }

    /// Requires a setting of one kind, and refuses it for the others.
    fn required_for(&self, is_set: bool, kind: ProviderKind) -> Result<(), InvalidSetting> {
        if !is_set && self.kind == Some(kind) {
            return Err(InvalidSetting::new(format!("must be set, since the kind is {}", kind.name())));
        }
        self.only_for(is_set, kind)
    }

    fn check_claims(&self, is_set: bool) -> Result<(), InvalidSetting> {
        match self.kind {
            Some(ProviderKind::Github) if is_set => Err(InvalidSetting::new("must not be set: GitHub tells no claims")),
            _ => Ok(()),
        }
    }
}

/// A setting of a provider whose text is kept as it is.
fn plain(
    name: &'static str,
    set: fn(&mut ProviderConfig, String),
    is_valid: fn(&str) -> bool,
) -> Setting<ProviderConfig> {
    Setting::text(name, move |provider: &mut ProviderConfig, text| {
        if text.is_empty() || text.chars().any(char::is_control) || !is_valid(text) {
            return Err(InvalidSetting::new("has characters that it cannot have"));
        }
        set(provider, text.to_owned());
        Ok(())
    })
}

/// A setting of a provider that is a list.
fn list<V: 'static>(
    name: &'static str,
    of: fn(&mut ProviderConfig) -> &mut Vec<V>,
    parse: fn(&str) -> Result<V, InvalidSetting>,
) -> Setting<ProviderConfig> {
    let push = move |provider: &mut ProviderConfig, text: &str| {
        of(provider).push(parse(text)?);
        Ok(())
    };
    Setting::list(name, move |provider: &mut ProviderConfig| of(provider).clear(), push)
}

/// A text of visible characters, or this error.
fn word(text: &str, error: &'static str) -> Result<String, InvalidSetting> {
    if text.is_empty() || !is_word(text) { Err(InvalidSetting::new(error)) } else { Ok(text.to_owned()) }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

impl Config {
    /// The URL to which the provider with this name sends browsers back. It has to be registered there.
    pub fn redirect_uri(&self, provider: &str) -> String {
        format!("{}{}/account/with/{provider}/callback", self.public_url, self.prefix)
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    let all = connection().into_iter().chain(persons()).chain(of_kinds());
    let each = all.map(|setting| {
        setting.in_each("providers", |config: &Config| &config.providers, |config| &mut config.providers)
    });
    each.map(|setting| match setting.name() {
        "providers.NAME.kind" => setting.check_entries(|config| {
            let needs_https = |provider: &ProviderConfig| provider.kind == Some(ProviderKind::Apple);
            let entries = config.providers.iter().filter(|(_, provider)| needs_https(provider));
            let entries = entries.filter(|_| !config.public_url.is_https());
            entries.map(|(name, _)| (name.clone(), InvalidSetting::new("apple needs a public_url of https"))).collect()
        }),
        _ => setting,
    })
    .collect()
}

/// How this site reaches the provider, and who it is there.
fn connection() -> Vec<Setting<ProviderConfig>> {
    vec![
        Setting::text("kind", |provider: &mut ProviderConfig, text| {
            provider.kind = Some(parse(text)?);
            Ok(())
        })
        .check(|provider| match provider.kind {
            Some(_) => Ok(()),
            None => Err(InvalidSetting::new("must be set")),
        })
        .values("`oidc`, `google`, `microsoft`, `apple`, `github` or `gitlab`")
        .default_is("required")
        .about(
            "The kind of a provider through which users [sign in](../guide/providers.md). `NAME` is part of its URLs.",
        ),
        Setting::text("issuer", |provider: &mut ProviderConfig, text| {
            provider.issuer = Some(parse(text)?);
            Ok(())
        })
        .check(|provider| match (provider.kind, &provider.issuer) {
            (Some(ProviderKind::Oidc), None) => Err(InvalidSetting::new("must be set, since the kind is oidc")),
            _ => Ok(()),
        })
        .values("a URL such as `https://sso.example.com/realms/staff`")
        .default_is("that of the kind; required for `oidc`")
        .about("The address of the provider, exactly as it writes its issuer."),
        plain("client_id", |provider, text| provider.client_id = text, is_word)
            .check(
                |provider| {
                    if provider.client_id.is_empty() { Err(InvalidSetting::new("must be set")) } else { Ok(()) }
                },
            )
            .values("a text")
            .default_is("required")
            .about("The id that the provider has given this site."),
        Setting::text("client_secret", |provider: &mut ProviderConfig, text| {
            provider.client_secret = Some(ClientSecret::parse(text)?);
            Ok(())
        })
        .secret()
        .check(|provider| match (provider.kind, &provider.client_secret) {
            (Some(ProviderKind::Apple), Some(_)) => {
                Err(InvalidSetting::new("must not be set: Apple has a key instead"))
            }
            (Some(ProviderKind::Apple), None) | (_, Some(_)) => Ok(()),
            (_, None) => Err(InvalidSetting::new("must be set")),
        })
        .values("a text")
        .default_is("required, except for `apple`")
        .about("The secret that the provider has given this site."),
        list("scopes", |provider| &mut provider.scopes, |text| word(text, "must be a scope of OAuth 2"))
            .check(|provider| match provider.kind {
                Some(ProviderKind::Github) => Ok(()),
                _ if provider.scopes.is_empty() || provider.scopes.iter().any(|scope| scope == "openid") => Ok(()),
                _ => Err(InvalidSetting::new("must have openid")),
            })
            .values("a list of scopes")
            .default_is("`openid`, `email`, `profile`, or what the kind has instead")
            .about("The scopes that the provider is asked for."),
        plain("label", |provider, text| provider.label = Some(text), |text| text.chars().count() <= 50)
            .values("a text of up to 50 characters")
            .default_is("that of the kind; `NAME` for `oidc`")
            .about("The name of the provider on its button."),
    ]
}

/// How much the words of the provider about a person count.
fn persons() -> Vec<Setting<ProviderConfig>> {
    vec![
        list("trusted_domains", |provider| &mut provider.trusted_domains, parse)
            .values("a list of domains, or `*`")
            .default_is("the domains that the provider itself hosts")
            .about("The domains of addresses that count as verified where the provider says `email_verified`."),
        plain("groups_claim", |provider, text| provider.groups_claim = Some(text), is_word)
            .check(|provider| provider.check_claims(provider.groups_claim.is_some()))
            .values("the name of a claim, or a path such as `realm_access.roles`")
            .about("The claim that decides about `groups` at each sign-in."),
        list("groups", |provider| &mut provider.groups, parse)
            .check(|provider| match (provider.groups.is_empty(), &provider.groups_claim) {
                (false, None) => Err(InvalidSetting::new("needs groups_claim")),
                (true, Some(_)) => Err(InvalidSetting::new("must be set, since groups_claim is")),
                _ => Ok(()),
            })
            .values("a list of `VALUE=GROUP`")
            .about("A user is in the group exactly if the claim has the value. Other groups stay as they are."),
        list("second_factor", |provider| &mut provider.second_factor, parse)
            .check(|provider| provider.check_claims(!provider.second_factor.is_empty()))
            .values("a list of `amr=VALUE` and `acr=VALUE`")
            .about("A sign-in with one of these claims counts as one with two factors."),
    ]
}

/// The settings of single kinds.
fn of_kinds() -> Vec<Setting<ProviderConfig>> {
    vec![
        list(
            "hosted_domains",
            |provider| &mut provider.hosted_domains,
            |text| word(&text.to_lowercase(), "must be a domain such as example.com"),
        )
        .check(|provider| provider.only_for(!provider.hosted_domains.is_empty(), ProviderKind::Google))
        .values("a list of domains")
        .default_is("everybody")
        .about("The organisations at `google` whose members may sign in."),
        list("tenants", |provider| &mut provider.tenants, parse)
            .check(|provider| provider.required_for(!provider.tenants.is_empty(), ProviderKind::Microsoft))
            .values("a list of ids, and `consumers` for personal accounts")
            .default_is("required for `microsoft`")
            .about("The tenants at `microsoft` whose members may sign in."),
        plain("team_id", |provider, text| provider.team_id = Some(text), is_word)
            .check(|provider| provider.required_for(provider.team_id.is_some(), ProviderKind::Apple))
            .values("a text")
            .default_is("required for `apple`")
            .about("The team at `apple` that the key belongs to."),
        plain("key_id", |provider, text| provider.key_id = Some(text), is_word)
            .check(|provider| provider.required_for(provider.key_id.is_some(), ProviderKind::Apple))
            .values("a text")
            .default_is("required for `apple`")
            .about("The id of the key at `apple`."),
        Setting::text("key_file", |provider: &mut ProviderConfig, text| {
            provider.key_file = Some(PathBuf::from(text));
            Ok(())
        })
        .check(|provider| provider.required_for(provider.key_file.is_some(), ProviderKind::Apple))
        .values("a path")
        .default_is("required for `apple`")
        .about("The file with the key of `apple`, as it was downloaded."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_reached_by_https_or_on_this_machine() {
        for good in ["https://sso.example.com", "https://sso.example.com/realms/a/", "http://127.0.0.1:3000"] {
            assert_eq!(ProviderUrl::parse(good).unwrap().as_str(), good, "it is kept as it was written");
        }
        for bad in
            ["http://sso.example.com", "https://a:b@c.example", "https://a.example?b", "https://a.example#b", "a"]
        {
            assert!(ProviderUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_trusted_in_the_domains_of_the_kind_and_of_the_settings() {
        let mut provider = ProviderConfig { kind: Some(ProviderKind::Google), ..ProviderConfig::default() };
        let trusts = |provider: &ProviderConfig, text, hosted| {
            provider.is_trusted_for(&EmailAddress::parse(text).unwrap(), hosted)
        };
        assert!(trusts(&provider, "ada@Gmail.com", None));
        assert!(!trusts(&provider, "ada@gmail.com.example.com", None));
        assert!(!trusts(&provider, "ada@example.com", None));
        assert!(trusts(&provider, "ada@example.com", Some("example.com")), "Google hosts the mailbox");
        assert!(!trusts(&provider, "ada@example.net", Some("example.com")));
        assert!(!trusts(&provider, "ada@sub.example.com", Some("example.com")));
        provider.trusted_domains = vec!["Example.com".parse().unwrap()];
        assert!(trusts(&provider, "ada@example.com", None));
        assert!(!trusts(&provider, "ada@sub.example.com", None));
        provider.issuer = Some(ProviderUrl::parse("https://sso.example.com").unwrap());
        assert!(!trusts(&provider, "ada@gmail.com", None), "another server hosts no mailboxes of Google");
        assert!(!trusts(&provider, "ada@example.net", Some("example.net")));
        provider.trusted_domains = vec!["*".parse().unwrap()];
        assert!(trusts(&provider, "ada@gmail.com", None));
        let gitlab = ProviderConfig { kind: Some(ProviderKind::Gitlab), ..ProviderConfig::default() };
        assert!(!trusts(&gitlab, "ada@example.com", Some("example.com")), "the claim is one of Google");
    }

    #[test]
    fn a_group_is_named_with_the_value_of_its_claim() {
        let parse = |text: &str| text.parse::<GroupOfClaim>().map(|of| (of.value, of.group.as_str().to_owned()));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(parse("cn=staff,dc=example=staff").unwrap(), pair("cn=staff,dc=example", "staff"));
        assert_eq!(parse("staff").unwrap(), pair("staff", "staff"));
        assert!(parse("=staff").is_err() && parse("a=").is_err() && parse("a=b c").is_err());
    }

    #[test]
    fn a_tenant_is_an_id() {
        let parse = |text: &str| text.parse::<Tenant>().map(|tenant| tenant.as_str().to_owned());
        assert_eq!(parse("8EAEF023-2b34-4da1-9baa-8bc8c9d6a490").unwrap(), "8eaef023-2b34-4da1-9baa-8bc8c9d6a490");
        assert_eq!(parse("consumers").unwrap(), CONSUMERS);
        assert!(["common", "example.com", "8eaef0232b344da19baa8bc8c9d6a490"].iter().all(|text| parse(text).is_err()));
    }

    #[test]
    fn a_client_secret_is_not_printed() {
        let secret = ClientSecret::parse("hunter2").unwrap();
        assert_eq!(format!("{secret:?}"), "ClientSecret(…)");
    }
}
