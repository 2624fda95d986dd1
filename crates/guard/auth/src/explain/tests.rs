use serde_json::json;
use weir_config::Text;

use super::*;
use crate::jwt::Algorithm;
use crate::testing::{Request, Signer, compile};
use crate::{Auth, KeyHash};

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn token(claims: serde_json::Value) -> String {
    let signer = Signer::Secret(SECRET.as_bytes().to_vec());
    let all = crate::testing::with(
        json!({ "sub": "alice", "aud": "api", "exp": NOW + 600, "scope": "read", "role": "staff" }),
        claims,
    );
    signer.token(Algorithm::Hs256, r#"{"alg":"HS256"}"#, &all.to_string())
}

fn authenticator(more: &str, require: &str) -> Arc<Authenticator> {
    let hash = KeyHash::of(b"key").to_text();
    let methods = format!(
        "- api_key: {{ keys: [{{ id: k, hash: '{hash}', scopes: [read, write], metadata: {{ role: admin }} }}] }}\n\
         - jwt: {{ secret: {SECRET}, audience: api }}\n{more}"
    );
    compile(&Auth::offline(), &methods, require, false).expect("compiles")
}

/// What each method says, in a word or two, and the status of the answer.
fn told(auth: &Authenticator, request: &Request) -> (Vec<String>, Option<u16>) {
    let (opinions, outcome) = auth.explain(request, NOW);
    let words = opinions.into_iter().map(|opinion| {
        let said = match opinion.said {
            Said::Nothing => "nothing".to_owned(),
            Said::Good(identity) => format!("good {}", identity.subject),
            Said::Lacks {
                identity,
                scopes,
                claims,
            } => format!("{} lacks {scopes:?} {claims:?}", identity.subject),
            Said::Bad(why) => why.to_owned(),
            Said::Asks => "asks".to_owned(),
            Said::Answers => "answers".to_owned(),
        };
        format!("{}: {said}", opinion.method)
    });
    let status = match outcome {
        Outcome::Passes(_) => Some(200),
        Outcome::Refused(status) => Some(status),
        Outcome::Open => None,
    };
    (words.collect(), status)
}

#[test]
fn each_method_says_what_it_thinks() {
    let auth = authenticator("", "");
    let key = |key: &str| Request::default().field("x-api-key", key);
    for (request, said, status) in [
        (
            Request::default(),
            ["api_key: nothing", "jwt: nothing"],
            401,
        ),
        (key("key"), ["api_key: good k", "jwt: nothing"], 200),
        (
            key("other"),
            ["api_key: nobody has this API key", "jwt: nothing"],
            401,
        ),
        (
            Request::bearer(&token(json!({}))),
            ["api_key: nothing", "jwt: good alice"],
            200,
        ),
        (
            Request::bearer(&token(json!({ "exp": NOW - 600 }))),
            ["api_key: nothing", "jwt: the token has expired"],
            401,
        ),
        (
            Request::bearer(&token(json!({ "aud": "other" }))),
            ["api_key: nothing", "jwt: the token is for somebody else"],
            401,
        ),
        (
            key("wrong").field("x-api-key", "twice"),
            [
                "api_key: the credential is there more than once",
                "jwt: nothing",
            ],
            400,
        ),
        (
            key("other").field("authorization", format!("Bearer {}", token(json!({})))),
            ["api_key: nobody has this API key", "jwt: good alice"],
            200,
        ),
    ] {
        let (words, told) = told(&auth, &request);
        assert_eq!(
            (words.as_slice(), told),
            (&said.map(String::from)[..], Some(status))
        );
    }
}

#[test]
fn what_is_lacking_is_named() {
    let auth = authenticator(
        "",
        "{ scopes: [read, write], claims: { role: [admin, owner] } }",
    );
    let (words, status) = told(&auth, &Request::bearer(&token(json!({}))));
    assert_eq!(
        words[1],
        r#"jwt: alice lacks ["write"] [("role", ["admin", "owner"])]"#
    );
    assert_eq!(status, Some(403));
    let (words, status) = told(&auth, &Request::default().field("x-api-key", "key"));
    assert_eq!((words[0].as_str(), status), ("api_key: good k", Some(200)));
}

#[test]
fn passwords_are_looked_at_and_nobody_is_asked() {
    let hash = crate::hash_password("right").expect("a hash");
    let more = format!(
        "- basic: {{ users: {{ ann: '{hash}' }} }}\n\
         - jwt: {{ jwks: 'https://id.example.com/jwks', audience: api, header: x-token }}\n\
         - introspection: {{ url: 'https://id.example.com/ask', bearer: b }}\n"
    );
    let auth = authenticator(&more, "");
    let basic = |pair: &str| {
        let coded = match pair {
            "ann:right" => "YW5uOnJpZ2h0",
            _ => "YW5uOndyb25n",
        };
        Request::default().field("authorization", format!("Basic {coded}"))
    };
    let (words, status) = told(&auth, &basic("ann:right"));
    assert_eq!((words[2].as_str(), status), ("basic: good ann", Some(200)));
    let (words, status) = told(&auth, &basic("ann:wrong"));
    assert_eq!(
        (words[2].as_str(), status),
        ("basic: the name or the password is wrong", Some(401))
    );
    // By keys that are fetched by those who serve.
    let key = Signer::new(Algorithm::EdDsa);
    let claims = json!({ "sub": "alice", "aud": "api", "exp": NOW + 600 });
    let token = key.token(Algorithm::EdDsa, r#"{"alg":"EdDSA"}"#, &claims.to_string());
    let (words, status) = told(&auth, &Request::default().field("x-token", &token));
    assert_eq!((words[3].as_str(), status), ("jwt: asks", None));
    let (words, status) = told(&auth, &Request::bearer("opaque"));
    assert_eq!((words[4].as_str(), status), ("introspection: asks", None));
}
