//! Tokens as attackers make them. The cases are those of Wycheproof's JSON Web Signature and Key suites, with keys of our
//! own, and every confusion of algorithms that has had a CVE.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::encoding::base64url;
use crate::session::to_base64url;
use crate::testing::{Signer, jwks, with};

const NOW: u64 = 1_800_000_000;

/// A key for each algorithm; those of RSA are one.
static SIGNERS: LazyLock<Vec<(Algorithm, Signer)>> = LazyLock::new(|| {
    [
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::EdDsa,
    ]
    .map(|algorithm| (algorithm, Signer::new(algorithm)))
    .into_iter()
    .collect()
});

fn signer(algorithm: Algorithm) -> &'static Signer {
    let wanted = if Algorithm::RSA.contains(&algorithm) {
        Algorithm::Rs256
    } else {
        algorithm
    };
    let found = SIGNERS.iter().find(|(of, _)| *of == wanted);
    &found.expect("a signer").1
}

fn rules() -> Rules {
    Rules {
        issuers: vec!["us".to_owned()],
        audiences: vec!["api".to_owned()],
        typ: None,
        leeway: 60,
        expires: true,
        max_age: None,
    }
}

fn payload() -> String {
    json!({ "iss": "us", "aud": "api", "sub": "alice", "exp": NOW + 600 }).to_string()
}

fn header(algorithm: &str) -> String {
    json!({ "alg": algorithm }).to_string()
}

fn checker(keys: &[Value], algorithms: &[Algorithm]) -> Checker {
    Checker {
        source: Arc::new(KeySource::fixed(KeySet::read(&jwks(keys)).expect("keys"))),
        algorithms: algorithms.to_vec(),
        rules: rules(),
    }
}

fn accepts(checker: &Checker, token: &str) -> bool {
    checker.verify(token.as_bytes(), NOW).is_ok()
}

/// One that knows all keys and allows all algorithms that need no secret.
static EVERYTHING: LazyLock<Checker> = LazyLock::new(|| {
    let keys: Vec<Value> = SIGNERS.iter().map(|(_, signer)| signer.jwk()).collect();
    checker(&keys, &Algorithm::PUBLIC)
});

#[test]
fn every_algorithm_is_verified_by_its_key_and_by_no_other() {
    for algorithm in Algorithm::PUBLIC {
        let token = signer(algorithm).token(algorithm, &header(algorithm.as_str()), &payload());
        assert!(accepts(&EVERYTHING, &token), "{algorithm}");
        let pinned = with(
            signer(algorithm).jwk(),
            json!({ "alg": algorithm.as_str() }),
        );
        assert!(
            accepts(&checker(&[pinned], &[algorithm]), &token),
            "{algorithm}"
        );
        for other in Algorithm::PUBLIC
            .into_iter()
            .filter(|other| *other != algorithm)
        {
            // The config does not allow it.
            let mine = checker(&[signer(algorithm).jwk()], &[other]);
            assert!(!accepts(&mine, &token), "{algorithm} for {other}");
            // The token says another.
            let lie = signer(algorithm).token(algorithm, &header(other.as_str()), &payload());
            assert!(!accepts(&EVERYTHING, &lie), "{algorithm} as {other}");
            // The key is for another.
            if Algorithm::RSA.contains(&algorithm) && Algorithm::RSA.contains(&other) {
                let key = with(signer(other).jwk(), json!({ "alg": other.as_str() }));
                let both = checker(&[key], &Algorithm::PUBLIC);
                assert!(
                    !accepts(&both, &token),
                    "{algorithm} with a key for {other}"
                );
            }
        }
    }
    let token = signer(Algorithm::EdDsa).token(Algorithm::EdDsa, &header("Ed25519"), &payload());
    assert!(accepts(&EVERYTHING, &token), "RFC 9864");
}

