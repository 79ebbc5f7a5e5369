//! Simulated users and an operator, the faults around them, and the check of what they are served.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handstamp_core::{SessionSecretHash, Timestamp, UserId};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::Tally;
use crate::database::{Database, Row, Served};
use crate::machine::{LEASE, Machine};
use crate::sessions::SessionKey;
use crate::store::InvalidationScope;
use handstamp_testing::SeededRng;

/// The number of machines. The node on the last one caches nothing.
const MACHINES: usize = 4;
const USERS: u64 = 4;
const SESSIONS: usize = 8;
const FORMER: usize = 6;
const CAPACITY: usize = 10_000;

/// Users with sessions that are used on several machines, and the confirmations that they received.
pub struct People {
    rng: SeededRng,
    database: Database,
    machines: Vec<Machine>,
    sessions: Vec<(SessionSecretHash, UserId)>,
    /// Sessions that are about to end or have ended. Copies of their tokens are still sent.
    former: VecDeque<(SessionSecretHash, UserId)>,
    told: Arc<Mutex<Told>>,
    /// Sessions under a new secret, whose tokens users have just received.
    continued: Arc<Mutex<Vec<(SessionSecretHash, UserId)>>>,
    next_session: u64,
}

/// The changes that were confirmed, and the first request that was served in spite of them.
#[derive(Default)]
struct Told {
    /// Sessions whose end was confirmed.
    ended: BTreeSet<[u8; 32]>,
    /// The newest version of each name whose change was confirmed.
    names: BTreeMap<UserId, u64>,
    /// The assurance level that each session id means.
    levels: BTreeMap<u64, u8>,
    violation: Option<String>,
}

impl Told {
    fn byte_passes(&mut self, session: SessionSecretHash, machine: usize) {
        if self.ended.contains(session.as_bytes()) {
            let what = "violation: a byte passes after the end of its session was confirmed";
            self.violation = Some(format!("{what}, on machine {machine}"));
        }
    }
}

impl People {
    pub fn new(seed: u64) -> Self {
        let rng = SeededRng::new(seed);
        let database = Database::new(rng.clone());
        Self {
            rng,
            database,
            machines: Vec::new(),
            sessions: Vec::new(),
            former: VecDeque::new(),
            told: Arc::default(),
            continued: Arc::default(),
            next_session: 0,
        }
    }

    /// Runs the simulation for so many steps. Returns what happened, or the first request that should not have been served.
    pub async fn live(mut self, steps: u64) -> Result<Tally, String> {
        for machine in 1..=MACHINES {
            let capacity = if machine == MACHINES { 0 } else { CAPACITY };
            self.machines.push(Machine::start(&self.database, &self.rng, capacity));
        }
        for user in 0..USERS {
            self.database.tables.lock().unwrap().names.insert(self.user(user), 0);
        }
        while self.tally().steps < steps {
            self.step().await;
            if let Some(violation) = self.told.lock().unwrap().violation.take() {
                return Err(format!("{violation}, after {:?}", self.tally()));
            }
        }
        Ok(self.tally())
    }

    fn tally(&self) -> Tally {
        self.database.tables.lock().unwrap().tally.clone()
    }

    fn user(&self, number: u64) -> UserId {
        UserId::from_uuid(Uuid::from_u128(u128::from(number)))
    }

    async fn step(&mut self) {
        self.database.tables.lock().unwrap().tally.steps += 1;
        // The pauses are mostly short; sometimes they are long enough for leases to end.
        sleep(self.rng.up_to(if self.rng.happens(5) { LEASE * 2 } else { Duration::from_millis(12) })).await;
        self.sessions.append(&mut self.continued.lock().unwrap());
        while self.sessions.len() < SESSIONS {
            self.somebody_signs_in();
        }
        let machine = usize::try_from(self.rng.below(MACHINES as u64)).unwrap();
        match self.rng.below(1000) {
            0..880 => self.somebody_asks(machine),
            880..900 => self.a_stream_opens(machine),
            900..925 => self.somebody_signs_out(machine),
            925..932 => self.somebody_takes_another_name(machine),
            932..935 => self.somebody_changes_the_level(machine),
            935..936 => self.an_operator_ends_all(),
            936..940 => self.machines[machine].clock.is_set(&self.rng),
            940..948 => self.freezes(machine),
            948..951 => self.dies(machine, false),
            951..954 => self.dies(machine, true),
            954..956 => self.the_database_freezes(),
            956..960 => self.another_server_leads(machine),
            _ => self.machines[machine].node.wake(),
        }
    }

    fn somebody_signs_in(&mut self) {
        let user = self.user(self.rng.below(USERS));
        let level = if self.rng.happens(300) { 2 } else { 1 };
        let (hash, row) = self.new_session(user, level);
        self.database.tables.lock().unwrap().sessions.insert(hash, row);
        self.sessions.push((SessionSecretHash::from_bytes(hash), user));
    }

