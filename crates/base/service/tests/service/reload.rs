//! What a reload keeps, what it replaces, and that a bad one does nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use weir_service::{
    Balance, CheckKind, Event, Health, HttpCheck, Picker, Service, ServiceSpec, Wish,
};

use crate::support::{House, addresses, checked, spec};

fn ids(service: &Service) -> Vec<u64> {
    service
        .endpoints()
        .all()
        .iter()
        .map(|m| m.endpoint.id().as_u64())
        .collect()
}

#[tokio::test]
async fn unchanged_services_stay_the_same() {
    let house = House::new();
    let specs = [spec("a", &["10.0.0.1:80"]), spec("b", &["10.0.0.2:80"])];
    let before = house.apply(&specs).await;
    let mut changed = specs.clone();
    changed[1].balance = Balance::P2c;
    let after = house.apply(&changed).await;
    assert!(Arc::ptr_eq(&before["a"], &after["a"]));
    assert!(!Arc::ptr_eq(&before["b"], &after["b"]));
    assert_eq!(
        ids(&before["b"]),
        ids(&after["b"]),
        "with the same endpoints"
    );
    assert_eq!(*after["b"].balance(), Balance::P2c);
}

#[tokio::test]
async fn endpoints_that_stay_keep_their_counters() {
    let house = House::new();
    let before = house
        .apply(&[spec("s", &["10.0.0.1:80", "10.0.0.2:80"])])
        .await;
    let mut picker = Picker::new(Arc::clone(&before["s"]), 1);
    let held = [
        picker.pick(&Wish::at(0)).unwrap(),
        picker.pick(&Wish::at(0)).unwrap(),
    ];
    let mut next = spec("s", &["10.0.0.3:80", "10.0.0.2:80"]);
    next.endpoints[1].weight = 5;
    let after = house.apply(&[next]).await;
    let (old, new) = (ids(&before["s"]), ids(&after["s"]));
    assert_eq!(new[1], old[1]);
    assert!(!old.contains(&new[0]));
    let set = after["s"].endpoints();
    assert_eq!(
        (set.all()[1].weight, set.all()[1].endpoint.active()),
        (5, 1)
    );
    drop(held);
    assert_eq!(
        set.all()[1].endpoint.active(),
        0,
        "counted out where it was counted in"
    );
    assert_eq!(
        before["s"].endpoints().all()[1].weight,
        1,
        "the old service is as it was"
    );
}

#[tokio::test]
async fn health_is_carried_over_unless_the_check_changed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (alive, dead) = (listener.local_addr().unwrap().to_string(), "127.0.0.1:1");
    let house = House::new();
    let slow = |targets: &[&str], kind| {
        let mut spec: ServiceSpec = checked(spec("s", targets), kind);
        spec.health.as_mut().unwrap().interval = Duration::from_secs(3600);
        spec
    };
    house.apply(&[slow(&[&alive, dead], CheckKind::Tcp)]).await;
    for _ in 0..2 {
        house
            .event(|e| matches!(e, Event::HealthChanged { .. }))
            .await;
    }
    let states = |services: &std::collections::HashMap<String, Arc<Service>>| -> Vec<Health> {
        services["s"]
            .snapshot(0)
            .endpoints
            .iter()
            .map(|e| e.state)
            .collect()
    };
    let after = house
        .apply(&[slow(&[&alive, dead, "127.0.0.1:2"], CheckKind::Tcp)])
        .await;
    assert_eq!(
        states(&after),
        [Health::Healthy, Health::Unhealthy, Health::Unknown]
    );
    assert_eq!(
        after["s"].endpoints().candidates().len(),
        2,
        "dead stays out, new is welcome"
    );
    let after = house
        .apply(&[slow(&[&alive, dead], CheckKind::Http(HttpCheck::new("/")))])
        .await;
    assert_eq!(
        states(&after),
        [Health::Unknown; 2],
        "another question, another answer"
    );
    let mut unchecked = slow(&[&alive, dead], CheckKind::Tcp);
    unchecked.health = None;
    assert_eq!(
        states(&house.apply(&[unchecked]).await),
        [Health::Unknown; 2]
    );
}

#[tokio::test(start_paused = true)]
async fn known_names_need_no_new_answer() {
    let house = House::new();
    house.dns.set("app", &["10.0.0.1"], 60);
    let before = house.apply(&[spec("s", &["app:80"])]).await;
    house.dns.fail("app");
    let after = house.apply(&[spec("s", &["app:80", "10.0.0.5:80"])]).await;
    assert_eq!(addresses(&after["s"]), ["10.0.0.1:80", "10.0.0.5:80"]);
    assert_eq!(ids(&before["s"])[0], ids(&after["s"])[0]);
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing() {
    let house = House::new();
    let before = house.apply(&[spec("s", &["10.0.0.1:80"])]).await;
    let mut weightless = spec("w", &["10.0.0.1:80"]);
    weightless.endpoints[0].weight = 0;
    let crooked = checked(
        spec("c", &["10.0.0.1:80"]),
        CheckKind::Http(HttpCheck::new("healthz")),
    );
    let mut timeless = checked(spec("t", &["10.0.0.1:80"]), CheckKind::Tcp);
    timeless.health.as_mut().unwrap().interval = Duration::ZERO;
    let mut smuggler = HttpCheck::new("/");
    smuggler.headers.push(("x".into(), "a\r\nb: c".into()));
    let smuggler = checked(spec("m", &["10.0.0.1:80"]), CheckKind::Http(smuggler));
    let specs = vec![
        spec("s", &[]),
        spec("s", &[]),
        weightless,
        crooked,
        timeless,
        smuggler,
    ];
    let errors = house
        .services
        .prepare(specs, Duration::ZERO)
        .await
        .unwrap_err();
    let names: Vec<&str> = errors.iter().map(|e| e.service.as_str()).collect();
    assert_eq!(names, ["s", "w", "c", "t", "m"], "{errors:?}");
    let now = house.services.service("s").unwrap();
    assert!(Arc::ptr_eq(&now, &before["s"]));
}

#[tokio::test(start_paused = true)]
async fn what_was_prepared_and_dropped_leaves_no_trace() {
    let house = House::new();
    house.dns.set("app", &["10.0.0.1"], 1);
    let before = house.apply(&[spec("s", &["10.0.0.1:80"])]).await;
    let prepared = house
        .services
        .prepare(vec![spec("n", &["app:80"])], Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(addresses(&prepared.services()["n"]), ["10.0.0.1:80"]);
    drop(prepared);
    let asked = house.dns.queries("app").len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(house.dns.queries("app").len(), asked);
    assert!(Arc::ptr_eq(
        &house.services.service("s").unwrap(),
        &before["s"]
    ));
}