#[test]
fn secrets_verify_what_they_are_long_enough_for() {
    let all = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
    for algorithm in all {
        let signer = Signer::new(algorithm);
        let Signer::Secret(secret) = &signer else {
            panic!("a secret");
        };
        let shortest = algorithm.shortest_secret();
        for (length, fits) in [
            (0, false),
            (1, false),
            (shortest - 1, false),
            (shortest, true),
            (64, true),
        ] {
            let key = Key::secret(&secret[..length], &[algorithm]);
            assert_eq!(key.is_some(), fits, "{algorithm} {length}");
        }
        let key = Key::secret(secret, &[algorithm]).expect("a key");
        let checker = Checker {
            source: Arc::new(KeySource::fixed(KeySet::one(key))),
            algorithms: vec![algorithm],
            rules: rules(),
        };
        let token = signer.token(algorithm, &header(algorithm.as_str()), &payload());
        assert!(accepts(&checker, &token), "{algorithm}");
        for other in all.into_iter().filter(|other| *other != algorithm) {
            let lie = signer.token(other, &header(other.as_str()), &payload());
            assert!(!accepts(&checker, &lie), "{algorithm} {other}");
        }
        let cut = &token[..token.len() - 2];
        assert!(!accepts(&checker, cut) && !accepts(&checker, &format!("{token}AA")));
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    // CVE-2015-9235, CVE-2016-10555, CVE-2017-11424, CVE-2022-29217, CVE-2024-33663: the secret is what everybody knows.
    for (algorithm, signer) in SIGNERS.iter() {
        let jwk = signer.jwk();
        let mut guesses = vec![
            jwk.to_string().into_bytes(),
            jwks(std::slice::from_ref(&jwk)),
        ];
        for part in ["n", "x", "y"] {
            if let Some(text) = jwk[part].as_str() {
                guesses.push(text.as_bytes().to_vec());
                guesses.push(base64url(text.as_bytes()).expect("octets"));
            }
        }
        let joined = |parts: [&str; 2]| -> Vec<u8> {
            let part = |name: &str| {
                jwk[name]
                    .as_str()
                    .and_then(|text| base64url(text.as_bytes()))
            };
            [
                vec![4],
                parts
                    .iter()
                    .filter_map(|name| part(name))
                    .flatten()
                    .collect(),
            ]
            .concat()
        };
        guesses.push(joined(["x", "y"]));
        guesses.push(Vec::new());
        let own = checker(&[jwk], &[*algorithm]);
        for guess in guesses {
            for hash in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
                let forger = Signer::Secret(guess.clone());
                let token = forger.token(hash, &header(hash.as_str()), &payload());
                assert!(!accepts(&EVERYTHING, &token) && !accepts(&own, &token));
                // Nor if the config allowed it, which it cannot.
                let all = checker(&[signer.jwk()], &[hash, *algorithm]);
                assert!(!accepts(&all, &token));
            }
        }
    }
}

#[test]
fn none_is_no_algorithm() {
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        "",
        "HS256 ",
        "rs256",
        "RS256\u{0}",
        "ES521",
    ] {
        for signature in ["", "AA", "e30"] {
            let [head, body] = [header(alg), payload()].map(|part| to_base64url(part.as_bytes()));
            let token = format!("{head}.{body}.{signature}");
            assert!(!accepts(&EVERYTHING, &token), "{alg:?} {signature:?}");
            assert!(!accepts(&EVERYTHING, &format!("{head}.{body}")), "{alg:?}");
        }
    }
}

#[test]
fn headers_that_ask_for_anything_are_refused_or_ignored() {
    let es256 = Algorithm::Es256;
    let attacker = Signer::new(es256);
    let own = checker(
        &[with(signer(es256).jwk(), json!({ "kid": "k" }))],
        &[es256],
    );
    // Keys that the token brings along verify nothing.
    for more in [
        json!({ "jwk": attacker.jwk() }),
        json!({ "jwk": with(attacker.jwk(), json!({ "kid": "k" })), "kid": "k" }),
        json!({ "jku": "http://127.0.0.1:1/jwks.json", "kid": "k" }),
        json!({ "x5u": "http://127.0.0.1:1/", "x5c": ["AA=="], "kid": "k" }),
        json!({ "kid": "../../../../dev/null" }),
        json!({ "kid": "' OR 1=1 --" }),
        json!({ "kid": "" }),
    ] {
        let head = with(json!({ "alg": "ES256" }), more).to_string();
        assert!(
            !accepts(&own, &attacker.token(es256, &head, &payload())),
            "{head}"
        );
    }
    // Signed by the right key, but not fit to be read.
    for head in [
        r#"{"alg":"ES256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"ES256","crit":[]}"#,
        r#"{"alg":"ES256","crit":null}"#,
        r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"ES256","b64":false}"#,
        r#"{"alg":"ES256","alg":"ES256"}"#,
        r#"{"alg":"none","alg":"ES256"}"#,
        r#"{"alg":"ES256","kid":"a","kid":"b"}"#,
        r#"{"alg":["ES256"]}"#,
        r#"{"alg":null}"#,
        r#"{"alg":7}"#,
        r#"{"Alg":"ES256"}"#,
        r#"{"alg":"ES256","kid":7}"#,
        r#"{"alg":"ES256","typ":{}}"#,
        r#"{}"#,
        r#"["ES256"]"#,
        r#""ES256""#,
        r#"{"alg":"ES256"}x"#,
        r#"{"alg":"ES256""#,
        "",
        "\u{feff}{\"alg\":\"ES256\"}",
    ] {
        let token = signer(es256).token(es256, head, &payload());
        assert!(!accepts(&EVERYTHING, &token), "{head}");
    }
    let long = json!({ "alg": "ES256", "kid": "k".repeat(257) }).to_string();
    assert!(!accepts(
        &EVERYTHING,
        &signer(es256).token(es256, &long, &payload())
    ));
    // What does not matter does not matter.
    for head in [
        r#"{ "typ" : "JWT", "alg" : "ES256" }"#,
        r#"{"alg":"ES256","cty":"x","jku":"x","x":[{}]}"#,
    ] {
        assert!(
            accepts(&EVERYTHING, &signer(es256).token(es256, head, &payload())),
            "{head}"
        );
    }
}

