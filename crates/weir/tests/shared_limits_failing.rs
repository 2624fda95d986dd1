//! An engine that cannot be asked, seen from outside: what `weir check`, `weir status` and the event log say, and what
//! becomes of requests.

#[path = "common/apps.rs"]
mod apps;

use apps::WEIR;
use weir_testkit::{App, Redis, Reply, TempDir, Weir, run_cli, wait_until};

/// An authority that nobody has the key of.
const CA: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBejCCAR+gAwIBAgIUfMqN2XPhcgE5ASq4YbKd0PBInjkwCgYIKoZIzj0EAwIw\n\
ETEPMA0GA1UEAwwGTm9ib2R5MCAXDTI2MTEyMjA3MzQyMFoYDzIxMjYxMDI5MDcz\n\
NDIwWjARMQ8wDQYDVQQDDAZOb2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
AAQjT6inWIZ8mU339v8i5frnICLjXT1vSdEEGda3d8wwXim/8R8dpS1PHFmGzhNc\n\
Np9zKRLBWFxnWSJW10mj7x4Po1MwUTAdBgNVHQ4EFgQU77cuKvZP8MPGJCTy1HiU\n\
HzdDQREwHwYDVR0jBBgwFoAU77cuKvZP8MPGJCTy1HiUHzdDQREwDwYDVR0TAQH/\n\
BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAwD/77OciTsPh0bMVgz4IVId5NwXk\n\
EaP1JK3qi2J5UV4CIQD6G1AuS+LlxefQS4AOAXMOMm+SrsJd6IyZgDOgejhkMg==\n\
-----END CERTIFICATE-----\n";

fn config(app: &App, engine: &str) -> String {
    format!(
        "
listeners: {{ web: '@web@' }}
services: {{ app: ['{}'] }}
engines: {{ shared: {{ {engine} }} }}
routes: [ {{ path: /*, service: app, rate_limit: {{ limits: 1/h, store: shared }}, name: all }} ]
",
        app.addr()
    )
}

fn status(weir: &Weir) -> String {
    let admin = weir.addr("admin").to_string();
    run_cli(WEIR, &["status", "--admin", &admin], weir.dir()).stdout
}

#[test]
fn a_store_without_tls_is_not_asked_in_plain_text() {
    let app = App::start("app", |_| Reply::ok());
    let redis = Redis::start();
    let dir = TempDir::new("authority");
    let ca = dir.write("ca.pem", CA);
    let url = redis.url().replace("redis://", "rediss://");
    let engine = format!("redis: '{url}', ca: {}, password: hunter2", ca.display());
    let weir = Weir::start(WEIR, &config(&app, &engine));
    wait_until("the event", || {
        weir.stderr().contains("an engine cannot be asked")
    });
    let told = status(&weir);
    assert!(told.contains("TLS"), "{told}");
    let address = redis.address().to_string();
    assert!(told.contains(&address), "{told}");
    // Each Weir limits by itself.
    let mut client = weir.client("web");
    assert_eq!([client.get("/").status, client.get("/").status], [200, 429]);
    // Nothing of what is secret went out.
    let said = redis.command(&["INFO", "commandstats"]).text();
    assert!(!said.contains("cmdstat_auth"), "{said}");
    assert!(!format!("{told}{}", weir.stderr()).contains("hunter2"));
}

#[test]
fn a_cluster_that_is_not_there_is_told_of() {
    let app = App::start("app", |_| Reply::ok());
    let nowhere = weir_testkit::free_addr();
    let engine = format!("redis: 'redis://{nowhere}', cluster: true");
    let weir = Weir::start(WEIR, &config(&app, &engine));
    wait_until("the event", || {
        weir.stderr().contains("an engine cannot be asked")
    });
    let told = status(&weir);
    assert!(told.contains(&nowhere.to_string()), "{told}");
    assert!(told.contains("refused"), "{told}");
}

/// A cause that follows another is told of, too.
#[test]
fn causes_are_told_as_they_change() {
    let app = App::start("app", |_| Reply::ok());
    let mut redis = Redis::start();
    let engine = format!("redis: '{}', timeout: 500ms", redis.url());
    let weir = Weir::start(WEIR, &config(&app, &engine));
    let nowhere = weir_testkit::free_port().to_string();
    redis.command(&["REPLICAOF", "127.0.0.1", &nowhere]);
    wait_until("the first cause", || {
        weir.client("web").get("/");
        weir.stderr().contains("READONLY")
    });
    redis.kill();
    wait_until("the second cause", || weir.stderr().contains("refused"));
    redis.restart();
    wait_until("the end", || {
        weir.stderr().contains("an engine answers again")
    });
    let warnings = weir.stderr().matches("an engine cannot be asked").count();
    assert!((2..=4).contains(&warnings), "{}", weir.stderr());
}

#[test]
fn certificates_are_checked_with_the_config() {
    let app = App::start("app", |_| Reply::ok());
    let dir = TempDir::new("check");
    dir.write("broken.pem", "nothing\n");
    let engine = "redis: 'rediss://127.0.0.1', ca: broken.pem";
    let text = config(&app, engine).replace("@web@", "127.0.0.1:0");
    dir.write("weir.yaml", text);
    let told = run_cli(WEIR, &["check", "-c", "weir.yaml"], dir.path());
    assert!(told.stderr.contains("holds no certificate"), "{told:?}");
    assert!(told.stderr.contains("weir.yaml:4"), "{told:?}");
}
