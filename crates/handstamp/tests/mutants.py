"""Mutates security-critical code in ways that cargo-mutants does not know, and checks that the test named beside it fails.

Usage: mutants.py [--texts | NAME ...]. Run by `script/mutants surely`. It is also an error if the text of a mutant is no longer in
the code, if a mutant does not compile, or if a test no longer exists or fails without its mutant. With --texts it only checks that
the texts of all mutants are in the code and that the names of their tests are in the tests, which takes a second.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLACE = ROOT / "target/mutants"
TREE = PLACE / "surely"

CORE, LIBRARY = "crates/handstamp-core", "crates/handstamp"
SERVER = "crates/handstamp-server/src"
TOKEN, PASSWORD = f"{CORE}/src/token.rs", f"{CORE}/src/password/mod.rs"
PASSWORD_POLICY = f"{CORE}/src/password/policy.rs"
SESSIONS, USERS = f"{LIBRARY}/src/store/sessions.rs", f"{LIBRARY}/src/store/users.rs"
ADMIN = f"{LIBRARY}/src/services/admin/users.rs"
OUTBOX_TABLE, MAIL = f"{LIBRARY}/src/store/outbox.rs", f"{LIBRARY}/src/services/mail"
OUTBOX_ACTS = f"{LIBRARY}/src/services/outbox.rs"
TOKEN_TABLE, LINK_ACTS = f"{LIBRARY}/src/store/one_time_tokens.rs", f"{LIBRARY}/src/store/one_time_acts.rs"
EVENT_TABLE, VERIFIER = f"{LIBRARY}/src/store/events.rs", f"{LIBRARY}/src/services/events/verify.rs"
SIGN_IN, GUARD, WEB = f"{LIBRARY}/src/services/sign_in.rs", f"{LIBRARY}/src/services/throttle.rs", f"{LIBRARY}/src/web"

PROXY = f"{WEB}/proxy"
PROXY_HEADERS, UPGRADE, FORWARD = f"{PROXY}/headers.rs", f"{PROXY}/upgrade.rs", f"{PROXY}/forward.rs"
NODE, WATCHES = f"{LIBRARY}/src/sessions/node.rs", f"{LIBRARY}/src/sessions/watches.rs"

# The location of a test: the arguments of `cargo test`, and the beginning of its path.
CORE_TOKEN = ("-p handstamp-core --test token", "")
CORE_LIB = ("-p handstamp-core --lib", "")
STORE = ("-p handstamp --lib", "store::contract::sqlite::")
LOG = ("-p handstamp --lib", "store::contract::changes::sqlite::")
GUESSING = ("-p handstamp --lib", "services::throttle::tests::")
HASHING = ("-p handstamp --lib", "services::hashing::queue::tests::")
ROUTES = ("-p handstamp --lib", "web::routes::tests::")
EVENTS = ("-p handstamp --lib", "store::contract::events::sqlite::")
EVENTS_ON_POSTGRES = ("-p handstamp --lib", "store::contract::events::postgres::")
VERIFY = ("-p handstamp --lib", "services::events::verify::tests::sqlite::")
CHAIN = ("-p handstamp-core --test event_chain", "")
BREACHED = ("-p handstamp-server --test stories", "breached_passwords::sqlite::")
BUILDS = ("-p handstamp-server --test stories", "blocklist_build::")
PROXIES = ("-p handstamp-server --test stories", "forward_auth::sqlite::")
EVERYWHERE = ("-p handstamp --lib", "web::routes::tests::propagation::")
OUTBOX = ("-p handstamp --lib", "store::contract::outbox::sqlite::")
ONE_TIME = ("-p handstamp --lib", "store::contract::one_time::sqlite::")
LIFE = ("-p handstamp --lib", "web::routes::tests::account_life::")
ADMIN_PAGES = ("-p handstamp --lib", "web::routes::tests::administration::")
ADMIN_LAWS = ("-p handstamp --lib", "store::contract::administration::sqlite::")
ADMIN_LAWS_ON_POSTGRES = ("-p handstamp --lib", "store::contract::administration::postgres::")
WEBHOOKS = ("-p handstamp --lib", "services::webhooks::tests::")
DELIVERY = ("-p handstamp --lib", "services::mail::tests::delivery::")
SMTP = ("-p handstamp --lib", "services::mail::tests::smtp::")
MAILS = ("-p handstamp --lib", "services::mail::tests::rendering::")

HEADERS_PASSED = ("-p handstamp --lib --features proxy", "web::proxy::headers::tests::")
APPS = ("-p handstamp --lib --features proxy", "web::proxy::apps::tests::")
IN_FRONT = ("-p handstamp-server --test stories", "in_front_of_an_app::sqlite::")
TRACES = ("-p handstamp-server --test stories", "traces::")
BYTES = ("-p handstamp-server --test stories", "in_front_of_an_app::")
CONNECTIONS = ("-p handstamp --lib", "web::routes::tests::connections::")
STREAMS = ("-p handstamp-server --test stories", "open_streams::sqlite::")
STREAMS_ON_POSTGRES = ("-p handstamp-server --test stories", "open_streams::postgres::")
OTHER_STREAMS = ("-p handstamp-server --test stories", "open_streams::")
FAULTS = ("-p handstamp-server --test stories", "proxy_faults::")

FACTOR_TABLES, FACTORS = f"{LIBRARY}/src/store/second_factors.rs", f"{LIBRARY}/src/services/factors"
FACTOR_LAWS = ("-p handstamp --lib", "store::contract::second_factors::sqlite::")
FACTOR_PAGES = ("-p handstamp --lib", "web::routes::tests::second_factors::")
WAYS = ("-p handstamp --lib", "services::reauthenticate::tests::")
CORE_FACTORS = ("-p handstamp-core --lib", "")
PASSKEY_TABLE, PASSKEYS = f"{LIBRARY}/src/store/passkeys.rs", f"{LIBRARY}/src/services/passkeys"
CEREMONY_TABLE, IDENTITY_TABLE = f"{LIBRARY}/src/store/ceremonies.rs", f"{LIBRARY}/src/store/identities.rs"
LOGOUT_TABLE, WAYS_IN = f"{LIBRARY}/src/store/provider_logouts.rs", f"{LIBRARY}/src/store/ways_in.rs"
IDENTITY_LAWS = ("-p handstamp --lib", "store::contract::identities::sqlite::")
IDENTITY_LAWS_ON_POSTGRES = ("-p handstamp --lib", "store::contract::identities::postgres::")
LOCKS_LOGOUTS = """            "INSERT INTO provider_logouts (key, issued_at, expires_at) VALUES ($1, 0, $2)
             ON CONFLICT (key) DO UPDATE SET issued_at = provider_logouts.issued_at RETURNING issued_at",
"""
READS_LOGOUTS = """            "SELECT COALESCE(MAX(issued_at), 0) FROM provider_logouts WHERE key = $1 AND $2 > 0",
"""
COUNTS_LOGOUTS = "a_logout_counts_for_sign_ins_from_before_it"
PASSKEY_LAWS = ("-p handstamp --lib", "store::contract::passkeys::sqlite::")
PASSKEY_PAGES = ("-p handstamp --lib", "web::routes::tests::passkeys::")
PASSKEY_STORIES = ("-p handstamp-server --test stories", "passkeys::sqlite::")
PROVIDERS = f"{LIBRARY}/src/services/federation"
LINKING = ("-p handstamp-server --test stories", "providers::linking::sqlite::")
ATTEMPTS = ("-p handstamp-server --test stories", "providers::attempts::sqlite::")
PROVIDER_ACCOUNTS = ("-p handstamp-server --test stories", "providers::account::sqlite::")
HOSTILE = ("-p handstamp-server --test stories", "providers::hostile_answers::sqlite::")
PROVIDER_LOGOUTS = ("-p handstamp-server --test stories", "providers::back_channel_logout::sqlite::")

IMPORT_TABLE, IMPORTED = f"{LIBRARY}/src/store/import.rs", f"{CORE}/src/password/imported"
IMPORT_LAWS = ("-p handstamp --lib", "store::contract::import::sqlite::")
IMPORTS = ("-p handstamp-server --test stories", "import::sqlite::")
FEDERATION, ID_TOKEN = f"{CORE}/src/federation", f"{CORE}/src/federation/id_token.rs"
ID_TOKENS = ("-p handstamp-core --test federation", "")
FEDERATION_RULES = ("-p handstamp-core --lib", "federation::")
IMPORTED_HASHES = ("-p handstamp-core --lib", "password::imported::tests::")
HASH_VECTORS = ("-p handstamp-core --test imported_hashes", "")
HASH_THREADS = ("-p handstamp --lib", "services::hashing::tests::")
EPOCH_TABLE, EPOCH_ACTS = f"{LIBRARY}/src/store/epoch.rs", f"{LIBRARY}/src/services/epoch.rs"
EPOCH_LAWS = ("-p handstamp --lib", "store::contract::epoch::sqlite::")
EPOCH_LAWS_ON_POSTGRES = ("-p handstamp --lib", "store::contract::epoch::postgres::")
NODES_ALONE = ("-p handstamp --lib", "sessions::tests::")
NOTIFY = f"{LIBRARY}/src/store/sqlite_notify.rs"
NOTIFICATIONS = ("-p handstamp --lib", "store::contract::notifications::")
HEALTH = ("-p handstamp-server --test stories", "health_checks::")
DOCTOR = ("-p handstamp-server --test stories", "server_checks::")
STATE_FILE = ("-p handstamp --lib", "state_file::tests::")
BACKUP_FILE = ("-p handstamp --lib", "backup::file::tests::")
BACKUPS = ("-p handstamp-server --test stories", "backup_and_restore::")
ENDS_TOKENS = "a_new_epoch_ends_all_sessions_and_one_time_tokens"
LEGACY_TABLES, LEGACY = f"{LIBRARY}/src/store/legacy.rs", f"{LIBRARY}/src/services/legacy"
LEGACY_LAWS = ("-p handstamp --lib", "store::contract::legacy::sqlite::")
LEGACY_LAWS_ON_POSTGRES = ("-p handstamp --lib", "store::contract::legacy::postgres::")
LEGACY_PAGES = ("-p handstamp --lib", "web::routes::tests::legacy::")
USES_IT_UP = """        let mut tx = self.begin().await?;
        // Where copies of a session count by themselves, the exchange of one ends the others.
"""
USES_IT_UP_APART = """        let mut apart = self.begin().await?;
        let is_new = apart.use_legacy_session(digest.as_bytes(), kept_until).await?;
        apart.commit().await?;
        let mut tx = self.begin().await?;
        if !is_new {
            return tx.rollback_with(Err(LegacyRefusal::Used)).await;
        }
        tx.execute(request("DELETE FROM legacy_exchanges WHERE digest = $1"), &[digest.as_bytes().as_slice().into()]).await?;
"""
ENDS_FORMER = "let mut changed = tx.end_legacy(legacy).await?;"
ENDS_NO_FORMER = "let mut changed = if legacy.digests.len() > 1000 { tx.end_legacy(legacy).await? } else { Vec::new() };"
SIMPLE_USERS = "only_users_without_more_than_a_password_are_exchanged"

BY_MEMBERS = "changes_by_users_are_applied_on_every_node_before_the_response"
BY_LINKS = "changes_by_mailed_links_and_codes_are_applied_on_every_node_before_the_response"
BY_OPERATORS = "changes_by_operators_are_applied_on_every_node_before_they_return"
ENDS_SOME = "changed.extend(scopes_of(&sessions));"
ENDS_BY_ID = "tx.commit_invalidating(value, &[InvalidationScope::User(user_id)]).await"
SEEN = 'maintenance("UPDATE sessions SET last_seen_at = $2 WHERE id_hash = $1 AND last_seen_at < $2"),'
REVIVES = '''maintenance("INSERT INTO sessions (id_hash, handle, user_id, created_at, expires_at, last_seen_at, user_agent, address,
                    methods, assurance, authenticated_at)
                 SELECT $1, randomblob(16), id, $2, $2 + 3600, $2, '', '', 'pwd', 1, $2 FROM users WHERE true LIMIT 1
                 ON CONFLICT (id_hash) DO UPDATE SET last_seen_at = excluded.last_seen_at"),'''
MAC = """if !key.verifies(&bytes[..SIGNED_BYTES], &bytes[SIGNED_BYTES..]) {
            return Err(TokenError::Tag);
        }
        """
CLAIMS, TO_END = "let claims", "Ok(TokenToEnd"
DECOY = "None => ParsedHash::new(&memory.decoy(self))?,"
COUNTS = "let attempted = match self.count_attempt(attempt).await? {"
HASHES = """permit.check(stored.clone(), password.clone(), self.environment.random()).await?;
        let share = super::hashing::Share { network: Network::Unknown, account: AttemptKey::network(Network::Unknown) };
        let permit = self.hashing.reserve(share).await?;
        """
DISABLES = "set_disabled(id, disabled_at, self.effective(last), entry).await?;\n        "
ACCOUNT = "let hash =\n            account.as_ref()"

ACCOUNT_EXISTS = """        if self.store.has_account(&email).await? {
            return Err(refused(Refusal::AccountExists));
        }
"""
# The account with the address of a stranger's choice is that of the person.
MERGES_ACCOUNTS = """        if let (Some(account), _) = self.store.credentials_by_email(&email).await? {
            let (mut session, token) = self.sessions.begin(account.user_id, self.session_lifetime(true), client);
            session.authentication = authentication(person, session.created_at);
            let events = self.sign_in_events(context, &session, None);
            let signed = self.store.sign_in(account.version, &session, answered.callback.previous_sessions, events).await?;
            self.sessions.wait_until_applied(signed).await?;
            return Ok(self.complete_sign_in(session.owned(), None, token, client));
        }
"""

FORGED_FIRST = """    remove_hop_by_hop(headers);
    remove_forged(headers);
    for name in identity_headers::ALL {
        headers.insert(name.clone(), identity.remove(name).unwrap_or(HeaderValue::from_static("")));
    }
