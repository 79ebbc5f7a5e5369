//! A generator of random HTTP requests, valid and malformed.

use handstamp_testing::{ADAS_PASSWORD, SeededRng};

const PAGES: [&str; 13] = [
    "/",
    "/account",
    "/account/login",
    "/account/login?next=%2Faccount%2Fsessions",
    "/account/register?next=//evil.example",
    "/account/sessions",
    "/account/profile",
    "/account/password?changed",
    "/account/logout",
    "/account/sessions/revoke",
    "/account/static/handstamp.0000.css",
    "/healthz",
    "/nowhere",
];
const FORMS: [(&str, &[&str]); 8] = [
    ("/account/login", &["email", "password", "remember", "next"]),
    ("/account/login", &["email", "password"]),
    ("/account/register", &["name", "email", "password", "next"]),
    ("/account/profile", &["name"]),
    ("/account/password", &["current_password", "password"]),
    ("/account/sessions/revoke", &["session"]),
    ("/account/sessions/revoke-others", &[]),
    ("/account/logout", &[]),
];
/// Unusual values of form fields, such as an attacker tries.
const ODD_VALUES: [&str; 16] = [
    "",
    "\0",
    " ",
    "%",
    "%2525",
    "a@b",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "\u{202E}\u{200B}\u{FEFF}",
    "x\r\nSet-Cookie: a=b",
    "../../../../etc/passwd",
    "//evil.example",
    "/\\evil.example",
    "ada@\u{17F}ite.com",
    "🎂\u{301}\u{301}\u{301}",
];
const METHODS: [&str; 12] =
    ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "POST ", "G\tET", "\r\nGET", "\u{7f}"];
