use std::sync::Arc;

use argon2::{Argon2, Params, PasswordHasher};
use tokio::runtime::Handle;
use weir_client::Client;

use crate::authenticator::Authenticator;
use crate::encoding::to_base64;
use crate::testing::{Request, compile};
use crate::{Auth, Cache, Check, Hidden, Why};

const NOW: u64 = 1_800_000_000;

/// A hash that costs next to nothing.
fn hash(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).expect("costs");
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(password.as_bytes(), b"saltsalt");
    hash.expect("a hash").to_string()
}

fn authenticator(more: &str) -> Arc<Authenticator> {
    let auth = Auth::new(&Handle::current(), Client::default(), |_| {});
    let methods = format!(
        "[{{ basic: {{ users: {{ alice: '{}', bob: {{ password: '{}', scopes: [read], plan: gold }} }}{more} }} }}]",
        hash("wonder:land"),
        hash("builder")
    );
    compile(&auth, &methods, "", false).expect("compiles")
}

fn with(credentials: &str) -> Request {
    let encoded = to_base64(credentials.as_bytes());
    Request::default().field("authorization", format!("Basic {encoded}"))
}

/// Who it is or why not, and whether that had to be asked.
async fn check(
    auth: &Authenticator,
    request: &Request,
    cache: &mut Cache,
    now: u64,
) -> (Result<String, Why>, bool) {
    let mut asked = false;
    let mut check = auth.check(request, cache, now);
    while let Check::Ask(question) = check {
        asked = true;
        check = auth.resume(request, question.answered().await, cache, now);
    }
    let result = match check {
        Check::Pass(pass) => Ok(pass.identity.expect("somebody").subject.to_string()),
        Check::Refuse(refusal) => Err(refusal.why),
        Check::Ask(_) => unreachable!("answered above"),
    };
    (result, asked)
}

#[tokio::test]
async fn passwords_are_looked_at_elsewhere_and_once() {
    let auth = authenticator("");
    let (mut one, mut other) = (Cache::default(), Cache::default());
    for (credentials, expected) in [
        ("alice:wonder:land", Ok("alice")),
        ("bob:builder", Ok("bob")),
        ("alice:builder", Err(Why::Invalid)),
        ("alice:", Err(Why::Invalid)),
        ("Alice:wonder:land", Err(Why::Invalid)),
        ("nobody:wonder:land", Err(Why::Invalid)),
        (":wonder:land", Err(Why::Invalid)),
    ] {
        let request = with(credentials);
        let (seen, asked) = check(&auth, &request, &mut one, NOW).await;
        assert_eq!(
            seen.as_deref().map_err(|why| *why),
            expected,
            "{credentials}"
        );
        assert!(asked, "{credentials}");
        // The same worker, and another.
        for cache in [&mut one, &mut other] {
            let (again, asked) = check(&auth, &request, cache, NOW + 299).await;
            assert_eq!((again, asked), (seen.clone(), false), "{credentials}");
        }
        let (late, asked) = check(&auth, &request, &mut other, NOW + 300).await;
        assert_eq!((late, asked), (seen, true), "{credentials}");
    }
}

#[tokio::test]
async fn nothing_is_kept_if_the_config_says_so() {
    let auth = authenticator(", cache: off");
    let mut cache = Cache::default();
    for _ in 0..3 {
        let (seen, asked) = check(&auth, &with("bob:builder"), &mut cache, NOW).await;
        assert_eq!((seen.as_deref(), asked), (Ok("bob"), true));
    }
    assert!(cache.is_empty());
}

#[tokio::test]
async fn credentials_that_are_none_cost_nothing() {
    let auth = authenticator("");
    let mut cache = Cache::default();
    for (value, expected) in [
        ("Basic YWxpY2U".to_owned(), Why::Malformed),
        ("Basic !!!".to_owned(), Why::Malformed),
        ("Basic YTo==".to_owned(), Why::Malformed),
        ("Basic".to_owned(), Why::Malformed),
        ("Basic ".to_owned(), Why::Malformed),
        (
            format!("Basic {}", to_base64(b"alice:a\nb")),
            Why::Malformed,
        ),
        (format!("Basic {}", "A".repeat(1028)), Why::Malformed),
        ("Bearer YTpi".to_owned(), Why::Missing),
        ("Basically YTpi".to_owned(), Why::Missing),
    ] {
        let request = Request::default().field("authorization", &value);
        let (seen, asked) = check(&auth, &request, &mut cache, NOW).await;
        assert_eq!((seen, asked), (Err(expected), false), "{value}");
    }
    let twice = with("alice:a").field("authorization", "Bearer x");
    assert_eq!(
        check(&auth, &twice, &mut cache, NOW).await.0,
        Err(Why::Malformed)
    );
    // The scheme in any case; no UTF-8 is nobody.
    let latin = Request::default().field(
        "authorization",
        format!("bAsIc {}", to_base64(b"al\xefce:x")),
    );
    assert_eq!(
        check(&auth, &latin, &mut cache, NOW).await,
        (Err(Why::Invalid), true)
    );
}

#[tokio::test]
async fn a_refusal_asks_for_a_password() {
    let auth = authenticator(", realm: Back office");
    let Check::Refuse(refusal) = auth.check(&Request::default(), &mut Cache::default(), NOW) else {
        panic!("nobody is there");
    };
    let fields = String::from_utf8_lossy(&refusal.fields).into_owned();
    assert_eq!(refusal.status, 401);
    assert_eq!(
        fields,
        "www-authenticate: Basic realm=\"Back office\", charset=\"UTF-8\"\r\n"
    );
    assert_eq!(auth.hidden(), [Hidden::Authorization("basic".into())]);
}

#[tokio::test]
async fn a_flood_is_turned_away_and_leaves_nothing_behind() {
    let auth = authenticator("");
    let mut cache = Cache::default();
    let mut questions = Vec::new();
    let mut turned_away = 0;
    for guess in 0..200 {
        match auth.check(&with(&format!("alice:{guess}")), &mut cache, NOW) {
            Check::Ask(question) => questions.push(question),
            Check::Refuse(refusal) => {
                assert_eq!((refusal.status, refusal.why), (503, Why::Overloaded));
                turned_away += 1;
            }
            Check::Pass(_) => panic!("a guess"),
        }
    }
    assert_eq!((questions.len(), turned_away), (32, 168));
    drop(questions);
    // Those who gave up make room without a computation each.
    let request = with("alice:wonder:land");
    loop {
        let (seen, _) = check(&auth, &request, &mut cache, NOW).await;
        match seen {
            Err(Why::Overloaded) => tokio::task::yield_now().await,
            seen => break assert_eq!(seen.as_deref(), Ok("alice")),
        }
    }
}

#[test]
fn configs_that_let_nobody_or_anybody_in() {
    let good = hash("x");
    for (users, problem) in [
        ("{}".to_owned(), "there is no user"),
        ("{ alice: secret }".to_owned(), "not the hash of a password"),
        (
            "{ alice: '$2y$10$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }".to_owned(),
            "hash",
        ),
        (
            format!("{{ 'a:b': '{good}' }}"),
            "cannot be the name of a user",
        ),
        (
            format!("{{ ' a': '{good}' }}"),
            "cannot be the name of a user",
        ),
    ] {
        let seen = compile(
            &Auth::offline(),
            &format!("[{{ basic: {{ users: {users} }} }}]"),
            "",
            false,
        );
        let seen = seen.expect_err("a problem");
        assert!(seen.contains(problem), "{users}: {seen}");
        assert!(!seen.contains("secret"), "{seen}");
    }
}
