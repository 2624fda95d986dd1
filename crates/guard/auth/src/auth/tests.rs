use std::sync::atomic::AtomicUsize;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use weir_config::Text;

use super::*;
use crate::jwt::Algorithm;
use crate::testing::{Request, Signer, compile, jwks, with};
use crate::{Cache, Check, KeyHash, Why};

const NOW: u64 = 1_800_000_000;

/// An issuer that gives out what it was told to.
struct Issuer {
    url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("bound"));
        let answer = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn({
            let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
            async move {
                while let Ok((mut socket, _)) = listener.accept().await {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = socket.read_u8().await else {
                            break;
                        };
                        head.push(byte);
                    }
                    asked.fetch_add(1, Ordering::SeqCst);
                    let answer = answer.lock().expect("a lock").clone();
                    let _ = socket.write_all(&answer).await;
                    let _ = socket.shutdown().await;
                }
            }
        });
        Self { url, answer, asked }
    }

    fn answers(&self, status: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncache-control: max-age=600\r\nconnection: close\r\n\r\n",
            body.len()
        );
        *self.answer.lock().expect("a lock") = [head.as_bytes(), body].concat();
    }

    fn gives(&self, keys: &[(&str, &Signer)]) {
        let keys: Vec<Value> = keys
            .iter()
            .map(|(kid, signer)| with(signer.jwk(), json!({ "kid": kid })))
            .collect();
        self.answers("200 OK", &jwks(&keys));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn token(kid: &str, signer: &Signer, issuer: &str) -> Request {
    let header = json!({ "alg": "ES256", "kid": kid }).to_string();
    let claims = json!({ "iss": issuer, "aud": "api", "sub": kid, "exp": NOW + 600 }).to_string();
    Request::bearer(&signer.token(Algorithm::Es256, &header, &claims))
}

async fn check(
    auth: &Authenticator,
    request: &Request,
    cache: &mut Cache,
) -> (Result<String, Why>, bool) {
    let mut asked = false;
    let mut check = auth.check(request, cache, NOW);
    while let Check::Ask(question) = check {
        asked = true;
        check = auth.resume(request, question.answered().await, cache, NOW);
    }
    let result = match check {
        Check::Pass(pass) => Ok(pass.identity.expect("somebody").subject.to_string()),
        Check::Refuse(refusal) => Err(refusal.why),
        Check::Ask(_) => unreachable!("answered above"),
    };
    (result, asked)
}

fn told() -> (
    impl Fn(Event) + Send + Sync + 'static,
    mpsc::Receiver<Event>,
) {
    let (tell, told) = mpsc::channel(16);
    (move |event| tell.try_send(event).expect("room"), told)
}

fn jwt(issuer: &Issuer, more: &str) -> String {
    format!(
        "[{{ jwt: {{ jwks: '{}', issuer: us, audience: api{more} }} }}]",
        issuer.url
    )
}

fn source(auth: &Auth) -> Arc<KeySource> {
    let live = auth.live();
    let mut sources = live.jwks_urls.values().filter_map(Weak::upgrade);
    sources.next().expect("a source")
}

#[tokio::test]
async fn keys_rotate_and_outlive_their_server_and_a_reload() {
    let [a, b, c] = [(); 3].map(|()| Signer::new(Algorithm::Es256));
    let issuer = Issuer::start().await;
    issuer.gives(&[("a", &a)]);
    let (tell, mut told) = told();
    let auth = Auth::new(&Handle::current(), Client::default(), tell);
    let first = compile(&auth, &jwt(&issuer, ""), "", false).expect("compiles");
    let mut cache = Cache::default();

    // The first request waits for the first fetch, the next one for nothing.
    assert_eq!(
        check(&first, &token("a", &a, "us"), &mut cache).await,
        (Ok("a".to_owned()), true)
    );
    assert_eq!(
        check(&first, &token("a", &a, "us"), &mut cache).await,
        (Ok("a".to_owned()), false)
    );
    let url = issuer.url.clone();
    assert_eq!(told.recv().await, Some(Event::KeysFetched { url, keys: 1 }));
    assert_eq!(issuer.asked(), 1);

    // A new key is worth a fetch at once, for all who ask; a token of another issuer never is.
    issuer.gives(&[("b", &b)]);
    assert_eq!(
        check(&first, &token("b", &b, "them"), &mut cache).await,
        (Err(Why::Audience), false)
    );
    let mut questions = Vec::new();
    for _ in 0..20 {
        match first.check(&token("b", &b, "us"), &mut cache, NOW) {
            Check::Ask(question) => questions.push(question),
            other => panic!("{other:?}"),
        }
    }
    for question in questions {
        let answered = question.answered().await;
        let check = first.resume(&token("b", &b, "us"), answered, &mut cache, NOW);
        assert!(matches!(check, Check::Pass(_)));
    }
    assert_eq!(issuer.asked(), 2);
    assert!(matches!(told.recv().await, Some(Event::KeysFetched { .. })));
    // But anybody can make up a key: the next one is not worth a fetch so soon.
    for kid in ["c", "d", "e"] {
        assert_eq!(
            check(&first, &token(kid, &c, "us"), &mut cache).await,
            (Err(Why::Unknown), false)
        );
    }
    assert_eq!(issuer.asked(), 2);
    // What the old keys verified does not count any more, although it is in the cache.
    assert_eq!(
        check(&first, &token("a", &a, "us"), &mut cache).await,
        (Err(Why::Unknown), false)
    );

    // A server that fails takes nothing away.
    for (status, body) in [
        ("500 Internal Server Error", &b"{\"keys\":[]}"[..]),
        ("302 Found", b""),
        ("200 OK", b"{\"keys\":[]}"),
        ("200 OK", b"<html>"),
    ] {
        issuer.answers(status, body);
        source(&auth).be_due();
        let asked = issuer.asked();
        assert_eq!(
            check(&first, &token("c", &c, "us"), &mut cache).await,
            (Err(Why::Unknown), true)
        );
        assert_eq!(issuer.asked(), asked + 1, "{status}");
        let event = told.recv().await;
        assert!(
            matches!(event, Some(Event::KeysFailed { stale: true, .. })),
            "{event:?}"
        );
        assert_eq!(
            check(&first, &token("b", &b, "us"), &mut cache).await,
            (Ok("b".to_owned()), false)
        );
    }

    // Another config with the same URL fetches nothing and has all keys at once.
    let asked = issuer.asked();
    let second = compile(&auth, &jwt(&issuer, ", leeway: 10s"), "", false).expect("compiles");
    drop(first);
    assert_eq!(
        check(&second, &token("b", &b, "us"), &mut cache).await,
        (Ok("b".to_owned()), false)
    );
    assert_eq!(issuer.asked(), asked);

    // When nobody needs the keys, nobody fetches them.
    let kept = Arc::downgrade(&source(&auth));
    drop(second);
    tokio::task::yield_now().await;
    assert!(kept.upgrade().is_none());
}

#[tokio::test]
async fn without_any_keys_nobody_is_refused_for_good() {
    let issuer = Issuer::start().await;
    issuer.answers("503 Service Unavailable", b"");
    let (tell, mut told) = told();
    let auth = Auth::new(&Handle::current(), Client::default(), tell);
    let authenticator = compile(&auth, &jwt(&issuer, ""), "", false).expect("compiles");
    let signer = Signer::new(Algorithm::Es256);
    let request = token("a", &signer, "us");
    let (seen, _) = check(&authenticator, &request, &mut Cache::default()).await;
    assert_eq!(seen, Err(Why::Unavailable));
    assert!(matches!(
        told.recv().await,
        Some(Event::KeysFailed { stale: false, .. })
    ));
    // It is tried again soon, without anybody who asks.
    issuer.gives(&[("a", &signer)]);
    assert!(matches!(told.recv().await, Some(Event::KeysFetched { .. })));
    let (seen, asked) = check(&authenticator, &request, &mut Cache::default()).await;
    assert_eq!((seen.as_deref(), asked), (Ok("a"), false));
}

#[tokio::test]
async fn the_same_config_is_the_same_method() {
    let auth = Auth::offline();
    let methods = "[{ jwt: { secret: 0123456789abcdef0123456789abcdef, audience: api } }]";
    let one = compile(&auth, methods, "", false).expect("compiles");
    let other = compile(&auth, methods, "scopes: [read]", true).expect("compiles");
    assert_eq!(one.methods[0].id, other.methods[0].id);
    let id = one.methods[0].id;
    let changed = compile(&auth, &methods.replace("api", "web"), "", false).expect("compiles");
    assert_ne!(changed.methods[0].id, id);
    drop((one, other));
    let later = compile(&auth, methods, "", false).expect("compiles");
    assert_ne!(later.methods[0].id, id, "nothing is cached for it any more");
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-auth-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        let beside = self.0.join("new");
        std::fs::write(&beside, text).expect("written");
        std::fs::rename(&beside, &path).expect("renamed");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn keys_in_files_come_and_go_without_a_reload() {
    let folder = Folder::new("files");
    let entry = |id: &str| {
        format!(
            "- {{ id: {id}, hash: '{}' }}\n",
            KeyHash::of(id.as_bytes()).to_text()
        )
    };
    let keys = folder.write("keys.yaml", entry("one").as_bytes());
    let [a, b] = [(); 2].map(|()| Signer::new(Algorithm::Es256));
    let set = |kid: &str, signer: &Signer| jwks(&[with(signer.jwk(), json!({ "kid": kid }))]);
    let jwks_file = folder.write("jwks.json", &set("a", &a));
    let (tell, mut told) = told();
    let auth = Auth::new(&Handle::current(), Client::default(), tell);
    let methods = format!(
        "[{{ api_key: {{ keys: 'file:{}' }} }}, {{ jwt: {{ jwks: 'file:{}', issuer: us, audience: api }} }}]",
        keys.display(),
        jwks_file.display()
    );
    let authenticator = compile(&auth, &methods, "", false).expect("compiles");
    let mut cache = Cache::default();
    let key = |key: &str| Request::default().field("x-api-key", key);
    assert_eq!(
        check(&authenticator, &key("one"), &mut cache)
            .await
            .0
            .as_deref(),
        Ok("one")
    );
    assert_eq!(
        check(&authenticator, &key("two"), &mut cache).await.0,
        Err(Why::Unknown)
    );
    assert_eq!(
        check(&authenticator, &token("a", &a, "us"), &mut cache)
            .await
            .0
            .as_deref(),
        Ok("a")
    );

    folder.write("keys.yaml", entry("two").as_bytes());
    let event = told.recv().await;
    assert_eq!(
        event,
        Some(Event::FileRead {
            path: keys.clone(),
            keys: 1
        })
    );
    assert_eq!(
        check(&authenticator, &key("one"), &mut cache).await.0,
        Err(Why::Unknown)
    );
    assert_eq!(
        check(&authenticator, &key("two"), &mut cache)
            .await
            .0
            .as_deref(),
        Ok("two")
    );

    folder.write("jwks.json", &set("b", &b));
    assert_eq!(
        told.recv().await,
        Some(Event::FileRead {
            path: jwks_file.clone(),
            keys: 1
        })
    );
    assert_eq!(
        check(&authenticator, &token("a", &a, "us"), &mut cache)
            .await
            .0,
        Err(Why::Unknown)
    );
    assert_eq!(
        check(&authenticator, &token("b", &b, "us"), &mut cache)
            .await
            .0
            .as_deref(),
        Ok("b")
    );

    // A mistake changes nothing.
    folder.write("keys.yaml", b"- { id: three, hush: x }\n");
    match told.recv().await {
        Some(Event::FileFailed { path, error }) => {
            assert_eq!(path, keys);
            assert!(
                error.contains("keys.yaml:1") && error.contains("hush"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        check(&authenticator, &key("two"), &mut cache)
            .await
            .0
            .as_deref(),
        Ok("two")
    );
}

#[test]
fn configs_that_would_check_nothing_are_problems() {
    for (method, problem) in [
        (
            "{ jwt: { audience: api } }",
            "nothing to verify tokens with",
        ),
        ("{ jwt: { secret: short, audience: api } }", "too short"),
        (
            "{ jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: HS512, audience: api } }",
            "at least 64 bytes",
        ),
        (
            "{ jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: RS256, audience: api } }",
            "needs a public key",
        ),
        (
            "{ jwt: { jwks: 'https://id.test/', algorithms: [RS256, HS256], audience: api } }",
            "a public key is not a secret",
        ),
        (
            "{ jwt: { jwks: 'https://id.test/', secret: 0123456789abcdef0123456789abcdef } }",
            "cannot stand beside",
        ),
        (
            "{ jwt: { jwks: 'https://id.test/', algorithms: [none] } }",
            "none",
        ),
        (
            "{ jwt: { jwks: 'https://id.test/', leeway: 10m } }",
            "clocks",
        ),
        ("{ jwt: { jwks: 'id.test/jwks' } }", "URL"),
        (
            "{ jwt: { jwks: 'file:/nonexistent/jwks.json' } }",
            "/nonexistent/jwks.json",
        ),
        (
            "{ jwt: { jwks: 'https://id.test/', headers: { host: sub } } }",
            "meaning of its own",
        ),
        (
            "{ jwt: { jwks: 'https://id.test/', headers: { 'a b': sub } } }",
            "header field",
        ),
        (
            "{ jwt: { jwks: 'https://id.test/', realm: 'a\"b' } }",
            "realm",
        ),
    ] {
        let seen = compile(&Auth::offline(), &format!("[{method}]"), "", false);
        let seen = seen.expect_err("a problem");
        assert!(seen.contains(problem), "{method}: {seen}");
        assert!(!seen.contains("0123456789abcdef"), "{seen}");
    }
}