#[test]
fn only_the_compact_form_is_a_token() {
    let es256 = Algorithm::Es256;
    let good = signer(es256).token(es256, &header("ES256"), &payload());
    assert!(accepts(&EVERYTHING, &good));
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts[..] else {
        panic!("three parts");
    };
    for broken in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        format!("{head}.{body}"),
        format!("{head}.{body}."),
        format!("{head}..{signature}"),
        format!(".{body}.{signature}"),
        format!("{body}.{signature}"),
        format!("{head}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{good}.."),
        format!("{head}.{body}.{signature}.{body}.{signature}"),
        format!("{head}=.{body}.{signature}"),
        format!("{head}.{body}=.{signature}"),
        format!("{good}="),
        format!("{good}=="),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{head}.{body}.\n{signature}"),
        format!("{head}.????{body}.{signature}"),
        format!(
            "{head}.{body}.{}",
            signature.replace('_', "/").replace('-', "+") + "+"
        ),
        format!("{head}.{body}.{}", &signature[..signature.len() - 1]),
        format!("{head}.{body}.{signature}A"),
        format!("{head}.{body}.{}", to_base64url(&[0; 64])),
        format!("{head}.{body}.{}", to_base64url(&[0; 63])),
        format!(r#"{{"payload":"{body}","protected":"{head}","signature":"{signature}"}}"#),
        format!(
            r#"{{"payload":"{body}","signatures":[{{"protected":"{head}","signature":"{signature}"}}]}}"#
        ),
    ] {
        assert!(!accepts(&EVERYTHING, &broken), "{broken}");
    }
    // Bits of the last letter that encode nothing (RFC 4648, section 3.5): 64 octets end in a letter with four of them.
    let last = signature.chars().last().expect("a letter");
    let (alphabet, mut same) = (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        0,
    );
    for letter in alphabet.chars().filter(|letter| *letter != last) {
        let spelling = format!(
            "{head}.{body}.{}{letter}",
            &signature[..signature.len() - 1]
        );
        same += usize::from(accepts(&EVERYTHING, &spelling));
    }
    assert_eq!(same, 0, "a token has one spelling");
    // ASN.1, as TLS has it.
    let raw = base64url(signature.as_bytes()).expect("octets");
    let integer = |half: &[u8]| [&[2, 33, 0], half].concat();
    let der = [vec![0x30, 70], integer(&raw[..32]), integer(&raw[32..])].concat();
    assert!(!accepts(
        &EVERYTHING,
        &format!("{head}.{body}.{}", to_base64url(&der))
    ));
    // R and S in place of each other, and with what means the same modulo the order.
    let swapped = [&raw[32..], &raw[..32]].concat();
    assert!(!accepts(
        &EVERYTHING,
        &format!("{head}.{body}.{}", to_base64url(&swapped))
    ));
}

#[test]
fn long_tokens_are_not_read() {
    let es256 = Algorithm::Es256;
    let padded = |length: usize| {
        let claims = json!({ "iss": "us", "aud": "api", "sub": "a", "exp": NOW + 600, "x": "x".repeat(length) });
        signer(es256).token(es256, &header("ES256"), &claims.to_string())
    };
    let fits = padded(12_000);
    assert!(
        fits.len() <= token::LONGEST && accepts(&EVERYTHING, &fits),
        "{}",
        fits.len()
    );
    let long = padded(12_300);
    assert!(
        long.len() > token::LONGEST && !accepts(&EVERYTHING, &long),
        "{}",
        long.len()
    );
}

