use weir_config::Text;

use crate::authenticator::Authenticator;
use crate::testing::{Request, compile};
use crate::{Auth, Cache, Check, Hidden, KeyHash, NewKey, Why};

const NOW: u64 = 1_800_000_000;

fn authenticator(method: &str) -> std::sync::Arc<Authenticator> {
    compile(&Auth::offline(), method, "", false).expect("compiles")
}

fn check(auth: &Authenticator, request: &Request, cache: &mut Cache) -> Result<String, Why> {
    match auth.check(request, cache, NOW) {
        Check::Pass(pass) => Ok(pass.identity.expect("somebody").subject.to_string()),
        Check::Refuse(refusal) => Err(refusal.why),
        Check::Ask(_) => panic!("keys are known at once"),
    }
}

fn hash(key: &str) -> String {
    KeyHash::of(key.as_bytes()).to_text()
}

#[test]
fn keys_come_in_where_the_config_says() {
    let new = NewKey::generate(Some("partner")).expect("a key");
    let key = &new.key;
    let keys = format!(
        "keys: [{{ id: partner, hash: '{}', subject: acme, plan: gold, scopes: [read], metadata: {{ team: x }} }}]",
        hash(key)
    );
    let header = |name: &str| Request::default().field(name, key);
    let bearer = || Request::default().field("authorization", format!("bearer  {key}"));
    let query = || Request::default().query(&format!("a=1&api_key={key}&b=2"));
    let mut cache = Cache::new(16);
    for (places, header_ok, bearer_ok, query_ok, other_ok) in [
        ("", true, false, false, false),
        ("header: X-Token, ", false, false, false, true),
        ("scheme: Bearer, ", false, true, false, false),
        ("query: api_key, ", false, false, true, false),
        (
            "header: x-api-key, scheme: bearer, query: api_key, ",
            true,
            true,
            true,
            false,
        ),
    ] {
        let auth = authenticator(&format!("[{{ api_key: {{ {places}{keys} }} }}]"));
        for (request, good) in [
            (header("x-api-key"), header_ok),
            (bearer(), bearer_ok),
            (query(), query_ok),
            (header("x-token"), other_ok),
        ] {
            // Twice: the second time from the cache.
            for _ in 0..2 {
                let expected = if good {
                    Ok("acme".to_owned())
                } else {
                    Err(Why::Missing)
                };
                assert_eq!(check(&auth, &request, &mut cache), expected, "{places}");
            }
        }
    }
}

