//! The machine of the database's leader: a PostgreSQL server and its Patroni, which tests can kill or freeze.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

/// The URL of a proxy that leads to the current leader, as set by `script/test-failover`.
pub fn database_url() -> String {
    std::env::var("HANDSTAMP_FAILOVER_URL").expect("script/test-failover starts the servers and sets this")
}

/// The machine of the leader.
pub struct Machine {
    /// The data of the server; `script/test-failover` keeps the pid of Patroni beside it.
    data: PathBuf,
}

impl Machine {
    /// The machine of the current leader.
    pub async fn of_the_leader() -> Self {
        let mut leader = PgConnection::connect(&database_url()).await.unwrap();
        let data: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut leader).await.unwrap();
        Self { data: data.into() }
    }

    /// From now on the other server stores the leader's WAL, as it must, but does not apply it. In practice a long query on the
    /// standby can delay it so. The standby catches up one second after its promotion.
    pub fn outpaces_the_other(&self) {
        let machines = std::fs::read_dir(self.data.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let mut others = machines.filter(|data| *data != self.data && data.join("postmaster.pid").exists());
        let other = others.next().unwrap();
        let is_applying =
            |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains("startup");
        let applying: Vec<_> =
            children(&first_line(&other.join("postmaster.pid"))).into_iter().filter(is_applying).collect();
        assert_eq!(applying.len(), 1, "one process applies the WAL");
        signal("STOP", &applying);
        std::thread::spawn(move || {
            while !other.join("promote").exists() {
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_secs(1));
            signal("CONT", &applying);
        });
    }

    /// From now on the other server receives nothing from this one. New writes are on one machine only, so no request may be
    /// answered with success.
    pub async fn loses_the_other(&self) {
        const SQL: &str = "SELECT pid FROM pg_stat_replication WHERE sync_state = 'sync'";
        let mut leader = PgConnection::connect(&database_url()).await.unwrap();
        let senders: Vec<i32> = sqlx::query_scalar(SQL).fetch_all(&mut leader).await.unwrap();
        assert_eq!(senders.len(), 1, "one synchronous standby");
        signal("STOP", &senders.iter().map(i32::to_string).collect::<Vec<_>>());
    }

    /// A power loss: all processes of the machine end at once.
    pub fn dies(&self) {
        // Stopped first, so that no process can notice the end of another or start a new one.
        signal("KILL", &self.stops());
    }

    /// A freeze: no connection is closed, and clients wait. The machine never resumes, which in practice a watchdog ensures.
    /// Without one, Patroni 3.0 may take the lead back from the other server, and changes that this one acknowledged are lost.
    pub fn freezes(&self) {
        self.stops();
    }

    /// Stops Patroni and the server by SIGSTOP, and gives their pids.
    fn stops(&self) -> Vec<String> {
        let name = self.data.file_name().unwrap().to_str().unwrap();
        let patroni = first_line(&self.data.with_file_name(format!("patroni-{name}.pid")));
        let postmaster = first_line(&self.data.join("postmaster.pid"));
        signal("STOP", &[patroni.clone(), postmaster.clone()]);
        let mut processes = children(&postmaster);
        processes.extend([patroni, postmaster]);
        signal("STOP", &processes);
        processes
    }
}

fn first_line(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap().lines().next().unwrap().to_owned()
}

fn children(pid: &str) -> Vec<String> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(str::to_owned).collect()
}

fn signal(signal: &str, processes: &[String]) {
    let told = Command::new("kill").arg(format!("-{signal}")).args(processes).status();
    assert!(told.unwrap().success(), "{signal} to {processes:?}");
}

/// The time at which the database accepts writes again, tried with a new connection each time.
pub async fn writes_again(within: Duration) -> Instant {
    let begun = Instant::now();
    while begun.elapsed() < within {
        let attempt = tokio::time::timeout(Duration::from_millis(500), write());
        if attempt.await.is_ok_and(|written| written.is_ok()) {
            return Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the database accepted no write for {within:?}");
}

async fn write() -> sqlx::Result<()> {
    let mut leader = PgConnection::connect(&database_url()).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS written ()").execute(&mut leader).await?;
    sqlx::query("INSERT INTO written DEFAULT VALUES").execute(&mut leader).await?;
    leader.close().await
}
