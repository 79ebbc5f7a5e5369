//! Clients that send malformed, oversized or slow requests, or disconnect early.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, TestServer};

use crate::startup_and_shutdown::wait_until_it_hashes;
use reqwest::Method;

/// Sends bytes unchanged, and returns the response up to the end of the connection.
fn raw(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that refuses early may close before all was sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection stays open: {error}"),
    }
    String::from_utf8(answer).unwrap()
}

/// The head of a form with chunked transfer encoding.
fn chunked_form(server: &TestServer) -> String {
    let host = server.url.trim_start_matches("http://");
    format!(
        "POST /account/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Transfer-Encoding: chunked\r\n"
    )
}

/// Sends `start`, and then `again` as long as the server accepts it. Returns the response, and how many bytes were sent after
/// `start`.
fn without_end(server: &TestServer, start: &str, again: &[u8]) -> (String, usize) {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(start.as_bytes()).unwrap();
    // Enough to exceed any limit; then the response must come before the end of the request.
    let mut sent = 0;
    while sent <= 80 * 1024 && stream.write_all(again).is_ok() {
        sent += again.len();
    }
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).unwrap_or(0);
    answer.truncate(length);
    while let Ok(more) = stream.write(again) {
        sent += more;
        assert!(sent < 1 << 30, "the server accepts bytes without limit");
    }
    (String::from_utf8(answer).unwrap(), sent)
}

