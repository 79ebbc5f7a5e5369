//! URLs that users and browsers try on their own, and properties that all pages share.

use handstamp_testing::ADAS_PASSWORD;
use reqwest::Method;

handstamp_testing::stories! {
    async fn a_trailing_slash_redirects_to_the_page(server: TestServer) {
        let ada = server.ada().await;
        for (path, page) in [
            ("/account/", "/account"), ("/account/login/?next=%2Fnotes", "/account/login?next=%2Fnotes"),
            ("/account/sessions/", "/account/sessions"), ("/account/sessions/revoke/", "/account/sessions/revoke"),
        ] {
            for visitor in [&ada, &server.visitor()] {
                let answer = visitor.opens(path).await;
                assert_eq!((answer.status, answer.location()), (308, page));
                assert_eq!(visitor.submits(path, &[]).await.status, 308, "the method stays");
            }
        }
        for path in ["/account//", "/account/nothing/", "/account/login//"] {
            assert_eq!(ada.opens(path).await.status, 404, "{path}");
        }
    }

    async fn favicon_and_robots_txt_are_served(server: TestServer) {
        let visitor = server.visitor();
        let icon = visitor.opens("/favicon.ico").await;
        assert_eq!((icon.status, icon.header("content-type")), (200, "image/x-icon"));
        let robots = visitor.opens("/robots.txt").await;
        assert_eq!((robots.status, robots.header("content-type")), (200, "text/plain; charset=utf-8"));
        let page = visitor.opens("/account/login").await;
        let link = page.body.split("<link rel=\"icon\" type=\"image/svg+xml\" href=\"").nth(1).unwrap();
        let icon = visitor.opens(link.split('"').next().unwrap()).await;
        assert_eq!((icon.status, icon.header("content-type")), (200, "image/svg+xml"));
        assert!(page.header("content-security-policy").contains("img-src 'self';"));
    }

    async fn account_pages_are_not_indexed_by_search_engines(server: TestServer) {
        let ada = server.ada().await;
        for path in ["/account", "/account/sessions", "/account/nothing"] {
            assert_eq!(ada.opens(path).await.header("x-robots-tag"), "noindex", "{path}");
        }
        for path in ["/account/login", "/account/register"] {
            assert_eq!(server.visitor().opens(path).await.header("x-robots-tag"), "noindex", "{path}");
        }
    }

    async fn header_links_keep_the_return_url(server: TestServer) {
        for page in ["/account/login", "/account/register"] {
            let page = server.visitor().opens(&format!("{page}?next=%2Fnotes%3Fa%3Db")).await;
            for link in ["/account/login", "/account/register"] {
                let link = format!("href=\"{link}?next=%2Fnotes%3Fa%3Db\"");
                let header = page.body.split("</header>").next().unwrap();
                assert!(header.contains(&link), "{header}");
            }
        }
        assert!(server.visitor().opens("/").await.shows("href=\"/account/login\""));
    }

    async fn the_email_field_is_the_username_for_password_managers(server: TestServer) {
        // On the sign-in page browsers offer passkeys beside it.
        for (path, names) in [("/account/login", "username webauthn"), ("/account/register", "username")] {
            let page = server.visitor().opens(path).await;
            assert!(page.shows(&format!("name=\"email\" type=\"email\" autocomplete=\"{names}\"")), "{path}");
        }
    }

    async fn error_pages_have_the_usual_navigation(server: TestServer) {
        let ada = server.ada().await;
        let cross_site = |path: &str| ada.request(Method::POST, path).header("sec-fetch-mode", "navigate").header("sec-fetch-site", "cross-site");
        for (status, page) in [
            (404, ada.opens("/nothing").await),
            (404, ada.submits("/account/sessions/revoke", &[("session", "junk")]).await),
            (405, ada.submits("/account", &[]).await),
            (403, ada.send(cross_site("/account/profile")).await),
            (400, ada.submits_raw("/account/profile", "name=%FF").await),
        ] {
            assert_eq!(page.status, status);
            assert!(page.shows("<a href=\"/account\">Account</a>") && page.shows(">Sign out</button>"), "{status}: {}", page.body);
        }
        for _ in 0..10 {
            ada.changes_password("wrong", "walnut-trumpet-glacier").await;
        }
        let page = ada.changes_password(ADAS_PASSWORD, "walnut-trumpet-glacier").await;
        assert!(page.status == 429 && page.shows(">Sign out</button>"), "{}", page.status);
        let anonymous = server.visitor().opens("/nothing").await;
        assert!(anonymous.status == 404 && anonymous.shows(">Sign in</a>") && !anonymous.shows(">Sign out</button>"));
    }
}
