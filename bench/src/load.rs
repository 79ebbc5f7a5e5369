//! Many connections that ask without a pause.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::figures::Latencies;

/// Connections at once, each of which asks again as soon as it is answered.
pub const CONNECTIONS: usize = 8;

/// Asks until there is nothing more to ask, and tells how long each answer took.
///
/// # Panics
/// When an answer is not 200, or none.
pub fn load<'a>(address: SocketAddr, next: impl Fn() -> Option<&'a [u8]> + Sync) -> Latencies {
    let ask = || {
        let mut client = Client::new(address);
        let mut latencies = Vec::new();
        while let Some(request) = next() {
            let begun = Instant::now();
            let answer = client.ask(request).expect("it answers");
            assert_eq!(answer.status, 200);
            latencies.push(begun.elapsed());
        }
        latencies
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it answers")).collect()
    })
}

/// The same for so long.
///
/// # Panics
/// As [`load`].
pub fn load_for<'a>(address: SocketAddr, lasting: Duration, next: impl Fn() -> &'a [u8] + Sync) -> Latencies {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(lasting);
            over.store(true, Ordering::Relaxed);
        });
        load(address, || (!over.load(Ordering::Relaxed)).then(&next))
    })
}
