//! TLS for browsers: the certificate and its key, which are loaded anew when their files change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use handstamp::environment::{Clock, SystemClock};
use handstamp::private_files;
use metrics::{describe_gauge, gauge};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::CliError;

/// How often the files are compared with what is loaded. They are read: some ways to replace a file leave its time as it was.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// The last second that a certificate can name (RFC 5280 §4.1.2.5).
const END_OF_TIME: u64 = 253_402_300_799;

const DAY: u64 = 86_400;

/// The files of a certificate with its chain, and of its private key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// TLS with the pair of certificate and key that was loaded last.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
}

/// A pair that is in use.
#[derive(Debug)]
struct Current {
    certified: Arc<CertifiedKey>,
    source: Source,
}

/// The hash of the files of a pair.
type Source = [u8; 32];

/// A pair that may be used.
#[derive(Debug)]
struct Pair {
    certified: CertifiedKey,
    source: Source,
    /// The end of the validity, in seconds since 1970.
    expires: u64,
}

impl Tls {
    /// Loads the pair.
    ///
    /// # Errors
    /// A message for the operator, when a file cannot be read or has another content. Also when the two do not belong together, or
    /// the certificate is not valid now.
    pub(crate) fn load(files: TlsFiles) -> Result<Arc<Self>, CliError> {
        describe_gauge!(
            "handstamp_tls_certificate_expiry_timestamp_seconds",
            "When the certificate of tls.cert_file expires, in seconds since 1970"
        );
        let pair = files.load(&ring::default_provider(), now()).map_err(CliError::usage)?;
        pair.tell();
        Ok(Arc::new(Self { files, current: RwLock::new(pair.into_current()) }))
    }

    /// Warns of hosts that the certificate does not name. Browsers do not open them.
    pub(crate) fn warn_of_other_hosts<'a>(&self, hosts: impl Iterator<Item = &'a str>) {
        for host in hosts_without(&self.certified(), hosts) {
            tracing::warn!(event = "tls_certificate_wrong_host", host, "the certificate is not for this host");
        }
    }

    /// Accepts connections with TLS 1.2 and 1.3. Browsers may choose HTTP/2.
    ///
    /// # Errors
    /// When the system has no random bytes for the keys of session tickets.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, CliError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(CliError::failure)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(self) as Arc<_>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A browser that returns resumes its TLS session, however many others came meanwhile.
        config.ticketer = ring::Ticketer::new().map_err(CliError::failure)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Loads the pair anew whenever its files change. A pair that cannot be used leaves the one before in use, and is tried again.
    pub(crate) async fn follow_files(self: Arc<Self>) {
        let mut failure = Failure::default();
        loop {
            tokio::time::sleep(RELOAD_INTERVAL).await;
            let tls = Arc::clone(&self);
            let Ok(reloaded) = tokio::task::spawn_blocking(move || tls.reload()).await else { continue };
            if let Some(error) = failure.next(reloaded.err()) {
                tracing::error!(
                    event = "tls_certificate_refused",
                    error,
                    "the new certificate cannot be used, so the one before stays in use"
                );
            }
        }
    }

    fn reload(&self) -> Result<(), String> {
        let is_new = |source| source != self.current.read().expect(NO_PANIC).source;
        if let Some(pair) = self.files.load_if(is_new, &ring::default_provider(), now())? {
            pair.tell();
            *self.current.write().expect(NO_PANIC) = pair.into_current();
        }
        Ok(())
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().expect(NO_PANIC).certified)
    }
}

const NO_PANIC: &str = "nothing panics while it holds the pair";

impl ResolvesServerCert for Tls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

/// The failures of one attempt after another.
#[derive(Debug, Default)]
struct Failure {
    last: Option<String>,
    told: Option<String>,
}

impl Failure {
    /// The error to report: one that stays, and once. Two files are not replaced at the same moment, so for one attempt they may
    /// not belong together.
    fn next(&mut self, error: Option<String>) -> Option<&str> {
        let stays = error.is_some() && error == self.last;
        if error.is_none() {
            self.told = None;
        }
        self.last = error;
        if !stays || self.told == self.last {
            return None;
        }
        self.told.clone_from(&self.last);
        self.told.as_deref()
    }
}

/// The hosts that a certificate does not name.
fn hosts_without<'a>(certified: &CertifiedKey, hosts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let Some(parsed) = certified.end_entity_cert().ok().and_then(|leaf| ParsedCertificate::try_from(leaf).ok()) else {
        return Vec::new();
    };
    let is_named = |host: &&str| {
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']'));
        name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    hosts.filter(|host| !is_named(host)).collect()
}

impl Pair {
    fn tell(&self) {
        gauge!("handstamp_tls_certificate_expiry_timestamp_seconds").set(self.expires as f64);
        let days = self.expires.saturating_sub(now().as_secs()) / DAY;
        tracing::info!(event = "tls_certificate_loaded", days, "the certificate is valid for this many days");
    }

