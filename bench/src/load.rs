//! Connections that ask without a pause.
//!
//! One thread looks after all of them, and looks again and again instead of sleeping. Whoever sleeps until an answer comes is
//! woken by the kernel in the name of the server that sends it, from one core to another: that was 4 of the 12 µs that bare axum
//! took, and more the longer the clients slept, which is whenever a server was slower than them. Clients in earnest sleep on
//! machines of their own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Client, PATIENCE};
use crate::figures::Latencies;

/// Connections at once, each of which asks again as soon as it is answered. So many are enough that the server never waits.
pub const CONNECTIONS: usize = 8;

/// Asks until there is nothing more to ask, and tells how long each answer took.
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

/// The same for so long.
///
/// # Panics
/// As [`load`].
pub fn load_for<'a>(address: SocketAddr, lasting: Duration, mut next: impl FnMut() -> &'a [u8]) -> Latencies {
    let end = Instant::now() + lasting;
    load(address, || (Instant::now() < end).then(&mut next))
}
