//! Background jobs: each runs at an interval, on every node or on one node at a time, or when it is woken, and again after a failure.
//!
//! A job of the cluster is claimed in its row of the table `jobs`: the node that claims it runs it, and the others wait until it is
//! due again. A claim lasts for [`CLAIM`] until the job is done, so a job of a node that dies is run by another one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use handstamp_core::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::events::Event;
use crate::internal_error::InternalError;
use crate::services::{BEAT, JobOutcome, Services};
use crate::store::{JobState, as_maintenance};
use crate::trace;

/// How long a node may take for one run before another node may run the job too. Jobs are correct if that happens.
const CLAIM: Duration = Duration::from_secs(60);
/// The wait after the first failure. It doubles with each further one, up to the interval of the job or a minute.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// How long a stop waits for all jobs that are running.
const DRAIN: Duration = Duration::from_secs(10);

/// How long the sealing of events waits for more after the first, so that many acts share one transaction.
const GATHER: Duration = Duration::from_millis(200);

const AGE: &str = "handstamp_job_age_seconds";

/// A job.
struct Job {
    name: &'static str,
    interval: Duration,
    scope: Scope,
    run: for<'a> fn(&'a Services) -> Run<'a>,
}

type Run<'a> = Pin<Box<dyn Future<Output = Result<JobOutcome, InternalError>> + Send + 'a>>;

#[derive(Clone, Copy)]
enum Scope {
    /// Every node runs it.
    Node,
    /// One node runs it for all.
    Cluster,
    /// Every node runs it when it is woken and after its interval, so often at once and for as long as there is more to do. It waits
    /// for `gather` after it was woken, so that several acts share one run.
    Woken { at_once: usize, by: fn(&Services) -> &Notify, gather: Duration },
}

/// All jobs.
const JOBS: &[Job] = &[
    // The session lists of this node are always current; those of other nodes may be out of date by the interval. Writing more
    // often would cost more than the requests.
    Job {
        name: "write_last_seen",
        interval: minutes(5),
        scope: Scope::Node,
        run: |services| Box::pin(services.write_last_seen()),
    },
    Job {
        name: "purge_sessions",
        interval: minutes(60),
        scope: Scope::Cluster,
        run: |services| Box::pin(services.purge_sessions()),
    },
    Job {
        name: "purge_tokens",
        interval: minutes(60),
        scope: Scope::Cluster,
        run: |services| Box::pin(services.purge_tokens()),
    },
    Job {
        name: "purge_legacy_exchanges",
        interval: minutes(60),
        scope: Scope::Cluster,
        run: |services| Box::pin(services.purge_legacy_exchanges()),
    },
    Job {
        name: "keep_state",
        interval: minutes(1),
        scope: Scope::Node,
        run: |services| Box::pin(services.keep_state()),
    },
    // Also at the start. Each node tells its own log.
    Job {
        name: "remind_of_legacy",
        interval: minutes(10),
        scope: Scope::Node,
        run: |services| Box::pin(services.remind_of_legacy()),
    },
    #[cfg(any(feature = "federation", feature = "passkeys"))]
    Job {
        name: "purge_ceremonies",
        interval: minutes(60),
        scope: Scope::Cluster,
        run: |services| Box::pin(services.purge_ceremonies()),
    },
    // The other nodes take a node that has not announced its keys three times as gone.
    Job {
        name: "announce_secrets",
        interval: BEAT,
        scope: Scope::Node,
        run: |services| Box::pin(services.announce_secrets()),
    },
    // Also at the start, which is when the secret key has changed.
    Job {
        name: "reseal_totp",
        interval: minutes(60),
        scope: Scope::Node,
        run: |services| Box::pin(services.reseal_totp()),
    },
    Job {
        name: "lower_hash_costs",
        interval: minutes(60),
        scope: Scope::Cluster,
        run: |services| Box::pin(services.lower_hash_costs()),
    },
    Job {
        name: "purge_attempts",
        interval: minutes(5),
        scope: Scope::Cluster,
        run: |services| Box::pin(services.purge_attempts()),
    },
    // An act of this node wakes it at once. The interval is for events of processes that were killed before they sealed them.
    Job {
        name: "seal_events",
        interval: Duration::from_secs(10),
        scope: Scope::Woken { at_once: 1, by: |services| &services.event_writer.written, gather: GATHER },
        run: |services| Box::pin(services.seal_events()),
    },
    Job {
        name: "write_failed_sign_ins",
        interval: minutes(5),
        scope: Scope::Cluster,
        run: |services| Box::pin(services.write_failed_sign_ins()),
    },
    // Messages of other processes, and those to be tried again, wait for as long at most.
    Job {
        name: "watch_outbox",
        interval: Duration::from_secs(5),
        scope: Scope::Node,
        run: |services| Box::pin(services.watch_outbox()),
    },
    // A mail server that does not answer takes up all of them, and nothing else.
    Job {
        name: "send_mails",
        interval: minutes(1),
        scope: Scope::Woken { at_once: 4, by: |services| services.outbox.mails.changed(), gather: Duration::ZERO },
        run: |services| Box::pin(services.send_next_mail()),
    },
    Job {
        name: "send_webhooks",
        interval: minutes(1),
        scope: Scope::Woken { at_once: 4, by: |services| services.outbox.webhooks.changed(), gather: Duration::ZERO },
        run: |services| Box::pin(services.send_next_webhook()),
    },
];

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// The running jobs of a node.
#[derive(Default)]
pub(crate) struct Jobs {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    /// The check of the mail server at the start, for which no stop waits.
    check: Option<JoinHandle<()>>,
    /// For each job, when it last succeeded, as far as this node knows: seconds since the Unix epoch.
    succeeded_at: Arc<[AtomicU64]>,
}

