//! Another config while everything runs: nothing fails, nothing closes, and what does not work changes nothing.

#[path = "common/running.rs"]
mod running;

use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use running::{SOON, WEIR, echoes, events, generation, place, start, status, tunnel, wait_event};
use serde_json::Value;
use weir_testkit::{Echo, Load, RawClient, Signal, Weir, run_cli, wait_until};

/// A config that says its number, and in which something else changes every time.
fn numbered(number: usize) -> String {
    let extra = if number % 2 == 1 {
        "\n  extra: '@extra@'"
    } else {
        ""
    };
    let balance = ["p2c", "round_robin", "random", "least_connections"][number % 4];
    let weight = number % 5 + 1;
    format!(
        "
workers: 2
listeners:
  web: '@web@'{extra}
routes:
  - {{ path: /version, respond: {{ body: 'v{number}' }} }}
  - {{ path: '/only/{number}', respond: 204 }}
  - {{ path: /steady/*, service: steady, rewrite: '/{{rest}}' }}
  - {{ path: /*, service: moving }}
services:
  steady: ['@one@', '@two@']
  moving:
    endpoints: [{{ address: '@one@', weight: {weight} }}, '@two@']
    balance: {balance}
"
    )
}

fn wait_version(client: &mut RawClient, number: usize) {
    let wanted = format!("v{number}");
    wait_until(&format!("version {number}"), || {
        client.get("/version").text() == wanted
    });
}

#[test]
fn a_hundred_reloads_fail_no_request_and_close_no_tunnel() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let mut weir = start(&numbered(0), &[("one", one.addr()), ("two", two.addr())]);
    let web = weir.addr("web");
    let mut tunnels: Vec<RawClient> = (0..50).map(|_| tunnel(web)).collect();
    let load = Load::new(web)
        .connections(6)
        .path("/bytes/100")
        .path("/steady/chunked/3000")
        .start();
    let mut kept = weir.client("web");

    for number in 1..=100 {
        weir.rewrite_config(&numbered(number));
        match number % 20 {
            // The file alone; looked at once a second.
            10 => {}
            3 | 13 => {
                let config = weir.config().display().to_string();
                let reloaded = run_cli(WEIR, &["reload", "-c", &config], weir.dir());
                assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
            }
            n if n % 2 == 0 => weir.signal(Signal::HUP),
            _ => assert_eq!(weir.reload().status, 200),
        }
        // One connection sees every version, so new plans reach connections that are kept alive.
        wait_version(&mut kept, number);
        let mut tunnel = tunnels.swap_remove(number % tunnels.len());
        echoes(&mut tunnel, "still here");
        tunnels.push(tunnel);
        load.wait_more(10);
    }

    for (number, tunnel) in tunnels.iter_mut().enumerate() {
        echoes(tunnel, &format!("tunnel {number} after a hundred reloads"));
    }
    load.stop().assert_all_ok();
    let metrics = weir.metrics();
    assert_eq!(
        metrics.value("weir_config_reloads_total", &[("result", "failure")]),
        0.0
    );
    let reloads = metrics.value("weir_config_reloads_total", &[("result", "success")]);
    assert!(reloads >= 100.0, "{reloads}");
    assert_eq!(generation(&weir) as f64, reloads + 1.0);
    assert_eq!(status(&weir)["connections"], 51);
}

#[test]
fn each_cause_reloads_and_says_so() {
    let app = Echo::start("app");
    let addresses = [("one", app.addr())];
    let mut weir = start(&numbered(0), &addresses[..]);
    let mut client = weir.client("web");

    weir.rewrite_config(&numbered(2));
    wait_version(&mut client, 2);
    wait_event(&weir, "config reloaded", |event| {
        event["cause"] == "file changed"
    });

    weir.rewrite_config(&numbered(4));
    weir.signal(Signal::HUP);
    wait_version(&mut client, 4);

    let answer = weir.reload_with(&numbered(6));
    assert_eq!(
        (answer.status, answer.json()["ok"].as_bool()),
        (200, Some(true))
    );
    wait_version(&mut client, 6);
    wait_event(&weir, "config reloaded", |event| {
        event["cause"] == "admin API"
    });

    // SIGHUP reads everything again, changed or not.
    let before = generation(&weir);
    weir.signal(Signal::HUP);
    wait_until("another generation", || generation(&weir) > before);
    wait_event(&weir, "config reloaded", |event| event["cause"] == "SIGHUP");
    let last = &status(&weir)["last_reload"];
    assert_eq!(last["ok"], true, "{last}");
}

#[test]
fn what_was_read_already_is_not_read_again_on_demand() {
    let app = Echo::start("app");
    let mut weir = start(&numbered(0), &[("one", app.addr())]);
    let reloads = |weir: &Weir| {
        let read = |event: &&Value| event["message"] == "config reloaded";
        events(weir).iter().filter(read).count()
    };
    let secret = weir.dir().join("secret");
    fs::write(&secret, "0123456789abcdef").expect("written");
    let config = weir.config().display().to_string();
    let admin = weir.addr("admin").to_string();
    let on_demand = |weir: &Weir| {
        let arguments = ["reload", "-c", &config, "--admin", &admin];
        run_cli(WEIR, &arguments, weir.dir())
    };

    // Saved, and read before anybody asks for it.
    weir.rewrite_config(&numbered(2));
    wait_version(&mut weir.client("web"), 2);
    wait_until("the event", || reloads(&weir) == 1);
    for _ in 0..2 {
        let asked = on_demand(&weir);
        assert_eq!(asked.code, Some(0), "{asked:?}");
        let said = "up to date: nothing has changed since the config was read ";
        assert!(asked.stdout.starts_with(said), "{asked:?}");
        assert!(asked.stdout.contains("4 routes, 2 services"), "{asked:?}");
    }
    assert_eq!((reloads(&weir), generation(&weir)), (1, 2));

    // Saved, and read because somebody asked: the watcher finds nothing to do, two looks later.
    weir.rewrite_config(&numbered(4));
    let asked = on_demand(&weir);
    assert!(asked.stdout.contains("4 routes, 2 services"), "{asked:?}");
    assert_eq!(weir.client("web").get("/version").text(), "v4");
    thread::sleep(Duration::from_millis(2200));
    assert_eq!((reloads(&weir), generation(&weir)), (2, 3));

    // What was refused is told again.
    weir.rewrite_config("nonsense: true\n");
    for _ in 0..2 {
        assert_eq!(on_demand(&weir).code, Some(1));
    }
    let with_secret = numbered(6).replace(
        "balance: random",
        "balance: random\n    sticky: { cookie: lb, secret: 'file:secret' }",
    );
    // A file that is named for the first time is no reason to read it twice, and a change of it is one.
    assert_eq!(weir.reload_with(&with_secret).status, 200);
    let before = generation(&weir);
    assert!(on_demand(&weir).stdout.starts_with("up to date: "));
    fs::write(&secret, "fedcba9876543210").expect("written");
    assert_eq!(on_demand(&weir).code, Some(0));
    wait_until("another generation", || generation(&weir) == before + 1);
}

#[test]
fn a_bad_config_changes_nothing_and_says_where() {
    let app = Echo::start("app");
    let mut weir = start(&numbered(0), &[("one", app.addr())]);
    let mut client = weir.client("web");
    let config = weir.config();
    let name = config.display().to_string();

    let broken = numbered(2).replace("service: steady", "service: stedy");
    weir.rewrite_config(&broken);
    let text = fs::read_to_string(&config).expect("the config");
    let (line, column) = place(&text, "stedy");

    let answer = weir.reload();
    assert_eq!(answer.status, 422);
    let answer = answer.json();
    assert_eq!(answer["ok"], false);
    let diagnostic = &answer["diagnostics"][0];
    assert_eq!(diagnostic["place"]["line"], line, "{answer:#}");
    assert_eq!(diagnostic["place"]["column"], column, "{answer:#}");
    assert_eq!(diagnostic["nearest"], "steady");
    let report = answer["report"].as_str().expect("a report");
    let wanted = format!("{name}:{line}:{column}");
    assert!(report.contains(&wanted), "{report}");

    let event = wait_event(&weir, "config refused; the old one stays", |_| true);
    assert_eq!(event["level"], "error");
    let problems = event["problems"].as_str().expect("problems");
    assert!(problems.contains(&wanted), "{problems}");

    let cli = run_cli(
        WEIR,
        &[
            "reload",
            "-c",
            &name,
            "--admin",
            &weir.addr("admin").to_string(),
        ],
        weir.dir(),
    );
    assert_eq!(cli.code, Some(1), "{cli:?}");
    assert!(cli.stderr.contains(&wanted), "{cli:?}");

    // Neither does what is no config at all, or gone.
    for text in ["routes: [", "\u{0}", "routes: []\nroutes: []\n"] {
        fs::write(&config, text).expect("written");
        assert_eq!(weir.reload().status, 422, "{text:?}");
    }
    fs::remove_file(&config).expect("removed");
    assert_eq!(weir.reload().status, 422);

    assert_eq!(generation(&weir), 1);
    assert_eq!(client.get("/version").text(), "v0");
    assert_eq!(status(&weir)["last_reload"]["ok"], false);
    // And then it works again.
    assert_eq!(weir.reload_with(&numbered(2)).status, 200);
    assert_eq!(client.get("/version").text(), "v2");
}

#[test]
fn an_address_that_is_taken_is_an_error_and_nothing_changes() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_at = taken.local_addr().expect("its address");
    let app = Echo::start("app");
    let mut weir = start(&numbered(0), &[("one", app.addr()), ("taken", taken_at)]);
    let config = numbered(1).replace("extra: '@extra@'", "other: '@other@'\n  extra: '@taken@'");
    let answer = weir.reload_with(&config);
    assert_eq!(answer.status, 422);
    let answer = answer.json();
    let text = fs::read_to_string(weir.config()).expect("the config");
    let (line, column) = place(&text, &format!("'{taken_at}'"));
    let diagnostic = &answer["diagnostics"][0];
    let message = diagnostic["message"].as_str().expect("a message");
    assert!(
        message.contains(&taken_at.to_string()) && message.contains("in use"),
        "{message}"
    );
    assert_eq!(
        (&diagnostic["place"]["line"], &diagnostic["place"]["column"]),
        (&Value::from(line), &Value::from(column)),
        "{answer:#}"
    );
    assert_eq!(weir.client("web").get("/version").text(), "v0");
    assert_eq!(generation(&weir), 1);
    // What was bound for it is free again.
    drop(TcpListener::bind(weir.addr("other")).expect("free"));

    // The same for the admin API.
    let config = format!("admin: '@taken@'\n{}", numbered(2));
    let answer = weir.reload_with(&config).json();
    assert_eq!(answer["ok"], false);
    let report = answer["report"].as_str().expect("a report");
    assert!(
        report.contains("weir.yaml:2:8") && report.contains("in use"),
        "{report}"
    );
    assert_eq!(weir.client("web").get("/version").text(), "v0");
    drop(taken);
    assert_eq!(weir.reload_with(&numbered(2)).status, 200);
    assert_eq!(weir.client("web").get("/version").text(), "v2");
}

#[test]
fn a_file_that_stays_bad_is_reported_once() {
    let app = Echo::start("app");
    let mut weir = start(&numbered(0), &[("one", app.addr())]);
    weir.rewrite_config("nonsense: true\n");
    let refused = |weir: &Weir| {
        events(weir)
            .iter()
            .filter(|event| event["message"] == "config refused; the old one stays")
            .count()
    };
    wait_until("the refusal", || refused(&weir) == 1);
    // The next change that is noticed comes at least one look later.
    weir.rewrite_config(&numbered(2));
    wait_version(&mut weir.client("web"), 2);
    assert_eq!(refused(&weir), 1);
}

#[test]
fn a_request_under_way_finishes_with_the_plan_it_began_with() {
    let app = Echo::start("app");
    let config = |name: &str| {
        format!(
            "listeners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, service: {name} }} ]\nservices: {{ {name}: ['@app@'] }}\n"
        )
    };
    let mut weir = start(&config("before"), &[("app", app.addr())]);
    let mut client = weir.client("web");
    client.send("GET /slow/600/under-way HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until("the request at the app", || app.requests() == 1);
    assert_eq!(weir.reload_with(&config("after")).status, 200);
    assert_eq!(client.get("/quick").status, 200, "the first answer of two");
    assert_eq!(client.response().status, 200);
    let slow = weir.wait_log("the slow one", |line| {
        line["target"] == "/slow/600/under-way"
    });
    assert_eq!(slow["service"], "before");
    let quick = weir.wait_log("the quick one", |line| line["target"] == "/quick");
    assert_eq!(quick["service"], "after");
}

#[test]
fn sighup_and_the_end_do_not_get_in_each_others_way() {
    let mut weir = start(
        "listeners: { web: '@web@' }\nroutes: [ { path: /*, respond: 200 } ]\n",
        &[],
    );
    for _ in 0..20 {
        weir.signal(Signal::HUP);
    }
    weir.signal(Signal::TERM);
    weir.signal(Signal::HUP);
    assert!(weir.wait_exit(SOON + Duration::from_secs(1)).success());
}

#[test]
fn writes_that_race_a_reload_are_not_missed() {
    let app = Echo::start("app");
    let mut weir = start(&numbered(0), &[("one", app.addr())]);
    // The last write always wins, however many reloads are under way.
    for number in (2..=40).step_by(2) {
        weir.rewrite_config(&numbered(number));
        if number % 4 == 0 {
            weir.signal(Signal::HUP);
        }
    }
    wait_version(&mut weir.client("web"), 40);
    // What was read on demand is not read again when the change of the file is noticed, two looks later.
    assert_eq!(weir.reload_with(&numbered(42)).status, 200);
    let before = generation(&weir);
    thread::sleep(Duration::from_millis(2200));
    assert_eq!(generation(&weir), before);
}