#[test]
fn payloads_say_everything_once() {
    let es256 = Algorithm::Es256;
    for payload in [
        r#"{"iss":"us","aud":"api","sub":"a","exp":1800000600,"sub":"b"}"#,
        r#"{"iss":"us","aud":"api","sub":"a","exp":1800000600,"exp":1}"#,
        r#"{"iss":"us","aud":"api","sub":"a","exp":1800000600,"x":{"y":1,"y":2}}"#,
        r#"["us"]"#,
        "",
        "{",
        "\u{0}",
    ] {
        let token = signer(es256).token(es256, &header("ES256"), payload);
        assert!(!accepts(&EVERYTHING, &token), "{payload}");
    }
}

#[test]
fn keys_that_cannot_be_meant_are_left_out() {
    let rsa = signer(Algorithm::Rs256).jwk();
    let p256 = signer(Algorithm::Es256).jwk();
    let p384 = signer(Algorithm::Es384).jwk();
    let ed = signer(Algorithm::EdDsa).jwk();
    let small = RsaModulus::of(128);
    let large = RsaModulus::of(1025);
    for (bad, why) in [
        (with(rsa.clone(), json!({ "use": "enc" })), "enc"),
        (with(rsa.clone(), json!({ "use": 7 })), "use"),
        (with(rsa.clone(), json!({ "key_ops": ["sign"] })), "key_ops"),
        (with(rsa.clone(), json!({ "key_ops": [] })), "key_ops"),
        (with(rsa.clone(), json!({ "key_ops": "verify" })), "key_ops"),
        (with(rsa.clone(), json!({ "alg": "HS256" })), "HS256"),
        (with(rsa.clone(), json!({ "alg": "none" })), "none"),
        (with(rsa.clone(), json!({ "alg": "RSA-OAEP" })), "RSA-OAEP"),
        (with(rsa.clone(), json!({ "alg": "ES256" })), "ES256"),
        (with(rsa.clone(), json!({ "kty": "rsa" })), "kty"),
        (with(rsa.clone(), json!({ "kty": null })), "kty"),
        (with(rsa.clone(), json!({ "d": "AQAB" })), "private"),
        (with(rsa.clone(), json!({ "e": "AQ" })), "exponent 1"),
        (with(rsa.clone(), json!({ "e": "Ag" })), "exponent 2"),
        (with(rsa.clone(), json!({ "e": "AAEAAQ" })), "leading zero"),
        (with(rsa.clone(), json!({ "e": "" })), "no exponent"),
        (
            with(rsa.clone(), json!({ "e": "AQABAQEB" })),
            "large exponent",
        ),
        (with(rsa.clone(), json!({ "n": small })), "1024 bits"),
        (with(rsa.clone(), json!({ "n": large })), "8200 bits"),
        (with(rsa.clone(), json!({ "n": "AQAB=" })), "padding"),
        (json!({ "kty": "RSA", "e": "AQAB" }), "no modulus"),
        (
            with(p256.clone(), json!({ "alg": "ES384" })),
            "ES384 on P-256",
        ),
        (
            with(p256.clone(), json!({ "alg": "RS256" })),
            "RS256 on P-256",
        ),
        (with(p256.clone(), json!({ "crv": "P-384" })), "curve"),
        (with(p256.clone(), json!({ "crv": "P-521" })), "curve"),
        (with(p256.clone(), json!({ "crv": "secp256k1" })), "curve"),
        (with(p256.clone(), json!({ "kty": "RSA" })), "kty"),
        (
            with(p256.clone(), json!({ "x": p384["x"].clone() })),
            "size",
        ),
        (
            with(p256.clone(), json!({ "x": p256["y"].clone() })),
            "not on the curve",
        ),
        (
            with(
                p256.clone(),
                json!({ "x": to_base64url(&[0; 32]), "y": to_base64url(&[0; 32]) }),
            ),
            "zero",
        ),
        (
            with(p256.clone(), json!({ "x": to_base64url(&[0xff; 32]) })),
            "beyond the field",
        ),
        (with(p256.clone(), json!({ "d": "AQAB" })), "private"),
        (with(ed.clone(), json!({ "crv": "Ed448" })), "Ed448"),
        (with(ed.clone(), json!({ "crv": "X25519" })), "X25519"),
        (with(ed.clone(), json!({ "x": "AQAB" })), "size"),
        (json!({ "kty": "oct", "k": to_base64url(&[1; 64]) }), "oct"),
        (json!({ "kty": "oct", "k": "", "alg": "HS256" }), "oct"),
        (json!({}), "nothing"),
        (json!("key"), "no object"),
    ] {
        assert!(
            KeySet::read(&jwks(std::slice::from_ref(&bad))).is_err(),
            "{why}: {bad}"
        );
        // Others of the same set go on to count, and this one does not.
        let set = KeySet::read(&jwks(&[bad, p384.clone()])).expect("one is good");
        assert_eq!(
            (set.len(), set.unusable.map(|(count, _)| count)),
            (1, Some(1)),
            "{why}"
        );
    }
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[]}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<html>",
    ] {
        assert!(KeySet::read(text.as_bytes()).is_err(), "{text}");
    }
}