impl Jobs {
    /// Starts all jobs, each of which runs at once if it is due.
    pub(crate) fn start(services: &Arc<Services>) -> Self {
        metrics::describe_gauge!(AGE, "Seconds since a job last succeeded, as far as this node knows");
        let now = services.sessions.now().unix_seconds();
        let succeeded_at: Arc<[AtomicU64]> = JOBS.iter().map(|_| AtomicU64::new(now)).collect();
        let (stop, _) = watch::channel(false);
        let start = |(index, job): (usize, &'static Job)| {
            let runner = Runner { job, services: Arc::clone(services), succeeded_at: Arc::clone(&succeeded_at), index };
            tokio::spawn(as_maintenance(runner.run_until(stop.subscribe())))
        };
        let runners = JOBS.iter().enumerate().flat_map(|job| std::iter::repeat_n(job, job.1.scope.at_once()));
        let check = Arc::clone(services);
        let check = tokio::spawn(async move { check.check_mail().await });
        Self { tasks: runners.map(start).collect(), check: Some(check), stop, succeeded_at }
    }

    /// Updates the gauges of the jobs' ages.
    pub(crate) fn record_gauges(&self, now: Timestamp) {
        for (job, succeeded_at) in JOBS.iter().zip(self.succeeded_at.iter()) {
            let age = now.unix_seconds().saturating_sub(succeeded_at.load(Ordering::Relaxed));
            metrics::gauge!(AGE, "job" => job.name).set(age as f64);
        }
    }