const TARGETS: [&str; 14] = [
    "*",
    "",
    "//evil.example/account",
    "http://evil.example/",
    "http://[::1",
    "evil.example:443",
    "/%00",
    "/account%2Flogin",
    "/account/../account",
    "/account/%2e%2e/",
    "/account/login?next=%FF&next=%00",
    "/?a=b#c",
    "/é",
    "/account/login ?",
];
const VERSIONS: [&str; 7] = ["HTTP/1.0", "HTTP/1.2", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", ""];
const ODD_LINES: [&str; 26] = [
    "Host: evil.example",
    "Host:",
    "Origin: https://evil.example",
    "Origin: null",
    "Sec-Fetch-Site: cross-site",
    "Content-Length: 5",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length: 18446744073709551616",
    "Content-Length : 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Encoding: gzip",
    "Cookie: handstamp_session; handstamp_session=\"\"",
    "Expect: 100-continue",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c",
    "Connection: close, host, content-length",
    "Range: bytes=0-0,-1",
    "If-None-Match: *",
    "Accept: application/json",
    " folded",
    "no colon",
    ": no name",
];
const ODD_CHUNKS: [&str; 12] = [
    "-1\r\n",
    "+5\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "5 \r\nhello\r\n",
    " 5\r\nhello\r\n",
    "5\nhello\n",
    "5\r\nhelloo\r\n",
    "00000000000000000000005\r\nhello\r\n",
    "FFFFFFFFFFFFFFFF\r\nhello\r\n",
    "10000000000000005\r\nhello\r\n",
    "5;a=\"\r\n\"\r\nhello\r\n",
    "\r\n",
];

/// Generates requests like a browser's, and mutates some of them.
pub struct RequestGenerator {
    rng: SeededRng,
    host: String,
    /// A session token, which may stop working when its session ends.
    pub token: String,
}

/// Bytes that are sent on a connection at once.
pub struct Message {
    pub bytes: Vec<u8>,
    /// Whether it is one request with valid framing, which gets exactly one response.
    pub is_whole: bool,
}

struct Request {
    method: String,
    target: String,
    version: String,
    lines: Vec<Vec<u8>>,
    body: Option<Vec<u8>>,
    is_chunked: bool,
}

impl RequestGenerator {
    pub fn new(seed: u64, host: &str, token: String) -> Self {
        Self { rng: SeededRng::new(seed), host: host.to_owned(), token }
    }

    pub fn message(&self) -> Message {
        match self.rng.below(10) {
            // Several pipelined requests.
            0 => {
                let count = 2 + self.size(3);
                let bytes = (0..count).flat_map(|_| self.spell(&self.request())).collect();
                Message { bytes, is_whole: false }
            }
            1..=4 => Message { bytes: self.spell(&self.request()), is_whole: true },
            5..=7 => {
                let mut request = self.request();
                for _ in 0..=self.rng.below(3) {
                    self.strike(&mut request);
                }
                Message { bytes: self.spell(&request), is_whole: false }
            }
            8 => {
                let mut bytes = self.spell(&self.request());
                for _ in 0..=self.rng.below(8) {
                    self.damage(&mut bytes);
                }
                Message { bytes, is_whole: false }
            }
            _ => self.with_odd_chunks(),
        }
    }

    fn size(&self, end: usize) -> usize {
        usize::try_from(self.rng.below(end.max(1) as u64)).unwrap()
    }

    fn one_of(&self, texts: &[&str]) -> String {
        (*self.rng.pick(texts).unwrap()).to_owned()
    }

    /// A request that a browser or a program might send, with any values in its fields.
    fn request(&self) -> Request {
        let mut lines = vec![format!("Host: {}", self.host).into_bytes()];
        if self.rng.happens(700) {
            lines.push(self.cookies());
        }
        if self.rng.happens(700) {
            lines.push(b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nAccept: text/html".to_vec());
        }
        if self.rng.happens(400) {
            return Request {
                method: "GET".into(),
                target: self.one_of(&PAGES),
                version: "HTTP/1.1".into(),
                lines,
                body: None,
                is_chunked: false,
            };
        }
        lines.push(b"Content-Type: application/x-www-form-urlencoded".to_vec());
        let (path, fields) = self.rng.pick(&FORMS).unwrap();
        let is_chunked = self.rng.happens(300);
        let body = Some(self.form(fields));
        Request { method: "POST".into(), target: (*path).into(), version: "HTTP/1.1".into(), lines, body, is_chunked }
    }

    fn cookies(&self) -> Vec<u8> {
        let mut token = self.token.clone().into_bytes();
        match self.rng.below(6) {
            0 => self.damage(&mut token),
            1 => token.extend(b"; handstamp_session=x"),
            2 => token.splice(0..0, *b"\xff\xfe=;;=; theme=").for_each(drop),
            _ => {}
        }
        token.retain(|byte| !matches!(byte, 0..=8 | 10..=31 | 127));
        [b"Cookie: handstamp_session=".as_slice(), &token].concat()
    }

    fn form(&self, fields: &[&str]) -> Vec<u8> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for field in fields {
            form.append_pair(field, &self.value(field));
        }
        let mut body = form.finish().into_bytes();
        match self.rng.below(20) {
            0 => body.extend(b"&%zz=%4&x=%FF%00"),
            1 => body.extend([b"&".as_slice(), &body.clone()].concat()),
            2 => (0..200).for_each(|i| body.extend(format!("&f{i}=x").bytes())),
            3 => body.splice(0..0, *b"&&=&=&").for_each(drop),
            4 => self.damage(&mut body),
            _ => {}
        }
        body
    }

    fn value(&self, field: &str) -> String {
        if self.rng.happens(100) {
            return self.one_of(&ODD_VALUES);
        }
        if self.rng.happens(20) {
            return self.one_of(&["a", "é", "\u{1F382}", "%", "&"]).repeat(self.size(1000));
        }
        match field {
            "email" if self.rng.happens(500) => "ada@example.com".into(),
            "email" => format!("guest{}@example.com", self.rng.below(1_000_000)),
            "password" | "current_password" if self.rng.happens(700) => ADAS_PASSWORD.into(),
            "next" => self.one_of(&["/account/sessions?a=b", "/", "//evil.example", "https://evil.example"]),
            "session" => format!("{:032x}", self.rng.next()),
            _ => self.one_of(&["on", "Ada", "Zoë 🎂", "plum-octave-harbour-2"]),
        }
    }

    /// Mutates a request once; the result may be invalid in any way.
    fn strike(&self, request: &mut Request) {
        match self.rng.below(10) {
            0 => request.method = self.one_of(&METHODS),
            1 => request.target = self.one_of(&TARGETS),
            2 => request.version = self.one_of(&VERSIONS),
            3 => request.lines.push(format!("X-Long: {}", "a".repeat(self.size(70_000))).into_bytes()),
            4 => (0..self.size(200)).for_each(|i| request.lines.push(format!("X-{i}: y").into_bytes())),
            5 => request.lines.push(request.lines[self.size(request.lines.len())].clone()),
            6 => request.lines.truncate(self.size(request.lines.len())),
            7 => request.target = format!("/?{}", "a=b&".repeat(self.size(20_000))),
            8 => request.body = Some(vec![b'a'; 64 * 1024 + self.size(200_000)]),
            _ => {
                let place = self.size(request.lines.len() + 1);
                request.lines.insert(place, self.one_of(&ODD_LINES).into_bytes());
            }
        }
        if request.lines.is_empty() {
            request.lines.push(b"X: y".to_vec());
        }
    }

    /// Mutates some bytes once.
    fn damage(&self, bytes: &mut Vec<u8>) {
        let at = self.size(bytes.len());
        let end = (at + self.size(20)).min(bytes.len());
        match self.rng.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.extend_from_within(at..end),
            3 => bytes
                .splice(at..at, self.one_of(&["\0", "\r", "\n", "\r\n\r\n", "%", "=", ";", ":", " "]).bytes())
                .for_each(drop),
            4 => bytes.splice(at..at, [u8::try_from(self.rng.below(256)).unwrap()]).for_each(drop),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.rng.below(8)),
        }
    }

    fn spell(&self, request: &Request) -> Vec<u8> {
        let mut bytes = format!("{} {} {}\r\n", request.method, request.target, request.version).into_bytes();
        for line in &request.lines {
            bytes.extend([line, b"\r\n".as_slice()].concat());
        }
        match &request.body {
            None => bytes.extend(b"\r\n"),
            Some(body) if request.is_chunked => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                self.spell_chunks(body, &mut bytes);
            }
            Some(body) => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                bytes.extend(body);
            }
        }
        bytes
    }

    fn spell_chunks(&self, mut body: &[u8], bytes: &mut Vec<u8>) {
        while !body.is_empty() {
            let (chunk, rest) = body.split_at(1 + self.size(body.len()));
            let extension = self.one_of(&["", "", ";a", ";a=b", "; a=\"b;c\""]);
            bytes.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
            bytes.extend([chunk, b"\r\n"].concat());
            body = rest;
        }
        bytes.extend(self.one_of(&["0\r\n\r\n", "000\r\n\r\n", "0\r\nX-Trailer: y\r\n\r\n"]).bytes());
    }

    fn with_odd_chunks(&self) -> Message {
        let mut request = self.request();
        request.body = None;
        request.method = "POST".into();
        request.lines.push(b"Transfer-Encoding: chunked".to_vec());
        let mut bytes = self.spell(&request);
        for _ in 0..self.rng.below(3) {
            bytes.extend(b"6\r\nname=A\r\n");
        }
        bytes.extend(self.one_of(&ODD_CHUNKS).bytes());
        bytes.extend(self.spell(&self.request()));
        Message { bytes, is_whole: false }
    }
}
