//! The contract of the secret keys that nodes know.

use handstamp_core::SecretKeyId;

use super::*;
use crate::model::SigningTimes;

laws! {
    the_keys_of_a_node_are_read_in_its_order
    each_announcement_of_a_node_counts
    a_node_that_has_announced_itself_again_is_not_forgotten
    the_first_and_the_last_time_of_signing_count
    sealed_secrets_are_counted_by_key
}

fn keys(ids: &[&str]) -> Vec<SecretKeyId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

async fn the_keys_of_a_node_are_read_in_its_order(store: &Store) {
    let (first, second) = (unique(), unique());
    store.announce_keys(first, "one", &keys(&["ffffffff", "00000001"]), NOW).await.unwrap();
    store.announce_keys(second, "two", &keys(&["00000001"]), NOW).await.unwrap();
    let nodes = store.key_nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((nodes[0].id, &nodes[0].keys), (first, &keys(&["ffffffff", "00000001"])));
    assert_eq!((nodes[1].beats, nodes[1].seen_at), (1, NOW));
    store.forget_keys_of(first).await.unwrap();
    assert_eq!(store.key_nodes().await.unwrap(), nodes[1..]);
}

async fn each_announcement_of_a_node_counts(store: &Store) {
    let node = unique();
    let later = NOW.after(Duration::from_secs(5));
    store.announce_keys(node, "one", &keys(&["00000001"]), NOW).await.unwrap();
    store.announce_keys(node, "one", &keys(&["00000002"]), later).await.unwrap();
    let nodes = store.key_nodes().await.unwrap();
    assert_eq!((nodes.len(), nodes[0].beats, nodes[0].seen_at), (1, 2, later));
    assert_eq!(nodes[0].keys, keys(&["00000002"]));
}

async fn a_node_that_has_announced_itself_again_is_not_forgotten(store: &Store) {
    let node = unique();
    store.announce_keys(node, "one", &keys(&["00000001"]), NOW).await.unwrap();
    let read = store.key_nodes().await.unwrap();
    store.announce_keys(node, "one", &keys(&["00000001"]), NOW).await.unwrap();
    store.forget_key_node(&read[0]).await.unwrap();
    let again = store.key_nodes().await.unwrap();
    assert_eq!(again.len(), 1);
    store.forget_key_node(&again[0]).await.unwrap();
    assert_eq!(store.key_nodes().await.unwrap(), []);
}

async fn the_first_and_the_last_time_of_signing_count(store: &Store) {
    let (first, both) = (keys(&["00000001"]), keys(&["00000001", "ffffffff"]));
    let at = |seconds| NOW.after(Duration::from_secs(seconds));
    assert_eq!(store.signing_times().await.unwrap(), []);
    store.note_signing(&first, NOW, at(60)).await.unwrap();
    store.note_signing(&both, at(30), at(50)).await.unwrap();
    let times = |key, since, until| SigningTimes { key, since, until };
    let noted = [times(both[0], NOW, at(60)), times(both[1], at(30), at(50))];
    assert_eq!(store.signing_times().await.unwrap(), noted);
    store.note_signing(&first, at(90), at(100)).await.unwrap();
    assert_eq!(store.signing_times().await.unwrap()[0], times(both[0], NOW, at(100)));
}

async fn sealed_secrets_are_counted_by_key(store: &Store) {
    for (address, sealed) in [("ada@example.com", b"1111 ada"), ("bob@example.com", b"2222 bob")] {
        let user = new_user(address);
        store.create_user(&user, None, &[], event()).await.unwrap().value.unwrap();
        store.begin_totp((user.id, unique()), sealed, NOW, NOW).await.unwrap().unwrap();
    }
    assert_eq!(store.count_totp_sealed_by(*b"1111").await.unwrap(), 1);
    assert_eq!(store.count_totp_sealed_by(*b"3333").await.unwrap(), 0);
}
