//! An upgrade of two nodes, one after the other, from the version before the newest migration.

use std::path::PathBuf;

use handstamp_testing::{ADAS_PASSWORD, TestServer};

use super::load_balancer::LoadBalancer;

/// The program of the version before, which `script/test-upgrade` builds.
fn former_binary() -> PathBuf {
    std::env::var_os("HANDSTAMP_FORMER_BINARY").expect("HANDSTAMP_FORMER_BINARY is set: see script/test-upgrade").into()
}

async fn upgrades(mut first: TestServer) {
    first.use_binary(Some(former_binary()));
    // Neither the database nor the data folder has anything of this version.
    assert!(first.stop().success());
    std::fs::remove_dir_all(first.folder().join("data")).unwrap();
    first.start();
    let mut second = first.start_node();
    first.ada().await;
    let users = [first.visitor(), first.visitor(), first.visitor()];
    for user in &users {
        assert_eq!(user.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    }
    let balancer = LoadBalancer::of(&[&first, &second]);
    let requests = users.map(|user| balancer.sends(user));
    first.use_binary(None);
    balancer.restarts(&mut first).await;
    for (here, there) in [(&first, &second), (&second, &first)] {
        let user = here.visitor();
        assert_eq!(user.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        assert!(user.at(&there.url).is_signed_in().await);
        let copy = user.copy();
        assert_eq!(user.signs_out().await.status, 303);
        assert!(!copy.at(&there.url).is_signed_in().await, "the versions end the sessions of one another");
    }
    second.use_binary(None);
    balancer.restarts(&mut second).await;
    balancer.stop();
    for user in requests {
        assert!(user.await.unwrap().at(&second.url).is_signed_in().await);
    }
    assert!(balancer.requests() >= 40);

    assert!(second.stop().success());
    second.use_binary(Some(former_binary()));
    let refused = second.serve_command().output().unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && error.contains("newer version of Handstamp"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs the program of the version before: script/test-upgrade"]
async fn two_nodes_are_upgraded_on_sqlite_without_a_failed_request() {
    upgrades(TestServer::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs the program of the version before: script/test-upgrade"]
async fn two_nodes_are_upgraded_on_postgres_without_a_failed_request() {
    let server = TestServer::on_postgres();
    let empty = handstamp_testing::Postgres::shared().new_database();
    let mut first = server.new_node();
    first.set("HANDSTAMP_DATABASE_URL", &empty);
    upgrades(first).await;
}
