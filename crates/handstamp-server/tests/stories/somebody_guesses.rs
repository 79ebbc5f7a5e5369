use crate::house::ADAS_PASSWORD;

crate::stories! {
    async fn and_one_answer_is_given_for_every_wrong_sign_in(house: House) {
        house.ada().await;
        for address in ["disabled@example.com", "without@example.com"] {
            house.visitor().registers("Bob", address, "walnut-trumpet-glacier").await;
        }
        house.execute("UPDATE users SET disabled_at = 1 WHERE email = 'disabled@example.com'").await;
        house.execute("UPDATE users SET password_hash = NULL WHERE email = 'without@example.com'").await;
        let mut answers = Vec::new();
        for (email, password) in [
            ("ada@example.com", "wrong-password"),
            ("nobody@example.com", ADAS_PASSWORD),
            ("disabled@example.com", "walnut-trumpet-glacier"),
            ("without@example.com", "walnut-trumpet-glacier"),
        ] {
            let page = house.visitor().signs_in(email, password).await;
            let mut headers: Vec<_> = page.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            headers.retain(|header| !["date", "x-request-id", "content-length"].iter().any(|varies| header.starts_with(varies)));
            answers.push((page.status, headers, page.body.replace(email, "…")));
        }
        assert_eq!(answers[0].0, 422);
        assert!(answers[0].2.contains("The e-mail address or the password is wrong."));
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(house.events("authn_login_fail").await.len(), 4);
    }
}
