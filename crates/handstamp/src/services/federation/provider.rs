//! A provider: where it is, what it is asked, and what its answers say of a person.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Builder;
use axum::http::{HeaderValue, Request};
use base64_simd::STANDARD;
use handstamp_core::federation::{
    Claims, ExpectedIssuer, IdToken, IdTokenError, IdTokenRules, KeySet, LogoutRules, LogoutToken, ProviderMetadata,
    TokenResponseError, apple_name, code_challenge, github, parse_token_response, parse_userinfo, verify_id_token,
    verify_logout_token,
};
use handstamp_core::{EmailAddress, Timestamp};
use http_body_util::Full;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::apple::AppleKey;
use super::attempt::{Attempt, Purpose};
use super::http::ProviderHttp;
use super::refusal::Refusal;
use super::remembered::Remembered;
use crate::config::{ProviderConfig, ProviderKind};
use crate::log::OnceAMinute;

/// The place of a tenant in the issuer of Microsoft, as in the document of all tenants.
const TENANT: &str = "{tenantid}";

/// The most characters of a text of a provider that the log repeats.
const LONGEST_DETAIL: usize = 100;

/// The errors of a token endpoint that mean that the registration of this site is wrong.
const OF_OPERATORS: [&str; 4] =
    ["incorrect_client_credentials", "invalid_client", "redirect_uri_mismatch", "unauthorized_client"];

/// A provider of the settings.
pub(crate) struct Provider {
    /// The name in the settings and in URLs.
    pub(crate) name: String,
    /// The name on the button.
    pub(crate) label: String,
    /// The name for events, which applications may copy.
    pub(super) event_name: &'static str,
    pub(super) kind: ProviderKind,
    pub(super) config: ProviderConfig,
    /// The ids of the tenants of Microsoft whose members may sign in.
    tenants: Vec<String>,
    /// The issuer of each of them.
    tenant_template: String,
    apple: Option<AppleKey>,
    pub(super) redirect_uri: String,
    metadata: Remembered<ProviderMetadata>,
    keys: Remembered<KeySet>,
    /// Limits the warnings that it cannot be used.
    pub(super) unavailable: OnceAMinute,
}

/// The answer of a provider, as the browser brings it.
#[derive(Debug, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) state: &'a str,
    pub(crate) code: &'a str,
    pub(crate) error: &'a str,
    pub(crate) issuer: &'a str,
    /// The name of the person as Apple sends it, the first time only.
    pub(crate) user: &'a str,
}

/// A person who has authenticated at a provider.
pub(super) struct Person {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) email: Option<EmailAddress>,
    /// Whether the provider says that the address is the person's, and is trusted for its domain.
    pub(super) email_verified: bool,
    pub(super) name: Option<String>,
    /// When the person authenticated there, if the provider tells.
    pub(super) authenticated_at: Option<Timestamp>,
    /// Whether that was with two factors.
    pub(super) has_second_factor: bool,
    /// The id of the session there.
    pub(super) session_id: Option<String>,
    pub(super) issued_at: Timestamp,
    /// The values of the claim that decides about groups; none if no claim does, or the token does not have it for its size.
    pub(super) groups: Option<Vec<String>>,
}

impl Provider {
    /// # Errors
    /// When the key of Apple cannot be read.
    pub(super) fn new(name: &str, config: &ProviderConfig, redirect_uri: String) -> Result<Self, String> {
        let kind = config.kind.ok_or("has no kind")?;
        let apple = match kind {
            ProviderKind::Apple => Some(AppleKey::read(config)?),
            _ => None,
        };
        Ok(Self {
            name: name.to_owned(),
            label: config.label(name).to_owned(),
            event_name: interned(name),
            kind,
            tenants: config.tenants.iter().map(|tenant| tenant.as_str().to_owned()).collect(),
            tenant_template: issuer_of_tenant(without_slash(config.issuer()), TENANT),
            config: config.clone(),
            apple,
            redirect_uri,
            metadata: Remembered::default(),
            keys: Remembered::default(),
            unavailable: OnceAMinute::default(),
        })
    }

