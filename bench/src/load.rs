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

/// The most connections that send requests at a fixed rate.
const MOST_CONNECTIONS: usize = 64;

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

/// Sends a request so many times a second, whether or not earlier ones are answered. A latency counts from when its request was
/// due: one that waits for a connection, since others are slow, counts in full.
///
/// # Panics
/// As [`load`].
pub fn load_at_rate(address: SocketAddr, a_second: u32, lasting: Duration, request: &[u8]) -> Latencies {
    let begun = Instant::now();
    let dues = (0..).map(|number| begun + Duration::from_secs(1) * number / a_second);
    let mut dues = dues.take_while(|due| *due < begun + lasting).peekable();
    let mut idle: Vec<_> = (0..MOST_CONNECTIONS).map(|_| Client::sleepless(address)).collect();
    let (mut asked, mut latencies): (Vec<(Client, Instant)>, _) = (Vec::new(), Vec::new());
    while dues.peek().is_some() || !asked.is_empty() {
        if let Some(mut client) = idle.pop() {
            match dues.next_if(|due| *due <= Instant::now()) {
                Some(due) => {
                    client.send(request).expect("it takes requests");
                    asked.push((client, due));
                }
                None => idle.push(client),
            }
        }
        let mut place = 0;
        while let Some((client, due)) = asked.get_mut(place) {
            let Some(answer) = client.answer().expect("it answers") else {
                assert!(due.elapsed() < PATIENCE, "it answers");
                place += 1;
                continue;
            };
            assert_eq!(answer.status, 200);
            latencies.push(due.elapsed());
            idle.push(asked.swap_remove(place).0);
        }
    }
    latencies.into_iter().collect()
}

/// The same as [`load`] until this time has passed.
///
/// # Panics
/// As [`load`].
pub fn load_for<'a>(address: SocketAddr, lasting: Duration, mut next: impl FnMut() -> &'a [u8]) -> Latencies {
    let end = Instant::now() + lasting;
    load(address, || (Instant::now() < end).then(&mut next))
}
