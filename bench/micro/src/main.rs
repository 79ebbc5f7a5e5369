//! Measures how long the parts of a request take by themselves, beside their lower bounds.

use std::sync::OnceLock;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Request, header};
use divan::{Bencher, black_box};
use handstamp::{Config, CurrentUser, Handstamp};
use handstamp_core::{TokenText, cookie};
use micro::{Hasher, MANY, NOW, bare_hmac, claims, key, tokens};
use tokio::runtime::Runtime;
use tower::ServiceExt;

fn main() {
    divan::main();
}

/// The lower bound of the next two: the MAC of as many bytes, with a prepared key.
#[divan::bench(sample_size = MANY)]
fn a_bare_hmac(bencher: Bencher) {
    let key = key();
    bencher.bench_local(|| bare_hmac(&key));
}

#[divan::bench(sample_size = MANY)]
fn opening_a_token(bencher: Bencher) {
    let (tokens, token) = (tokens(), tokens().issue(&claims()));
    let text = token.expose();
    bencher.bench_local(|| tokens.open(black_box(text), black_box(NOW)).is_ok());
}

#[divan::bench(sample_size = MANY)]
fn issuing_a_token(bencher: Bencher) {
    let (tokens, claims) = (tokens(), claims());
    bencher.bench_local(|| -> TokenText { tokens.issue(black_box(&claims)) });
}

/// The session cookie is the last of ten.
#[divan::bench(sample_size = MANY)]
fn finding_a_cookie_among_ten(bencher: Bencher) {
    let others: String = (0..9).map(|number| format!("preference_{number}=0123456789abcdef; ")).collect();
    let line = format!("{others}handstamp_session={}", tokens().issue(&claims()).expose());
    bencher.bench_local(|| {
        cookie::find([black_box(line.as_bytes())], "handstamp_session") == cookie::CookieLookup::Missing
    });
}

/// At the settings of every sign-in: 19 MiB, twice.
#[divan::bench(sample_count = 30)]
fn hashing_a_password(bencher: Bencher) {
    let mut hasher = Hasher::default();
    bencher.bench_local(|| hasher.hash());
}

/// An open Handstamp, and the cookie of a signed-in user.
struct House {
    runtime: Runtime,
    handstamp: Handstamp,
    site: Router,
    cookie: String,
}

fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(|| {
        let runtime = Runtime::new().expect("there are threads");
        let folder = std::env::temp_dir().join(format!("handstamp-micro-{}", std::process::id()));
        let config = Config::in_folder(&folder, "http://localhost").expect("the folder can be made");
        let handstamp = runtime.block_on(Handstamp::open(config)).expect("the folder is empty");
        let site = handstamp.standalone_router();
        let form = "name=Ada+Lovelace&email=ada%40example.com&password=plum-octave-harbour";
        let request = Request::post("/account/register")
            .header(header::HOST, "localhost")
            .header(header::ORIGIN, "http://localhost")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .expect("it is a request");
        let answer = runtime.block_on(site.clone().oneshot(request)).expect("a router does not fail");
        let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("cookies are ASCII").split(';').next();
        let cookie = cookie.expect("there is one").to_owned();
        // Open files stay usable.
        let _ = std::fs::remove_dir_all(&folder);
        House { runtime, handstamp, site, cookie }
    })
}

fn parts(house: &House) -> Parts {
    let request = Request::get("/").header(header::HOST, "localhost").header(header::COOKIE, &house.cookie);
    request.body(()).expect("it is a request").into_parts().0
}

/// The cookie, the token, and its session in the cache, without a database statement; on one thread and on two.
#[divan::bench(threads = [1, 2])]
fn finding_out_who_asks(bencher: Bencher) {
    let house = house();
    bencher.with_inputs(|| parts(house)).bench_refs(|parts| {
        let user = CurrentUser::from_request_parts(parts, &house.handstamp);
        house.runtime.block_on(user).is_ok()
    });
}

/// The whole request without the network.
#[divan::bench]
fn the_account_page(bencher: Bencher) {
    let house = house();
    let request = || {
        let request = Request::get("/account").header(header::HOST, "localhost").header(header::COOKIE, &house.cookie);
        request.body(Body::empty()).expect("it is a request")
    };
    bencher.with_inputs(request).bench_values(|request| {
        house.runtime.block_on(async {
            let answer = house.site.clone().oneshot(request).await.expect("a router does not fail");
            assert_eq!(answer.status(), 200);
            to_bytes(answer.into_body(), usize::MAX).await.expect("it is all there")
        })
    });
}
