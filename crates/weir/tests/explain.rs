//! What would become of a request, asked beside a Weir that runs: credentials are tried, and nobody is told of them.

#[path = "common/running.rs"]
mod running;

use std::fs;

use running::WEIR;
use weir_testkit::{Echo, run_cli};

const CONFIG: &str = "
listeners: { web: '@web@' }
policies:
  partner: { api_key: { keys: file:keys.yaml } }
  fair: { rate_limit: { limits: 10/s, key: api_key } }
routes:
  - { path: /*, service: app, policies: [partner, fair], require: { scopes: ['orders:read'] } }
services: { app: ['@app@'] }
";

#[test]
fn a_credential_is_tried_and_leaves_no_trace() {
    let app = Echo::start("app");
    let launch = weir_testkit::Weir::launch(WEIR, CONFIG).value("app", app.addr());
    let folder = weir_testkit::TempDir::new("keys");
    let new = |arguments: &[&str]| {
        let all = [&["key", "new", "--file", "keys.yaml"], arguments].concat();
        let made = run_cli(WEIR, &all, folder.path());
        let key = made
            .stdout
            .split_whitespace()
            .find(|word| word.starts_with("weir_"));
        key.unwrap_or_else(|| panic!("{made:?}")).to_owned()
    };
    let ann = new(&["--id", "ann", "--scope", "orders:read"]);
    let bob = new(&["--id", "bob"]);
    let keys = fs::read_to_string(folder.path().join("keys.yaml")).expect("the keys");
    let weir = weir_testkit::Weir::from_launch(launch.file("keys.yaml", &keys));
    let explain = |key: &str| {
        let url = format!("http://{}/a", weir.addr("web"));
        let field = format!("x-api-key: {key}");
        let config = weir.config().display().to_string();
        let admin = weir.addr("admin").to_string();
        let arguments = [
            "explain", "GET", &url, "-H", &field, "-c", &config, "--admin", &admin,
        ];
        let told = run_cli(WEIR, &arguments, weir.dir());
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(!format!("{told:?}").contains(key), "{told:?}");
        told.stdout
    };
    for (key, parts) in [
        (
            &*ann,
            [
                "api_key (partner): good, of ann, scopes orders:read",
                "counted by api_key ann",
            ],
        ),
        (
            &*bob,
            ["known, of bob; lacks the scope orders:read", " (403)"],
        ),
        (
            "weir_ann_somebodyelses",
            ["api_key (partner): refused, ", " (401)"],
        ),
    ] {
        let told = explain(key);
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(told.contains("as the running Weir sees them"), "{told}");
        // It decides about requests as it was told.
        let mut client = weir.client("web");
        client.send(format!(
            "GET /a HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\r\n"
        ));
        let status = client.response().status;
        let wanted = match told.contains(" (403)") {
            true => 403,
            false if told.contains(" (401)") => 401,
            false => 200,
        };
        assert_eq!(status, wanted, "{told}");
        let logged = format!("{}{}", weir.stderr(), weir.stdout());
        assert!(!logged.contains(key), "{logged}");
    }
}
