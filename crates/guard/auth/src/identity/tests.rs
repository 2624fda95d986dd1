use std::sync::{Arc, Mutex};

use serde_json::json;
use weir_config::Text;

use super::*;
use crate::auth::Event;

fn shape(method: MethodKind, events: Events) -> Shape {
    let field = |name: &str| IdentityField::from_text(name).expect("a name");
    let headers = vec![
        (field("x-email"), ClaimPath::known("email")),
        (field("x-roles"), ClaimPath::known("realm.roles")),
    ];
    Shape::new(method, "login".into(), headers, events)
}

fn claims(claims: Value) -> Claims {
    let Value::Object(claims) = claims else {
        panic!("claims are an object");
    };
    Claims::new(claims)
}

fn told_by(shape: &Shape, known: Value) -> String {
    let person = Person {
        subject: "alice",
        scopes: vec!["read", "wri\"te", "", "all"],
        ..Person::default()
    };
    let identity = shape.identity(person, claims(known)).expect("an identity");
    String::from_utf8(identity.fields.to_vec()).expect("text")
}

fn told_of(known: Value) -> String {
    told_by(&shape(MethodKind::Jwt, Events::nobody()), known)
}

#[test]
fn endpoints_are_told_what_the_config_says() {
    let base = "x-auth-subject: alice\r\nx-auth-method: jwt\r\nx-auth-scopes: read all\r\n";
    for (claims, more) in [
        (json!({}), ""),
        (json!({ "email": "a@b.test" }), "x-email: a@b.test\r\n"),
        (json!({ "email": 7 }), "x-email: 7\r\n"),
        (json!({ "email": true }), "x-email: true\r\n"),
        (json!({ "email": "Zoë" }), "x-email: Zoë\r\n"),
        (
            json!({ "realm": { "roles": ["a", "b"] } }),
            "x-roles: a,b\r\n",
        ),
        (json!({ "realm.roles": "flat" }), "x-roles: flat\r\n"),
        (json!({ "realm": "x" }), ""),
    ] {
        assert_eq!(told_of(claims.clone()), format!("{base}{more}"), "{claims}");
    }
}

#[test]
fn what_cannot_be_told_is_missing_and_an_event() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&seen);
    let shape = shape(
        MethodKind::Jwt,
        Events::new(move |event| events.lock().expect("events").push(event)),
    );
    for email in [
        json!("a\r\nx-admin: yes"),
        json!(" a"),
        json!({}),
        json!("x".repeat(9000)),
    ] {
        let told = told_by(
            &shape,
            json!({ "email": email, "realm": { "roles": [["a"]] } }),
        );
        assert!(!told.contains("email") && !told.contains("roles"), "{told}");
    }
    let told = |field: &str, claim: &str, why| Event::ClaimUntold {
        policy: "login".to_owned(),
        field: field.to_owned(),
        claim: claim.to_owned(),
        why,
    };
    // Once for each field, however many requests there are.
    let scopes = "some are left out: they are no scopes, or there are more than 256";
    assert_eq!(
        *seen.lock().expect("events"),
        [
            told("x-auth-scopes", "scopes", scopes),
            told("x-email", "email", "it holds control characters"),
            told("x-roles", "realm.roles", "a member of the list is no text"),
        ]
    );
}

#[test]
fn many_groups_are_told() {
    let groups: Vec<String> = (0..40)
        .map(|at| format!("a-group-of-thirty-letters-{at:04}"))
        .collect();
    let told = told_of(json!({ "realm": { "roles": groups } }));
    assert!(
        told.contains(&format!("x-roles: {}\r\n", groups.join(","))),
        "{told}"
    );
}

#[test]
fn counts_tell_people_apart_whatever_they_are_called() {
    let unique = |method, iss: &str, subject| {
        let person = Person {
            subject,
            ..Person::default()
        };
        let known = claims(json!({ "iss": iss }));
        let identity = shape(method, Events::nobody()).identity(person, known);
        identity.expect("an identity").unique().to_owned()
    };
    use MethodKind::{ApiKey, Basic, Introspection, Jwt, Oidc};
    let all = [
        unique(ApiKey, "", "acme"),
        unique(Basic, "", "acme"),
        unique(Jwt, "", "acme"),
        unique(Jwt, "https://id", "acme"),
        unique(Jwt, "https://id\nacme", "acme"),
        unique(Jwt, "https://other", "acme"),
        unique(Jwt, "", "api_key acme"),
    ];
    let different: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "{all:?}");
    for method in [Jwt, Introspection, Oidc] {
        assert_eq!(unique(method, "https://id", "acme"), all[3]);
    }
    // What is known about a key says nothing of whose it is.
    assert_eq!(unique(ApiKey, "https://id", "acme"), all[0]);
}

#[test]
fn a_subject_that_cannot_be_told_is_nobody() {
    for subject in ["", " a", "a\n", "a\r\nb", &"a".repeat(257)] {
        let person = Person {
            subject,
            ..Person::default()
        };
        assert!(
            shape(MethodKind::Jwt, Events::nobody())
                .identity(person, Claims::default())
                .is_err(),
            "{subject:?}"
        );
    }
}