handstamp_testing::stories! {
    async fn a_body_over_64_kib_is_answered_413(server: TestServer) {
        let visitor = server.visitor();
        let page = visitor.submits_raw("/account/login", "a".repeat(64 * 1024 + 1)).await;
        assert!(page.status == 413 && page.shows("longer than any form"), "{} {}", page.status, page.body);
        assert_eq!(visitor.submits_raw("/account/login", "a".repeat(64 * 1024)).await.status, 422);

        let host = server.url.trim_start_matches("http://");
        let mut chunked = format!(
            "POST /account/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        ).into_bytes();
        for _ in 0..20 {
            chunked.extend(format!("2000\r\n{}\r\n", "a".repeat(0x2000)).bytes());
        }
        chunked.extend(b"0\r\n\r\n");
        assert!(raw(&server, &chunked).starts_with("HTTP/1.1 413"));
    }

    async fn an_endless_body_is_refused_in_bounded_memory(server: TestServer) {
        server.ada().await;
        let before = server.resident_kib();
        let host = server.url.trim_start_matches("http://");
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
        let (answer, sent) = without_end(&server, &format!("{}\r\n", chunked_form(&server)), chunk.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        // Bytes in the kernel's buffers of both sides count as sent.
        assert!(sent < 32 << 20, "{sent}");

        let head = format!("POST /account/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        let (answer, sent) = without_end(&server, &format!("{head}Content-Length: 1000000000000\r\n\r\n"), &[b'a'; 4096]);
        assert!(answer.starts_with("HTTP/1.1 413") && sent < 32 << 20, "{sent} {answer}");
        assert!(server.resident_kib() < before + 8 * 1024, "{before} {}", server.resident_kib());
    }

    async fn a_form_of_100_000_fields_is_refused_in_bounded_memory(server: TestServer) {
        let visitor = server.visitor();
        visitor.opens("/").await;
        let before = server.resident_kib();
        for _ in 0..20 {
            let fields = |count| (0..count).map(|i| format!("{i:x}&")).collect::<String>();
            assert_eq!(visitor.submits_raw("/account/login", fields(100_000)).await.status, 413);
            assert_eq!(visitor.submits_raw("/account/login", fields(10_000)).await.status, 400);
            assert_eq!(visitor.submits_raw("/account/login", "&".repeat(64 * 1024)).await.status, 422);
        }
        assert!(server.resident_kib() < before + 8 * 1024, "{before} {}", server.resident_kib());
    }

    async fn headers_of_64_kib_are_refused(server: TestServer) {
        let host = server.url.trim_start_matches("http://");
        let start = format!("GET / HTTP/1.1\r\nHost: {host}\r\n");
        // None of these heads ends, so a server that waited for the end would close the connection without a response.
        for head in [
            format!("{start}Cookie: {}", "a=b; ".repeat(13_200)),
            format!("{start}{}", format!("X-Many: {}\r\n", "a".repeat(990)).repeat(66)),
            format!("GET /?{}", "a=b&".repeat(16_500)),
            "a".repeat(64 * 1024),
        ] {
            let answer = raw(&server, head.as_bytes());
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{:.80} {answer}", head);
            if head.starts_with(&start) {
                assert!(answer.starts_with("HTTP/1.1 431"), "{:.80} {answer}", head);
            }
        }
        let cookie = |count| format!("{start}Cookie: {}\r\nConnection: close\r\n\r\n", "a=b; ".repeat(count));
        assert!(raw(&server, cookie(5000).as_bytes()).starts_with("HTTP/1.1 200"), "25 KB of cookies are not too many");
        assert!(raw(&server, cookie(13_200).as_bytes()).starts_with("HTTP/1.1 431"));
    }

    async fn malformed_chunks_are_answered_400(server: TestServer) {
        let head = format!("{}Connection: close\r\n\r\n", chunked_form(&server));
        // The rest is never sent: a server that waited for it would answer that the form took too long.
        for chunks in [
            "-1\r\n", "+5\r\n", "0x5\r\n", "5 5\r\n", " 5\r\n", "\r\n", "5\nemail\n", "5\r\nemail5\r\n", "5\r\nemail\n",
            "5;a=b\nemail", "10000000000000000\r\nemail", "fffffffffffffffff\r\n", "email=a",
            &format!("5;{}", "a".repeat(20_000)),
            &format!("0\r\nX: {}", "a".repeat(20_000)),
            &format!("0\r\n{}", "X: y\r\n".repeat(200)),
            &"1;aa\r\na\r\n".repeat(10_000),
        ] {
            let answer = raw(&server, format!("{head}{chunks}").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 400"), "{:.80} {answer}", chunks.escape_debug());
        }
        for chunks in ["5\r\nemail\r\n0\r\n\r\n", "00000005;a=\"b\"\r\nemail\r\n0\r\nX: y\r\n\r\n", "5 \r\nemail\r\n0\r\n\r\n"] {
            let answer = raw(&server, format!("{head}{chunks}").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 422"), "{chunks:?} {answer}");
        }
    }

    async fn malformed_forms_are_answered_400(server: TestServer) {
        let visitor = server.visitor();
        let many = (0..101).map(|i| format!("f{i}=x")).collect::<Vec<_>>().join("&");
        for body in ["email=%FF&password=x", "email=a%00%C3&password=x", "email=a&email=b&password=x", "password=x&password=y", "next=/a&next=//b", &many] {
            let page = visitor.submits_raw("/account/login", body.to_owned()).await;
            assert_eq!(page.status, 400, "{body}");
            assert!(page.shows("<h1>"));
        }
        assert_eq!(visitor.submits_raw("/account/register", "name=a&name=b").await.status, 400);
        assert_eq!(visitor.submits_raw("/account/login", "unknown=field&email=ada@example.com&password=x").await.status, 422);
    }

    async fn client_errors_are_pages_for_browsers_and_problem_documents_for_programs(server: TestServer) {
        let visitor = server.visitor();
        let page = visitor.opens("/nowhere").await;
        assert!(page.status == 404 && page.shows("<h1>Page not found</h1>"));
        assert_eq!(visitor.opens("/account/static/handstamp.0000.css").await.status, 404);
        let page = visitor.send(visitor.request(Method::DELETE, "/")).await;
        assert!(page.status == 405 && page.shows("<h1>This cannot be done here</h1>"));
        let page = visitor.send(visitor.request(Method::GET, "/nowhere").header("sec-fetch-mode", "cors")).await;
        assert_eq!((page.status, page.header("content-type")), (404, "application/problem+json"));
    }

    async fn ambiguous_request_framing_is_refused(server: TestServer) {
        let host = server.url.trim_start_matches("http://");
        let head = format!("POST /account/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n");
        for framing in [
            "Content-Length: 5\r\nContent-Length: 6\r\n\r\nemail=",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "Content-Length: +5\r\n\r\nemail",
            "Content-Length : 5\r\n\r\nemail",
            "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        ] {
            let answer = raw(&server, format!("{head}{framing}").as_bytes());
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{framing:?} {answer}");
        }
        for request in [
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
            format!("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\nConnection: close\r\n\r\n", "a".repeat(128 * 1024)),
            format!("TRACE / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        ] {
            let answer = raw(&server, request.as_bytes());
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{:.80} {answer}", request);
        }
    }

    async fn slow_and_idle_connections_time_out(mut server: TestServer) {
        let host = server.url.trim_start_matches("http://").to_owned();
        let post = format!("POST /account/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nemail");
        let cuts: Vec<_> = [String::new(), "GET / HT".to_owned(), format!("GET / HTTP/1.1\r\nHost: {host}\r\n"), format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"), post]
            .into_iter()
            .map(|start| {
                let url = server.url.clone();
                tokio::task::spawn_blocking(move || {
                    let begun = Instant::now();
                    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
                    stream.write_all(start.as_bytes()).unwrap();
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).expect("the connection is cut");
                    (start, begun.elapsed())
                })
            })
            .collect();
        for cut in cuts {
            let (start, after) = cut.await.unwrap();
            assert!(after > Duration::from_secs(8) && after < Duration::from_secs(20), "{start:?} {after:?}");
        }
        assert!(server.is_running());
    }

    async fn a_registration_completes_after_the_client_disconnects(mut server: TestServer) {
        server.set("HANDSTAMP_HASHING__ITERATIONS", "16");
        server.restart_with("HANDSTAMP_HASHING__MEMORY_KIB", "131072");
        let host = server.url.trim_start_matches("http://").to_owned();
        let body = format!("name=Ada&email=ada@example.com&password={ADAS_PASSWORD}");
        let (mut stream, before) = (TcpStream::connect(&host).unwrap(), server.resident_kib());
        write!(stream, "POST /account/register HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        wait_until_it_hashes(&server, before).await;
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
        drop(stream);
        server.wait_for_event("user_created").await;
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    }
}