"""
HOP_BY_HOP_LAST = FORGED_FIRST.replace("    remove_hop_by_hop(headers);\n", "") + "    remove_hop_by_hop(headers);\n"
READS_CHARACTERS = r"let first = text.split(['?', '#', '\0']).next().unwrap_or_default();"
FROM_OTHER_SITES = "writes_and_websockets_of_other_sites_do_not_reach_the_app"
FORGED = "an_app_gets_all_identity_headers_and_none_of_the_client"
PATHS_READ = "a_path_that_programs_read_differently_gets_no_laxer_rules"
OUR_COOKIES = "an_app_cannot_set_or_remove_our_cookies"
FRAMING = "published_faults_with_the_framing_of_requests_are_withstood"

SECRETS = f"{LIBRARY}/src/services/secrets"
SECRET_LAWS = ("-p handstamp --lib", "store::contract::secret_keys::sqlite::")
SECRET_NODES = ("-p handstamp --lib", "services::secrets::tests::")
SECRET_FILES = ("-p handstamp --lib", "data_dir::tests::")
ROTATIONS = ("-p handstamp-server --test stories", "secret_rotation::sqlite::")
STATEMENT_ALONE = """let rows = Connection::of(&mut alone).fetch_all(sql, args).await?;
                        return alone.commit().await.map(|()| rows);"""
STATEMENT_AFTERWARDS = """alone.commit().await?;
                        let mut connection = database.pool(pool).acquire().await?;
                        return Connection::Postgres { connection: &mut connection, prepared: false }.fetch_all(sql, args).await;"""
POOLERS = ("-p handstamp-server --test stories", "poolers::")
OPERATORS = ("-p handstamp-server --test stories", "operator_commands::sqlite::")

# Each mutant: the file, the text to replace, its replacement, the location of the test that must fail, and its name.
MUTANTS = {
    # Tokens.
    "mac_unchecked": (TOKEN, MAC + CLAIMS, MAC.replace("!key", "false && !key") + CLAIMS, CORE_TOKEN, "a_token_with_a_flipped_bit_is_refused"),
    "mac_unchecked_to_end": (TOKEN, MAC + TO_END, MAC.replace("!key", "false && !key") + TO_END, CORE_TOKEN,
                             "a_changed_token_ends_no_session"),
    "end_reads_the_flags": (TOKEN, MAC + TO_END, "parse_flags(u16::from_be_bytes(field(&bytes, 5)))?;\n        " + MAC + TO_END, CORE_TOKEN,
                            "a_token_that_is_no_longer_valid_can_still_end_its_session"),
    "mac_of_less": (TOKEN, "SIGNED_BYTES: usize = 55", "SIGNED_BYTES: usize = 54", CORE_TOKEN, "the_golden_vectors_open"),
    "expiry_unchecked": (TOKEN, " || now >= claims.expires_at", "", CORE_TOKEN,
                         "a_token_is_valid_from_a_minute_before_it_was_issued_until_it_expires"),
    "same_key_twice": (f"{CORE}/src/keyring.rs", "pair[0] == pair[1]", "false && pair[0] == pair[1]", CORE_TOKEN,
                       "a_secret_that_is_listed_twice_is_refused"),
    "row_unread": (f"{LIBRARY}/src/sessions/mod.rs", "live.filter(|live| live.user.id == user_id)",
                   'live.or(Some(LiveSession { handle: Uuid::nil(), user: SessionUser::new(user_id, "", "", "", now) }))', ROUTES,
                   "a_token_signed_with_our_key_is_worthless_without_its_session_row"),
    "row_of_anybody": (USERS, "WHERE sessions.id_hash = $1 AND sessions.user_id = $2 AND",
                       "WHERE sessions.id_hash = $1 AND ($2 = $2) AND", STORE, "a_session_belongs_to_its_user_only"),
    "two_cookies": (f"{CORE}/src/cookie.rs", "(Some(_), Some(_)) => CookieLookup::Ambiguous",
                    "(Some(value), Some(_)) => CookieLookup::Found(text(value))", CORE_LIB,
                    "cookie::tests::all_cookies_of_the_name_are_found"),
    # Rate limits and password checks.
    "counted_after_hashing": (GUARD, COUNTS, HASHES + COUNTS, GUESSING, "a_throttled_attempt_costs_no_hash"),
    "guesses_uncounted": (GUARD, "self.count(&counts).await?.map_err", "self.count(&[]).await?.map_err", GUESSING,
                          "a_throttled_account_has_one_attempt_after_each_wait"),
    "owner_has_no_bound": (GUARD, "vec![(key, per_device), (shared, self.throttle.per_owner)]", "vec![(key, per_device)]", GUESSING,
                           "an_account_has_a_hundred_wrong_passwords_a_day_whatever_cookies_are_sent"),
    "refused_password_uncounted": (f"{LIBRARY}/src/services/change_password.rs", "self.count_refused_password(session).await?;", "",
                                   GUESSING, "rejected_new_passwords_count_for_the_session"),
    "device_of_an_old_password": (f"{CORE}/src/device.rs", "known.issued_at() > changed_at", "known.issued_at() > changed_at || true",
                                  GUESSING, "a_device_cookie_from_before_a_password_change_counts_as_an_unknown_device"),
    "taken_back_from_the_next_run": (f"{CORE}/src/throttle.rs", "self.since == counted.since", "true", CORE_LIB,
                                     "throttle::tests::a_successful_attempt_is_not_taken_back_from_a_later_run"),
    "cookie_opened_for_an_account_only": (SIGN_IN, "let known = self.devices.open(&client.device_cookie, self.sessions.now());",
                                          """let exists = self.store.has_account(&request.email).await?;
        let cookie = if exists { client.device_cookie.as_str() } else { "" };
        let known = self.devices.open(cookie, self.sessions.now());""", GUESSING,
                                          "a_device_cookie_costs_the_same_whether_or_not_the_account_exists"),
    "networks_take_no_turns": (f"{LIBRARY}/src/services/hashing/queue.rs", "(had(Party::Network(entry.share.network)), had(",
                               "(0, had(", HASHING, "networks_take_turns_and_so_do_the_accounts_of_a_network"),
    "nobody_gives_way": (f"{LIBRARY}/src/services/hashing/queue.rs", "let evicted = entries.over_its_share(share).ok_or(QueueFull)?;",
                         "let evicted = entries.over_its_share(share).filter(|_| false).ok_or(QueueFull)?;", HASHING,
                         "a_full_queue_takes_permits_only_from_parties_over_their_share"),
    "wrong_guesses_taken_back": (GUARD, "Verification::Invalid => {", "Verification::Invalid => {\n                self.refund(&attempted).await;",
                                 GUESSING, "a_throttled_account_has_one_attempt_after_each_wait"),
    "decoy_off": (PASSWORD, DECOY, "None => return Ok(PasswordMatch::Invalid),", CORE_LIB,
                  "password::tests::a_password_check_costs_the_same_for_every_account_and_for_none"),
    "rest_of_the_work_off": (PASSWORD, "if let Some(rest) = self.rest_after(&parsed.settings)",
                             "if let Some(rest) = self.rest_after(&parsed.settings).filter(|_| false)", CORE_LIB,
                             "password::tests::a_password_check_costs_the_same_for_every_account_and_for_none"),
    "stranger_costs_nothing": (SIGN_IN, ACCOUNT, "if account.is_none() {\n            return Err(ActError::field(Field::Password, Message::WrongCredentials));\n        }\n        "
                               + ACCOUNT, ("-p handstamp --lib", "services::sign_in::tests::"), "every_wrong_sign_in_costs_the_same_work"),
    "costly_hash_of_a_row": (PASSWORD, "memory_kib <= Self::MAX_MEMORY_KIB", "true", CORE_LIB,
                             "password::tests::hash_settings_out_of_bounds_are_refused"),
    # Mails are sent once, in time, and to the server that is meant.
    "mail_not_claimed": (OUTBOX_TABLE, "SET due_at = $3, attempts", "SET due_at = due_at + 0 * $3, attempts", OUTBOX,
                         "a_message_is_due_at_once_and_claimed_once"),
    "mail_claimed_by_two": (OUTBOX_TABLE, "attempts = attempts + 1 WHERE id = $1 AND due_at = $2",
                            "attempts = attempts + 1 WHERE id = $1 AND ($2 = $2)", OUTBOX,
                            "each_of_many_messages_is_claimed_once_by_concurrent_nodes"),
    "ended_claim_postpones": (OUTBOX_TABLE, "last_error = $4 WHERE id = $1 AND due_at = $2", "last_error = $4 WHERE id = $1 AND ($2 = $2)",
                              OUTBOX, "a_claim_that_has_ended_postpones_nothing"),
    "unknown_kind_claimed": (OUTBOX_TABLE, 'format!("kind IN ({})"', 'format!("(kind IN ({}) OR 1 = 1)"', OUTBOX,
                             "a_message_of_an_unknown_kind_is_left_to_a_newer_version"),
    "mail_sent_again": (f"{MAIL}/send.rs", "self.finish_delivered(message, \"send_mails\").await;", "", DELIVERY,
                        "a_mail_that_was_accepted_is_not_sent_again"),
    "sent_mail_kept_after_an_error": (OUTBOX_ACTS, "while let Err(error) = self", "if let Err(error) = self", DELIVERY,
                                      "a_mail_that_was_sent_is_deleted_once_the_database_can_be_written_again"),
    "frozen_node_sends": (f"{MAIL}/send.rs", "if until.since(self.sessions.now()) < SEND_LIMIT {", "if false {", DELIVERY,
                          "a_node_that_was_frozen_does_not_send_what_another_may_have_claimed"),
    "waits_do_not_grow": (OUTBOX_ACTS, "FIRST_WAIT.saturating_mul(1 << doublings)", "FIRST_WAIT.saturating_mul(1 << (doublings * 0))",
                          DELIVERY, "a_server_that_was_down_for_an_hour_gets_each_mail_once"),
    "mail_given_up_late": (OUTBOX_ACTS, "from_secs(2 * 86_400)", "from_secs(20 * 86_400)", DELIVERY,
                           "a_mail_is_given_up_after_two_days"),
    "refusal_tried_again": (f"{MAIL}/send.rs", "if kind == MailErrorKind::Refused {", "if false {", DELIVERY,
                            "a_refused_recipient_and_a_refused_mail_are_given_up_at_once"),
    "act_does_not_wake": (f"{MAIL}/send.rs", "self.outbox.mails.wake();", "", DELIVERY,
                          "the_job_looks_at_once_for_a_message_of_this_process_and_soon_for_others"),
    "mail_without_a_limit": (f"{MAIL}/smtp.rs", "match timeout(limit, work).await {", "match timeout(limit * 3600, work).await {", SMTP,
                             "a_server_that_hangs_drips_or_breaks_off_is_given_up_in_time"),
    "starttls_optional": (f"{MAIL}/smtp.rs", "if let Some(tls) = self.tls.clone().filter(|_| *security == SmtpSecurity::StartTls) {",
                          "if let Some(tls) = self.tls.clone().filter(|_| *security == SmtpSecurity::StartTls && connection.can_starttls()) {",
                          SMTP, "nothing_is_sent_where_starttls_was_stripped"),
    "refusal_of_the_site_gives_up": (f"{MAIL}/smtp.rs", "Step::RcptTo if !is_policy && ", "Step::RcptTo if ", DELIVERY,
                                     "a_mail_is_tried_again_after_a_temporary_refusal_and_after_one_of_the_site"),
    "reply_in_the_log": (f"{MAIL}/smtp.rs", 'let summary = format!("the server answered {in_short} to {step}");',
                         'let summary = format!("the server answered {in_short} {source} to {step}");', DELIVERY,
                         "the_log_has_the_outcome_of_each_attempt_and_neither_address_nor_link_nor_code"),
    "values_with_lines": (f"{MAIL}/mailer.rs", "let value = one_line(value);", "let value = value.clone();", MAILS,
                          "no_value_adds_a_header_a_line_or_markup"),
    "any_name_shown": (f"{MAIL}/mailer.rs", 'if *name == "name" && names_a_site(&value)', 'if *name == "name" && false && names_a_site(&value)',
                       MAILS, "a_name_that_looks_like_a_link_is_not_shown"),
    # Breached passwords.
    "breached_accepted": (f"{LIBRARY}/src/services/hashing.rs", "Some(true) => Ok(Err(PasswordError::Breached)),",
                          "Some(true) if false => Ok(Err(PasswordError::Breached)),\n                Some(true) => Ok(Ok(settings.hash(&password, salt, memory))),",
                          BREACHED, "a_breached_password_is_refused_when_it_is_new_and_accepted_at_a_sign_in"),
    "unreadable_blocklist_accepts": (f"{LIBRARY}/src/services/hashing.rs", "blocklist.contains(password.password())).transpose()?",
                                     "blocklist.contains(password.password()).unwrap_or(false))",
                                     BREACHED, "a_new_password_that_cannot_be_looked_up_is_answered_503"),
    "common_accepted": (PASSWORD_POLICY, "if password.is_common() {", "if false && password.is_common() {", CORE_LIB,
                        "password::tests::a_common_password_is_refused_without_any_strength"),
    "typed_spelling_unread": (PASSWORD_POLICY, ".chain(&self.typed)", "", CORE_LIB,
                              "blocklist::tests::a_password_that_is_not_in_nfc_has_two_keys"),
    "shard_unverified": (f"{LIBRARY}/src/blocklist.rs", "? != shard.checksum {", "? != shard.checksum && false {",
                         ("-p handstamp --lib", "blocklist::tests::"), "a_damaged_shard_is_an_error_and_no_answer"),
    "files_of_another_build_kept": (f"{SERVER}/passwords/work_folder.rs", "let removed = fs::remove_file(&path).and_then(|()| sync(&self.path));",
                                    "let removed = sync(&self.path);", BUILDS, "a_build_of_another_input_begins_anew"),
    "build_begins_anew": (f"{SERVER}/passwords/build.rs", "Reader::new(inputs, progress.position)", "Reader::new(inputs, Default::default())",
                          BUILDS, "a_killed_build_goes_on_and_makes_the_same_bytes"),
    # Ended sessions stay ended, and every node learns of it.
    "ended_session_revived": (SESSIONS, SEEN, REVIVES, STORE, "a_last_seen_update_does_not_revive_an_ended_session"),
    "end_not_logged": (SESSIONS, ENDS_SOME, "", LOG, "every_write_logs_what_it_invalidates"),
    "end_by_id_not_logged": (SESSIONS, ENDS_BY_ID, "tx.commit_invalidating(value, &[]).await", LOG,
                                 "every_write_logs_what_it_invalidates"),
    "sign_out_not_announced": (f"{LIBRARY}/src/services/sign_out.rs",
                               "self.sessions.wait_until_applied(self.store.end_sessions_and_legacy(ended, &end).await?).await?;",
                               "let _ = self.store.end_sessions_and_legacy(ended, &end).await?;", EVERYWHERE, BY_MEMBERS),
    "password_not_announced": (f"{LIBRARY}/src/services/change_password.rs", "if self.sessions.wait_until_applied(changed).await? {",
                               "if changed.value {", EVERYWHERE, BY_MEMBERS),
    "sign_in_not_announced": (SIGN_IN, "self.sessions.wait_until_applied(signed).await?", "signed.value", EVERYWHERE, BY_MEMBERS),
    "disabling_not_announced": (ADMIN, DISABLES + "self.sessions.wait_until_applied(changed).await?.map_err", DISABLES + "changed.value.map_err", EVERYWHERE, BY_OPERATORS),
    "disabled_keeps_sessions": (USERS, "if disabled_at.is_some() {", "if false {", STORE, "disabling_an_account_ends_its_sessions_for_good"),
    "disabled_signs_in": (USERS, "SET signed_in_at = $3 WHERE id = $1 AND credentials_version = $2 AND disabled_at IS NULL",
                          "SET signed_in_at = $3 WHERE id = $1 AND credentials_version = $2", STORE,
                          "a_disabled_account_has_no_live_session"),
    "old_password_signs_in": (USERS, "SET signed_in_at = $3 WHERE id = $1 AND credentials_version = $2",
                              "SET signed_in_at = $3 WHERE id = $1 AND ($2 = $2)", STORE,
                              "credentials_that_were_changed_meanwhile_do_not_sign_in"),
    "anybodys_session_ended": (SESSIONS, '"DELETE FROM sessions WHERE user_id = $1 AND handle = $2"',
                               '"DELETE FROM sessions WHERE ($1 = $1) AND handle = $2"', STORE, "a_session_is_ended_by_its_owner_only"),
    "new_password_keeps_others": (USERS, "        tx.end_other_sessions(id, current).await?;\n", "",
                                  STORE, "a_password_change_keeps_one_session_under_a_new_secret"),
    # Requests from other sites, and redirects to them.
    "cross_site_unchecked": (f"{WEB}/csrf.rs", "if only_reads(request) ||", "if true || only_reads(request) ||",
                             ROUTES, "cross_site_writes_are_rejected"),
    "next_unchecked": (f"{CORE}/src/return_to.rs", "is_path(&path).then_some(path)", "Some(path)",
                       CORE_LIB, "return_to::tests::every_return_path_that_leaves_the_site_is_refused"),
    "host_unchecked": (f"{WEB}/host.rs", "(!is_ours).then(|| misdirected(site))", "(!is_ours && false).then(|| misdirected(site))", ROUTES,
                       "requests_for_another_host_are_rejected"),
    "return_host_unchecked": (f"{CORE}/src/return_to.rs", " && self.includes(origin)", "",
                              CORE_LIB, "return_to::tests::every_return_url_on_another_host_is_refused"),
    # The identity that applications behind a proxy receive.
    "app_gets_our_cookie": (f"{CORE}/src/cookie.rs", "!pair.is_empty() && !is_own(pair)", "!pair.is_empty()", CORE_LIB,
                            "cookie::tests::an_app_gets_its_own_cookies_and_none_of_ours"),
    "group_unchecked": (f"{WEB}/forward_auth.rs", "if !options.allow_groups_of(&session.user) {", "if false && !options.allow_groups_of(&session.user) {", PROXIES,
                        "subrequests_for_a_group_need_a_member_of_it"),
    "any_group_will_do": (f"{LIBRARY}/src/model/user.rs", "any(|name| name == group)", "any(|_| true)", STORE,
                          "a_user_is_in_the_groups_that_were_added_and_not_removed"),
    "groups_not_announced": (ADMIN, "self.sessions.wait_until_applied(changed).await?.map_err(|error| match error {",
                             "changed.value.map_err(|error| match error {", EVERYWHERE, BY_OPERATORS),
    "verified_not_announced": (ADMIN, "self.sessions.wait_until_applied(verified).await?;", "let _ = verified;", EVERYWHERE, BY_OPERATORS),
    "address_of_anybody": (f"{LIBRARY}/src/services/assertions.rs", "(user.email_verified || self.unverified_email).then(|| user.email())",
                           "Some(user.email())", PROXIES, "unverified_email_addresses_are_withheld_from_apps"),
    "assertion_for_any_app": (f"{WEB}/identity_headers.rs", "if !site.urls.serves(origin)", "if false && !site.urls.serves(origin)", PROXIES,
                              "apps_of_other_sites_get_no_assertion"),
    "assertion_of_what_was": (f"{WEB}/identity_headers.rs", "&& kept.user.same_snapshot(&session.user)", "",
                              PROXIES, "an_assertion_is_signed_once_per_session_origin_and_30_seconds"),
    "identity_incomplete": (f"{WEB}/identity_headers.rs", "headers.insert(GROUPS, user.groups().try_into()?);",
                            "if !user.groups().is_empty() {\n        headers.insert(GROUPS, user.groups().try_into()?);\n    }", PROXIES,
                            "empty_identity_headers_are_sent_too"),
    "writes_to_applications_unchecked": (f"{LIBRARY}/src/embed/layer.rs", "return match self.cross_site_refusal(&request) {",
                                         "return match self.cross_site_refusal(&request).filter(|_| false) {",
                                         ("-p handstamp --lib", "web::routes::tests::embedding::"),
                                         "other_sites_cannot_make_a_browser_write_to_an_application"),
    # In front of an app.
    "underscores_pass": (PROXY_HEADERS, "if letter.is_ascii_alphanumeric() { letter } else { '-' }", "if letter != '.' { letter } else { '-' }",
                         HEADERS_PASSED, FORGED),
    "forged_headers_pass": (PROXY_HEADERS, "is_identity || is_path || is_proxy || is_length ||", "is_identity || is_proxy || is_length ||", HEADERS_PASSED, FORGED),
    "length_with_underscores": (PROXY_HEADERS, "is_proxy || is_length ||", "is_proxy ||", HEADERS_PASSED, FORGED),
    "connection_names_nothing": (PROXY_HEADERS, "for name in HOP_BY_HOP.iter().chain(&named) {", "for name in HOP_BY_HOP.iter().chain(&named[..0]) {",
                                 HEADERS_PASSED, "hop_by_hop_headers_end_here_and_take_no_header_of_ours_along"),
    "connection_names_our_headers": (PROXY_HEADERS, FORGED_FIRST, HOP_BY_HOP_LAST, HEADERS_PASSED,
                                     "hop_by_hop_headers_end_here_and_take_no_header_of_ours_along"),
    "host_lost": (PROXY_HEADERS, "    headers.insert(HOST, origin.host.clone());\n", "    headers.remove(HOST);\n", HEADERS_PASSED, FORGED),
    "our_cookies_to_the_app": (PROXY_HEADERS, "Some(cookies) if !cookies.is_empty() => drop(headers.insert(COOKIE, cookies)),",
                               "Some(cookies) if !cookies.is_empty() => {}", IN_FRONT, "an_app_is_told_which_user_a_request_comes_from"),
    "app_sets_our_cookies": (PROXY_HEADERS, "if headers.get_all(SET_COOKIE).iter().any(sets_our_cookie) {", "if false {", HEADERS_PASSED,
                             OUR_COOKIES),
    "nameless_cookie_is_ours": (PROXY_HEADERS, "cookie::is_own(&pair[skipped..])", "cookie::is_own(&pair[skipped * 0..])", HEADERS_PASSED,
                                OUR_COOKIES),
    "app_clears_our_cookies": (PROXY_HEADERS, "if headers.contains_key(CLEAR_SITE_DATA) {", "if false {", HEADERS_PASSED, OUR_COOKIES),
    "forwarded_for_by_the_client": (PROXY_HEADERS, ".filter(|_| origin.trusted)", "", HEADERS_PASSED,
                                    "the_chain_of_addresses_goes_on_only_from_trusted_proxies"),
    "upgrade_to_http2": (PROXY_HEADERS, '["h2", "h3", "http", "tls"]', '["h3", "tls"]', HEADERS_PASSED,
                         "protocols_that_carry_requests_are_not_offered_to_the_app"),
    "several_upgrades": (PROXY_HEADERS, "!text.is_empty() && is_token &&", "!text.is_empty() &&", HEADERS_PASSED,
                         "protocols_that_carry_requests_are_not_offered_to_the_app"),
    "trailers_forge": (PROXY_HEADERS, "    remove_forged(trailers);\n", "", HEADERS_PASSED, "trailers_carry_no_header_that_counts"),
    "trailers_of_the_app": (PROXY_HEADERS, "for name in [SET_COOKIE, CLEAR_SITE_DATA] {\n        trailers", "for name in [CLEAR_SITE_DATA] {\n        trailers",
                            HEADERS_PASSED, "trailers_carry_no_header_that_counts"),
    "trailers_unfiltered": (f"{PROXY}/body.rs", "            filter(&mut trailers);\n", "            let _ = (filter, &mut trailers);\n", BYTES,
                            "trailers_pass_in_both_directions"),
    "app_of_one_reading": (f"{PROXY}/apps.rs", "if !readings.iter().all(is_the_app) {", "if false && !readings.iter().all(is_the_app) {", APPS,
                           PATHS_READ),
    "public_by_one_reading": (f"{PROXY}/apps.rs", "is_public(path) && readings.iter().all(|reading| is_public(reading))", "is_public(path)", APPS,
                              PATHS_READ),
    "decoded_once": (f"{PROXY}/apps.rs", "MAX_DECODINGS: usize = 4", "MAX_DECODINGS: usize = 1", APPS, PATHS_READ),
    "no_character_ends_a_path": (f"{PROXY}/apps.rs", READS_CHARACTERS, "let first = text.as_str();", APPS, PATHS_READ),
    "every_host_is_ours": (f"{PROXY}/apps.rs", "map_or(is_ours, |host| host == origin.host())", "map_or(is_ours || true, |host| host == origin.host())",
                           APPS, "an_app_at_a_host_of_its_own_gets_no_request_for_another_host"),
    "everybody_is_let_in": (f"{PROXY}/apps.rs", "for_everybody: *access == AppAccess::Everybody", "for_everybody: true || *access == AppAccess::Everybody",
                            IN_FRONT, "an_app_is_told_which_user_a_request_comes_from"),
    "writes_of_other_sites": (f"{PROXY}/mod.rs", "if site.services.config.app_proxy.csrf", "if false && site.services.config.app_proxy.csrf", IN_FRONT,
                              FROM_OTHER_SITES),
    "websockets_of_other_sites": (f"{WEB}/csrf.rs", " && !begins_a_websocket(request)", "", IN_FRONT, FROM_OTHER_SITES),
    "length_beside_chunks": (PROXY_HEADERS, "    if headers.contains_key(TRANSFER_ENCODING) {", "    if false {", FAULTS,
                             "published_faults_with_the_responses_of_an_app_are_withstood"),
    "client_blames_the_app": (f"{PROXY}/forward.rs", "if progress.is_broken() {", "if false {", FAULTS, FRAMING),
    "tunnels": (f"{PROXY}/mod.rs", "if *request.method() == Method::CONNECT || !request.uri().path().starts_with('/') {", "if false {", FAULTS,
                "published_faults_with_paths_and_hosts_are_withstood"),
    "protocol_that_was_not_offered": (FORWARD, ".filter(|accepted| offered.is_some_and(|offered| is_same(accepted, &offered)))",
                                      ".filter(|accepted| offered.is_none_or(|offered| true || is_same(accepted, &offered)))", OTHER_STREAMS,
                                      "a_protocol_that_was_not_offered_is_not_switched_to"),
    "continue_without_the_app": (FORWARD, "let gate = waits.then(Arc::<Gate>::default);", "let gate = waits.then(Arc::<Gate>::default).filter(|_| false);",
                                 BYTES, "a_client_that_waits_for_100_continue_gets_the_apps_answer"),
    "request_of_an_ended_session": (FORWARD, "        self.settled(binding, ended.as_mut()).await?;\n        loop {", "        loop {", STREAMS_ON_POSTGRES,
                                    "a_request_that_waited_for_its_turn_reaches_no_app_after_its_session_has_ended"),
    "response_after_the_end": (FORWARD, "                () = &mut ended => return Err(Failure::SessionEnded),\n", "", STREAMS,
                               "a_request_that_an_app_has_not_answered_yet_ends_with_its_session"),
    "group_lost": (f"{PROXY}/binding.rs", "self.options.allow_groups_of(user)\n                && ", "", STREAMS,
                   "a_lost_group_cuts_the_connections_to_the_apps_of_its_members"),
    "reported_before_the_cut": (NODE, "if told.is_empty() {", "if true || told.is_empty() {", CONNECTIONS,
                                "a_sign_out_is_confirmed_after_the_connections_on_another_node_are_closed"),
    "silent_stream_stays_open": (f"{PROXY}/binding.rs", "cut.cut();\n                stream.was_cut();", "stream.was_cut();", STREAMS,
                                 "event_streams_and_downloads_are_cut_before_a_sign_out_is_confirmed"),
    "open_body_without_a_task": (FORWARD, "            is_whole && parts.version", "            (true || is_whole) && parts.version", STREAMS,
                                 "event_streams_and_downloads_are_cut_before_a_sign_out_is_confirmed"),
    "close_frame_in_a_message": (UPGRADE, "self.frames.as_ref().is_some_and(Frames::is_between_frames)", "self.frames.is_some()", STREAMS,
                                 "a_message_that_is_under_way_is_not_torn_by_a_close_frame"),
    "stop_ends_the_session": (WATCHES, "            self.is_of_the_node.store(true, Ordering::SeqCst);\n", "", STREAMS,
                              "a_node_that_stops_closes_its_websockets"),
    # Mailed links and codes.
    "link_used_twice": (TOKEN_TABLE, '"DELETE FROM one_time_tokens WHERE id = $1 AND purpose = $2 AND expires_at > $3\n             RETURNING',
                        '"UPDATE one_time_tokens SET content = content WHERE id = $1 AND purpose = $2 AND expires_at > $3\n             RETURNING',
                        ONE_TIME, "a_code_signs_in_once_and_verifies_the_address"),
    "reset_keeps_sessions": (LINK_ACTS, "tx.end_all_sessions_of(user_id).await?;\n        if account", "if account", ONE_TIME,
                             "a_reset_ends_sessions_and_tokens_and_counts_and_verifies_the_address"),
    "reset_keeps_links": (LINK_ACTS, "if account.verified {\n            tx.delete_tokens_of(user_id).await?;", "if account.verified {", ONE_TIME,
                          "a_token_to_undo_a_change_of_the_address_outlives_newer_ones_and_a_reset"),
    "reset_keeps_counts": (LINK_ACTS, "tx.delete_attempts(&key).await?;", "let _ = &key;", ONE_TIME,
                           "a_reset_ends_sessions_and_tokens_and_counts_and_verifies_the_address"),
    "reset_keeps_devices": (LINK_ACTS, "\", credentials_changed_at = $3, email_verified_at = COALESCE", "\", email_verified_at = COALESCE", ONE_TIME,
                            "a_reset_ends_sessions_and_tokens_and_counts_and_verifies_the_address"),
    "disabled_is_reset": (LINK_ACTS, "let Some((used, user_id, account)) = used.filter(|(_, _, account)| !account.disabled)",
                          "let Some((used, user_id, account)) = used", ONE_TIME, "a_disabled_account_cannot_be_reset"),
    "reset_not_logged": (LINK_ACTS, "tx.commit_invalidating(true, &[InvalidationScope::User(user_id)]).await",
                         "tx.commit_invalidating(true, &[]).await", ONE_TIME,
                         "a_reset_ends_sessions_and_tokens_and_counts_and_verifies_the_address"),
    "reset_not_announced": (f"{LIBRARY}/src/services/reset_password.rs", "if !self.sessions.wait_until_applied(reset).await? {", "if !reset.value {",
                            LIFE, BY_LINKS),
    "undo_not_announced": (f"{LIBRARY}/src/services/change_email.rs", "self.sessions.wait_until_applied(undone).await?.ok_or_else(", "undone.value.ok_or_else(", LIFE, BY_LINKS),
    "deletion_not_announced": (f"{LIBRARY}/src/services/delete_account.rs", "self.sessions.wait_until_applied(deleted).await?.map_err(last_administrator)?;",
                               "deleted.value.map_err(last_administrator)?;", LIFE, BY_LINKS),
    "attacker_kept_by_a_confirmation": (LINK_ACTS, "let verified = if keep == Some(user_id) {", "let verified = if true || keep == Some(user_id) {",
                                        ONE_TIME, "a_first_verification_elsewhere_empties_the_account"),
    "attacker_keeps_the_password": (LINK_ACTS, 'set_password!("NULL"),', '"password_hash = password_hash",',
                                    ONE_TIME, "a_first_verification_elsewhere_empties_the_account"),
    "link_of_a_former_address": (LINK_ACTS, "FROM users WHERE id = $1 AND email_key = $2\")", "FROM users WHERE id = $1 AND ($2 = $2)\")", ONE_TIME, "a_token_about_a_former_address_is_worthless"),
    "taken_address_unchecked": (LINK_ACTS, "if tx.is_taken(new, user_id).await? {", "if false {", ONE_TIME,
                                "an_address_that_is_taken_meanwhile_is_not_changed"),
    "new_address_keeps_links": (LINK_ACTS, "tx.delete_tokens_of(user_id).await?;\n        if let Some(undo)", "if let Some(undo)", ONE_TIME,
                                "a_confirmed_address_replaces_the_former_one_and_keeps_one_session"),
    "undo_keeps_sessions": (LINK_ACTS, "tx.end_all_before_confirmation(user_id, token.now).await?;\n        tx.store_token(reset)", "tx.store_token(reset)",
                            ONE_TIME, "the_former_address_returns_unless_it_is_taken"),
    "code_of_any_browser": (TOKEN_TABLE, "WHERE browser = $1 AND purpose", "WHERE ($1 = $1) AND purpose", LIFE,
                            "a_mailed_code_signs_in_in_the_browser_that_asked_only"),
    "codes_uncounted": (f"{LIBRARY}/src/services/one_time.rs", "if token.is_some() && may_try && is_right {", "if token.is_some() && is_right {",
                        LIFE, "five_wrong_codes_end_the_mail"),
    "link_of_another_purpose_found": (TOKEN_TABLE, 'select_tokens!("WHERE id = $1 AND purpose = $2 AND', 'select_tokens!("WHERE id = $1 AND $2 <> 0 AND',
                                      ONE_TIME, "a_token_is_found_by_its_purpose_until_it_expires"),
    "link_of_another_purpose_used": (TOKEN_TABLE, '"DELETE FROM one_time_tokens WHERE id = $1 AND purpose = $2 AND expires_at > $3',
                                     '"DELETE FROM one_time_tokens WHERE id = $1 AND $2 <> 0 AND expires_at > $3',
                                     ONE_TIME, "a_token_is_found_by_its_purpose_until_it_expires"),
    "password_never_asked_again": (f"{LIBRARY}/src/services/reauthenticate.rs", "self.sessions.now().since(session.authentication.at()) <",
                                   "std::time::Duration::ZERO <", LIFE, "something_sensitive_asks_for_the_password_again_after_a_quarter_of_an_hour"),
    "reset_looked_up_at_once": (f"{LIBRARY}/src/services/reset_password.rs", "            self.enqueue(&message).await?;", """            if self.store.user_by_email(&email, self.sessions.now()).await?.is_some() {
                self.enqueue(&message).await?;
            }""", LIFE,
                                "a_request_costs_the_same_statements_and_hashes_whether_the_address_has_an_account_or_not"),
    # Webhooks.
    "webhook_sent_again": (f"{LIBRARY}/src/services/webhooks.rs", "self.finish_delivered(message, \"send_webhooks\").await;", "", WEBHOOKS,
                           "an_event_is_sent_once_with_the_account_and_a_signature"),
    "webhook_unsigned_time": (f"{CORE}/src/webhook.rs", "{id}.{}.{body}\", sent_at.unix_seconds()", "{id}.{}.{body}\", 0 * sent_at.unix_seconds()",
                              CORE_LIB, "webhook::tests::a_signature_is_that_of_the_reference_implementation"),
    "webhook_of_any_event": (f"{LIBRARY}/src/config/webhooks.rs", "self.url.is_some() && self.events.iter().any(|name| name == event)",
                             "self.url.is_some() && !event.is_empty()", WEBHOOKS, "only_chosen_events_are_sent"),
    "redirect_taken": (f"{LIBRARY}/src/services/webhooks.rs", "status if status.is_success() => Ok(()),",
                       "status if status.is_success() || status.is_redirection() => Ok(()),", WEBHOOKS,
                       "a_webhook_that_was_not_taken_is_sent_again_with_the_same_id"),
    "deleted_user_unnamed": (f"{LIBRARY}/src/model/event.rs", "self.user.or(self.deleted)", "self.user", WEBHOOKS,
                             "a_deleted_user_is_named_by_the_last_webhook_and_the_others_are_deleted"),
    # The audit log.
    "event_of_another_content": (VERIFIER, "if record.commitment(&salt) == commitment {", "if true || record.commitment(&salt) == commitment {",
                                 VERIFY, "every_change_of_every_column_of_every_event_is_found"),
    "erased_event_keeps_content": (VERIFIER, "return if is_empty {", "return if true || is_empty {", VERIFY,
                                   "every_change_of_every_column_of_every_event_is_found"),
    "seal_unchecked": (VERIFIER, "Err(EventTagError::Invalid) => return Err(self.wrong_seal(position)),", "Err(EventTagError::Invalid) => {}",
                       VERIFY, "every_removal_insertion_and_reordering_of_an_event_is_found"),
    "negative_position_unread": (VERIFIER, "last_position: i64::MIN,", "last_position: 0,", VERIFY,
                                 "every_removal_insertion_and_reordering_of_an_event_is_found"),
    "unknown_seal_proves": (VERIFIER, "Err(EventTagError::UnknownKey) => self.report.unknown_keys += 1,",
                            "Err(EventTagError::UnknownKey) => (self.proven, self.report.unknown_keys) = (position, self.report.unknown_keys + 1),",
                            VERIFY, "events_sealed_under_an_earlier_secret_are_proven_by_later_seals"),
    "erasure_uncounted": (VERIFIER, "if found == recorded {", "if true || found == recorded {", VERIFY,
                          "every_erasure_without_a_deletion_of_a_user_is_found"),
    "erasures_uncompared": (VERIFIER, "if wrong.is_empty() {", "if true || wrong.is_empty() {", VERIFY,
                            "every_erasure_without_a_deletion_of_a_user_is_found"),
    "truncation_unnoticed": (VERIFIER, "Some(since) if since.position > last => {", "Some(since) if false && since.position > last => {", VERIFY,
                             "events_removed_from_the_end_are_found_by_an_earlier_head"),
    "given_head_unchecked": (VERIFIER, "if since.link != self.report.head.link {", "if false && since.link != self.report.head.link {", VERIFY,
                             "events_removed_from_the_end_are_found_by_an_earlier_head"),
    "stored_head_unchecked": (VERIFIER, "if stored == self.report.head {", "if true || stored == self.report.head {", VERIFY,
                              "a_changed_head_is_found"),
    "unsealed_event_unchecked": (VERIFIER, "self.keys.check_commitment(&commitment, &tag).map_err(|_| forged(\"\"))?;", "", VERIFY,
                                 "an_event_that_is_not_sealed_and_was_changed_or_inserted_is_found"),
    "erasure_read_once": (VERIFIER, "verifier.compare_erasure(id, &store.erasure(id).await?)?;",
                          "let _ = store.erasure(id).await?;\n            verifier.compare_erasure(id, &[])?;", VERIFY,
                          "a_log_that_grows_while_it_is_verified_is_intact"),
    "forged_event_sealed": (EVENT_TABLE, "keys.check_commitment(&commitment, &tag).is_ok().then_some(commitment)",
                            "keys.check_commitment(&commitment, &tag).map_or(Some(commitment), |()| Some(commitment))", EVENTS,
                            "events_that_this_site_has_not_written_are_not_sealed"),
    "deletion_names_its_user": (EVENT_TABLE, "let event = event.without_personal_data();", "", EVENTS,
                                "a_deleted_user_leaves_no_content_in_the_audit_log"),
    "erased_event_keeps_its_time": (EVENT_TABLE, "SET id = NULL, time = 0, name", "SET id = NULL, name", EVENTS,
                                    "a_deleted_user_leaves_no_content_in_the_audit_log"),
    "unlock_takes_no_lock": (f"{LIBRARY}/src/store/attempts.rs", "let exists = tx.lock_user(user).await?;", "let exists = true;",
                             EVENTS_ON_POSTGRES, "acts_that_overlap_the_deletion_of_their_user_leave_no_event_of_the_user"),
    "ended_again_with_an_event": (SESSIONS, "if let Some((session_id,)) = row {", "{\n                let session_id = row.map_or(Uuid::nil(), |row| row.0);",
                                  EVENTS, "an_act_that_changes_nothing_writes_no_event"),
    "link_without_its_key": (f"{CORE}/src/event_chain.rs", "            .chain_update(key_id)\n", "", CHAIN,
                             "a_link_depends_on_the_link_before_the_position_the_key_and_the_commitment"),
    "user_uncommitted": (f"{CORE}/src/event_chain.rs", "mac.update(&[u8::from(self.user.is_some())]);", "", CHAIN,
                         "every_part_of_a_record_and_the_salt_change_its_commitment"),
    "unknown_address_uncounted": (SIGN_IN, "self.store.count_failed_sign_in(user, self.sessions.now()).await?;",
                                  "if user.is_some() {\n                    self.store.count_failed_sign_in(user, self.sessions.now()).await?;\n                }",
                                  ("-p handstamp --lib", "web::routes::tests::activity::"),
                                  "a_failed_sign_in_is_counted_whether_or_not_the_account_exists"),
    # Second factors.
    "step_counts_twice": (FACTOR_TABLES, "AND confirmed_at IS NOT NULL AND last_step < $2", "AND confirmed_at IS NOT NULL AND last_step <= $2 + 1000",
                          FACTOR_LAWS, "a_step_before_the_newest_is_refused"),
    "recovery_code_stays": (FACTOR_TABLES, '"DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2"',
                            '"UPDATE recovery_codes SET hash = hash WHERE user_id = $1 AND hash = $2"', FACTOR_LAWS, "a_recovery_code_works_once"),
    "set_up_of_any_session": (FACTOR_TABLES, "AND sealed = $2 AND session_id = $5 AND confirmed_at IS NULL", "AND sealed = $2 AND confirmed_at IS NULL",
                              FACTOR_LAWS, "a_set_up_keeps_its_secret_until_it_is_stale_and_never_replaces_a_confirmed_one"),
    "raised_under_the_same_id": (f"{LIBRARY}/src/sessions/mod.rs", "let same_level = authentication.assurance() == session.authentication.assurance();",
                                 "let same_level = true;", FACTOR_PAGES, "an_app_is_set_up_by_its_code_and_gives_ten_recovery_codes_and_level_2"),
    "app_leaves_other_sessions": (FACTOR_TABLES, "self.end_other_sessions(user_id, session.current.secret_hash).await?;", "",
                                  FACTOR_LAWS, "a_confirmed_app_ends_other_sessions_and_tokens_and_raises_the_level_of_one"),
    "waiting_survives_a_change": (FACTOR_TABLES, "Ok(is_unchanged && pending", "let _ = is_unchanged;\n        Ok(pending", FACTOR_LAWS,
                                  "a_waiting_sign_in_of_former_credentials_is_not_completed"),
    "waiting_survives_a_sign_out": (SESSIONS, "        for user_id in users_of(&sessions) {\n            tx.delete_sign_ins_under_way(user_id).await?;\n        }\n", "",
                                    FACTOR_LAWS, "signing_out_ends_a_sign_in_that_waits"),
    "password_refunded_before_the_code": (SIGN_IN, "            if self.needs_second_factor(&account).await? {", "            if self.needs_second_factor(&account).await? {\n                self.refund(&attempted).await;",
                                          FACTOR_PAGES, "the_right_password_counts_until_the_code_is_right"),
    "codes_uncounted": (f"{FACTORS}/check_code.rs", "let attempted = self.count_factor_code(user_id).await?;", "let attempted = Vec::new();",
                        FACTOR_PAGES, "who_has_the_password_cannot_guess_the_code_in_however_many_browsers"),
    "confirms_with_less": (f"{LIBRARY}/src/services/reauthenticate.rs", "password: factors.has_password && !has_code &&", "password: factors.has_password &&",
                           WAYS, "authenticating_again_is_never_weaker_than_the_session_and_needs_the_second_factor_if_there_is_one"),
    "requirement_of_pages_only": (f"{WEB}/forward_auth.rs", " && authentication.assurance() >= required;", ";",
                                  FACTOR_PAGES, "a_required_second_factor_comes_before_anything_else"),
    "sent_twice_signs_in": (f"{LIBRARY}/src/services/change_password.rs", "            // The password alone begins no session, and the browser may have kept the cookie of the first form.\n            return Ok(None);", "",
                          FACTOR_PAGES, "no_other_way_in_leads_around_the_second_factor"),
    "password_freshens_level_2": (f"{LIBRARY}/src/services/change_password.rs", "if rests_on_more { before.at() }", "if rests_on_more && false { before.at() }",
                                  FACTOR_PAGES, "a_changed_password_is_an_authentication_of_a_session_at_level_1_only"),
    "sealed_for_any_user": (f"{CORE}/src/sealing.rs", "let value = key.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: context }).ok()?;",
                            "let value = key.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: b\"user 1\" }).ok()?;", CORE_FACTORS,
                            "sealing::tests::a_sealed_value_opens_in_its_context_only"),
    # Passkeys.
    "confirms_below_the_level": (f"{LIBRARY}/src/services/reauthenticate.rs", "factors.has_password && !has_code && level <= AssuranceLevel::ONE_FACTOR",
                                 "factors.has_password && !has_code", WAYS,
                                 "authenticating_again_is_never_weaker_than_the_session_and_needs_the_second_factor_if_there_is_one"),
    "confirms_below_the_required_level": (f"{LIBRARY}/src/services/reauthenticate.rs", "level.max(self.required_assurance(&session.user))", "level",
                                          PASSKEY_PAGES, "a_passkey_is_the_second_factor_that_a_site_requires"),
    "confirms_below_the_wanted_level": (f"{LIBRARY}/src/services/reauthenticate.rs", "let level = wanted.max(session.authentication.assurance());",
                                        "let (level, _) = (session.authentication.assurance(), wanted);", PASSKEY_PAGES,
                                        "a_level_that_is_asked_for_is_reached_by_no_less"),
    "passkeys_uncounted": (f"{PASSKEYS}/check.rs", "let counted = self.count_passkey(&context.client).await?;",
                           "let (counted, _) = (Vec::new(), context);", PASSKEY_PAGES,
                           "refused_passkeys_are_limited_by_network_and_wrong_passwords_do_not_count"),
    "new_passkey_raises_the_level": (f"{PASSKEYS}/add.rs", "self.sessions.continue_as(session, session.authentication);",
                                     "self.sessions.continue_as(session, super::confirm::raised(session.authentication, new.user_verified, now));",
                                     PASSKEY_PAGES, "adding_a_passkey_ends_the_other_sessions_and_leaves_the_level"),
    "counter_compared_once": (PASSKEY_TABLE, "WHERE id = $1 AND (counter < $2 OR (counter = 0 AND $2 = 0))", "WHERE id = $1", PASSKEY_LAWS,
                              "two_answers_of_one_passkey_sign_in_in_the_order_of_the_counter"),
    "counter_as_it_was_read": (PASSKEY_TABLE, "(counter < $2 OR", "(counter = $2 - 1 OR", PASSKEY_LAWS,
                               "two_answers_of_one_passkey_sign_in_in_the_order_of_the_counter"),
    "synced_passkey_has_to_count": (PASSKEY_TABLE, "(counter < $2 OR (counter = 0 AND $2 = 0))", "counter < $2", PASSKEY_LAWS,
                                    "a_passkey_that_counts_nothing_signs_in_any_number_of_times_at_once"),
    "verified_user_forgotten": (PASSKEY_TABLE, "CASE WHEN user_verified = 1 THEN user_verified ELSE $5 END", "$5", PASSKEY_LAWS,
                                "a_passkey_that_has_once_verified_its_user_stays_so"),
    "passkey_leaves_a_repeatable_sign_in": (PASSKEY_TABLE, "tx.delete_sign_ins_under_way(session.user_id).await?;",
                                            "tx.delete_pending_sign_ins(session.user_id, Timestamp::from_unix_seconds(i64::MAX as u64)).await?;",
                                            PASSKEY_LAWS, "a_sign_in_that_a_passkey_completes_ends_the_others_under_way"),
    "ceremony_used_twice": (PASSKEY_TABLE, "if !self.use_ceremony(used.ceremony).await? {", "if !self.use_ceremony(used.ceremony).await? && false {",
                            PASSKEY_STORIES, "of_fifty_uses_of_one_ceremony_at_once_on_two_nodes_one_signs_in"),
    "ceremony_of_one_node": (f"{PASSKEYS}/webauthn.rs", 'Self::SignIn => b"sign_in".to_vec(),',
                             'Self::SignIn => format!("sign_in {}", std::process::id()).into_bytes(),', PASSKEY_STORIES,
                             "a_ceremony_that_was_begun_on_one_node_is_completed_on_the_other"),
    "added_passkey_leaves_sessions_elsewhere": (PASSKEY_TABLE, "tx.commit_invalidating(PasskeyAdded::Added, &[InvalidationScope::User(user_id)]).await",
                                                "tx.commit_invalidating(PasskeyAdded::Added, &[]).await", PASSKEY_STORIES,
                                                "a_passkey_that_was_added_on_one_node_signs_in_on_the_other"),
    "removed_passkey_leaves_sessions_elsewhere": (f"{PASSKEYS}/remove.rs", "match self.sessions.wait_until_applied(removed).await? {", "match removed.value {",
                                                  PASSKEY_STORIES, "a_removed_passkey_ends_its_sessions_on_every_node_before_the_response"),
    "signed_out_on_one_node": (SESSIONS, ENDS_SOME, "", PASSKEY_STORIES,
                               "a_session_that_a_passkey_began_on_one_node_is_signed_out_on_the_other"),
    "regressed_counter_unnoted": (f"{PASSKEYS}/check.rs", "if refusal == Refusal::Counter {", "if false && refusal == Refusal::Counter {", PASSKEY_STORIES,
                                  "answers_in_the_wrong_order_are_refused_and_noted_on_every_node"),
    "regressed_counter_since_ever": (f"{PASSKEYS}/check.rs", "let last = passkey.used_at.unwrap_or(passkey.created_at);",
                                     "let last = handstamp_core::Timestamp::from_unix_seconds(0);", PASSKEY_STORIES,
                                     "answers_in_the_wrong_order_are_refused_and_noted_on_every_node"),
    # Identities, and what providers end.
    "logouts_not_locked": (LOGOUT_TABLE, LOCKS_LOGOUTS, READS_LOGOUTS, IDENTITY_LAWS_ON_POSTGRES, "a_logout_during_a_sign_in_ends_its_session"),
    "logouts_read_beside_the_lock": (LOGOUT_TABLE, LOCKS_LOGOUTS, READS_LOGOUTS, IDENTITY_LAWS_ON_POSTGRES,
                                     "a_sign_in_during_a_logout_begins_no_session"),
    "logouts_forgotten": (LOGOUT_TABLE, "is_ended |= logged_out_at > 0 && is_later;", "is_ended |= false && logged_out_at > 0 && is_later;", IDENTITY_LAWS,
                          COUNTS_LOGOUTS),
    "logout_of_a_session_ages": (LOGOUT_TABLE, "matches!(ended, Ended::Session(_)) || logged_out_at", "logged_out_at", IDENTITY_LAWS, COUNTS_LOGOUTS),
    "logout_of_a_subject_for_good": (LOGOUT_TABLE, "logged_out_at >= to_db_time(*issued_at)", "to_db_time(*issued_at) > 0", IDENTITY_LAWS, COUNTS_LOGOUTS),
    "logout_in_the_second_of_the_token": (LOGOUT_TABLE, "logged_out_at >= to_db_time(*issued_at)", "logged_out_at > to_db_time(*issued_at)", IDENTITY_LAWS,
                                          COUNTS_LOGOUTS),
    "logout_of_any_issuer": (LOGOUT_TABLE, "for part in [kind, issuer, value] {", "for part in [kind, &issuer[..0], value] {", IDENTITY_LAWS, COUNTS_LOGOUTS),
    "logout_at_no_time": (LOGOUT_TABLE, "to_db_time(logout.issued_at).max(1)", "to_db_time(logout.issued_at)", IDENTITY_LAWS, COUNTS_LOGOUTS),
    "logout_that_comes_late_lowers": (LOGOUT_TABLE, "THEN excluded.issued_at ELSE provider_logouts.issued_at END", "THEN excluded.issued_at ELSE excluded.issued_at END",
                                      IDENTITY_LAWS, COUNTS_LOGOUTS),
    "logout_spares_sign_ins_without_id": (LOGOUT_TABLE, "vec![Ended::Session(id), Ended::WithoutId(subject)]", "vec![Ended::Session(id), Ended::WithoutId(&subject[..0])]",
                                          IDENTITY_LAWS, COUNTS_LOGOUTS),
    "logout_of_a_session_of_any_issuer": (LOGOUT_TABLE, "WHERE issuer = $1) RETURNING", "WHERE issuer = $1 OR issuer <> $1) RETURNING", IDENTITY_LAWS,
                                          "a_logout_ends_the_sessions_that_it_names"),
    "logout_of_a_session_ends_its_subject": (LOGOUT_TABLE, "DELETE FROM sessions WHERE provider_session_id IS NULL", "DELETE FROM sessions WHERE 1 = 1", IDENTITY_LAWS,
                                             "a_logout_ends_the_sessions_that_it_names"),
    "logout_leaves_sign_ins_under_way": (LOGOUT_TABLE, "tx.delete_sign_ins_under_way(*user).await?;", "let _ = user;", IDENTITY_LAWS,
                                         "a_logout_ends_the_sign_ins_under_way_of_its_users"),
    "logout_answered_at_once_when_tried_again": (LOGOUT_TABLE, "return tx.commit_at_newest(ended).await;", "return tx.commit_with(ended).await;", IDENTITY_LAWS,
                                                 "a_logout_is_waited_for_at_each_try"),
    "renewed_logout_purged": (LOGOUT_TABLE, "DELETE FROM provider_logouts WHERE expires_at <= $1 AND key IN", "DELETE FROM provider_logouts WHERE key IN",
                              IDENTITY_LAWS_ON_POSTGRES, "a_logout_that_is_renewed_while_it_is_purged_stays"),
    "salts_shared_by_users": (f"{LIBRARY}/src/model/event.rs", "chain_update(purpose).chain_update(self.salt)", "chain_update(purpose).chain_update([0; 16])",
                              IDENTITY_LAWS, "each_user_of_a_logout_has_an_event"),
    "provider_not_asked_at_a_sign_in": (USERS, "match &session.provider {", "match session.provider.as_ref().filter(|_| false) {", IDENTITY_LAWS,
                                        "a_logout_is_known_to_every_path_of_a_sign_in"),
    "disconnected_identity_signs_in": (USERS, "self.is_connected(user_id, provider).await? &&", "(self.is_connected(user_id, provider).await? || true) &&", IDENTITY_LAWS,
                                       "a_waiting_sign_in_of_an_ended_provider_or_identity_is_not_completed"),
    "identity_of_another_subject_signs_in": (IDENTITY_TABLE, "AND issuer = $3 AND subject = $4", "AND issuer = $3 AND $4 = $4", IDENTITY_LAWS,
                                             "what_has_changed_meanwhile_does_not_sign_in_by_identity"),
    "logout_unknown_to_a_registration": (IDENTITY_TABLE, "&& tx.is_ended_by_provider(provider, used.now).await?", "&& tx.is_ended_by_provider(provider, used.now).await? && false",
                                         IDENTITY_LAWS, "an_account_that_is_not_created_leaves_nothing"),
    "attempt_used_twice": (CEREMONY_TABLE, "ON CONFLICT (id) DO NOTHING", "ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at", IDENTITY_LAWS,
                           "one_of_many_concurrent_uses_of_an_attempt_signs_in"),
    "last_way_in_by_a_former_provider": (WAYS_IN, "configured.contains(&provider.as_str())", "!configured.is_empty() && !provider.is_empty()", IDENTITY_LAWS,
                                         "disconnecting_an_identity_leaves_a_way_in"),
    "last_identity_removed": (IDENTITY_TABLE, "if !tx.has_way_in(user_id, configured).await? {", "if !tx.has_way_in(user_id, configured).await? && false {", IDENTITY_LAWS,
                              "disconnecting_an_identity_leaves_a_way_in"),
    "confirmed_by_the_identity_of_another": (IDENTITY_TABLE, "WHERE id = $1 AND user_id = $2\"", "WHERE id = $1 AND $2 = $2\"", IDENTITY_LAWS,
                                             "a_session_goes_on_after_a_confirmation_by_identity"),
    "reset_leaves_identities": (LINK_ACTS, "            tx.delete_identities_of(user_id).await?;\n", "", IDENTITY_LAWS,
                                "a_first_confirmation_disconnects_identities"),
    "first_confirmation_leaves_identities": (LINK_ACTS, "        self.delete_identities_of(user_id).await?;\n", "", IDENTITY_LAWS,
                                             "a_first_confirmation_disconnects_identities"),
    "session_without_the_id_of_its_provider": (SESSIONS, "provider.session_id.as_deref()", "provider.session_id.as_deref().filter(|_| false)", IDENTITY_LAWS,
                                               "a_session_knows_its_provider_under_each_new_secret"),
    # Users of other systems.
    "groups_of_a_row_are_lost": (IMPORT_TABLE, "memberships.extend(row.user.groups.iter().map(|name| (row.id, name.as_str())));", "",
                                 IMPORT_LAWS, "a_batch_is_stored_whole_with_one_event"),
    "a_doubled_address_is_accepted": (IMPORT_TABLE, "with_address.is_some_and(|found| found.is_from(row))", "with_address.is_some()",
                                      IMPORT_LAWS, "a_row_of_the_same_address_or_id_is_refused_and_stops_no_other"),
    "a_new_password_counts_as_a_new_address": (IMPORT_TABLE, "&& self.has_changed_address(found.id).await?", "", IMPORT_LAWS,
                                               "a_user_who_has_a_new_address_is_still_the_one_that_was_imported"),
    "a_left_address_is_a_refusal": (IMPORT_TABLE, "moved.insert(found.id);", "", IMPORT_LAWS,
                                    "a_user_who_has_a_new_address_is_still_the_one_that_was_imported"),
    "caps_of_all_hashes_are_ignored": (IMPORT_TABLE, "cost(row).is_none_or(|cost| most.insert(cost).is_ok())",
                                       "cost(row).is_none_or(|cost| most.insert(cost).is_ok() || true)", IMPORT_LAWS,
                                       "hashes_that_take_too_long_together_are_refused"),
    "cap_of_a_hash_is_ignored": (f"{IMPORTED}/cost.rs", "if capped { Ok(cost) }", "if capped || true { Ok(cost) }", IMPORTED_HASHES,
                                 "a_cost_beyond_the_caps_is_refused"),
    "decoy_without_foreign_cost": (f"{IMPORTED}/equal_work.rs", "None => family.run_decoy(cost.level, spelling.as_bytes(), memory),",
                                   "None => {}", IMPORTED_HASHES,
                                   "a_check_costs_the_same_for_every_scheme_for_our_own_hashes_and_for_no_account"),
    "cheaper_hash_without_the_rest": (f"{IMPORTED}/equal_work.rs",
                                      "family.top_up(cost.level, done, spelling.as_bytes(), memory);", "let _ = done;",
                                      IMPORTED_HASHES, "a_check_costs_the_same_for_every_scheme_for_our_own_hashes_and_for_no_account"),
    "hash_not_replaced": (SIGN_IN, "if let Some(rehashed) = rehashed\n", "if let Some(rehashed) = rehashed.filter(|_| false)\n",
                          IMPORTS, "imported_users_of_every_scheme_sign_in_and_get_our_hash"),
    "weak_hash_stored_raw": (f"{IMPORTED}/argon2.rs", 'let output = Output::new(output).expect("32 bytes are',
                             'let output = Output::new(bytes.to_vec()).expect("32 bytes are', IMPORTED_HASHES,
                             "a_wrapped_digest_is_not_in_the_stored_text"),
    "batch_not_atomic": (IMPORT_TABLE, "inserted.extend(tx.insert_imported(rows, now).await?);",
                         "inserted.extend(tx.insert_imported(rows, now).await?);\n            tx.commit().await?;\n            tx = self.begin().await?;",
                         IMPORT_LAWS, "a_batch_is_stored_whole_or_not_at_all"),
    "refused_rows_not_reported": (f"{SERVER}/import/mod.rs", 'self.progress.line(&format!("{place}: {reason}"));', "", IMPORTS,
                                  "a_hostile_file_stops_nothing_and_its_rows_are_refused_by_line_and_reason"),
    "refused_rows_not_counted": (f"{SERVER}/import/mod.rs", "self.counts.refused += 1;", "", IMPORTS,
                                 "a_hostile_file_stops_nothing_and_its_rows_are_refused_by_line_and_reason"),
    "flask_security_without_its_form": (f"{IMPORTED}/mod.rs", "password.nfkd().collect", "password.nfc().collect", HASH_VECTORS,
                                        "the_hashes_of_other_systems_match_their_passwords_and_no_others"),
    "hashes_on_any_thread": (f"{LIBRARY}/src/services/hashing.rs", "Ok(runtime.spawn_blocking(work).await?)",
                             "let _ = runtime;\n        Ok(tokio::task::spawn_blocking(work).await?)", HASH_THREADS,
                             "passwords_are_hashed_on_no_more_threads_than_hash_at_once"),
    # Sessions of the framework that a site has left are exchanged once, for few users, and never after an end.
    "former_session_exchanged_twice": (LEGACY_TABLES, "if !tx.use_legacy_session(digest.as_bytes(), kept_until).await? {",
                                       "if !tx.use_legacy_session(digest.as_bytes(), kept_until).await? && false {", LEGACY_LAWS,
                                       "one_of_fifty_concurrent_exchanges_of_a_former_session_begins_a_session"),
    "former_session_exchanged_twice_at_once": (LEGACY_TABLES, "if !tx.use_legacy_session(digest.as_bytes(), kept_until).await? {",
                                               """let (used,): (i64,) = self.fetch_one(Pool::Read, request("SELECT COUNT(*) FROM legacy_exchanges WHERE digest = $1"),
            &[digest.as_bytes().as_slice().into()]).await?;
        tx.use_legacy_session(digest.as_bytes(), kept_until).await?;
        if used > 0 {""", LEGACY_LAWS_ON_POSTGRES, "one_of_fifty_concurrent_exchanges_of_a_former_session_begins_a_session"),
    "former_session_used_up_apart": (LEGACY_TABLES, USES_IT_UP, USES_IT_UP_APART, LEGACY_LAWS, "a_refused_exchange_uses_nothing_up"),
    "former_session_of_a_disabled_user": (f"{LEGACY}/exchange.rs", "() if account.disabled =>", "() if false && account.disabled =>",
                                          LEGACY_PAGES, "users_whose_former_sessions_have_ended_are_not_exchanged"),
    "former_session_of_a_user_disabled_meanwhile": (LEGACY_TABLES, "AND disabled_at IS NULL AND", "AND", LEGACY_LAWS,
                                                    "an_account_that_has_changed_since_it_was_read_is_not_exchanged"),
    "former_session_of_other_credentials": (LEGACY_TABLES, "credentials_version = $2 AND", "$2 = $2 AND", LEGACY_LAWS,
                                            "an_account_that_has_changed_since_it_was_read_is_not_exchanged"),
    "former_session_despite_a_factor": (f"{LEGACY}/exchange.rs", "() if account.has_factor =>", "() if false && account.has_factor =>",
                                        LEGACY_PAGES, SIMPLE_USERS),
    "former_session_despite_a_passkey": (LEGACY_TABLES, "FROM passkeys WHERE user_id = users.id", "FROM passkeys WHERE user_id = users.id AND 1 = 0",
                                         LEGACY_PAGES, SIMPLE_USERS),
    "former_session_of_an_administrator": (f"{LEGACY}/exchange.rs", "() if is_in(ADMINISTRATORS) =>", "() if false && is_in(ADMINISTRATORS) =>",
                                           LEGACY_PAGES, SIMPLE_USERS),
    "former_session_where_a_factor_is_required": (f"{LEGACY}/exchange.rs", "() if self.is_factor_required(is_in) =>",
                                                  "() if false && self.is_factor_required(is_in) =>", LEGACY_PAGES, SIMPLE_USERS),
    "former_session_by_any_address": (f"{LEGACY}/exchange.rs", "Ok(email) if legacy.by_address =>", "Ok(email) if legacy.by_address || true =>",
                                      LEGACY_PAGES, "an_address_names_a_user_only_where_the_key_of_the_session_is_set"),
    "former_session_after_the_window": (f"{LEGACY}/exchange.rs", "if now >= self.until {", "if false && now >= self.until {", LEGACY_PAGES,
                                        "nothing_is_exchanged_after_the_end_of_the_window"),
    "sign_out_leaves_the_former_session": (SESSIONS, ENDS_FORMER, ENDS_NO_FORMER, LEGACY_PAGES,
                                           "a_sign_out_ends_the_former_session_that_the_browser_still_sends"),
    "sign_out_leaves_the_exchanged_session": (LEGACY_TABLES, "DELETE FROM sessions WHERE legacy_digest = $1 RETURNING",
                                              "DELETE FROM sessions WHERE legacy_digest = $1 AND 1 = 0 RETURNING", LEGACY_LAWS,
                                              "an_exchange_during_a_sign_out_with_the_same_cookie_leaves_no_session"),
    "exchange_leaves_other_copies": (LEGACY_TABLES, "i64::from(digest.is_of_a_copy())", "i64::from(false && digest.is_of_a_copy())", LEGACY_LAWS,
                                     "the_exchange_of_one_signed_copy_ends_the_others"),
    "end_of_all_misses_an_exchange": (LEGACY_TABLES, "AND credentials_changed_at IS NULL AND legacy_ended_at IS NULL",
                                      "AND credentials_changed_at IS NULL", LEGACY_LAWS,
                                      "an_exchange_while_all_sessions_of_the_user_end_leaves_no_session"),
    "former_session_key_doubled_in_a_dry_run": (f"{LIBRARY}/src/services/import/dry_run.rs", "is_among(&self.legacy_session_keys, key)",
                                                "false && is_among(&self.legacy_session_keys, key)",
                                                ("-p handstamp-server --test stories", "import::sqlite::"),
                                                "a_dry_run_finds_what_a_run_finds_and_stores_nothing"),
    # A rotation of the secret key leaves no node behind.
    "starts_beside_strangers": (f"{SECRETS}/announce.rs", "if !running.is_empty() {", "if running.len() > 1000 {", SECRET_NODES,
                                "a_node_does_not_start_beside_a_running_one_that_does_not_share_its_secrets"),
    "knows_is_enough": (f"{LIBRARY}/src/model/secrets.rs", "knows_current && self.keys", "(knows_current || true) && self.keys", SECRET_NODES,
                        "a_node_does_not_start_beside_a_running_one_that_does_not_share_its_secrets"),
    "sealed_secrets_do_not_count": (f"{SECRETS}/status.rs", "sealed == 0 && needed_until", "needed_until", SECRET_NODES,
                                    "a_former_secret_is_needed_until_its_sessions_have_ended_and_nothing_is_sealed_with_it"),
    "signing_nodes_do_not_count": (f"{SECRETS}/status.rs", "role == SecretRole::Former && !is_signing",
                                   "role == SecretRole::Former && (is_signing || true)", SECRET_NODES,
                                   "a_secret_that_a_running_node_signs_with_is_needed"),
    "sessions_do_not_count": (f"{SECRETS}/status.rs", "until.after(longest)", "until.after(longest / 1000)", SECRET_NODES,
                              "a_former_secret_is_needed_until_its_sessions_have_ended_and_nothing_is_sealed_with_it"),
    "next_key_unpublished": (f"{LIBRARY}/src/services/assertions.rs", "next.contains(&index)", "next.contains(&(index + 1))", SECRET_NODES,
                             "the_assertion_key_of_a_secret_that_has_never_signed_is_published_for_as_long_as_the_node_runs"),
    "running_node_forgotten": (f"{LIBRARY}/src/store/secret_keys.rs", "WHERE id = $1 AND beats = $2", "WHERE id = $1 AND ($2 = $2)", SECRET_LAWS,
                               "a_node_that_has_announced_itself_again_is_not_forgotten"),
    "rotated_past_a_node": (f"{SERVER}/secret.rs", "if without.is_empty() { Self::Promote(next)", "if without.len() < 1000 { Self::Promote(next)",
                            ROTATIONS, "a_node_that_does_not_know_the_new_secret_holds_the_rotation"),
    "former_secret_lost": (f"{LIBRARY}/src/data_dir.rs", "former.push_str(&self.read_text(FORMER)?);", "", SECRET_FILES,
                           "a_rotation_of_the_files_keeps_every_secret_until_it_is_dropped"),
    # A pooler in transaction mode gives each transaction another process of the server.
    "statement_without_a_transaction": (f"{LIBRARY}/src/store/statement.rs", STATEMENT_ALONE, STATEMENT_AFTERWARDS, POOLERS,
                                        "two_nodes_register_sign_in_and_sign_out_at_once_through_a_pooler"),
    "statements_stay_prepared": (f"{LIBRARY}/src/store/statement.rs", "query.persistent(prepared).fetch_all", "query.persistent(true).fetch_all",
                                 POOLERS, "two_nodes_register_sign_in_and_sign_out_at_once_through_a_pooler"),
    "pooler_untold": (f"{LIBRARY}/src/store/postgres.rs", "is_shared |= ", "is_shared &= ", POOLERS,
                      "a_pooler_in_transaction_mode_without_its_setting_is_told_of"),
    "unencrypted_database": (f"{LIBRARY}/src/store/postgres.rs", "if may_be_read_on_the_way(&options) {", "if false && may_be_read_on_the_way(&options) {",
                             POOLERS, "a_connection_to_the_database_is_encrypted_and_its_certificate_checked"),
    # Notifications between processes on one SQLite file.
    "notification_unsent": (NOTIFY, "spawn_blocking(move || touch(&file)).await;",
                            "spawn_blocking(move || if true { Ok(()) } else { touch(&file) }).await;", NOTIFICATIONS,
                            "sqlite::a_notification_wakes_a_node_once"),
    "notification_unheard": (NOTIFY, "is_touched |= what", "is_touched &= what", NOTIFICATIONS,
                             "sqlite::a_notification_wakes_a_node_once"),
    "removed_file_stays_away": (NOTIFY, "private_files::make_file(file).map(drop)", "Ok(())", NOTIFICATIONS,
                                "a_notification_passes_between_processes_whatever_becomes_of_the_files"),
    "linked_database_has_another_file": (f"{LIBRARY}/src/store/sqlite.rs", "let file = path.canonicalize()",
                                         "let file = Ok::<_, std::io::Error>(path.to_owned())", NOTIFICATIONS,
                                         "processes_that_open_the_database_by_a_link_notify_each_other"),
    "poll_finds_nothing": (NOTIFY, "if found != known {", "if false && found != known {", NOTIFICATIONS, "a_node_without_notifications_polls"),
    "moved_folder_unnoticed": (NOTIFY, 'return Err(io::Error::other("the folder of the database was moved or removed"));',
                               "return Ok(false);", NOTIFICATIONS, "a_node_polls_where_inotify_fails_until_it_works"),
    # Health checks.
    "ready_while_it_stops": (f"{WEB}/health.rs", "if site.stopping.load(Ordering::Relaxed) {", "if false && site.stopping.load(Ordering::Relaxed) {",
                             HEALTH, "sqlite::a_node_that_stops_is_not_ready_and_still_alive"),
    "ready_by_any_program": (f"{SERVER}/health.rs", "(200, body) if body == well =>", "(200, body) if body == well || true =>", HEALTH,
                             "the_command_finds_no_server_in_another_program_and_fails_with_one_status"),
    # The checks of the server by the doctor.
    "open_files_pass": (f"{SERVER}/doctor/machine.rs", "if refused.is_empty() { Pass }", "if refused.is_empty() || true { Pass }", DOCTOR,
                        "files_that_others_can_read_are_reported"),
    "any_host_passes": (f"{SERVER}/doctor/machine.rs", "Ok((_, others)) if !others.is_empty() =>", "Ok((_, others)) if others.len() > 1000 =>", DOCTOR,
                        "a_certificate_that_browsers_refuse_is_reported"),
    "lost_commits_pass": (f"{SERVER}/doctor/database.rs", "if !off.is_empty() {", "if false && !off.is_empty() {", DOCTOR,
                          "a_database_that_can_lose_commits_is_reported"),
    "other_secrets_pass": (f"{SERVER}/secret.rs", "Step::Share(reason) => Err(reason),\n        step @", "Step::Share(_) => Ok(None),\n        step @",
                           DOCTOR, "nodes_with_other_secret_keys_are_reported"),
    # An operator's changes of credentials end what was there.
    "new_address_ends_nothing": (USERS, "self.end_all_sessions_of(id).await?;\n        self.delete_tokens_of(id).await",
                                 "self.delete_tokens_of(id).await", OPERATORS, "user_set_password_ends_all_sessions_on_every_node"),
    "unverified_address_undoes": (f"{LIBRARY}/src/services/admin/edit_user.rs", "user.email_verified.then(||", "Some(()).map(|()|", OPERATORS,
                                  "user_edit_changes_the_name_and_the_address_on_every_node"),
    "set_password_keeps_counts": (USERS, "for key in [AttemptKey::account(email), AttemptKey::user(id)] {",
                                  "for key in [AttemptKey::user(id)] {", OPERATORS, "user_set_password_ends_all_sessions_on_every_node"),
    # Epochs and backups.
    "epoch_keeps_sessions": (EPOCH_TABLE, 'request("DELETE FROM sessions")', 'request("DELETE FROM sessions WHERE 1 = 0")', EPOCH_LAWS,
                             ENDS_TOKENS),
    "epoch_keeps_one_time_tokens": (EPOCH_TABLE, 'request("DELETE FROM one_time_tokens")', 'request("DELETE FROM one_time_tokens WHERE 1 = 0")',
                                    EPOCH_LAWS, ENDS_TOKENS),
    "epoch_keeps_former_sessions": (EPOCH_TABLE, "tx.end_all_legacy_sessions(began_at).await?;", "", EPOCH_LAWS,
                                    "a_new_epoch_ends_the_exchange_of_former_sessions"),
    "epoch_keeps_known_devices": (USERS, "changed_at.max(epoch_began_at)", "changed_at.max(epoch_began_at.filter(|_| false))", EPOCH_LAWS,
                                  "a_device_cookie_from_before_the_epoch_is_void"),
    "epoch_keeps_ceremonies": (CEREMONY_TABLE, "epoch_began_at < $3)", "epoch_began_at < $3 OR 1 = 1)", PASSKEY_LAWS,
                               "a_ceremony_that_began_before_the_epoch_is_refused"),
    "epoch_at_a_successor": (EPOCH_TABLE, "Self(((self.0 >> BITS) + 1) << BITS)", "Self(self.0 + 1)", EPOCH_LAWS,
                             "a_new_epoch_begins_at_a_position_that_is_no_successor"),
    "epoch_untold_to_nodes": (EPOCH_TABLE, "tx.execute(APPEND, &[first.0.into(), kind.into(), subject.as_slice().into()]).await?;",
                              "let _ = (APPEND, kind, subject);", EPOCH_LAWS, "a_new_epoch_begins_at_a_position_that_is_no_successor"),
    "epoch_below_what_was_seen": (EPOCH_TABLE, "newest.max(seen).of_next_epoch()", "newest.max(seen.min(newest)).of_next_epoch()", EPOCH_LAWS,
                                  "a_new_epoch_lies_beyond_every_position_that_was_seen"),
    "epoch_without_a_lock": (EPOCH_TABLE, "tx.lock_sessions_and_tokens().await?;", "", EPOCH_LAWS_ON_POSTGRES,
                             "a_token_that_is_being_made_when_an_epoch_begins_is_void"),
    "older_database_joined": (NODE, "if self.is_put_back(position) {\n            return Err(\"the database",
                              "if self.is_put_back(position) && false {\n            return Err(\"the database", NODES_ALONE,
                              "a_node_does_not_join_a_database_that_is_older_than_what_it_has_seen"),
    "row_of_an_older_database": (NODE, "if self.is_put_back(position) {\n            return Err(NoLease);",
                                 "if self.is_put_back(position) && false {\n            return Err(NoLease);", NODES_ALONE,
                                 "a_node_does_not_join_a_database_that_is_older_than_what_it_has_seen"),
    "older_database_at_the_start": (EPOCH_ACTS, "if state.position < Position(position) {", "if false && state.position < Position(position) {",
                                    BACKUPS, "a_database_file_that_is_put_back_alone_begins_a_new_epoch"),
    "state_not_written": (EPOCH_ACTS, "let write = move || file.write(&state.created, state.position.0);",
                          "let write = move || { let _ = (&file, &state); Ok::<(), std::io::Error>(()) };", BACKUPS,
                          "a_folder_that_is_copied_back_begins_a_new_epoch"),
    "state_file_of_any_birth": (f"{LIBRARY}/src/state_file.rs", "written != found", "false && written != found", STATE_FILE,
                                "every_copy_of_a_state_file_is_noticed_whatever_its_inode_is"),
    "checksum_unchecked": (f"{LIBRARY}/src/backup/file.rs", "if hex(&digest.finalize()) != expected {",
                           "if false && hex(&digest.finalize()) != expected {", BACKUP_FILE,
                           "a_backup_with_any_byte_changed_or_cut_off_is_refused"),
    "restore_under_a_server": (f"{LIBRARY}/src/store/sqlite_files.rs", "let lock = fcntl_getlk(&index, &whole)?;",
                               "let lock = fcntl_getlk(&index, &whole)?.filter(|_| false);", BACKUPS,
                               "a_restore_is_refused_while_a_server_runs"),
    "restore_without_an_epoch": (f"{LIBRARY}/src/backup/restore.rs",
                                 "services.begin_epoch(&Context::operator(), EpochReason::Restored, EpochStart::Beyond(seen)).await",
                                 "services.begin_epoch(&Context::operator(), EpochReason::Restored, EpochStart::IfBefore(Position(seen.0.min(0)))).await",
                                 BACKUPS, "a_restored_backup_leaves_no_session_signed_in"),
    "dump_without_a_table": (f"{SERVER}/backup.rs", "if !missing.is_empty() {", "if false && !missing.is_empty() {", BACKUPS,
                             "postgres_alone::a_backup_of_postgres_is_left_to_pg_dump_and_checked"),
    # Administration: for members of its group, with a fresh session, under the name of the operator, and never without administrators.
    "administration_for_everybody": (f"{WEB}/access.rs", "session.user.is_in(group)", "session.user.is_in(group) || true", ADMIN_PAGES,
                                     "administration_looks_like_no_page_to_all_but_administrators"),
    "administration_shown_by_its_methods": (f"{WEB}/routes.rs", "if access.group.is_some() && !hidden.contains(path) {",
                                            "if false && access.group.is_some() && !hidden.contains(path) {", ADMIN_PAGES,
                                            "administration_looks_like_no_page_to_all_but_administrators"),
    "administration_shown_by_its_slash": (f"{WEB}/routes.rs", "..access\n        };", "group: None,\n            ..access\n        };", ADMIN_PAGES,
                                          "administration_looks_like_no_page_to_all_but_administrators"),
    "administration_though_turned_off": (f"{WEB}/routes.rs", "site.services.config.admin.then(|| administration(site))",
                                         "Some(administration(site))", ADMIN_PAGES,
                                         "administration_looks_like_no_page_to_all_but_administrators"),
    "administration_without_a_fresh_session": (f"{WEB}/access.rs", "(!is_enough).then_some(", "(false && !is_enough).then_some(", ADMIN_PAGES,
                                               "administrators_authenticate_again_before_an_act_and_at_level_1_before_a_look"),
    "acts_with_a_stale_session_of_level_2": (f"{WEB}/access.rs", "Self { level_2_suffices: false, ..Self::ADMIN_PAGE }",
                                             "Self { level_2_suffices: true, ..Self::ADMIN_PAGE }", ADMIN_PAGES,
                                             "administrators_authenticate_again_before_an_act_and_at_level_1_before_a_look"),
    "event_without_its_operator": (f"{LIBRARY}/src/services/events/mod.rs", "operator: context.actor.administrator().map(|id| id.as_uuid()),",
                                   "operator: None,", ADMIN_PAGES, "each_act_of_an_administrator_is_done_and_recorded_under_their_name"),
    "operator_shown_to_the_user": (f"{LIBRARY}/src/model/event.rs", "if self.actor != EventActor::Operator {", "if true {", ADMIN_PAGES,
                                   "users_do_not_learn_the_client_of_an_operator"),
    "deleted_without_the_address": (f"{WEB}/pages/admin/user.rs", "if key(email).is_none() || key(email) != key(&user.email) {",
                                    "if false && key(email) != key(&user.email) {", ADMIN_PAGES,
                                    "each_act_of_an_administrator_is_done_and_recorded_under_their_name"),
    "administrator_locked_out": (ADMIN, "let is_own = context.actor.administrator() == Some(id);", "let is_own = false && context.actor.administrator() == Some(id);",
                                 ADMIN_PAGES, "administrators_do_not_lock_themselves_out"),
    "last_administrator_disabled": (f"{LIBRARY}/src/store/administrators.rs", "member > 0 && others == 0", "false && member > 0 && others == 0", ADMIN_LAWS,
                                    "the_last_administrator_who_can_sign_in_stays"),
    "last_administrator_is_a_disabled_one": (f"{LIBRARY}/src/store/administrators.rs", "user_groups.user_id <> $2 AND users.disabled_at IS NULL",
                                             "user_groups.user_id <> $2", ADMIN_LAWS, "the_last_administrator_who_can_sign_in_stays"),
    "administrators_not_locked": (f"{LIBRARY}/src/store/administrators.rs", "        self.lock_administrators().await?;\n", "", ADMIN_LAWS_ON_POSTGRES,
                                  "of_two_administrators_who_remove_each_other_at_once_one_stays"),
    "users_searched_without_an_index": (f"{LIBRARY}/src/store/user_search.rs", "WHERE email_key > $1 AND email_key < $2 ORDER BY email_key LIMIT $3",
                                        "WHERE email_key || '' > $1 AND email_key < $2 || '' ORDER BY email_key || '' LIMIT $3", ADMIN_LAWS,
                                        "a_search_reads_ranges_of_indexes"),
    "refusals_counted_in_a_later_hour": (f"{LIBRARY}/src/store/event_hours.rs", "from.map_or(time, jiff::Timestamp::as_second)",
                                         "from.map_or(time, |_| time)", EVENTS, "sealing_counts_each_event_in_its_hour_once"),
    # Sign-ins through providers. The published attacks on accounts with several ways in each have one.
    "accounts_merged_by_address": (f"{PROVIDERS}/sign_in.rs", ACCOUNT_EXISTS, MERGES_ACCOUNTS, LINKING,
                                   "an_account_of_a_stranger_is_not_merged_with_the_identity_of_the_owner_of_its_address"),
    "address_opens_an_account": (f"{PROVIDERS}/sign_in.rs", ACCOUNT_EXISTS, MERGES_ACCOUNTS, LINKING,
                                 "an_address_that_a_provider_lets_its_users_choose_opens_no_account"),
    "trojan_identity_kept": (LINK_ACTS, "        self.delete_identities_of(user_id).await?;\n", "", LINKING,
                             "an_identity_that_a_stranger_has_connected_before_is_gone_once_the_owner_confirms_the_address"),
    "unexpired_email_change": (LINK_ACTS, "            tx.delete_all_tokens_of(user_id).await?;\n            tx.delete_factors", "            tx.delete_factors", LINKING,
                               "a_change_of_the_address_that_a_stranger_has_begun_ends_with_the_reset_of_the_owner"),
    "p521_unverified": (f"{CORE}/src/federation/key_set.rs", "key.and_then(|key| key.verify(message, &signature?)).is_ok()",
                        "key.is_ok() && signature.is_ok()", ID_TOKENS,
                        "tokens_of_another_implementation_verify_and_forged_ones_are_refused"),
    "every_provider_is_trusted": (f"{PROVIDERS}/provider.rs", "email_verified: verified && is_trusted,\n            name,\n            authenticated_at: token.auth_time,",
                                  "email_verified: verified,\n            name,\n            authenticated_at: token.auth_time,", LINKING,
                                  "an_address_counts_as_verified_by_the_word_of_a_trusted_provider_only"),
    "connects_in_another_session": (f"{PROVIDERS}/callback.rs", "session.session_id == of)", "session.session_id == of || true)", ATTEMPTS,
                                    "nobody_connects_an_identity_with_the_account_of_another"),
    "connects_in_a_stale_session": (f"{PROVIDERS}/callback.rs", "Purpose::Connect(_) if !self.is_fresh(session)",
                                    "Purpose::Connect(_) if false && !self.is_fresh(session)", PROVIDER_ACCOUNTS,
                                    "a_session_that_is_not_fresh_neither_connects_nor_disconnects"),
    "attempt_of_any_browser": (f"{PROVIDERS}/attempt.rs", 'format!("attempt\\n{provider}\\n{secret}")', 'format!("attempt\\n{provider}\\n{}", secret.len())',
                               ATTEMPTS, "the_answer_to_another_browser_signs_nobody_in"),
    "answer_of_any_provider": (f"{PROVIDERS}/provider.rs", "if is_right { Ok(()) } else { Err(Refusal::Issuer) }",
                               "if is_right || true { Ok(()) } else { Err(Refusal::Issuer) }", HOSTILE, "the_answer_of_another_provider_is_refused"),
    "logout_of_a_provider_forgotten": (f"{LIBRARY}/src/store/provider_logouts.rs", "            tx.remember_logout(logout).await?;\n", "",
                                       PROVIDER_LOGOUTS, "a_sign_in_that_is_under_way_is_refused_after_its_logout"),
    "last_identity_removed": (f"{LIBRARY}/src/store/identities.rs", "if !tx.has_way_in(user_id, configured).await? {",
                              "if false && !tx.has_way_in(user_id, configured).await? {", PROVIDER_ACCOUNTS, "the_last_way_in_cannot_be_disconnected"),
    "algorithm_taken_from_the_token": (f"{FEDERATION}/jws/mod.rs", "if !algorithms.contains(&algorithm) {", "if false {", ID_TOKENS,
                                       "tokens_of_another_implementation_verify_and_forged_ones_are_refused"),
    "signature_of_an_id_token_not_verified": (f"{FEDERATION}/jws/mod.rs", "if !candidates.any(", "if false && !candidates.any(", ID_TOKENS,
                                              "tokens_of_another_implementation_verify_and_forged_ones_are_refused"),
    "critical_extensions_ignored": (f"{FEDERATION}/jws/mod.rs", 'if header.contains_key("crit") {', "if false {", FEDERATION_RULES,
                                    "jws::tests::a_header_chooses_neither_the_algorithm_nor_the_key"),
    "key_used_for_another_algorithm": (f"{FEDERATION}/key_set.rs", "has_type && self.algorithm.is_none_or(|only| only == algorithm)", "has_type",
                                       ID_TOKENS, "tokens_of_another_implementation_verify_and_forged_ones_are_refused"),
    "published_private_key_trusted": (f"{FEDERATION}/key_set.rs", "jwks().filter(|jwk| !is_private(jwk)).filter_map(Key::parse)",
                                      "jwks().filter_map(Key::parse)", FEDERATION_RULES,
                                      "key_set::tests::a_key_whose_private_part_is_published_is_left_out"),
    "claim_that_stands_twice_taken": (f"{FEDERATION}/json.rs", "if object.insert(name, value).is_some() {", "object.insert(name, value);\n            if false {",
                                      ID_TOKENS, "a_claim_that_stands_twice_is_refused"),
    "issuer_not_checked": (f"{FEDERATION}/issuer.rs", "if !is_expected || issuer.is_empty() {", "if issuer.is_empty() {", ID_TOKENS,
                           "an_id_token_of_another_issuer_is_refused"),
    "issuer_with_a_slash": (f"{FEDERATION}/issuer.rs", "Self::Exactly(expected) => issuer == expected,",
                            "Self::Exactly(expected) => issuer.trim_end_matches('/') == expected,", ID_TOKENS,
                            "an_id_token_of_another_issuer_is_refused"),
    "tenant_not_listed": (f"{FEDERATION}/issuer.rs", "is_listed && issuer == template", "issuer == template", ID_TOKENS,
                          "a_user_of_microsoft_comes_from_a_listed_tenant_and_is_identified_by_the_object_id"),
    "issuer_of_another_tenant": (f"{FEDERATION}/issuer.rs", "is_listed && issuer == template.replace(TENANT, tenant)", "is_listed", ID_TOKENS,
                                 "a_user_of_microsoft_comes_from_a_listed_tenant_and_is_identified_by_the_object_id"),
    "audience_not_checked": (ID_TOKEN, " && audiences(claims)?.contains(&client_id);", ";", ID_TOKENS, "an_id_token_for_another_client_is_refused"),
    "authorized_party_not_checked": (ID_TOKEN, "Some(party) => party == client_id,", "Some(_) => true,", ID_TOKENS,
                                     "a_token_for_several_clients_says_that_it_was_issued_to_this_one"),
    "nonce_not_checked": (ID_TOKEN, " && bool::from(nonce.as_bytes().ct_eq(expected.as_bytes()));", ";", ID_TOKENS,
                          "an_id_token_of_another_attempt_is_refused"),
    "expiry_of_an_id_token_not_checked": (ID_TOKEN, "if now >= expires_at.after(LEEWAY) =>", "if false && now >= expires_at.after(LEEWAY) =>", ID_TOKENS,
                                          "an_id_token_expires"),
    "old_authentication_accepted": (ID_TOKEN, "if at.after(LEEWAY) < since {", "if false {", ID_TOKENS,
                                    "re_authentication_needs_a_new_authentication"),
    "type_of_a_token_not_checked": (ID_TOKEN, '|media_type| media_type.eq_ignore_ascii_case("JWT")', "|_| true", ID_TOKENS,
                                    "neither_an_id_token_nor_a_logout_token_passes_for_the_other"),
    "logout_token_taken_as_an_id_token": (ID_TOKEN, 'if claims.get("events").is_some_and(', 'if false && claims.get("events").is_some_and(', ID_TOKENS,
                                          "neither_an_id_token_nor_a_logout_token_passes_for_the_other"),
    "id_token_taken_as_a_logout_token": (f"{FEDERATION}/logout_token.rs", "if !event.is_some_and(serde_json::Value::is_object) {", "if false {", ID_TOKENS,
                                         "neither_an_id_token_nor_a_logout_token_passes_for_the_other"),
    "nonce_in_a_logout_token": (f"{FEDERATION}/logout_token.rs", 'if claims.contains_key("nonce") {', "if false {", ID_TOKENS,
                                "a_logout_token_is_verified_as_an_id_token_is"),
    "email_verified_as_text": (f"{FEDERATION}/claims.rs", 'text_counts && text == "true"', 'text == "true"', FEDERATION_RULES,
                               "claims::tests::an_address_is_verified_only_by_the_value_true"),
    "userinfo_of_another_user": (f"{FEDERATION}/claims.rs", "if claims.subject() == Some(subject) {", "if claims.subject().is_some() {", FEDERATION_RULES,
                                 "claims::tests::a_userinfo_response_is_about_the_user_of_the_id_token"),
    "metadata_of_another_issuer": (f"{FEDERATION}/metadata.rs", "if found != Some(issuer) {", "if found.is_none() {", FEDERATION_RULES,
                                   "metadata::tests::a_document_of_another_issuer_is_refused"),
    "endpoint_without_tls": (f"{FEDERATION}/metadata.rs", '.filter(|url| url.scheme() == "https" || is_plain_allowed)', "", FEDERATION_RULES,
                             "metadata::tests::an_endpoint_is_an_https_url"),
    "path_in_the_name_of_a_span": (f"{WEB}/endpoint.rs", "request.method(), route.as_deref(), headers)",
                                   "request.method(), route.as_ref().map(|_| request.uri().path()), headers)", TRACES,
                                   "sqlite::no_secret_and_no_user_is_in_a_trace"),
    "trace_of_a_stranger_goes_on": (f"{WEB}/endpoint.rs", "comes_through_a_trusted_proxy(site, request).then(|| request.headers())",
                                    "Some(request.headers()).filter(|_| comes_through_a_trusted_proxy(site, request) || true)", TRACES,
                                    "a_trace_of_a_client_goes_on_only_behind_a_trusted_proxy"),
    "own_methods_in_the_name_of_a_span": (f"{LIBRARY}/src/trace.rs", "KNOWN.into_iter().find(|known| method.as_str() == *known)",
                                          "KNOWN.into_iter().find(|known| method.as_str() == *known).or(Some(&*method.to_string().leak()))", TRACES,
                                          "sqlite::no_secret_and_no_user_is_in_a_trace"),
    "trace_of_a_stranger_at_the_app": (f"{SERVER}/traces.rs", "self.0.inject_context(&span.context(), &mut HeaderInjector(headers));",
                                       "let _ = (span, HeaderInjector(headers));", TRACES, "an_app_gets_the_trace_of_its_request"),
    "log_lines_in_traces": (f"{SERVER}/traces.rs", ".with_filter(Targets::new().with_target(TRACE_TARGET, LevelFilter::TRACE))",
                            ".with_filter(LevelFilter::TRACE)", TRACES, "sqlite::no_secret_and_no_user_is_in_a_trace"),
    "spans_wait_without_bound": (f"{SERVER}/traces/export.rs", "if waiting < QUEUE { Some(waiting + 1) } else { None }",
                                 "if waiting < usize::MAX { Some(waiting + 1) } else { None }", TRACES,
                                 "a_collector_that_hangs_costs_spans_and_no_time"),
    "every_failed_export_is_told": (f"{SERVER}/traces/export.rs", "if !self.is_away.swap(true, Ordering::Relaxed) {",
                                    "if !self.is_away.swap(true, Ordering::Relaxed) || true {", TRACES,
                                    "a_collector_that_is_away_changes_no_answer_and_is_told_once"),
    "reads_of_a_node_in_traces": (f"{LIBRARY}/src/store/statement_span.rs", "trace::current().and_then(|_| span(system, text))",
                                  "span(system, text)", TRACES, "sqlite::a_page_of_a_live_session_is_a_span_without_a_statement"),
}


def cargo(test, *more):
    arguments, path = test[0]
    command = ["cargo", "test", "--quiet", "--locked", *arguments.split(), *more]
    if not more:
        command += ["--", "--exact", path + test[1]]
    # Debug information is useless here, and takes a tenth of the time to link.
    environment = dict(os.environ, CARGO_TARGET_DIR=str(PLACE / "target"), CARGO_PROFILE_DEV_DEBUG="0")
    return subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True)


def says(run, outcome):
    return f"test result: {outcome}" in run.stdout and "running 1 test\n" in run.stdout


def copy_tree():
    """Copies the working tree to a separate folder, so that no mutant appears in the tree itself."""
    shutil.rmtree(TREE, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout
    for file in filter(None, files.split("\0")):
        (TREE / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, TREE / file)


def fault_of_text(text, file, old):
    count = text.count(old)
    return None if count == 1 else f"the text to mutate is in {file} {count} times"


def check_texts():
    """Exits with an error if the code has changed where a mutant changes it, or if a test is gone."""
    tests = "".join(file.read_text() for file in sorted((ROOT / "crates").rglob("*.rs")))
    known = set(re.findall(r"\w+", tests))
    faults = []
    for name, (file, old, _, *test) in MUTANTS.items():
        fault = fault_of_text((ROOT / file).read_text(), file, old)
        missing = set(test[1].split("::")) - known
        faults += [f"{name}: {fault}"] if fault else []
        faults += [f"{name}: there is no test {test[1]}"] if missing else []
    if faults:
        sys.exit("\n".join(faults))


def outcome_of(file, old, new, test):
    """Returns what is wrong, or None if the mutant is caught."""
    text = (TREE / file).read_text()
    if fault := fault_of_text(text, file, old):
        return fault
    try:
        (TREE / file).write_text(text.replace(old, new))
        built = cargo(test, "--no-run")
        if built.returncode != 0:
            return "DOES NOT COMPILE\n" + built.stderr[-3000:]
        return None if says(cargo(test), "FAILED") else "SURVIVED"
    finally:
        (TREE / file).write_text(text)


def main():
    if sys.argv[1:] == ["--texts"]:
        check_texts()
        return
    names = sys.argv[1:] or list(MUTANTS)
    copy_tree()
    faults = []
    for name in names:
        file, old, new, *test = MUTANTS[name]
        fault = outcome_of(file, old, new, test)
        print(f"{name}: {fault or 'caught by ' + test[1]}", flush=True)
        faults += [name] if fault else []
    # Each of these tests must pass without a mutant.
    for test in sorted({tuple(MUTANTS[name][3:]) for name in names}):
        if not says(cargo(test), "ok"):
            print(f"{test[1]} fails without a mutant, or no longer exists", flush=True)
            faults.append(test[1])
    if faults:
        sys.exit(f"not caught: {' '.join(faults)}")


if __name__ == "__main__":
    main()
