//! A load generator: connections that send requests without a pause.
//!
//! One thread serves all of them, and polls instead of sleeping. When a client sleeps until an answer comes, the kernel wakes it
//! in the time of the server that sends the answer, from one core to another. That was 4 of the 12 µs that bare axum took, and
//! more the longer the clients slept, which they did whenever a server was slower. Real clients sleep on machines of their own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Client, PATIENCE};
use crate::figures::Latencies;

/// The number of connections, each of which sends a request as soon as the last one is answered: enough that the server never
/// waits.
pub const CONNECTIONS: usize = 8;

/// Sends requests until there are no more, and gives how long each answer took.
///
/// # Panics
/// When an answer is not 200, or none.
pub fn load<'a>(address: SocketAddr, mut next: impl FnMut() -> Option<&'a [u8]>) -> Latencies {
    let mut latencies = Vec::new();
    let mut ask = |client: &mut Client| {
        let request = next()?;
        let begun = Instant::now();
        client.send(request).expect("it takes requests");
        Some(begun)
    };
    let mut asked: Vec<(Client, Instant)> = (0..CONNECTIONS)
        .map_while(|_| {
            let mut client = Client::sleepless(address);
            let begun = ask(&mut client)?;
            Some((client, begun))
        })
        .collect();
    while !asked.is_empty() {
        asked.retain_mut(|(client, begun)| {
            let Some(answer) = client.answer().expect("it answers") else {
                assert!(begun.elapsed() < PATIENCE, "it answers");
                return true;
            };
            assert_eq!(answer.status, 200);
            latencies.push(begun.elapsed());
            ask(client).map(|now| *begun = now).is_some()
        });
    }
    latencies.into_iter().collect()
}

/// The same until this time has passed.
///
/// # Panics
/// As [`load`].
pub fn load_for<'a>(address: SocketAddr, lasting: Duration, mut next: impl FnMut() -> &'a [u8]) -> Latencies {
    let end = Instant::now() + lasting;
    load(address, || (Instant::now() < end).then(&mut next))
}
