//! Another config while everything runs: nothing fails, nothing closes, and what does not work changes nothing.

#[path = "common/running.rs"]
mod running;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use running::{
    SOON, WEIR, echoes, events, generation, place, start, status, tunnel, wait_event, wait_refused,
};
use serde_json::Value;
use weir_testkit::{Echo, Load, RawClient, Signal, Weir, free_addr, run_cli, wait_until};

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

    // With nothing changed it is still a reload.
    let before = generation(&weir);
    weir.signal(Signal::HUP);
    wait_until("another generation", || generation(&weir) > before);
    wait_event(&weir, "config reloaded", |event| event["cause"] == "SIGHUP");
    let last = &status(&weir)["last_reload"];
    assert_eq!(last["ok"], true, "{last}");
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

const TWO_LISTENERS: &str = "
workers: 2
listeners: { web: '@web@', extra: '@extra@' }
routes: [ { path: /*, service: app } ]
services: { app: ['@app@'] }
";
const ONE_LISTENER: &str = "
workers: 2
listeners: { web: '@web@' }
routes: [ { path: /*, service: app } ]
services: { app: ['@app@'] }
";

#[test]
fn listeners_come_and_go() {
    let app = Echo::start("app");
    let mut weir = start(TWO_LISTENERS, &[("app", app.addr())]);
    let extra = weir.addr("extra");
    let mut stays = weir.client("web");
    assert_eq!(stays.get("/").status, 200);
    let mut idle: Vec<RawClient> = (0..4).map(|_| RawClient::connect(extra)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let mut silent = RawClient::connect(extra);
    let mut busy: Vec<RawClient> = (0..4).map(|_| RawClient::connect(extra)).collect();
    let mut tunnel = tunnel(extra);
    let before = app.requests();
    for client in &mut busy {
        client.send("GET /slow/1500 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    wait_until("slow requests at the app", || {
        app.requests() == before + busy.len()
    });

    assert_eq!(weir.reload_with(ONE_LISTENER).status, 200);
    for client in &mut idle {
        client.expect_close();
    }
    wait_refused(extra);
    for client in &mut busy {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(
            response.headers.has_token("connection", "close"),
            "{response:?}"
        );
        client.expect_close();
    }
    silent.expect_close();
    echoes(&mut tunnel, "a tunnel outlives its listener");
    assert_eq!(stays.get("/").status, 200);
    assert_eq!(status(&weir)["listeners"].as_array().map(Vec::len), Some(1));

    assert_eq!(weir.reload_with(TWO_LISTENERS).status, 200);
    wait_until("the listener to be back", || {
        RawClient::try_connect(extra).is_ok()
    });
    assert_eq!(RawClient::connect(extra).get("/").status, 200);
    echoes(&mut tunnel, "and its return");
    assert_eq!(stays.get("/").status, 200);
}

#[test]
fn what_a_listener_says_changes_for_connections_that_are_open() {
    let config = |max_body: u32| {
        format!(
            "
listeners: {{ web: {{ address: '@web@', http: {{ max_body: {max_body} }} }} }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: ['@app@'] }}
"
        )
    };
    let app = Echo::start("app");
    let mut weir = start(&config(5), &[("app", app.addr())]);
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(weir.reload_with(&config(50)).status, 200);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.response().json()["body_length"], 10);
    assert_eq!(weir.reload_with(&config(5)).status, 200);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.response().status, 413);
}

#[test]
fn unchanged_services_keep_their_health_and_their_connections() {
    let config = |number: u32| {
        format!(
            "
workers: 1
listeners: {{ web: '@web@' }}
routes:
  - {{ path: /version, respond: {{ body: 'v{number}' }} }}
  - {{ path: '/more/{number}', service: checked }}
  - {{ path: /checked, service: checked }}
  - {{ path: /*, service: plain }}
services:
  plain: ['@app@']
  checked:
    endpoints: ['@app@', '@down@']
    health: {{ http: /, interval: 1h }}
"
        )
    };
    let app = Echo::start("app");
    let mut weir = start(&config(0), &[("app", app.addr()), ("down", free_addr())]);
    // Nothing listens at the second endpoint; the first check decides that, and the next is an hour away.
    let changed = |weir: &Weir| {
        events(weir)
            .iter()
            .filter(|event| event["message"] == "endpoint health changed")
            .count()
    };
    wait_until("both verdicts", || changed(&weir) == 2);
    let states = |weir: &Weir| -> Vec<Value> {
        let status = status(weir);
        let services = status["services"].as_array().expect("services").clone();
        let checked = services
            .into_iter()
            .find(|s| s["name"] == "checked")
            .expect("it");
        checked["endpoints"]
            .as_array()
            .expect("endpoints")
            .iter()
            .map(|endpoint| endpoint["state"].clone())
            .collect()
    };
    assert_eq!(states(&weir), ["healthy", "unhealthy"]);
    let mut client = weir.client("web");
    let before = client.get("/").json();
    for number in 1..=5 {
        assert_eq!(weir.reload_with(&config(number)).status, 200);
        assert_eq!(states(&weir), ["healthy", "unhealthy"]);
        assert_eq!(client.get("/version").text(), format!("v{number}"));
        let seen = client.get("/").json();
        assert_eq!(
            seen["connection"], before["connection"],
            "another connection to the endpoint"
        );
    }
    assert_eq!(changed(&weir), 2);
    let metrics = weir.metrics();
    let down = weir.addr("down").to_string();
    assert_eq!(
        metrics.value("weir_endpoint_healthy", &[("endpoint", &down)]),
        0.0
    );
    // Counters go on, too; the last answer is counted just after it was sent.
    let labels = [("service", "plain"), ("class", "2xx")];
    wait_until("six requests", || {
        weir.metrics().sum("weir_service_requests_total", &labels) == 6.0
    });
}

#[test]
fn endpoints_that_stay_keep_their_connections_when_their_service_changes() {
    let config = |weight: u32| {
        format!(
            "
workers: 1
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: [ {{ address: '@app@', weight: {weight} }} ] }}
"
        )
    };
    let app = Echo::start("app");
    let mut weir = start(&config(1), &[("app", app.addr())]);
    let mut client = weir.client("web");
    assert_eq!(client.get("/").json()["connection"], 1);
    assert_eq!(weir.reload_with(&config(2)).status, 200);
    assert_eq!(client.get("/").json()["connection"], 1);
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
fn a_start_on_an_address_that_is_taken_fails_with_its_place() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("its address");
    let launch = Weir::launch(
        WEIR,
        "listeners: { web: '@web@' }\nroutes: [ { path: /*, respond: 200 } ]\n",
    )
    .value("web", addr);
    let why = Weir::try_launch(launch).expect_err("it cannot start");
    assert!(
        why.contains("weir.yaml:3:19") && why.contains("already in use"),
        "{why}"
    );
}

fn ask(addr: SocketAddr, path: &str, token: Option<&str>) -> u16 {
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    RawClient::exchange(
        addr,
        format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n{token}Connection: close\r\n\r\n"),
    )
    .status
}

#[test]
fn the_admin_api_moves_and_changes_its_token() {
    let config = |admin: &str| {
        format!(
            "admin: {admin}\nlog: {{ access: '@log@' }}\nlisteners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n"
        )
    };
    let mut weir = start(&config("'@admin@'"), &[]);
    let (old, new) = (weir.addr("admin"), free_addr());
    // Another line in front of it is no other address.
    assert_eq!(
        weir.reload_with(&format!("# a comment\n{}", config("'@admin@'")))
            .status,
        200
    );

    let answer = weir.reload_with(&config(&format!("'{new}'")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait_until("the new address", || RawClient::try_connect(new).is_ok());
    assert_eq!(ask(new, "/readyz", None), 200);
    wait_refused(old);

    let reload = |addr: SocketAddr, token: Option<&str>| {
        let token = token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        RawClient::exchange(
            addr,
            format!(
                "POST /reload HTTP/1.1\r\nHost: {addr}\r\n{token}Content-Length: 0\r\nConnection: close\r\n\r\n"
            ),
        )
    };
    // A token on the same address, and another one.
    weir.rewrite_config(&config(&format!(
        "{{ address: '{new}', token: first-token }}"
    )));
    let answer = reload(new, None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait_until("the token to be wanted", || {
        ask(new, "/status", None) == 401
    });
    assert_eq!(ask(new, "/status", Some("first-token")), 200);
    weir.rewrite_config(&config(&format!(
        "{{ address: '{new}', token: second-token }}"
    )));
    assert_eq!(reload(new, Some("first-token")).status, 200);
    wait_until("the other token", || {
        ask(new, "/status", Some("second-token")) == 200
    });
    assert_eq!(ask(new, "/status", Some("first-token")), 401);

    // Off, and on again where it was at first.
    weir.rewrite_config(&config("off"));
    assert_eq!(reload(new, Some("second-token")).status, 200);
    wait_refused(new);
    weir.rewrite_config(&config("'@admin@'"));
    weir.signal(Signal::HUP);
    wait_until("the first address", || RawClient::try_connect(old).is_ok());
    assert_eq!(ask(old, "/readyz", None), 200);
}

#[test]
fn the_access_log_moves_with_the_config_and_reopens_on_sigusr1() {
    let config = |file: &str| {
        format!(
            "admin: '@admin@'\nlog: {{ access: '@dir@/{file}' }}\nlisteners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n"
        )
    };
    let mut weir = start(&config("first.log"), &[]);
    let dir = weir.dir().to_owned();
    let lines = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let wait_line = |file: &str, text: &str| {
        wait_until(&format!("{text} in {file}"), || lines(file).contains(text));
    };
    let mut client = weir.client("web");
    client.get("/to-the-first");
    wait_line("first.log", "/to-the-first");

    assert_eq!(weir.reload_with(&config("second.log")).status, 200);
    client.get("/to-the-second");
    wait_line("second.log", "/to-the-second");
    assert!(!lines("first.log").contains("/to-the-second"));

    fs::rename(dir.join("second.log"), dir.join("second.log.1")).expect("renamed");
    client.get("/still-to-the-renamed");
    wait_line("second.log.1", "/still-to-the-renamed");
    weir.signal(Signal::USR1);
    wait_until("the new file", || dir.join("second.log").exists());
    client.get("/to-the-new");
    wait_line("second.log", "/to-the-new");
    assert!(!lines("second.log.1").contains("/to-the-new"));

    // A log that cannot be opened changes nothing.
    let answer = weir.reload_with(&config("missing/third.log"));
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("access log"), "{}", answer.text());
    client.get("/again-to-the-second");
    wait_line("second.log", "/again-to-the-second");
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
        &ONE_LISTENER
            .replace("service: app", "respond: 200")
            .replace("services: { app: ['@app@'] }", ""),
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
fn a_listener_may_widen_and_narrow_its_address() {
    let config = |address: &str| {
        format!("listeners: {{ web: '{address}' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n")
    };
    let mut weir = start(&config("@web@"), &[]);
    let web = weir.addr("web");
    let any = format!(":{}", web.port());
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    let answer = weir.reload_with(&config(&any));
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A connection that the kernel has given to a socket just as it closes is lost, so the first may be.
    let serves = || {
        RawClient::try_connect(web).is_ok_and(|mut client| {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client
                .try_response()
                .is_ok_and(|response| response.status == 200)
        })
    };
    wait_until("the wide one", serves);
    // Another way to write it, and back to the narrow one.
    let v6 = format!("[::]:{}", web.port());
    let answer = weir.reload_with(&config(&v6));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut through_v6 = RawClient::connect(([0, 0, 0, 0, 0, 0, 0, 1], web.port()).into());
    assert_eq!(through_v6.get("/").status, 200);
    let answer = weir.reload_with(&config("@web@"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    through_v6.expect_close();
    wait_until("the narrow one", serves);
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

#[test]
fn a_listener_that_went_can_come_back_at_once() {
    let app = Echo::start("app");
    let mut weir = start(TWO_LISTENERS, &[("app", app.addr())]);
    let extra = weir.addr("extra");
    for _ in 0..15 {
        assert_eq!(weir.reload_with(ONE_LISTENER).status, 200);
        assert!(
            RawClient::try_connect(extra).is_err(),
            "it is closed by now"
        );
        let answer = weir.reload_with(TWO_LISTENERS);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(RawClient::connect(extra).get("/").status, 200);
    }
}