#[test]
fn what_is_known_about_a_key_is_known_about_whoever_has_it() {
    let new = NewKey::generate(Some("k-1")).expect("a key");
    let auth = authenticator(&format!(
        "[{{ api_key: {{ headers: {{ x-team: team, x-plan: plan, x-key: key_id }}, keys: [{{ id: k-1, hash: '{}', \
         plan: gold, scopes: [a, b], expires: '2027-01-31', metadata: {{ team: x }} }}] }} }}]",
        hash(&new.key)
    ));
    let request = Request::default().field("x-api-key", &new.key);
    let Check::Pass(pass) = auth.check(&request, &mut Cache::default(), NOW) else {
        panic!("it is good");
    };
    let identity = pass.identity.expect("somebody");
    assert_eq!(
        (&*identity.subject, identity.key_id.as_deref()),
        ("k-1", Some("k-1"))
    );
    assert_eq!(
        (identity.plan.as_deref(), identity.expires),
        (Some("gold"), Some(1_801_353_600))
    );
    assert!(identity.has_scope("a") && identity.has_scope("b") && !identity.has_scope("c"));
    let fields = String::from_utf8_lossy(&identity.fields).into_owned();
    assert_eq!(
        fields,
        "x-auth-subject: k-1\r\nx-auth-method: api_key\r\nx-auth-scopes: a b\r\nx-team: x\r\nx-plan: gold\r\nx-key: k-1\r\n"
    );
    let names: Vec<&str> = auth.identity_fields().collect();
    for name in [
        "x-auth-subject",
        "x-auth-method",
        "x-auth-scopes",
        "x-team",
        "x-plan",
        "x-key",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(auth.hidden(), [Hidden::Field("x-api-key".into())]);
}

#[test]
fn bad_keys_say_why() {
    let good = NewKey::generate(Some("good")).expect("a key").key;
    let late = NewKey::generate(Some("late")).expect("a key").key;
    let off = NewKey::generate(Some("off")).expect("a key").key;
    let unknown = NewKey::generate(Some("good")).expect("a key").key;
    let auth = authenticator(&format!(
        "[{{ api_key: {{ keys: [{{ id: good, hash: '{}' }}, {{ id: late, hash: '{}', expires: '2027-01-15T08:00:00Z' }}, \
         {{ id: off, hash: '{}', disabled: true }}, {{ id: foreign, hash: '{}' }}] }} }}]",
        hash(&good),
        hash(&late),
        hash(&off),
        hash("a key from elsewhere"),
    ));
    let mut cache = Cache::default();
    let long = "x".repeat(513);
    for (key, expected) in [
        (good.as_str(), Ok("good")),
        ("a key from elsewhere", Ok("foreign")),
        (late.as_str(), Err(Why::Expired)),
        (off.as_str(), Err(Why::Expired)),
        (unknown.as_str(), Err(Why::Unknown)),
        (&good[..good.len() - 1], Err(Why::Unknown)),
        (&good.to_lowercase(), Err(Why::Unknown)),
        ("weir_", Err(Why::Unknown)),
        (long.as_str(), Err(Why::Unknown)),
        (&hash(&good), Err(Why::Unknown)),
        ("", Err(Why::Missing)),
        (" ", Err(Why::Missing)),
    ] {
        let request = Request::default().field("x-api-key", key);
        let seen = check(&auth, &request, &mut cache);
        assert_eq!(seen.as_deref().map_err(|why| *why), expected, "{key}");
    }
    let twice = Request::default()
        .field("x-api-key", &good)
        .field("x-api-key", &good);
    assert_eq!(check(&auth, &twice, &mut cache), Err(Why::Malformed));
    // A key ends in the cache, too.
    let request = Request::default().field("x-api-key", &late);
    let before = 1_799_999_999;
    assert!(matches!(
        auth.check(&request, &mut cache, before),
        Check::Pass(_)
    ));
    assert!(matches!(
        auth.check(&request, &mut cache, before + 1),
        Check::Refuse(_)
    ));
}

#[test]
fn the_query_is_decoded() {
    let auth = authenticator(&format!(
        "[{{ api_key: {{ query: key, keys: [{{ id: a, hash: '{}' }}] }} }}]",
        hash("a b/c%")
    ));
    let mut cache = Cache::default();
    for (query, expected) in [
        ("key=a%20b%2Fc%25", Ok("a")),
        ("x&key=a%20b%2fc%25", Ok("a")),
        ("key=a+b/c%25", Err(Why::Unknown)),
        ("key=a%20b/c%", Err(Why::Malformed)),
        ("key=a%2", Err(Why::Malformed)),
        ("key=a%zz", Err(Why::Malformed)),
        ("key=1&key=2", Err(Why::Malformed)),
        ("key=", Err(Why::Missing)),
        ("key", Err(Why::Missing)),
        ("keyx=a", Err(Why::Missing)),
        ("", Err(Why::Missing)),
    ] {
        let seen = check(&auth, &Request::default().query(query), &mut cache);
        assert_eq!(seen.as_deref().map_err(|why| *why), expected, "{query}");
    }
}

#[test]
fn two_keys_are_two_keys() {
    let (a, b) = (hash("a"), hash("b"));
    for (keys, problem) in [
        (
            format!("[{{ id: x, hash: '{a}' }}, {{ id: x, hash: '{b}' }}]"),
            "the same id",
        ),
        (
            format!("[{{ id: x, hash: '{a}' }}, {{ id: y, hash: '{a}' }}]"),
            "the same hash",
        ),
        (
            "[{ id: x, hash: 'sha256:00' }]".to_owned(),
            "64 hexadecimal digits",
        ),
        ("[{ id: x }]".to_owned(), "`hash` is missing"),
        ("keys.yaml".to_owned(), "`file:` with the path"),
        ("'file:'".to_owned(), "`file:` with the path"),
        (
            "'file:/nonexistent/keys.yaml'".to_owned(),
            "/nonexistent/keys.yaml",
        ),
    ] {
        let seen = compile(
            &Auth::offline(),
            &format!("[{{ api_key: {{ keys: {keys} }} }}]"),
            "",
            false,
        );
        let seen = seen.expect_err("a problem");
        assert!(seen.contains(problem), "{keys}: {seen}");
    }
}