    fn into_current(self) -> Current {
        Current { certified: Arc::new(self.certified), source: self.source }
    }
}

impl TlsFiles {
    /// For how many days the certificate is valid, and which of these hosts it does not name.
    ///
    /// # Errors
    /// When the server would not start with these files.
    pub(crate) fn examine<'a>(&self, hosts: impl Iterator<Item = &'a str>) -> Result<(u64, Vec<&'a str>), String> {
        let pair = self.load(&ring::default_provider(), now())?;
        Ok((pair.expires.saturating_sub(now().as_secs()) / DAY, hosts_without(&pair.certified, hosts)))
    }

    fn load(&self, provider: &CryptoProvider, now: UnixTime) -> Result<Pair, String> {
        self.load_if(|_| true, provider, now).map(|pair| pair.expect("every source is accepted"))
    }

    /// Loads the pair, unless its files are known.
    fn load_if(
        &self,
        is_new: impl FnOnce(Source) -> bool,
        provider: &CryptoProvider,
        now: UnixTime,
    ) -> Result<Option<Pair>, String> {
        let (certificates, key) = (read("tls.cert_file", &self.certificate)?, read("tls.key_file", &self.key)?);
        let source = Sha256::new_with_prefix(Sha256::digest(&certificates)).chain_update(&key).finalize().into();
        if !is_new(source) {
            return Ok(None);
        }
        let (certificate_file, key_file) = (self.certificate.display(), self.key.display());
        refuse_if_everybody_can_write(&self.key)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificates).collect();
        let chain = chain.map_err(|error| format!("tls.cert_file: {certificate_file} is no PEM file: {error}"))?;
        let Some(leaf) = chain.first().cloned() else {
            return Err(format!(
                "tls.cert_file: there is no CERTIFICATE in {certificate_file}, which must be a PEM file"
            ));
        };
        // The error would quote the file.
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
            format!("tls.key_file: there is no PRIVATE KEY in {key_file}, which must be a PEM file without a password")
        })?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(_) => format!(
                "tls.key_file: the key in {key_file} does not belong to the first certificate in {certificate_file}"
            ),
            Error::InvalidCertificate(error) => {
                format!("tls.cert_file: {certificate_file} has an invalid certificate: {error}")
            }
            error => format!("tls.key_file: the key in {key_file} cannot be used: {error}"),
        })?;
        let expires =
            expiry(&leaf, provider, now).map_err(|error| format!("tls.cert_file: {certificate_file}: {error}"))?;
        Ok(Some(Pair { certified, source, expires }))
    }
}

fn read(setting: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|error| format!("{setting}: {}", private_files::cannot("read", path, &error)))
}

/// The settings are checked at the start; the file may be another one now.
fn refuse_if_everybody_can_write(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.mode() & 0o002 != 0 => {
            let path = path.display();
            Err(format!("tls.key_file: everybody can write {path}; close it with: chmod 600 {path}"))
        }
        _ => Ok(()),
    }
}

/// The end of the validity of a certificate, in seconds since 1970.
///
/// rustls shows it only in its errors. It verifies the validity before the signature, for which no authority is trusted here.
fn expiry(leaf: &CertificateDer<'_>, provider: &CryptoProvider, now: UnixTime) -> Result<u64, String> {
    let parsed = ParsedCertificate::try_from(leaf).map_err(|error| error.to_string())?;
    let algorithms = provider.signature_verification_algorithms.all;
    let at = |time| {
        let verified =
            verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], time, algorithms);
        match verified {
            Err(Error::InvalidCertificate(error)) => Some(error),
            _ => None,
        }
    };
    match at(now) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => {
            let days = now.as_secs().saturating_sub(not_after.as_secs()) / DAY;
            return Err(format!("the certificate has expired, {days} days ago"));
        }
        Some(CertificateError::NotValidYetContext { not_before, .. }) => {
            let days = not_before.as_secs().saturating_sub(now.as_secs()) / DAY;
            return Err(format!("the certificate is not valid yet, for {days} more days; is the clock right?"));
        }
        _ => {}
    }
    match at(UnixTime::since_unix_epoch(Duration::from_secs(END_OF_TIME))) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => Ok(not_after.as_secs()),
        _ => Ok(END_OF_TIME),
    }
}

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(SystemClock.wall())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_reported_once_when_it_stays() {
        let mut failure = Failure::default();
        let error = |text: &str| Some(text.to_owned());
        let attempts = [None, error("a"), None, error("a"), error("a"), error("a"), error("b"), error("b"), None];
        let again = [error("b"), error("b")];
        let told: Vec<_> =
            attempts.into_iter().chain(again).map(|error| failure.next(error).map(str::to_owned)).collect();
        let (a, b) = (error("a"), error("b"));
        assert_eq!(told, [None, None, None, None, a, None, None, b.clone(), None, None, b]);
    }
}
