//! Many registrations and sign-ins at the same time.

use handstamp_testing::{ADAS_PASSWORD, Page};

/// The responses of all these tasks.
async fn all(tasks: Vec<tokio::task::JoinHandle<Page>>) -> Vec<Page> {
    let mut pages = Vec::new();
    for task in tasks {
        pages.push(task.await.unwrap());
    }
    pages
}

handstamp_testing::stories! {
    async fn concurrent_registrations_of_one_address_create_one_account(server: TestServer) {
        let spellings = ["ada@example.com", "ADA@Example.Com", "Ada@EXAMPLE.com", "aDa@eXample.COM"];
        let tasks = (0..100).map(|i| {
            let visitor = server.visitor();
            let address = spellings[i % spellings.len()];
            tokio::spawn(async move { visitor.registers("Ada", address, ADAS_PASSWORD).await })
        });
        let pages = all(tasks.collect()).await;
        // A registration with the password of the account that another has just created signs in to it.
        let count = |status| pages.iter().filter(|page| page.status == status).count();
        let (signed_in, refused) = (count(303), count(422));
        assert!(signed_in >= 1, "one registration creates the account");
        // All wait for the row of one account, and a busy machine may not get to each in time.
        let overloaded = pages.iter().filter(|page| page.status == 503 && page.header("retry-after") == "5").count();
        assert!(overloaded < 20, "{overloaded} of 100");
        let statuses: Vec<_> = pages.iter().map(|page| page.status).collect();
        assert_eq!(signed_in + refused + overloaded, 100, "{statuses:?}");
        assert!(pages.iter().filter(|page| page.status == 422).all(|page| page.error_of("email").is_some()));
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
        // Each of these revokes the sessions that it finds, like the second copy of a form that was sent twice.
        assert!(server.count("SELECT COUNT(*) FROM sessions").await <= i64::try_from(signed_in).unwrap());
    }

    async fn concurrent_registrations_and_sign_ins_all_succeed(server: TestServer) {
        for number in 0..5 {
            server.visitor().registers("Ada", &format!("ada{number}@example.com"), ADAS_PASSWORD).await;
        }
        let tasks = (0..50).map(|i| {
            let visitor = server.visitor();
            tokio::spawn(async move {
                match i % 2 {
                    0 => visitor.registers("Bob", &format!("bob{i}@example.com"), ADAS_PASSWORD).await,
                    _ => visitor.signs_in(&format!("ada{}@example.com", i % 5), ADAS_PASSWORD).await,
                }
            })
        });
        assert!(all(tasks.collect()).await.iter().all(|page| page.status == 303));
    }

    async fn sign_ins_beyond_the_hash_queue_are_answered_503(mut server: TestServer) {
        server.set("HANDSTAMP_HASHING__MEMORY_KIB", "65536");
        server.set("HANDSTAMP_HASHING__CONCURRENCY", "1");
        server.set("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "0");
        server.restart_with("HANDSTAMP_HASHING__QUEUE", "2");
        let ada = server.ada().await;
        let tasks = (0..30).map(|_| {
            let visitor = server.visitor();
            tokio::spawn(async move { visitor.signs_in("ada@example.com", "wrong").await })
        });
        let tasks: Vec<_> = tasks.collect();
        assert!(ada.is_signed_in().await, "a live session is unaffected");
        let pages = all(tasks).await;
        let refused: Vec<_> = pages.iter().filter(|page| page.status == 503).collect();
        assert!(!refused.is_empty() && refused.len() < 30, "{} of 30", refused.len());
        assert!(refused.iter().all(|page| page.header("retry-after") == "5" && page.shows("<h1>We will be right back</h1>")));
        assert!(pages.iter().all(|page| page.status == 503 || page.status == 422));
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    }
}