    /// A session with a secret and a session id of its own.
    fn new_session(&mut self, user: UserId, level: u8) -> ([u8; 32], Row) {
        self.next_session += 1;
        let session_id = self.next_session;
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&session_id.to_be_bytes());
        // Some sessions share a bucket of the cache's invalidations with each other, and some with a user.
        hash[31] = u8::try_from(session_id % 61).unwrap();
        self.told.lock().unwrap().levels.insert(session_id, level);
        (hash, Row { user, session_id, level })
    }

    /// A session that is sent with a request: a live one, or one that is about to end or has ended.
    fn a_session(&mut self) -> (SessionSecretHash, UserId, SessionKey) {
        let former = self.rng.happens(300).then(|| self.rng.pick(self.former.make_contiguous()).copied());
        let (session, user) = former.flatten().unwrap_or(*self.rng.pick(&self.sessions).unwrap());
        let expires_at = Timestamp::from_unix_seconds(u64::MAX);
        (session, user, SessionKey { secret_hash: session, user_id: user, expires_at })
    }

    /// A request that is followed by a stream: bytes pass for as long as the node lets them, until the stream is cut or ends.
    fn a_stream_opens(&mut self, machine: usize) {
        // No node waits for one that caches nothing. It reads the row every second instead.
        if self.machines[machine].capacity == 0 {
            return;
        }
        let (session, user, key) = self.a_session();
        let (told, database) = (Arc::clone(&self.told), self.machines[machine].database.clone());
        let node = Arc::clone(&self.machines[machine].node);
        let rng = self.rng.clone();
        self.machines[machine].runs(async move {
            let watch = node.watch(key);
            let cut = node.ended(&watch, |_| database.read(move |tables| tables.read(session, user)), |_| true);
            let passes = async {
                while watch.is_in_doubt() {
                    sleep(Duration::from_millis(1)).await;
                }
                let until = Instant::now() + rng.up_to(LEASE * 6);
                while Instant::now() < until {
                    // The proxy cuts a stream whose bytes may not pass. Here it goes on, and must not pass any until it is safe.
                    if node.may_pass(&watch) {
                        database.tables.lock().unwrap().tally.bytes_passed += 1;
                        told.lock().unwrap().byte_passes(session, machine);
                    }
                    sleep(rng.up_to(Duration::from_millis(20))).await;
                }
            };
            tokio::select! {
                biased;
                () = passes => {}
                () = cut => database.tables.lock().unwrap().tally.streams_cut += 1,
            }
            node.watches().drop_watch(&watch);
        });
    }

    fn somebody_asks(&mut self, machine: usize) {
        let (session, user, key) = self.a_session();
        let (told, database) = (Arc::clone(&self.told), self.machines[machine].database.clone());
        let node = Arc::clone(&self.machines[machine].node);
        let clock = self.machines[machine].environment.clone();
        self.machines[machine].runs(async move {
            // The request begins when the process reads it, not when it was sent.
            let (was_ended, newest_name) = {
                let told = told.lock().unwrap();
                (told.ended.contains(session.as_bytes()), told.names.get(&user).copied().unwrap_or(0))
            };
            let (served, how) = match node.look_up(&key, clock.clock_reading()) {
                Some(served) => (Some(served), "from the cache"),
                None => {
                    let row = database.read(move |tables| tables.read(session, user));
                    (node.read_through(&key, row).await.ok().flatten(), "from the row")
                }
            };
            let tally = &mut database.tables.lock().unwrap().tally;
            match (&served, how) {
                (None, _) => tally.refused += 1,
                (Some(_), "from the cache") => tally.hits += 1,
                (Some(_), _) => tally.misses += 1,
            }
            let mut told = told.lock().unwrap();
            let means_another_level = |row: &Row| told.levels.get(&row.session_id) != Some(&row.level);
            let served_wrongly = match served {
                Some(_) if was_ended => Some("violation: a session is served after its end was confirmed"),
                Some(Served { name, .. }) if name < newest_name => {
                    Some("violation: an older name is served than the one confirmed")
                }
                Some(Served { session, .. }) if means_another_level(&session) => {
                    Some("violation: a session id means two assurance levels")
                }
                _ => None,
            };
            if let Some(what) = served_wrongly {
                told.violation = Some(format!("{what}, {how}, on machine {machine}"));
            }
        });
    }

    /// One session ends, or all sessions of a user.
    fn somebody_signs_out(&mut self, machine: usize) {
        let (session, user) = *self.rng.pick(&self.sessions).unwrap();
        let all = self.rng.happens(200);
        let scope = if all { InvalidationScope::User(user) } else { InvalidationScope::Session(session) };
        self.end(machine, scope, move |(other, owner)| if all { *owner == user } else { *other == session });
    }

    /// An operator runs a command in a shell on a separate machine, whose node does not cache.
    fn an_operator_ends_all(&mut self) {
        let shell = Machine::start(&self.database, &self.rng, 0);
        self.machines.push(shell);
        self.end(self.machines.len() - 1, InvalidationScope::All, |_| true);
        let shell = self.machines.pop().unwrap();
        tokio::spawn(async move {
            sleep(LEASE * 10).await;
            drop(shell);
        });
    }

    fn end(&mut self, machine: usize, scope: InvalidationScope, ends: impl Fn(&(SessionSecretHash, UserId)) -> bool) {
        let ended: Vec<_> = self.sessions.extract_if(.., |session| ends(session)).collect();
        self.commit_end(machine, scope, ended, None, |_| ());
    }

    /// Ends sessions in one transaction with another change of them. The user receives the token of the session that `continues` when the
    /// end of the others is confirmed.
    fn commit_end(
        &mut self,
        machine: usize,
        scope: InvalidationScope,
        ended: Vec<(SessionSecretHash, UserId)>,
        continues: Option<(SessionSecretHash, UserId)>,
        before: impl Fn(&mut BTreeMap<[u8; 32], Row>) + Send + 'static,
    ) {
        self.former.extend(&ended);
        self.former.drain(..self.former.len().saturating_sub(FORMER));
        let ended: Vec<[u8; 32]> = ended.iter().map(|(session, _)| *session.as_bytes()).collect();
        let deleted = ended.clone();
        let (told, database) = (Arc::clone(&self.told), self.machines[machine].database.clone());
        let continued = Arc::clone(&self.continued);
        let node = Arc::clone(&self.machines[machine].node);
        self.machines[machine].runs(async move {
            let commit = database.write(move |tables| {
                before(&mut tables.sessions);
                tables.sessions.retain(|session, _| !deleted.contains(session));
                tables.log(scope)
            });
            let Ok(position) = commit.await else { return };
            let answered = node.wait_until_applied(position).await.is_ok();
            {
                let tally = &mut database.tables.lock().unwrap().tally;
                if answered {
                    tally.revocations_answered += 1;
                } else {
                    tally.revocations_not_answered += 1;
                }
            }
            if answered {
                told.lock().unwrap().ended.extend(ended);
                continued.lock().unwrap().extend(continues);
            }
        });
    }

    /// A user reaches a higher level in a session, or removes the second factor on which the level of the user's sessions rests. The
    /// session continues under another secret and another session id; on removal, all other sessions of the user end.
    fn somebody_changes_the_level(&mut self, machine: usize) {
        let (session, user) = *self.rng.pick(&self.sessions).unwrap();
        let raises = self.rng.happens(600);
        let (hash, row) = self.new_session(user, if raises { 2 } else { 1 });
        let ends = |(other, owner): &(SessionSecretHash, UserId)| *other == session || (!raises && *owner == user);
        let ended: Vec<_> = self.sessions.extract_if(.., |other| ends(other)).collect();
        let scope = if raises { InvalidationScope::Session(session) } else { InvalidationScope::User(user) };
        let replaces = move |sessions: &mut BTreeMap<[u8; 32], Row>| {
            // A session that has ended meanwhile does not continue.
            if sessions.contains_key(session.as_bytes()) {
                sessions.insert(hash, row);
            }
        };
        self.database.tables.lock().unwrap().tally.levels_changed += 1;
        self.commit_end(machine, scope, ended, Some((SessionSecretHash::from_bytes(hash), user)), replaces);
    }

    fn somebody_takes_another_name(&mut self, machine: usize) {
        let user = self.user(self.rng.below(USERS));
        let (told, database) = (Arc::clone(&self.told), self.machines[machine].database.clone());
        let node = Arc::clone(&self.machines[machine].node);
        self.machines[machine].runs(async move {
            let commit = database.write(move |tables| {
                let name = tables.names.get_mut(&user).unwrap();
                *name += 1;
                let name = *name;
                (name, tables.log(InvalidationScope::User(user)))
            });
            let Ok((name, position)) = commit.await else { return };
            if node.wait_until_applied(position).await.is_ok() {
                let mut told = told.lock().unwrap();
                let newest = told.names.entry(user).or_default();
                *newest = name.max(*newest);
            }
        });
    }

    fn freezes(&mut self, machine: usize) {
        self.database.tables.lock().unwrap().tally.pauses += 1;
        self.machines[machine].freeze(self.rng.up_to(LEASE * 2));
    }

    /// The process shuts down or is killed, and another one starts on the machine.
    fn dies(&mut self, machine: usize, properly: bool) {
        self.database.tables.lock().unwrap().tally.deaths += 1;
        let next = Machine::start(&self.database, &self.rng, self.machines[machine].capacity);
        let last = std::mem::replace(&mut self.machines[machine], next);
        if properly {
            last.node.stop();
            tokio::spawn(async move {
                sleep(LEASE * 10).await;
                drop(last);
            });
        }
    }

    /// Another server becomes the leader. For a while, some or all connections of one machine still go to the old one.
    fn another_server_leads(&self, machine: usize) {
        let share = if self.rng.happens(500) { 1000 } else { 400 };
        self.machines[machine].database.has_an_old_leader(self.rng.up_to(LEASE * 4), share);
    }

    fn the_database_freezes(&self) {
        *self.database.frozen_until.lock().unwrap() = Some(Instant::now() + self.rng.up_to(LEASE * 3));
    }
}
