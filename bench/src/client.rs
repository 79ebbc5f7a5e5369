//! A minimal HTTP/1.1 client that sends many requests on one connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest wait for an answer: one that takes longer means a fault.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The host of every request: that of the public URL that each server is given, as in a browser's address bar. A request by
/// another name of this machine takes thousands of instructions more.
pub const HOST: &str = "localhost";

/// A connection that is kept, and opened anew after the server has closed it.
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    sleeps: bool,
}

pub struct Answer {
    pub status: u16,
    head: String,
}

impl Answer {
    /// The cookies that it sets, as a browser sends them back; empty where it sets none.
    pub fn cookies(&self) -> String {
        let cookies: Vec<_> =
            self.headers("set-cookie").map(|cookie| cookie.split(';').next().unwrap_or_default()).collect();
        cookies.join("; ")
    }

    fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(move |(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: Vec::new(), sleeps: true }
    }

    /// A client that polls for its [`answer`](Self::answer) and never sleeps.
    pub fn sleepless(address: SocketAddr) -> Self {
        Self { sleeps: false, ..Self::new(address) }
    }

    /// The bytes of the last answer.
    pub fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// # Errors
    /// When there is no connection, or it ends before the answer does.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request)?;
        loop {
            if let Some(answer) = self.answer()? {
                return Ok(answer);
            }
        }
    }

    /// # Errors
    /// When there is no connection.
    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let sent = self.try_to_send(request);
        if sent.is_err() {
            self.stream = None;
        }
        sent
    }

    /// The answer to the last request, once all of it has come.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub fn answer(&mut self) -> io::Result<Option<Answer>> {
        let answer = self.read();
        let is_last = |answer: &Answer| answer.headers("connection").any(|value| value == "close");
        if answer.as_ref().map_or(true, |answer| answer.as_ref().is_some_and(is_last)) {
            self.stream = None;
        }
        answer
    }

    fn try_to_send(&mut self, request: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(!self.sleeps)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                self.stream.insert(stream)
            }
        };
        stream.write_all(request)
    }

    fn read(&mut self) -> io::Result<Option<Answer>> {
        let mut stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let mut piece = [0; 16 * 1024];
        match stream.read(&mut piece) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                Ok(whole(&self.buffer))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.sleeps => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The answer, once all of it is there.
fn whole(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("the heads of answers are ASCII");
    let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("an answer has a status");
    let answer = Answer { status, head };
    let length: usize =
        answer.headers("content-length").next().map_or(0, |length| length.parse().expect("a length is a number"));
    (bytes.len() >= end + 4 + length).then_some(answer)
}

/// The password of the users that register.
pub const PASSWORD: &str = "plum-octave-harbour";

/// The cookies of a newly registered user, from an address behind a proxy. The name and the address for mails are encoded as in a form.
///
/// # Panics
/// When the registration fails.
pub fn register(address: SocketAddr, from: &str, name: &str, email: &str) -> String {
    let form = format!("name={name}&email={email}&password={PASSWORD}");
    let answer = Client::new(address).ask(&post("/account/register", from, &form)).expect("it answers");
    assert_eq!(answer.status, 303, "registration");
    answer.cookies()
}

/// Reads a page with these cookies, if any.
pub fn get(path: &str, cookies: &str) -> Vec<u8> {
    let cookie = if cookies.is_empty() { String::new() } else { format!("Cookie: {cookies}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n{cookie}\r\n")
        .into()
}

/// Sends JSON as a script of the site does, with cookies, from an address behind a proxy.
pub fn post_json(path: &str, from: &str, cookies: &str, json: &str) -> Vec<u8> {
    send_json("POST", path, from, cookies, json)
}

fn send_json(method: &str, path: &str, from: &str, cookies: &str, json: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nSec-Fetch-Site: same-origin\r\nX-Forwarded-For: {from}\r\n\
         Cookie: {cookies}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    )
    .into()
}

/// Changes the password by the API in a session, from an address behind a proxy.
pub fn change_password(cookies: &str, from: &str, current: &str, new: &str) -> Vec<u8> {
    let text = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let json = format!("{{\"current_password\":\"{}\",\"password\":\"{}\"}}", text(current), text(new));
    send_json("PUT", "/account/api/v1/password", from, cookies, &json)
}

/// Submits a form with cookies, from an address behind a proxy.
pub fn post_with(path: &str, from: &str, cookies: &str, form: &str) -> Vec<u8> {
    let request = String::from_utf8(post(path, from, form)).expect("it is made of text");
    request.replacen("\r\n", &format!("\r\nCookie: {cookies}\r\n"), 1).into()
}

/// Submits a form, from an address behind a proxy.
pub fn post(path: &str, from: &str, form: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Site: same-origin\r\nX-Forwarded-For: {from}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .into()
}
