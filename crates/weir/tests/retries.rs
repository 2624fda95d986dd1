//! Retries: what is tried again, where, how often, and what is never sent twice.

#[path = "common/apps.rs"]
mod apps;

use std::thread;
use std::time::{Duration, Instant};

use apps::{WEIR, all, config, line, request, send, sent, timed, weir, with_body};
use weir_testkit::{App, RawClient, Reply, Weir, free_addr, pattern, wait_until};

/// Endpoints that fail stay in use, and the budget is no limit: what a test sees is the retries alone.
const STAY: &str = "outliers: off";

fn generous(retries: &str) -> String {
    format!("retries: {{ budget: 100%, budget_floor: 1000, backoff: 1ms, {retries} }}")
}

#[test]
fn a_status_on_the_list_is_tried_on_another_endpoint() {
    let (good, bad) = (App::fine("good"), App::start("bad", |_| Reply::status(503)));
    let weir = weir(&[&good, &bad], STAY, &generous("attempts: 1, on: [503]"));
    for response in all(&weir, 20, 200) {
        assert_eq!(response.header("x-origin"), Some("good"));
    }
    assert_eq!(good.requests(), 20);
    assert!(bad.requests() >= 5);
    let attempts: Vec<u64> = (0..20)
        .filter_map(|number| line(&weir, &format!("/{number}"))["attempts"].as_u64())
        .collect();
    let sent = sent(&[&good, &bad]) as u64;
    assert_eq!(attempts.iter().sum::<u64>(), sent, "{attempts:?}");
}

#[test]
fn statuses_are_tried_again_as_the_list_says() {
    for (on, status, again) in [
        ("[connect, reset]", 503, false),
        ("[503]", 500, false),
        ("[502, 504]", 504, true),
        ("[429]", 429, true),
        ("[5xx]", 500, true),
        ("[5xx]", 404, false),
        ("[5xx]", 429, false),
    ] {
        let good = App::fine("good");
        let bad = App::start("bad", move |_| Reply::status(status));
        let weir = weir(
            &[&good, &bad],
            STAY,
            &generous(&format!("attempts: 1, on: {on}")),
        );
        let mut client = weir.client("web");
        let mut seen: Vec<u16> = (0..4).map(|_| client.get("/").status).collect();
        seen.sort_unstable();
        let expected = if again {
            [200; 4]
        } else {
            let mut both = [200, 200, status, status];
            both.sort_unstable();
            both
        };
        assert_eq!(seen, expected, "{on} after {status}");
        // Each try was at most one at each endpoint.
        assert!((2..=4).contains(&bad.requests()), "{on} after {status}");
    }
}

#[test]
fn only_what_may_be_repeated_is_tried_again() {
    for (method, again) in [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("PUT", true),
        ("DELETE", true),
        ("POST", false),
        ("PATCH", false),
        ("UNKNOWN", false),
    ] {
        for reply in [Reply::status(503), Reply::reset()] {
            let good = App::fine("good");
            let bad = App::start("bad", move |_| reply.clone());
            let weir = weir(
                &[&good, &bad],
                STAY,
                &generous("attempts: 2, on: [connect, reset, 503]"),
            );
            let mut fine = 0;
            for _ in 0..4 {
                let mut client = weir.client("web");
                client.send(request(method, "/", "Content-Length: 0\r\n"));
                fine += usize::from(client.response_to(method).status == 200);
            }
            let seen = (fine, good.requests(), sent(&[&good, &bad]));
            let wanted = if again {
                (4, 4, 4 + bad.requests())
            } else {
                (2, 2, 4)
            };
            assert!(bad.requests() > 0);
            assert_eq!(seen, wanted, "{method}");
        }
    }
}

