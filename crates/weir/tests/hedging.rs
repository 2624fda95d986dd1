//! Hedging: a second endpoint is asked when the first takes long, within the budget, and the slower one is let go.

#[path = "common/apps.rs"]
mod apps;

use std::time::Duration;

use apps::{all, at_once, request, send, sent, timed, weir, with_body};
use weir_testkit::{App, Reply, wait_until};

const STAY: &str = "outliers: off";
const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_faster_endpoint_answers_and_the_slower_one_is_let_go() {
    let (fast, slow) = (
        App::fine("fast"),
        App::start("slow", |_| Reply::ok().after(LONG)),
    );
    let weir = weir(
        &[&fast, &slow],
        STAY,
        "retries: { hedge_after: 100ms, budget: 100%, budget_floor: 100 }",
    );
    for number in 0..6 {
        let (response, took) = timed(&weir, &format!("/{number}"));
        assert_eq!(
            (response.status, response.header("x-origin")),
            (200, Some("fast"))
        );
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    let met = slow.requests();
    assert!((3..=6).contains(&met) && fast.requests() == 6, "{met}");
    wait_until("the slow one to be let go", || slow.left() == met);
    assert_eq!(slow.busy(), 0);
    let metrics = weir.metrics();
    for name in ["weir_service_hedges_total", "weir_service_hedge_wins_total"] {
        assert_eq!(
            metrics.value(name, &[("service", "app")]),
            met as f64,
            "{name}"
        );
    }
}

#[test]
fn the_first_endpoint_may_still_win() {
    let app = |name| App::start(name, |_| Reply::ok().after(Duration::from_millis(400)));
    let (one, two) = (app("one"), app("two"));
    two.behave(|_| Reply::ok().after(LONG));
    let weir = weir(
        &[&one, &two],
        STAY,
        "retries: { hedge_after: 50ms, budget: 100%, budget_floor: 100 }",
    );
    for number in 0..2 {
        let (response, _) = timed(&weir, &format!("/{number}"));
        assert_eq!(response.header("x-origin"), Some("one"));
    }
    wait_until("the other to be let go", || two.left() == 2);
    assert_eq!((one.requests(), two.requests()), (2, 2));
}

#[test]
fn a_bad_answer_does_not_win() {
    let good = App::start("good", |_| Reply::ok().after(Duration::from_millis(400)));
    let bad = App::start("bad", |_| Reply::status(503));
    let weir = weir(
        &[&good, &bad],
        STAY,
        "retries: { hedge_after: 50ms, on: [connect, reset, 503], budget: 100%, budget_floor: 100, backoff: 1ms }",
    );
    for response in all(&weir, 4, 200) {
        assert_eq!(response.header("x-origin"), Some("good"));
    }
}

#[test]
fn hedges_stay_within_the_budget() {
    let app = |name| App::start(name, |_| Reply::ok().after(Duration::from_millis(150)));
    let (one, two) = (app("one"), app("two"));
    let weir = weir(
        &[&one, &two],
        STAY,
        "retries: { hedge_after: 10ms, budget: 10%, budget_floor: 0 }",
    );
    for _ in 0..5 {
        assert!(at_once(&weir, 40).iter().all(|answer| answer.status == 200));
    }
    let count = sent(&[&one, &two]);
    assert!((205..=220).contains(&count), "{count} for 200 requests");
}

#[test]
fn only_what_may_be_repeated_and_has_no_body_is_hedged() {
    let app = |name| App::start(name, |_| Reply::ok().after(Duration::from_millis(200)));
    let (one, two) = (app("one"), app("two"));
    let weir = weir(
        &[&one, &two],
        STAY,
        "retries: { hedge_after: 20ms, budget: 100%, budget_floor: 100 }",
    );
    for (bytes, expected) in [
        (request("GET", "/", "").into_bytes(), 2),
        (
            request("POST", "/", "Content-Length: 0\r\n").into_bytes(),
            1,
        ),
        (with_body("POST", "/", b"order"), 1),
        (with_body("PUT", "/", b"thing"), 1),
    ] {
        let before = sent(&[&one, &two]);
        let mut client = send(&weir, &bytes);
        assert_eq!(client.response().status, 200);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(sent(&[&one, &two]), before + expected, "{text}");
    }
}

#[test]
fn p95_learns_what_is_long() {
    let (one, two) = (App::fine("one"), App::fine("two"));
    let weir = weir(
        &[&one, &two],
        STAY,
        "retries: { hedge_after: p95, budget: 100%, budget_floor: 1000 }",
    );
    all(&weir, 400, 200);
    two.behave(|_| Reply::ok().after(LONG));
    for number in 0..4 {
        let (response, took) = timed(&weir, &format!("/late/{number}"));
        assert_eq!(response.header("x-origin"), Some("one"));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    wait_until("the slow one to be let go", || two.busy() == 0);
}

#[test]
fn a_client_that_leaves_lets_both_go() {
    let app = |name| App::start(name, |_| Reply::hold());
    let (one, two) = (app("one"), app("two"));
    let weir = weir(
        &[&one, &two],
        STAY,
        "retries: { hedge_after: 20ms, budget: 100%, budget_floor: 100 }",
    );
    let client = send(&weir, request("GET", "/", ""));
    wait_until("both to be asked", || sent(&[&one, &two]) == 2);
    client.reset();
    wait_until("both to be let go", || (one.left(), two.left()) == (1, 1));
}

#[test]
fn a_service_of_one_endpoint_is_not_asked_twice() {
    let one = App::start("one", |_| Reply::ok().after(Duration::from_millis(200)));
    let weir = weir(
        &[&one],
        STAY,
        "retries: { hedge_after: 20ms, budget: 100%, budget_floor: 100 }",
    );
    all(&weir, 3, 200);
    assert_eq!(one.requests(), 3);
}

#[test]
fn the_time_of_a_try_holds_when_two_endpoints_are_asked() {
    let app = |name| App::start(name, |_| Reply::hold());
    let (one, two) = (app("one"), app("two"));
    let weir = weir(
        &[&one, &two],
        STAY,
        "retries: { attempts: 1, on: [timeout], hedge_after: 50ms, per_try: 300ms, budget: 100%, budget_floor: 100 }",
    );
    let (response, took) = timed(&weir, "/");
    assert_eq!(response.status, 504);
    assert!(took < Duration::from_secs(3), "{took:?}");
    wait_until("both to be let go", || one.busy() + two.busy() == 0);
}

#[test]
fn an_endpoint_that_cannot_serve_does_not_win() {
    let slow = App::start("slow", |_| Reply::ok().after(Duration::from_millis(150)));
    let bad = App::start("bad", |_| Reply::status(503));
    let weir = weir(&[&slow, &bad], STAY, "retries: { hedge_after: 20ms }");
    // Those whose first endpoint is the slow one wait for it; the others see what theirs says.
    let statuses: Vec<u16> = (0..10)
        .map(|_| weir.client("web").get("/").status)
        .collect();
    let served = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(served, 5, "{statuses:?}");
}
