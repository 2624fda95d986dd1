//! The command line through the real binary: what it prints, and how it ends.

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use weir_testkit::{CliOutput, Echo, RawClient, TempDir, Weir, free_addr, run_cli};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn config(endpoints: &[String]) -> String {
    format!(
        "
listeners: {{ web: '@web@' }}
routes:
  - {{ path: /*, service: app }}
  - {{ path: '/items/{{id}}', service: app, rewrite: '/v2/{{id}}' }}
services: {{ app: {endpoints:?} }}
"
    )
}

/// A command about a running Weir, by its config file.
fn about(weir: &Weir, args: &[&str]) -> CliOutput {
    let path = weir.config().display().to_string();
    let mut all = vec![args[0], "-c", &path];
    all.extend(&args[1..]);
    run_cli(WEIR, &all, weir.dir())
}

fn json_of(output: &CliOutput) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn check_tells_everything_at_once() {
    let dir = TempDir::new("check");
    dir.write(
        "weir.yaml",
        "routes:\n  - { path: /*, service: app }\nservices: { app: [127.0.0.1:3000] }\n",
    );
    let fine = run_cli(WEIR, &["check"], dir.path());
    assert_eq!(
        (fine.code, fine.stdout.as_str()),
        (Some(0), "ok: 1 listener, 1 route, 1 service\n"),
        "{fine:?}"
    );

    dir.write("bad.yaml", "routes:\n  - { path: /*, service: ap }\n  - { path: a, service: app }\nservices: { app: [127.0.0.1] }\n");
    let wrong = run_cli(WEIR, &["check", "-c", "bad.yaml"], dir.path());
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stdout.is_empty(), "{wrong:?}");
    assert!(
        wrong.stderr.contains("bad.yaml:2:") && wrong.stderr.contains("bad.yaml:4:"),
        "{}",
        wrong.stderr
    );
    assert!(
        !wrong.stderr.contains('\x1b'),
        "colours are for terminals: {}",
        wrong.stderr
    );
    let report = json_of(&run_cli(
        WEIR,
        &["check", "--json", "-c", "bad.yaml"],
        dir.path(),
    ));
    assert_eq!(report["ok"], false);
    assert!(
        report["diagnostics"]
            .as_array()
            .is_some_and(|all| all.len() >= 2),
        "{report:#}"
    );
}

#[test]
fn check_without_a_config_says_what_to_do() {
    let dir = TempDir::new("nothing");
    let output = run_cli(WEIR, &["check"], dir.path());
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("weir.yaml") && output.stderr.contains("weir up"),
        "{}",
        output.stderr
    );
}

#[test]
fn usage_errors_are_their_own() {
    let dir = TempDir::new("usage");
    for (args, code) in [
        (&["nothing"][..], 2),
        (&[], 2),
        (&["explain", "GET"], 2),
        (&["explain", "GET", "ftp://a/", "-c", "weir.yaml"], 2),
        (&["up", "foo"], 2),
        (&["up", "--listen", "8080"], 2),
        (&["up", "--admin", "foo"], 2),
        (&["status", "--admin", "foo"], 2),
        (&["drain", ""], 2),
        (&["run", "weir.yaml"], 2),
        (&["reload", "-c", "nowhere.yaml"], 1),
        (&["--version"], 0),
        (&["run", "--help"], 0),
    ] {
        dir.write("weir.yaml", "routes: [{ path: /*, respond: 200 }]\n");
        let output = run_cli(WEIR, args, dir.path());
        assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
    }
}

#[test]
fn nobody_to_ask_is_its_own_error() {
    let dir = TempDir::new("nobody");
    let nobody = free_addr().to_string();
    for command in ["status", "reload"] {
        let output = run_cli(WEIR, &[command, "--admin", &nobody], dir.path());
        assert_eq!(output.code, Some(3), "{output:?}");
        assert!(output.stderr.contains(&nobody), "{output:?}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let mut child = Command::new(WEIR)
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    drop(child.stdout.take());
    let status = child.wait().expect("wait");
    let mut stderr = String::new();
    let _ = child
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut stderr);
    assert!(status.success() && stderr.is_empty(), "{status} {stderr}");
}

#[test]
fn the_schema_is_json() {
    let dir = TempDir::new("schema");
    let schema = json_of(&run_cli(WEIR, &["schema"], dir.path()));
    assert!(
        schema["$schema"].is_string() && schema.to_string().contains("\"routes\""),
        "{schema:#}"
    );
}

#[test]
fn status_drain_and_reload_act_on_a_running_weir() {
    let apps = [Echo::start("a"), Echo::start("b")];
    let endpoints = apps.each_ref().map(|app| app.addr().to_string());
    let mut weir = Weir::start(WEIR, &config(&endpoints));

    // Where it is comes from its config.
    let status = json_of(&about(&weir, &["status", "--json"]));
    assert_eq!(status["pid"], weir.pid());
    assert_eq!(
        status["listeners"][0]["address"],
        weir.addr("web").to_string()
    );
    let text = about(&weir, &["status"]);
    assert!(
        text.code == Some(0)
            && endpoints
                .iter()
                .all(|endpoint| text.stdout.contains(endpoint)),
        "{text:?}"
    );

    let drained = about(&weir, &["drain", &endpoints[0]]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    for _ in 0..10 {
        assert_eq!(weir.client("web").get("/").json()["name"], "b");
    }
    assert!(about(&weir, &["status"]).stdout.contains("draining"));
    assert_eq!(
        about(&weir, &["drain", &endpoints[0], "--undo"]).code,
        Some(0)
    );
    weir_testkit::wait_until("the drained endpoint is used again", || {
        weir.client("web").get("/").json()["name"] == "a"
    });
    assert!(!drained.stderr.contains("warning"), "{drained:?}");
    let last = about(&weir, &["drain", &endpoints[0]]);
    assert!(last.stderr.is_empty(), "{last:?}");
    let last = about(&weir, &["drain", &endpoints[1]]);
    let warning = "warning: app has no other healthy endpoint; its requests fail now\n";
    assert_eq!((last.code, last.stderr.as_str()), (Some(0), warning));
    for endpoint in &endpoints {
        assert_eq!(about(&weir, &["drain", endpoint, "--undo"]).code, Some(0));
    }
    for (args, told) in [
        (&["drain", "127.0.0.1:1"][..], endpoints[0].as_str()),
        (
            &["drain", &endpoints[0], "--service", "ap"],
            "there is no service `ap`: there is `app`",
        ),
    ] {
        let output = about(&weir, args);
        assert!(
            output.code == Some(1) && output.stderr.contains(told),
            "{output:?}"
        );
    }

    weir.rewrite_config(&config(&endpoints[1..]));
    assert_eq!(about(&weir, &["reload"]).code, Some(0));
    weir_testkit::wait_until("the new config serves", || {
        let status = json_of(&about(&weir, &["status", "--json"]));
        status["services"][0]["endpoints"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    });
    // A mistake elsewhere does not hide where the admin API is.
    let admin = weir.addr("admin").to_string();
    weir.rewrite_config(&format!(
        "admin: {admin}\nroutes: [{{ path: /*, service: nobody }}]\n"
    ));
    let refused = about(&weir, &["reload"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("there is no service `nobody`"),
        "{refused:?}"
    );
    assert_eq!(weir.client("web").get("/").status, 200);
}

#[test]
fn a_token_is_asked_for_and_never_shown() {
    let config = "admin: { address: '@admin@', token: 's3cret-token' }\nroutes: [{ path: /*, respond: 200 }]\nlisteners: { web: '@web@' }\n";
    let launched = Weir::launch(WEIR, config).spawn();
    let (address, dir) = (launched.addr("admin"), launched.dir().to_owned());
    let admin = address.to_string();
    let close = format!("Host: {admin}\r\nConnection: close\r\n\r\n");
    weir_testkit::wait_until("it lives", || {
        RawClient::try_connect(address).is_ok_and(|mut client| {
            client.send(format!("GET /healthz HTTP/1.1\r\n{close}"));
            let response = client.try_response();
            response.is_ok_and(|response| response.status == 200)
        })
    });
    let ask = |args: &[&str]| run_cli(WEIR, args, &dir);
    let without = ask(&["status", "--admin", &admin]);
    assert_eq!(without.code, Some(1), "{without:?}");
    assert!(without.stderr.contains("WEIR_TOKEN"), "{without:?}");
    assert_eq!(
        ask(&["status", "--admin", &admin, "--token", "wrong"]).code,
        Some(1)
    );
    assert_eq!(
        ask(&["status", "--admin", &admin, "--token", "s3cret-token"]).code,
        Some(0)
    );
    // From the config file, address and token alike.
    assert_eq!(ask(&["status"]).code, Some(0));
    let bearer = "Authorization: Bearer s3cret-token";
    let request = format!("GET /config HTTP/1.1\r\n{bearer}\r\n{close}");
    let shown = RawClient::exchange(address, request).text();
    assert!(
        shown.contains("***") && !shown.contains("s3cret-token"),
        "{shown}"
    );
}

#[test]
fn explain_tells_what_the_endpoint_gets() {
    let app = Echo::start("app");
    let weir = Weir::start(WEIR, &config(&[app.addr().to_string()]));
    let host = weir.addr("web").to_string();
    let url = format!("http://{host}/x/../items/7?a=b");
    let fields = [
        "X-Forwarded-For: 192.0.2.1",
        "Accept: */*",
        "Connection: x-hop",
        "X-Hop: 1",
        "X-Request-Id: my-id",
    ];
    let mut args = vec!["explain", "GET", &url, "--json"];
    for field in &fields {
        args.extend(["-H", field]);
    }
    let told = json_of(&about(&weir, &args));
    let head = told["route"]["service"]["head"]
        .as_array()
        .expect("a head")
        .clone();

    let mut client = weir.client("web");
    client.send(format!(
        "GET /x/../items/7?a=b HTTP/1.1\r\nHost: {host}\r\n{}\r\n\r\n",
        fields.join("\r\n")
    ));
    let seen = client.response().json();
    let target = seen["target"].as_str().expect("a target");
    assert_eq!(head[0], format!("GET {target} HTTP/1.1"));
    let sent = seen["headers"].as_array().expect("headers");
    assert_eq!(head.len() - 1, sent.len(), "{head:#?}\n{sent:#?}");
    for (told, sent) in head[1..].iter().zip(sent) {
        let (name, value) = told
            .as_str()
            .and_then(|line| line.split_once(": "))
            .expect("a field");
        assert!(
            sent[0]
                .as_str()
                .is_some_and(|sent| sent.eq_ignore_ascii_case(name)),
            "{told} {sent}"
        );
        // Made anew for each request.
        if value != "<new>" {
            assert_eq!(sent[1], value, "{name}");
        }
    }
    assert_eq!(told["normalized_path"], "/items/7");
    assert_eq!(told["route"]["parameters"], json!({ "id": "7" }));
    assert_eq!(told["route"]["service"]["live"], true);
    assert_eq!(
        told["route"]["service"]["endpoints"][0]["address"],
        app.addr().to_string()
    );
    let text = about(&weir, &["explain", "GET", &url]);
    assert!(
        text.code == Some(0) && text.stdout.contains("as the running Weir sees them"),
        "{text:?}"
    );
}