    /// Starts no further run, and waits for those that are running.
    pub(crate) async fn drain(&mut self) {
        let _ = self.stop.send(true);
        self.check.iter().for_each(JoinHandle::abort);
        let deadline = Instant::now() + DRAIN;
        for mut task in self.tasks.drain(..) {
            if timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.tasks.iter().chain(&self.check).for_each(JoinHandle::abort);
    }
}

impl Scope {
    /// How often a node may run the job at once.
    fn at_once(self) -> usize {
        match self {
            Self::Node | Self::Cluster => 1,
            Self::Woken { at_once, .. } => at_once,
        }
    }
}

/// One job on this node.
struct Runner {
    job: &'static Job,
    services: Arc<Services>,
    succeeded_at: Arc<[AtomicU64]>,
    index: usize,
}

impl Runner {
    async fn run_until(self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let wait = match self.run_if_due().await {
                Ok(wait) => {
                    failures = 0;
                    wait
                }
                Err(error) => {
                    failures += 1;
                    Event::JobFailed { job: self.job.name, error: &error }.record();
                    retry_after(failures, self.job.interval)
                }
            };
            tokio::select! {
                biased;
                _ = stop.changed() => return,
                // After a failure the job waits, however many acts would wake it.
                () = self.woken(), if failures == 0 => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Completes when the job is woken, and has waited for more.
    async fn woken(&self) {
        match self.job.scope {
            Scope::Woken { by, gather, .. } => {
                by(&self.services).notified().await;
                sleep(gather).await;
            }
            Scope::Node | Scope::Cluster => std::future::pending().await,
        }
    }

    /// Runs the job if it is due and no other node has claimed it. Returns how long to wait for the next time.
    async fn run_if_due(&self) -> Result<Duration, InternalError> {
        let Job { name, interval, scope, run } = self.job;
        if !matches!(scope, Scope::Cluster) {
            let outcome = run(&self.services).await?;
            if outcome != JobOutcome::Deferred {
                self.succeeded(self.services.sessions.now());
            }
            return Ok(if outcome == JobOutcome::Again { Duration::ZERO } else { *interval });
        }
        let store = &self.services.store;
        let now = self.services.sessions.now();
        match store.claim_job(name, now, CLAIM.max(*interval), now.after(CLAIM)).await? {
            JobState::Waiting { due_at, succeeded_at } => {
                self.succeeded(succeeded_at);
                Ok(due_at.since(now).clamp(Duration::from_secs(1), *interval))
            }
            JobState::Claimed => {
                let span = trace::job(name);
                let outcome = trace::within(span, run(&self.services), trace::record_failure).await?;
                let now = self.services.sessions.now();
                if outcome == JobOutcome::Done {
                    store.finish_job(name, now, now.after(*interval)).await?;
                    self.succeeded(now);
                } else {
                    store.release_job(name, now).await?;
                }
                Ok(*interval)
            }
        }
    }

    fn succeeded(&self, at: Timestamp) {
        self.succeeded_at[self.index].fetch_max(at.unix_seconds(), Ordering::Relaxed);
    }
}

fn retry_after(failures: u32, interval: Duration) -> Duration {
    FIRST_RETRY.saturating_mul(1 << (failures - 1).min(16)).min(interval.max(minutes(1)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::config::{Config, DatabaseUrl, PublicUrl};
    use crate::environment::Environment;
    use crate::{Handstamp, SecretKey};

    /// An instance with a database of its own, whose jobs have run once and do not run again.
    async fn drained() -> (Handstamp, std::path::PathBuf) {
        let name: [u8; 8] = Environment::system().random();
        let folder = std::env::temp_dir().join(format!("handstamp-jobs-{:016x}", u64::from_be_bytes(name)));
        let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
        let database = DatabaseUrl::Sqlite(folder.join("handstamp.db"));
        let handstamp = Handstamp::open(Config::new(PublicUrl::parse("http://localhost").unwrap(), database, secret))
            .await
            .unwrap();
        let mut jobs = std::mem::take(&mut *handstamp.0.jobs.lock().unwrap());
        jobs.drain().await;
        (handstamp, folder)
    }

    fn runner(job: &'static Job, services: &Arc<Services>) -> Runner {
        Runner { job, services: Arc::clone(services), succeeded_at: Arc::new([AtomicU64::new(0)]), index: 0 }
    }

    async fn state_of(job: &Job, services: &Services) -> JobState {
        let now = services.sessions.now();
        services.store.claim_job(job.name, now, CLAIM.max(job.interval), now).await.unwrap()
    }

    #[tokio::test]
    async fn every_job_of_the_cluster_runs_when_the_database_is_first_opened() {
        let (handstamp, folder) = drained().await;
        let services = &handstamp.0.site.services;
        for job in JOBS.iter().filter(|job| matches!(job.scope, Scope::Cluster)) {
            let JobState::Waiting { due_at, succeeded_at } = state_of(job, services).await else {
                panic!("{} has not run", job.name);
            };
            assert_eq!(due_at.since(succeeded_at), job.interval, "{}", job.name);
        }
        let _ = std::fs::remove_dir_all(folder);
    }

    #[tokio::test]
    async fn a_job_of_the_cluster_runs_once_however_many_nodes_have_it() {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        static JOB: Job = Job {
            name: "counted",
            interval: minutes(5),
            scope: Scope::Cluster,
            run: |_| {
                RUNS.fetch_add(1, Ordering::SeqCst);
                Box::pin(async { Ok(JobOutcome::Done) })
            },
        };
        let (handstamp, folder) = drained().await;
        let nodes = [(); 3].map(|()| runner(&JOB, &handstamp.0.site.services));
        for node in &nodes {
            let wait = node.run_if_due().await.unwrap();
            assert!(wait > minutes(4) && wait <= minutes(5), "{wait:?}");
            assert_ne!(node.succeeded_at[0].load(Ordering::SeqCst), 0, "each node knows when it succeeded");
        }
        assert_eq!(RUNS.load(Ordering::SeqCst), 1);
        let _ = std::fs::remove_dir_all(folder);
    }

    /// Runs a job on this node as [`Jobs::start`] does, and gives the sender that stops it.
    fn start(job: &'static Job, services: &Arc<Services>) -> (watch::Sender<bool>, Vec<JoinHandle<()>>) {
        let (stop, _) = watch::channel(false);
        let tasks = (0..job.scope.at_once()).map(|_| tokio::spawn(runner(job, services).run_until(stop.subscribe())));
        let tasks = tasks.collect();
        (stop, tasks)
    }

    #[tokio::test]
    async fn a_woken_job_runs_for_as_long_as_there_is_more_to_do() {
        static LEFT: AtomicU32 = AtomicU32::new(0);
        static JOB: Job = Job {
            name: "woken",
            interval: minutes(60),
            scope: Scope::Woken { at_once: 1, by: |services| services.outbox.mails.changed(), gather: Duration::ZERO },
            run: |_| {
                Box::pin(async {
                    let more = LEFT.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                    Ok(if more.is_ok() { JobOutcome::Again } else { JobOutcome::Done })
                })
            },
        };
        let (handstamp, folder) = drained().await;
        let services = &handstamp.0.site.services;
        let (_stop, _tasks) = start(&JOB, services);
        for _ in 0..3 {
            LEFT.store(5, Ordering::SeqCst);
            services.outbox_changed();
            let all = async {
                while LEFT.load(Ordering::SeqCst) > 0 {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), all).await.expect("it does not wait for its interval");
        }
        let _ = std::fs::remove_dir_all(folder);
    }

    #[tokio::test]
    async fn a_stop_waits_for_the_runs_of_a_woken_job_and_begins_no_other() {
        static BEGUN: AtomicU32 = AtomicU32::new(0);
        static ENDED: AtomicU32 = AtomicU32::new(0);
        static JOB: Job = Job {
            name: "slow",
            interval: minutes(60),
            scope: Scope::Woken { at_once: 3, by: |services| services.outbox.mails.changed(), gather: Duration::ZERO },
            run: |services| {
                BEGUN.fetch_add(1, Ordering::SeqCst);
                services.outbox_changed();
                Box::pin(async {
                    sleep(Duration::from_millis(300)).await;
                    ENDED.fetch_add(1, Ordering::SeqCst);
                    Ok(JobOutcome::Again)
                })
            },
        };
        let (handstamp, folder) = drained().await;
        let (stop, tasks) = start(&JOB, &handstamp.0.site.services);
        while BEGUN.load(Ordering::SeqCst) < 3 {
            sleep(Duration::from_millis(5)).await;
        }
        let mut jobs = Jobs { stop, tasks, check: None, succeeded_at: Arc::default() };
        jobs.drain().await;
        assert_eq!((BEGUN.load(Ordering::SeqCst), ENDED.load(Ordering::SeqCst)), (3, 3), "at most three at once");
        let _ = std::fs::remove_dir_all(folder);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_ten_seconds_for_all_jobs_together() {
        let mut jobs = Jobs::default();
        jobs.tasks.extend((0..4).map(|_| tokio::spawn(std::future::pending())));
        let begun = Instant::now();
        jobs.drain().await;
        assert_eq!(begun.elapsed().as_secs(), DRAIN.as_secs());
    }

    #[tokio::test]
    async fn a_failed_job_keeps_its_claim_and_has_not_succeeded() {
        static JOB: Job = Job {
            name: "failing",
            interval: minutes(5),
            scope: Scope::Cluster,
            run: |_| Box::pin(async { Err(InternalError::Overloaded) }),
        };
        let (handstamp, folder) = drained().await;
        let node = runner(&JOB, &handstamp.0.site.services);
        assert!(node.run_if_due().await.is_err());
        assert_eq!(node.succeeded_at[0].load(Ordering::SeqCst), 0);
        let wait = node.run_if_due().await.unwrap();
        assert!(wait > CLAIM / 2 && wait <= CLAIM, "the claim ends by itself: {wait:?}");
        let _ = std::fs::remove_dir_all(folder);
    }

    #[test]
    fn retries_wait_longer_each_time_up_to_the_interval() {
        let waits = [1, 2, 3, 4, 100].map(|failures| retry_after(failures, minutes(1)).as_secs());
        assert_eq!(waits, [5, 10, 20, 40, 60]);
    }

    #[test]
    fn names_of_jobs_are_unique() {
        let names: std::collections::BTreeSet<_> = JOBS.iter().map(|job| job.name).collect();
        assert_eq!(names.len(), JOBS.len());
    }
}