/// A modulus of so many octets that is no power of anything.
struct RsaModulus;

impl RsaModulus {
    fn of(octets: usize) -> String {
        to_base64url(&vec![0xfd; octets])
    }
}

#[test]
fn tokens_name_their_key_or_are_tried_with_a_few() {
    let es256 = Algorithm::Es256;
    let signers: Vec<Signer> = (0..6).map(|_| Signer::new(es256)).collect();
    let named = |at: usize, kid: &str| with(signers[at].jwk(), json!({ "kid": kid }));
    let token = |at: usize, kid: Option<&str>| {
        let head = match kid {
            Some(kid) => json!({ "alg": "ES256", "kid": kid }).to_string(),
            None => header("ES256"),
        };
        signers[at].token(es256, &head, &payload())
    };
    let verify = |keys: &[Value], token: &str| {
        let set = KeySet::read(&jwks(keys)).expect("keys");
        set.verify(&Token::read(token.as_bytes()).expect("a token"))
    };
    let two = [named(0, "a"), named(1, "b")];
    assert_eq!(verify(&two, &token(0, Some("a"))), Ok(()));
    assert_eq!(verify(&two, &token(1, Some("b"))), Ok(()));
    assert_eq!(verify(&two, &token(1, Some("a"))), Err(NoMatch::Wrong));
    assert_eq!(verify(&two, &token(1, Some("c"))), Err(NoMatch::Unknown));
    assert_eq!(verify(&two, &token(1, None)), Ok(()));
    assert_eq!(verify(&two, &token(2, None)), Err(NoMatch::Wrong));
    // The same name twice, as some providers do while they rotate.
    let twins = [named(0, "a"), named(1, "a")];
    assert_eq!(verify(&twins, &token(1, Some("a"))), Ok(()));
    // A key without a name may be anybody's, but only if nobody has that name.
    let mixed = [signers[0].jwk(), named(1, "b")];
    assert_eq!(verify(&mixed, &token(0, Some("a"))), Ok(()));
    assert_eq!(verify(&mixed, &token(0, Some("b"))), Err(NoMatch::Wrong));
    // A key of another kind is not tried.
    let other = with(signer(Algorithm::Rs256).jwk(), json!({ "kid": "a" }));
    assert_eq!(
        verify(&[other], &token(0, Some("a"))),
        Err(NoMatch::Unknown)
    );
    // Bounded.
    let many: Vec<Value> = (0..6).map(|at| named(at, &at.to_string())).collect();
    assert_eq!(verify(&many, &token(3, None)), Ok(()));
    assert_eq!(verify(&many, &token(4, None)), Err(NoMatch::Wrong));
    assert_eq!(verify(&many, &token(4, Some("4"))), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_changed_token_is_accepted(at in 0_usize..4096, to in "[A-Za-z0-9_.=-]") {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
                [Algorithm::Es256, Algorithm::EdDsa]
                    .map(|a| signer(a).token(a, &header(a.as_str()), &payload()))
                    .to_vec()
            });
            let token = &TOKENS[usize::from(algorithm == Algorithm::EdDsa)];
            let mut changed = token.clone();
            let at = at % token.len();
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(accepts(&EVERYTHING, &changed), changed == *token);
        }
    }

    #[test]
    fn nothing_panics(token in proptest::collection::vec(any::<u8>(), 0..200), set in "[\\[\\]{}:,\"a-z0-9]{0,80}") {
        let _ = EVERYTHING.verify(&token, NOW);
        let _ = KeySet::read(set.as_bytes());
        let _ = KeySet::read(&token);
    }
}
