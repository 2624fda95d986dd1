//! SRV records under virtual time.

use std::time::Duration;

use tokio::time::sleep;
use weir_service::{EndpointSpec, Event, ServiceSpec, SourceError, SrvSpec, Target};

use crate::support::{House, addresses, spec};

const NAME: &str = "_http._tcp.app";

fn srv() -> ServiceSpec {
    let target = Target::Srv(SrvSpec {
        name: NAME.to_owned(),
        servers: Vec::new(),
    });
    ServiceSpec {
        endpoints: vec![EndpointSpec {
            weight: 2,
            priority: 1,
            ..target.into()
        }],
        ..spec("s", &[])
    }
}

fn changed(event: &Event) -> bool {
    matches!(event, Event::EndpointsChanged { .. })
}

#[tokio::test(start_paused = true)]
async fn records_come_on_top_of_the_configuration() {
    let house = House::new();
    house.dns.set("one", &["10.0.0.1", "10.0.0.2"], 300);
    house.dns.set("two", &["10.0.0.3"], 300);
    house
        .dns
        .set_srv(NAME, Some(&[(5, 7, 80, "one"), (9, 0, 81, "two")]), 300);
    let service = &house.apply(&[srv()]).await["s"];
    let set = service.endpoints();
    let seen: Vec<_> = set
        .all()
        .iter()
        .map(|m| {
            let at = m.endpoint.address().to_string();
            (at, m.weight, m.priority, m.endpoint.label().to_string())
        })
        .collect();
    let expected = [
        ("10.0.0.1:80", 14, 1, "one:80"),
        ("10.0.0.2:80", 14, 1, "one:80"),
        ("10.0.0.3:81", 2, 2, "two:81"),
    ];
    let expected = expected
        .map(|(at, weight, priority, label)| (at.to_owned(), weight, priority, label.to_owned()));
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn records_are_asked_for_by_their_ttl_and_kept_over_failures() {
    let house = House::new();
    house.dns.set("one", &["10.0.0.1"], 300);
    house.dns.set_srv(NAME, Some(&[(0, 1, 80, "one")]), 20);
    let service = &house.apply(&[srv()]).await["s"];
    sleep(Duration::from_secs(70)).await;
    let queries = house.dns.queries(NAME);
    assert_eq!(queries.len(), 4, "at 0, 20, 40 and 60 s and a little");
    house.dns.set_srv(NAME, None, 0);
    let event = house
        .event(|event| matches!(event, Event::SourceFailed { .. }))
        .await;
    let Event::SourceFailed {
        source,
        error,
        failures,
        ..
    } = event
    else {
        panic!()
    };
    assert_eq!(&*source, "srv _http._tcp.app");
    assert_eq!(error, SourceError::Unreachable("SERVFAIL".into()));
    assert_eq!(failures, 1);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(addresses(service), ["10.0.0.1:80"]);
    let asked = house.dns.queries(NAME).len() - queries.len();
    assert!((15..=40).contains(&asked), "backs off: {asked}");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_waits_for_who_comes() {
    let house = House::new();
    house.dns.set("blue", &["10.0.0.1"], 600);
    house.dns.set_srv(NAME, Some(&[(0, 1, 80, "blue")]), 5);
    let service = &house.apply(&[srv()]).await["s"];
    assert_eq!(addresses(service), ["10.0.0.1:80"]);
    // `green` is asked for, and nobody answers at first.
    house.dns.set_srv(NAME, Some(&[(0, 1, 80, "green")]), 5);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(addresses(service), ["10.0.0.1:80"]);
    house.dns.set("green", &["10.0.0.2"], 600);
    let Event::EndpointsChanged { added, removed, .. } = house.event(changed).await else {
        panic!()
    };
    assert_eq!((added, removed), (1, 1));
    assert_eq!(addresses(service), ["10.0.0.2:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_begins_where_it_was() {
    let house = House::new();
    house.dns.set("one", &["10.0.0.1"], 300);
    house.dns.set_srv(NAME, Some(&[(0, 1, 80, "one")]), 300);
    let first = house.apply(&[srv()]).await["s"].endpoints().all()[0].clone();
    house.dns.fail("one");
    house.dns.set_srv(NAME, None, 0);
    let mut other = srv();
    other.endpoints[0].weight = 3;
    let service = &house.apply(&[other]).await["s"];
    let set = service.endpoints();
    assert_eq!(set.all().len(), 1);
    assert_eq!((first.weight, set.all()[0].weight), (2, 3));
    assert_eq!(
        first.endpoint.id(),
        set.all()[0].endpoint.id(),
        "who stays keeps identity"
    );
    sleep(Duration::from_secs(60)).await;
    assert_eq!(addresses(service), ["10.0.0.1:80"]);
}