#[test]
fn a_post_whose_bytes_went_out_is_never_sent_twice() {
    type Break = fn() -> Reply;
    for (name, reply) in [
        ("reset at the head", Reply::reset_at_head as Break),
        ("reset after the body", Reply::reset),
        ("half an answer", Reply::break_off),
        ("503", || Reply::status(503)),
        ("no answer in time", || {
            Reply::ok().after(Duration::from_secs(60))
        }),
    ] {
        let apps = [
            App::start("one", move |_| reply()),
            App::start("two", move |_| reply()),
        ];
        let weir = weir(
            &[&apps[0], &apps[1]],
            STAY,
            &generous("attempts: 3, on: [connect, reset, timeout, 5xx], per_try: 150ms"),
        );
        for size in [0, 5, 20_000] {
            let before = sent(&[&apps[0], &apps[1]]);
            let mut client = send(&weir, with_body("POST", "/order", &pattern(size)));
            assert!(client.response().status >= 500, "{name}");
            assert_eq!(
                sent(&[&apps[0], &apps[1]]),
                before + 1,
                "{name}, {size} bytes"
            );
        }
    }
}

#[test]
fn a_post_that_nobody_has_seen_is_sent_elsewhere() {
    let app = App::fine("app");
    let config = config(&[free_addr(), app.addr()], STAY, &generous("attempts: 1"));
    let weir = Weir::start(WEIR, &config);
    for number in 0..6 {
        let body = pattern(3000 * number);
        let mut client = send(&weir, with_body("POST", "/order", &body));
        assert_eq!(client.response().status, 200);
        assert_eq!(app.seen()[number].request.body, body);
    }
}

#[test]
fn a_kept_body_is_sent_again_byte_for_byte() {
    let (good, bad) = (App::fine("good"), App::start("bad", |_| Reply::reset()));
    let weir = weir(
        &[&good, &bad],
        STAY,
        &generous("attempts: 1, on: [reset, 503], buffer: 64KiB"),
    );
    for (turn, size) in [0, 1, 1000, 40_000, 65_536].into_iter().enumerate() {
        let body = pattern(size);
        // One of two meets the bad endpoint first; one of two has chunks.
        for number in 0..4 {
            bad.behave(move |_| {
                if turn.is_multiple_of(2) {
                    Reply::reset()
                } else {
                    Reply::status(503)
                }
            });
            let mut client = weir.client("web");
            if number < 2 {
                client.send(with_body("PUT", "/thing", &body));
            } else {
                client.send(request("PUT", "/thing", "Transfer-Encoding: chunked\r\n"));
                for piece in body.chunks(7000) {
                    client.send(format!("{:x}\r\n", piece.len()));
                    client.send(piece).send("\r\n");
                }
                client.send("0\r\n\r\n");
            }
            assert_eq!(client.response().status, 200, "{size} bytes");
            let seen = good.seen().pop().expect("a request");
            assert!(seen.request.body == body, "{size} bytes were changed");
        }
    }
    assert_eq!(good.requests(), 20);
    assert!(bad.requests() >= 10);
}

#[test]
fn a_body_over_the_cap_is_not_sent_again() {
    let (good, bad) = (App::fine("good"), App::start("bad", |_| Reply::reset()));
    let weir = weir(
        &[&good, &bad],
        STAY,
        &generous("attempts: 2, on: [connect, reset], buffer: 16KiB"),
    );
    let mut statuses: Vec<u16> = (0..4)
        .map(|_| {
            send(&weir, with_body("PUT", "/thing", &pattern(20_000)))
                .response()
                .status
        })
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    assert_eq!((good.requests(), bad.requests()), (2, 2));
    // What it could not repeat it passed on whole all the same.
    assert!(
        good.seen()
            .iter()
            .all(|seen| seen.request.body == pattern(20_000))
    );
}

#[test]
fn an_answer_that_has_begun_is_not_tried_again() {
    let good = App::fine("good");
    let bad = App::start("bad", |_| Reply::break_off().body(pattern(50_000)));
    let weir = weir(
        &[&good, &bad],
        STAY,
        &generous("attempts: 2, on: [connect, reset, timeout, 5xx]"),
    );
    let mut broken = 0;
    for _ in 0..4 {
        let answer = send(&weir, request("GET", "/", "")).try_response();
        broken += usize::from(answer.is_err());
    }
    assert_eq!((broken, good.requests(), bad.requests()), (2, 2, 2));
}

