//! A document of a provider, remembered for an hour.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::refusal::Refusal;

/// How long a document is used.
const KEPT: Duration = Duration::from_secs(3600);
/// How soon a document is asked for once more because something is not in it.
const RENEWED_AFTER: Duration = Duration::from_secs(60);
/// How soon a provider is asked again after it did not answer. All who ask meanwhile get the same refusal at once.
const RETRIED_AFTER: Duration = Duration::from_secs(5);

/// A document of a provider. One request at a time asks for it, and the others wait for the answer. Times are of the monotonic clock.
pub(super) struct Remembered<T>(Mutex<Answers<T>>);

struct Answers<T> {
    document: Option<(Arc<T>, Duration)>,
    /// When it was asked for because something was missing.
    renewed_at: Option<Duration>,
    refused: Option<(Refusal, Duration)>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::new(Answers { document: None, renewed_at: None, refused: None }))
    }
}

impl<T> Remembered<T> {
    /// The document, from the provider if it was not asked within the last hour.
    pub(super) async fn get(
        &self,
        now: Duration,
        ask: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<Arc<T>, Refusal> {
        let mut answers = self.0.lock().await;
        match &answers.document {
            Some((document, at)) if now.saturating_sub(*at) < KEPT => Ok(Arc::clone(document)),
            _ => answers.ask(now, ask).await,
        }
    }

    /// The document as it is now, unless it was asked for so within the last minute. The first time counts even if the document is
    /// younger than that: a provider may replace its keys at any time.
    pub(super) async fn get_anew(
        &self,
        now: Duration,
        ask: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<Arc<T>, Refusal> {
        let mut answers = self.0.lock().await;
        let was_renewed = answers.renewed_at.is_some_and(|at| now.saturating_sub(at) < RENEWED_AFTER);
        match &answers.document {
            Some((document, _)) if was_renewed => Ok(Arc::clone(document)),
            _ => {
                let document = answers.ask(now, ask).await?;
                answers.renewed_at = Some(now);
                Ok(document)
            }
        }
    }
}

impl<T> Answers<T> {
    async fn ask(&mut self, now: Duration, ask: impl Future<Output = Result<T, Refusal>>) -> Result<Arc<T>, Refusal> {
        if let Some((refusal, at)) = &self.refused
            && now.saturating_sub(*at) < RETRIED_AFTER
        {
            return Err(refusal.clone());
        }
        match ask.await {
            Ok(document) => {
                let document = Arc::new(document);
                (self.document, self.refused) = (Some((Arc::clone(&document), now)), None);
                Ok(document)
            }
            Err(refusal) => {
                self.refused = Some((refusal.clone(), now));
                Err(refusal)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Answers with this number.
    async fn asked(number: u32) -> Result<u32, Refusal> {
        Ok(number)
    }

    async fn refused() -> Result<u32, Refusal> {
        Err(Refusal::Unavailable("it is down".to_owned()))
    }

    #[tokio::test]
    async fn a_document_is_asked_for_once_an_hour_and_once_a_minute_if_something_is_missing() {
        let document = Remembered::default();
        assert_eq!(*document.get(seconds(0), asked(1)).await.unwrap(), 1);
        assert_eq!(*document.get(seconds(3599), asked(2)).await.unwrap(), 1);
        assert_eq!(*document.get(seconds(3600), asked(3)).await.unwrap(), 3);
        assert_eq!(*document.get_anew(seconds(3601), asked(4)).await.unwrap(), 4, "whatever the age of the document");
        assert_eq!(*document.get_anew(seconds(3660), asked(5)).await.unwrap(), 4);
        assert_eq!(*document.get_anew(seconds(3661), asked(6)).await.unwrap(), 6);
        assert_eq!(*document.get(seconds(7260), asked(7)).await.unwrap(), 6);
    }

    #[tokio::test]
    async fn a_provider_that_does_not_answer_is_asked_again_after_five_seconds() {
        let document = Remembered::default();
        assert!(document.get(seconds(0), refused()).await.is_err());
        assert!(document.get(seconds(4), asked(1)).await.is_err());
        assert_eq!(*document.get(seconds(5), asked(2)).await.unwrap(), 2);
        assert!(document.get_anew(seconds(100), refused()).await.is_err());
        assert_eq!(*document.get(seconds(101), asked(3)).await.unwrap(), 2, "what is young enough is still used");
    }
}
