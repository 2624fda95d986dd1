use serde_json::json;
use weir_config::Text;

use super::*;

fn shape() -> Shape {
    let field = |name: &str| IdentityField::from_text(name).expect("a name");
    Shape {
        method: MethodKind::Jwt,
        policy: "login".into(),
        headers: vec![
            (field("x-email"), ClaimPath::known("email")),
            (field("x-roles"), ClaimPath::known("realm.roles")),
        ],
    }
}

fn told_of(claims: Value) -> String {
    let Value::Object(claims) = claims else {
        panic!("claims are an object");
    };
    let person = Person {
        subject: "alice",
        scopes: vec!["read", "wri\"te", "", "all"],
        ..Person::default()
    };
    let identity = shape()
        .identity(person, Claims::new(claims))
        .expect("an identity");
    String::from_utf8(identity.fields.to_vec()).expect("text")
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
fn what_cannot_be_told_exactly_is_not_told() {
    for email in [
        json!("a\r\nx-admin: yes"),
        json!("a\u{0}"),
        json!(" a"),
        json!("a "),
        json!(""),
        json!(null),
        json!({}),
        json!(["a,b"]),
        json!([["a"], "b"]),
        json!([]),
        json!("x".repeat(1025)),
    ] {
        assert!(
            !told_of(json!({ "email": email })).contains("email"),
            "{email}"
        );
    }
}

#[test]
fn a_subject_that_cannot_be_told_is_nobody() {
    for subject in ["", " a", "a\n", "a\r\nb", &"a".repeat(257)] {
        let person = Person {
            subject,
            ..Person::default()
        };
        assert!(
            shape().identity(person, Claims::default()).is_err(),
            "{subject:?}"
        );
    }
}
