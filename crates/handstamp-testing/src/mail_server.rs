//! Mail servers for tests: one by aiosmtpd that behaves as badly as needed, and Postfix.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::start_in_python;
use crate::{Program, TempFolder, free_address};

/// A running mail server, by aiosmtpd. `mail_server.py` has the behaviours: `accept`, `refuse`, `hang` and so on.
///
/// Dropping it kills the process.
#[derive(Debug)]
pub struct MailServer {
    folder: TempFolder,
    program: Option<Program>,
    port: u16,
}

/// A mail that a [`MailServer`] has received.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    /// The sender of the envelope.
    pub sender: String,
    /// The recipient of the envelope.
    pub recipient: String,
    /// The message as it was sent, with all headers.
    pub message: String,
}

impl MailServer {
    /// Starts a server with this behaviour. It knows neither TLS nor users.
    pub fn start(behaviour: &str) -> Self {
        Self::start_with(behaviour, &[])
    }

    /// Starts a server with this behaviour and further arguments of `mail_server.py`, such as `--tls starttls`.
    ///
    /// # Panics
    /// If it cannot be started, as where `script/test` has not installed aiosmtpd.
    pub fn start_with(behaviour: &str, arguments: &[&str]) -> Self {
        let folder = TempFolder::new();
        if arguments.contains(&"--tls") {
            make_certificates(folder.path());
        }
        let mut server = Self { folder, program: None, port: 0 };
        server.start_again(behaviour, arguments);
        server
    }

    /// Starts the server again, on the same port, with another behaviour.
    pub fn start_again(&mut self, behaviour: &str, arguments: &[&str]) {
        self.stop();
        let arguments = [&[behaviour], arguments].concat();
        let (program, port) = start_in_python("mail_server.py", self.folder.path(), &arguments, self.port);
        (self.program, self.port) = (Some(program), port);
    }

    /// Kills the server. Its port stays the same for [`start_again`](Self::start_again).
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server for the setting `mail.url`.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The certificate of the authority that signed the server's, which is for `localhost`, `127.0.0.1` and `0.0.0.0`.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// All mails that the server has accepted, in no order.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        let folder = std::fs::read_dir(self.folder.path().join("mails")).unwrap();
        let files =
            folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|of| of == "eml"));
        let received = files.map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let mut parts = text.splitn(3, '\n').map(str::to_owned);
            let mut next = || parts.next().unwrap();
            ReceivedMail { sender: next(), recipient: next(), message: next() }
        });
        received.collect()
    }

    /// The lines that clients have sent, without the contents of mails.
    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("lines")).unwrap_or_default();
        text.lines().filter_map(|line| Some(line.split_once(" >> b'")?.1.trim_end_matches('\'').to_owned())).collect()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        let text = std::fs::read_to_string(self.folder.path().join("lines")).unwrap_or_default();
        text.lines().filter(|line| line.ends_with(" handling connection")).count()
    }

    /// Blocks until the server has accepted so many mails, and returns them.
    ///
    /// # Panics
    /// If there are fewer after twenty seconds.
    pub fn wait_for_mails(&self, count: usize) -> Vec<ReceivedMail> {
        wait_until(|| self.mails().len() >= count);
        self.mails()
    }
}

impl ReceivedMail {
    /// The value of a header, which must be on one line.
    ///
    /// # Panics
    /// If there is no such header.
    pub fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        let line = self.message.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("there is no {name} in {}", self.message))
    }
}

/// Blocks until something is so, for twenty seconds at most.
fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes an authority and a certificate of a server that it signs.
pub(crate) fn make_certificates(folder: &Path) {
    const SCRIPT: &str = "\
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=An authority for tests' \
            -keyout ca.key -out ca.pem &&
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=mail.test \
            -keyout server.key -out server.csr &&
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:0.0.0.0' > names &&
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem";
    let made = Command::new("sh").args(["-c", SCRIPT]).current_dir(folder).stderr(Stdio::null()).status().unwrap();
    assert!(made.success(), "openssl cannot make certificates");
}

/// A running Postfix in a folder of its own, for the mailbox `ada@example.com`. It answers 450 for `later@example.com`, and 550 for
/// every other address there.
///
/// Dropping it stops Postfix. It also stops when the test ends otherwise.
#[derive(Debug)]
pub struct Postfix {
    folder: TempFolder,
    address: String,
    keeper: Child,
}

impl Postfix {
    /// Starts Postfix with further settings for `main.cf`; none where it is not started by root, who alone can start it.
    ///
    /// # Panics
    /// If it cannot be started, as where it is not installed.
    pub fn start(settings: &str) -> Option<Self> {
        let id = |arguments: &[&str]| {
            let output = Command::new("id").args(arguments).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<u32>()
        };
        if id(&["-u"]) != Ok(0) {
            return None;
        }
        let of_postfix = |flag| id(&[flag, "postfix"]).expect("Postfix is missing: apt-get install postfix");
        let (folder, address) = (TempFolder::new(), free_address());
        let (user, group) = (of_postfix("-u"), of_postfix("-g"));
        for name in ["etc", "spool", "data", "mail"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            if ["data", "mail"].contains(&name) {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let path = folder.path().display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {path}/spool\ndata_directory = {path}/data\n\
             maillog_file = {path}/log\nmaillog_file_prefixes = {path}\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mail.test\nmydestination =\nalias_maps =\n\
             virtual_mailbox_domains = example.com\nvirtual_mailbox_base = {path}/mail\n\
             virtual_mailbox_maps = inline:{{ {{ ada@example.com = ada/ }} }}\n\
             virtual_uid_maps = static:{user}\nvirtual_gid_maps = static:{group}\nvirtual_minimum_uid = 1\n\
             smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ later@example.com = 450 4.2.0 try later }} }}, \
             reject_unauth_destination\n{settings}\n"
        );
        let master = format!(
            "{address} inet n - n - - smtpd\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
             rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
             trace unix - - n - 0 bounce\nproxymap unix - - n - - proxymap\nerror unix - - n - - error\n\
             virtual unix - n n - - virtual\nanvil unix - - n - 1 anvil\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
             postlog unix-dgram n - n - 1 postlogd\n"
        );
        std::fs::write(folder.path().join("etc/main.cf"), main).unwrap();
        std::fs::write(folder.path().join("etc/master.cf"), master).unwrap();
        // The server detaches itself, so a shell keeps an eye on the test: its input ends with the test.
        const KEEPER: &str = "postfix -c \"$0/etc\" start && echo started; cat > /dev/null; postfix -c \"$0/etc\" stop";
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER]).arg(folder.path()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(
            line.trim(),
            "started",
            "{}",
            std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()
        );
        Some(Self { folder, address, keeper })
    }

    /// The URL of the server for the setting `mail.url`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Waits until the mailbox of `ada@example.com` has so many mails, and returns them.
    ///
    /// # Panics
    /// If it has fewer after twenty seconds.
    pub fn wait_for_mails(&self, count: usize) -> Vec<String> {
        let files = || std::fs::read_dir(self.folder.path().join("mail/ada/new")).into_iter().flatten().flatten();
        wait_until(|| files().count() >= count);
        files().map(|file| std::fs::read_to_string(file.path()).unwrap()).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::{sleep, spawn};

    use super::*;

    #[test]
    fn a_server_that_starts_again_waits_for_its_port() {
        let mut server = MailServer::start("accept");
        let port = server.port();
        server.stop();
        let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let freed = spawn(move || {
            sleep(Duration::from_millis(500));
            drop(taken);
        });
        server.start_again("accept", &[]);
        freed.join().unwrap();
        assert_eq!(server.port(), port);
    }
}