    /// The address of the provider, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        without_slash(self.config.issuer())
    }

    /// The issuer that tokens have to name.
    fn expected_issuer(&self) -> ExpectedIssuer<'_> {
        let issuer = self.config.issuer();
        match self.kind {
            ProviderKind::Google if self.config.has_default_issuer() => ExpectedIssuer::WithHostAlone(issuer),
            ProviderKind::Microsoft => {
                ExpectedIssuer::Tenants { template: &self.tenant_template, tenants: &self.tenants }
            }
            _ => ExpectedIssuer::Exactly(issuer),
        }
    }

    /// The issuer of the provider. Where several tenants of Microsoft may sign in, `all` stands for them.
    fn issuer_with_tenant(&self, all: &str) -> String {
        match (self.kind, self.tenants.as_slice()) {
            (ProviderKind::Microsoft, [tenant]) => issuer_of_tenant(self.base(), tenant),
            (ProviderKind::Microsoft, _) => issuer_of_tenant(self.base(), all),
            _ => self.config.issuer().to_owned(),
        }
    }

    /// The URL of the discovery document (OpenID Connect Discovery 1.0, section 4).
    pub(super) fn discovery_url(&self) -> String {
        let issuer = self.issuer_with_tenant("common");
        format!("{}/.well-known/openid-configuration", without_slash(&issuer))
    }

    /// The URL of GitHub's API.
    fn github_api(&self) -> String {
        if self.config.has_default_issuer() {
            "https://api.github.com".to_owned()
        } else {
            format!("{}/api/v3", self.base())
        }
    }

    /// Where the provider is asked what. GitHub has no discovery document.
    pub(super) async fn metadata(&self, http: &ProviderHttp) -> Result<Arc<ProviderMetadata>, Refusal> {
        let ask = async {
            if self.kind == ProviderKind::Github {
                return Ok(ProviderMetadata {
                    authorization_endpoint: format!("{}/login/oauth/authorize", self.base()),
                    token_endpoint: format!("{}/login/oauth/access_token", self.base()),
                    userinfo_endpoint: None,
                    jwks_uri: String::new(),
                    algorithms: Vec::new(),
                    sends_issuer: false,
                    secret_in_body: true,
                });
            }
            let document = http.get(&self.discovery_url(), "the discovery document", |request| request).await?;
            ProviderMetadata::parse(&document, &self.issuer_with_tenant(TENANT)).map_err(unexpected)
        };
        self.metadata.get(http.clock(), ask).await
    }

    pub(super) async fn ask_for_keys(
        &self,
        http: &ProviderHttp,
        metadata: &ProviderMetadata,
    ) -> Result<KeySet, Refusal> {
        let document = http.get(&metadata.jwks_uri, "the keys", |request| request).await?;
        KeySet::parse(&document).map_err(unexpected)
    }

    /// Verifies a token with the keys of the provider, which are asked for again if the key is not among them.
    async fn verify<T>(
        &self,
        http: &ProviderHttp,
        metadata: &ProviderMetadata,
        verify: impl Fn(&KeySet, ExpectedIssuer<'_>) -> Result<T, IdTokenError>,
    ) -> Result<T, Refusal> {
        let keys = self.keys.get(http.clock(), self.ask_for_keys(http, metadata)).await?;
        match verify(&keys, self.expected_issuer()) {
            Err(error) if error.may_need_newer_keys() => {}
            verified => return Ok(verified?),
        }
        let keys = self.keys.get_anew(http.clock(), self.ask_for_keys(http, metadata)).await?;
        Ok(verify(&keys, self.expected_issuer())?)
    }

    /// Verifies a token by which the provider ends sessions.
    pub(super) async fn verify_logout(
        &self,
        http: &ProviderHttp,
        token: &str,
        now: Timestamp,
    ) -> Result<LogoutToken, Refusal> {
        let metadata = self.metadata(http).await?;
        let algorithms = metadata.algorithms.as_slice();
        let client_id = self.config.client_id.as_str();
        self.verify(http, &metadata, |keys, issuer| {
            verify_logout_token(token, keys, &LogoutRules { issuer, client_id, algorithms, now })
        })
        .await
    }

    /// Refuses an answer that names another provider, or none where this one always names itself (RFC 9207). That of GitHub is not one of
    /// its own addresses.
    pub(super) async fn check_issuer(&self, http: &ProviderHttp, answer: &Answer<'_>) -> Result<(), Refusal> {
        if self.kind == ProviderKind::Github {
            return Ok(());
        }
        let metadata = self.metadata(http).await?;
        let is_right = match answer.issuer {
            "" => !metadata.sends_issuer,
            issuer => self.expected_issuer().accepts(issuer),
        };
        if is_right { Ok(()) } else { Err(Refusal::Issuer) }
    }

    /// The URL to which the browser goes.
    pub(super) async fn authorization_url(
        &self,
        http: &ProviderHttp,
        attempt: &Attempt,
        state: &str,
    ) -> Result<String, Refusal> {
        let metadata = self.metadata(http).await?;
        let mut url = Url::parse(&metadata.authorization_endpoint).map_err(unexpected)?;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", &self.config.scope())
            .append_pair("state", state)
            .append_pair("code_challenge", &code_challenge(&attempt.verifier))
            .append_pair("code_challenge_method", "S256");
        if self.kind != ProviderKind::Github {
            query.append_pair("nonce", &attempt.nonce);
        }
        if self.config.answers_by_form() {
            query.append_pair("response_mode", "form_post");
        }
        if let [domain] = self.config.hosted_domains.as_slice() {
            query.append_pair("hd", domain);
        }
        if matches!(attempt.purpose, Purpose::Confirm(_)) {
            // Google and GitHub know no other prompt that does not let the person pass unseen, and Apple knows none.
            match self.kind {
                ProviderKind::Google | ProviderKind::Github => query.append_pair("prompt", "select_account"),
                ProviderKind::Apple => &mut query,
                ProviderKind::Microsoft => query.append_pair("prompt", "login"),
                ProviderKind::Oidc | ProviderKind::Gitlab => {
                    query.append_pair("prompt", "login").append_pair("max_age", "0")
                }
            };
        }
        drop(query);
        Ok(url.into())
    }

    /// Whether the provider tells when a person has authenticated there, if it is asked to have them do so again.
    fn tells_authentication_time(&self) -> bool {
        matches!(self.kind, ProviderKind::Oidc | ProviderKind::Gitlab)
    }

    /// Exchanges a code for what the provider says of the person.
    pub(super) async fn identify(
        &self,
        http: &ProviderHttp,
        answer: &Answer<'_>,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Person, Refusal> {
        let metadata = self.metadata(http).await?;
        let tokens = http.post(self.token_request(&metadata, answer, attempt, now)?, "the token").await?;
        let tokens = parse_token_response(&tokens).map_err(|error| match error {
            // These are for the operators: this site is not registered as the settings say.
            TokenResponseError::Refused { code, .. } if OF_OPERATORS.contains(&code) => unexpected(error),
            TokenResponseError::Refused { .. } => Refusal::Provider(error.to_string()),
            _ => unexpected(error),
        })?;
        if self.kind == ProviderKind::Github {
            return self.identify_at_github(http, &tokens.access_token, now).await;
        }
        let id_token = tokens.id_token.ok_or_else(|| unexpected("the answer has no ID token"))?;
        let is_again = matches!(attempt.purpose, Purpose::Confirm(_)) && self.tells_authentication_time();
        let (client_id, nonce) = (self.config.client_id.as_str(), attempt.nonce.as_str());
        let authenticated_since = is_again.then_some(attempt.used.began_at);
        let algorithms = metadata.algorithms.as_slice();
        let token = self
            .verify(http, &metadata, |keys, issuer| {
                let rules = IdTokenRules { issuer, client_id, nonce, algorithms, now, authenticated_since };
                verify_id_token(&id_token, keys, &rules)
            })
            .await?;
        self.check_organisation(&token)?;
        let userinfo = self.userinfo(http, &metadata, &token, &tokens.access_token).await?;
        Ok(self.person(&token, userinfo.as_ref(), answer))
    }

    /// The request that exchanges a code (RFC 6749, section 4.1.3).
    pub(super) fn token_request(
        &self,
        metadata: &ProviderMetadata,
        answer: &Answer<'_>,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Request<Full<Bytes>>, Refusal> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", answer.code)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("code_verifier", &attempt.verifier);
        let id = self.config.client_id.as_str();
        let secret = self.config.client_secret.as_ref().map_or("", |secret| secret.expose());
        let mut request = Request::post(&metadata.token_endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        if let Some(apple) = &self.apple {
            form.append_pair("client_id", id).append_pair("client_secret", &apple.client_secret(self.base(), id, now)?);
        } else if metadata.secret_in_body {
            form.append_pair("client_id", id).append_pair("client_secret", secret);
        } else {
            // RFC 6749, section 2.3.1: both are encoded like a form first.
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let credentials = STANDARD.encode_to_string(format!("{}:{}", encoded(id), encoded(secret)));
            let mut header = HeaderValue::try_from(format!("Basic {credentials}")).expect("base64 is visible ASCII");
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        request.body(Full::from(form.finish())).map_err(unexpected)
    }

    fn check_organisation(&self, token: &IdToken) -> Result<(), Refusal> {
        let allowed = &self.config.hosted_domains;
        let of = token.claims.hosted_domain().map(str::to_lowercase);
        let is_member = allowed.is_empty() || of.is_some_and(|of| allowed.contains(&of));
        if is_member { Ok(()) } else { Err(Refusal::Organisation) }
    }

    /// The claims of the userinfo endpoint, if the token lacks some that it may have.
    async fn userinfo(
        &self,
        http: &ProviderHttp,
        metadata: &ProviderMetadata,
        token: &IdToken,
        access_token: &str,
    ) -> Result<Option<Claims>, Refusal> {
        let lacks_groups = |claim: &String| token.claims.values(claim).is_empty();
        let lacks_something =
            token.claims.email().is_none() || self.config.groups_claim.as_ref().is_some_and(lacks_groups);
        // The subject of Microsoft's userinfo is not the object id that identifies a person here.
        let Some(endpoint) = metadata.userinfo_endpoint.as_ref().filter(|_| lacks_something) else { return Ok(None) };
        if self.kind == ProviderKind::Microsoft {
            return Ok(None);
        }
        let document = http.get(endpoint, "the userinfo", |request| bearer(request, access_token)).await?;
        parse_userinfo(&document, &token.subject).map(Some).map_err(unexpected)
    }

    fn person(&self, token: &IdToken, userinfo: Option<&Claims>, answer: &Answer<'_>) -> Person {
        let sources: Vec<&Claims> = [Some(&token.claims), userinfo].into_iter().flatten().collect();
        let says = sources.iter().find_map(|claims| Some((*claims, claims.email()?)));
        let is_apple = self.kind == ProviderKind::Apple;
        let verified = says.is_some_and(|(claims, _)| claims.email_verified(is_apple));
        let email = says.and_then(|(_, email)| EmailAddress::parse(email).ok());
        let hosted = token.claims.hosted_domain();
        let is_trusted = email.as_ref().is_some_and(|email| self.config.is_trusted_for(email, hosted));
        let name = sources.iter().find_map(|claims| claims.name()).map(str::to_owned);
        let name = name.or_else(|| apple_name(answer.user).filter(|_| is_apple));
        let values = |claim: &str| -> Vec<String> {
            let found = sources.iter().map(|claims| claims.values(claim)).find(|values| !values.is_empty());
            found.unwrap_or_default().into_iter().map(str::to_owned).collect()
        };
        // A second factor is what the signed token says, and nothing else.
        let is_second = |claim: &str, value: &str| token.claims.values(claim).contains(&value);
        Person {
            issuer: token.issuer.clone(),
            subject: token.subject.clone(),
            email,
            email_verified: verified && is_trusted,
            name,
            authenticated_at: token.auth_time,
            has_second_factor: self.config.second_factor.iter().any(|of| is_second(&of.claim, &of.value)),
            session_id: token.session_id.clone(),
            issued_at: token.issued_at,
            // Microsoft leaves the groups out of a token if they are many: that is no reason to take them all away.
            groups: self.config.groups_claim.as_deref().filter(|claim| !token.claims.is_elsewhere(claim)).map(values),
        }
    }

    /// Asks GitHub about a person. The id of a user never changes, while the name can pass to another.
    async fn identify_at_github(
        &self,
        http: &ProviderHttp,
        access_token: &str,
        now: Timestamp,
    ) -> Result<Person, Refusal> {
        let api = self.github_api();
        let ask = |path| {
            let url = format!("{api}/{path}");
            async move {
                let of_github =
                    |request: Builder| bearer(request, access_token).header("x-github-api-version", "2022-11-28");
                http.get(&url, path, of_github).await
            }
        };
        let user = github::parse_user(&ask("user").await?).map_err(unexpected)?;
        let primary = github::primary_email(&ask("user/emails").await?).map_err(unexpected)?;
        let (email, verified) =
            primary.map_or((None, false), |(text, verified)| (EmailAddress::parse(&text).ok(), verified));
        let is_trusted = email.as_ref().is_some_and(|email| self.config.is_trusted_for(email, None));
        Ok(Person {
            issuer: self.base().to_owned(),
            subject: user.id,
            email,
            email_verified: verified && is_trusted,
            name: user.name.or(Some(user.login)),
            authenticated_at: None,
            has_second_factor: false,
            session_id: None,
            issued_at: now,
            groups: None,
        })
    }
}

fn without_slash(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// The issuer of a tenant of Microsoft, whose address is `base`.
fn issuer_of_tenant(base: &str, tenant: &str) -> String {
    format!("{base}/{tenant}/v2.0")
}

/// A name that lives as long as the process. The settings have few, so each is kept once.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = String::leak(name.to_owned());
    names.insert(name);
    name
}

/// A request that shows an access token (RFC 6750).
fn bearer(request: Builder, access_token: &str) -> Builder {
    let header = HeaderValue::try_from(format!("Bearer {access_token}"));
    let header = header.map(|mut header| {
        header.set_sensitive(true);
        header
    });
    // A token that cannot be sent makes the request fail.
    match header {
        Ok(header) => request.header(AUTHORIZATION, header),
        Err(error) => request.header(AUTHORIZATION, error.to_string()),
    }
}

/// The refusal of an answer that is not what the protocol says.
fn unexpected(error: impl Display) -> Refusal {
    Refusal::Unavailable(shortened(&error.to_string()))
}

/// The beginning of a text that may come from outside.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST_DETAIL).collect()
}