#[test]
fn a_try_that_takes_too_long_is_given_up_for_the_next() {
    let (good, bad) = (App::fine("good"), App::fine("bad"));
    bad.behave(|_| Reply::ok().after(Duration::from_secs(60)));
    let weir = weir(
        &[&good, &bad],
        STAY,
        &generous("attempts: 1, on: [timeout], per_try: 200ms"),
    );
    for number in 0..4 {
        let (response, took) = timed(&weir, &format!("/{number}"));
        assert_eq!(response.status, 200);
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    let met = bad.requests();
    assert!((2..=4).contains(&met), "{met}");
    wait_until("the endpoint to be left alone", || bad.left() == met);
    assert_eq!(good.requests(), 4);
}

#[test]
fn when_all_tries_fail_the_last_answer_is_passed_on() {
    let apps = ["one", "two", "three", "four"]
        .map(|name| App::start(name, |_| Reply::status(503).body("out of stock")));
    let apps: Vec<&App> = apps.iter().collect();
    let weir = weir(&apps, STAY, &generous("attempts: 2, on: [503]"));
    let (response, _) = timed(&weir, "/");
    assert_eq!(
        (response.status, response.text().as_str()),
        (503, "out of stock")
    );
    assert!(response.header("x-origin").is_some());
    assert_eq!(sent(&apps), 3);
    // Each try was at an endpoint of its own.
    assert!(apps.iter().all(|app| app.requests() <= 1));
    assert_eq!(line(&weir, "/")["attempts"], 3);
}

#[test]
fn retries_stay_within_their_budget_when_everything_fails() {
    let apps = ["one", "two", "three"].map(|name| App::start(name, |_| Reply::status(503)));
    let apps: Vec<&App> = apps.iter().collect();
    let weir = weir(
        &apps,
        STAY,
        "retries: { attempts: 3, on: [503], budget: 20%, budget_floor: 0, backoff: 1ms }",
    );
    all(&weir, 500, 503);
    let count = sent(&apps);
    assert!((550..=600).contains(&count), "{count} for 500 requests");
}

#[test]
fn the_floor_of_the_budget_lets_a_quiet_service_retry() {
    let (good, bad) = (App::fine("good"), App::start("bad", |_| Reply::reset()));
    let weir = weir(
        &[&good, &bad],
        STAY,
        "retries: { attempts: 1, budget: 0%, budget_floor: 1 }",
    );
    all(&weir, 4, 200);
    assert!(bad.requests() >= 2);
}

#[test]
fn retry_after_is_respected() {
    let good = App::fine("good");
    let bad = App::start("bad", |_| Reply::status(503).field("Retry-After", "1"));
    let weir = weir(&[&good, &bad], STAY, &generous("attempts: 1, on: [503]"));
    let mut client = weir.client("web");
    wait_until("the bad one to be asked", || {
        assert_eq!(client.get("/").status, 200);
        bad.requests() == 1
    });
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(700) {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(bad.requests(), 1, "asked before it wanted to be");
    wait_until("it to be asked again", || {
        assert_eq!(client.get("/").status, 200);
        bad.requests() > 1
    });
    let waited = bad.seen()[1].at - bad.seen()[0].at;
    assert!(waited >= Duration::from_millis(900), "{waited:?}");
}

#[test]
fn a_client_that_leaves_ends_its_tries() {
    let apps = ["one", "two"].map(|name| App::start(name, |_| Reply::hold()));
    let apps: Vec<&App> = apps.iter().collect();
    let weir = weir(
        &apps,
        STAY,
        &generous("attempts: 5, on: [timeout], per_try: 300ms"),
    );
    let client = send(&weir, request("GET", "/", ""));
    wait_until("the first try", || sent(&apps) == 1);
    client.reset();
    wait_until("it to be given up", || {
        apps.iter().any(|app| app.left() == 1)
    });
    thread::sleep(Duration::from_millis(700));
    assert_eq!(sent(&apps), 1);
}

#[test]
fn one_deadline_holds_for_all_tries() {
    let apps = ["one", "two", "three", "four"].map(|name| App::start(name, |_| Reply::hold()));
    let apps: Vec<&App> = apps.iter().collect();
    let weir = weir(
        &apps,
        STAY,
        &format!(
            "timeout: 500ms, {}",
            generous("attempts: 10, on: [timeout], per_try: 200ms")
        ),
    );
    let (response, took) = timed(&weir, "/");
    assert_eq!(response.status, 504);
    let bounds = Duration::from_millis(450)..Duration::from_millis(1500);
    assert!(bounds.contains(&took), "{took:?}, {}", line(&weir, "/"));
    let count = sent(&apps);
    assert!((2..=3).contains(&count), "{count}");
    thread::sleep(Duration::from_millis(400));
    assert_eq!(sent(&apps), count, "tried after the deadline");
    wait_until("all to be given up", || {
        apps.iter().all(|app| app.busy() == 0)
    });
}

const DEADLINE: &str = "deadline: { header: x-request-timeout-ms }";

fn deadline_of(app: &App, number: usize) -> u64 {
    let seen = app.seen();
    let value = seen[number].request.header("x-request-timeout-ms");
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("{value:?}"))
}

#[test]
fn a_deadline_goes_on_to_the_endpoint_shortened() {
    let app = App::fine("app");
    let weir = weir(&[&app], STAY, &format!("timeout: 5s, {DEADLINE}"));
    let mut client = RawClient::connect(weir.addr("web"));
    for (sent, bounds) in [
        ("X-Request-Timeout-Ms: 3000\r\n", 2000..=3000),
        ("", 4000..=5000),
        ("x-request-timeout-ms: 60000\r\n", 4000..=5000),
        ("x-request-timeout-ms: soon\r\n", 4000..=5000),
        ("x-request-timeout-ms: -5\r\n", 4000..=5000),
    ] {
        client.send(request("GET", "/", sent));
        assert_eq!(client.response().status, 200, "{sent}");
        let left = deadline_of(&app, app.requests() - 1);
        assert!(bounds.contains(&left), "{sent}: {left}");
    }
}

#[test]
fn a_second_try_has_less_time() {
    let bad = App::start("bad", |_| Reply::hold());
    let good = App::fine("good");
    let weir = weir(
        &[&good, &bad],
        STAY,
        &format!(
            "timeout: 5s, {DEADLINE}, {}",
            generous("attempts: 1, on: [timeout], per_try: 300ms")
        ),
    );
    all(&weir, 2, 200);
    let (first, second) = (
        deadline_of(&bad, 0),
        deadline_of(&good, good.requests() - 1),
    );
    // One of the two requests met the bad endpoint first.
    let shortest = (0..good.requests())
        .map(|number| deadline_of(&good, number))
        .min();
    let shortest = shortest.expect("two requests").min(second);
    assert!(shortest + 250 <= first, "{first}, then {shortest}");
}

#[test]
fn a_client_may_wait_shorter_than_the_route_allows() {
    let app = App::start("app", |_| Reply::hold());
    let weir = weir(&[&app], STAY, &format!("timeout: 10s, {DEADLINE}"));
    let begin = Instant::now();
    let mut client = send(&weir, request("GET", "/", "x-request-timeout-ms: 300\r\n"));
    assert_eq!(client.response().status, 504);
    let bounds = Duration::from_millis(250)..Duration::from_secs(2);
    assert!(bounds.contains(&begin.elapsed()), "{:?}", begin.elapsed());
    wait_until("the endpoint to be left", || app.busy() == 0);
}

#[test]
fn what_is_too_late_already_is_not_started() {
    let app = App::fine("app");
    let weir = weir(&[&app], STAY, &format!("timeout: 10s, {DEADLINE}"));
    let mut client = send(&weir, request("GET", "/", "x-request-timeout-ms: 0\r\n"));
    assert_eq!(client.response().status, 504);
    assert_eq!(app.requests(), 0);
    // A client that can be too late is not a broken connection.
    assert_eq!(client.get("/").status, 200);
}
