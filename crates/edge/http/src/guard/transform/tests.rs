//! Fields that change on their way, and policies that do not agree.

use super::super::value::tests::{Somebody, parameters, request, with_facts};
use super::*;

fn compile(texts: &[&str]) -> Result<TransformPlan, String> {
    let configs: Vec<TransformConfig> = texts
        .iter()
        .map(|text| {
            let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
            let config = cx.decode();
            cx.finish(config).expect("good").value
        })
        .collect();
    let configs: Vec<&TransformConfig> = configs.iter().collect();
    let mut cx = Cx::from_text("weir.yaml", "", &|_| None);
    let is_ours = |name: &str| name == "x-auth-subject";
    let plan = TransformPlan::compile(&configs, &parameters(), is_ours, |_| false, &mut cx);
    cx.finish(plan)
        .map(|loaded| loaded.value)
        .map_err(|problems| problems.to_string())
}

/// The fields of a request as they are passed on.
fn passed(texts: &[&str], fields: &str) -> String {
    let plan = compile(texts).expect("good");
    let request = request(fields);
    let who = Somebody {
        user: b"ada".to_vec(),
        ..Somebody::default()
    };
    let mut out = Vec::new();
    let fields = request.fields();
    with_facts(&request, Some(&who), |facts| {
        fields.write_forwarded(&mut out, |field| {
            let id = field.id();
            id != FieldId::Host && !plan.request.drops(id, fields.name(field))
        });
        plan.request.write_renamed(&mut out, fields, |field| {
            Some(Cow::Borrowed(fields.value(field)))
        });
        plan.request.write(&mut out, facts);
    });
    String::from_utf8(out).expect("text")
}

#[test]
fn fields_are_set_added_removed_and_renamed() {
    for (change, fields, expected) in [
        (
            "set: { x-env: prod }",
            "X-Env: dev\r\nx_env: a\r\nA: b\r\n",
            "A: b\r\nx-env: prod\r\n",
        ),
        (
            "add: { x-env: prod }",
            "X-Env: dev\r\n",
            "X-Env: dev\r\nx-env: prod\r\n",
        ),
        (
            "remove: x-debug",
            "X-Debug: 1\r\nA: b\r\nx-debug: 2\r\n",
            "A: b\r\n",
        ),
        (
            "remove: x-in-*",
            "X-In-A: 1\r\nX-In: 2\r\nx-in-: 3\r\n",
            "X-In: 2\r\n",
        ),
        (
            "remove: 'c*'",
            "Content-Length: 0\r\nCookie: a\r\nCx: y\r\n",
            "Content-Length: 0\r\nCookie: a\r\n",
        ),
        (
            "rename: { x-a: x-b }",
            "X-A: 1\r\nX-B: 2\r\nx-a: 3\r\n",
            "x-b: 1\r\nx-b: 3\r\n",
        ),
        (
            "set: { x: '{user}', y: '{key}' }",
            "Y: forged\r\n",
            "x: ada\r\n",
        ),
        (
            "set: { x: '{shop}/{client_ip}' }, add: { z: w }",
            "",
            "x: 7/192.0.2.1\r\nz: w\r\n",
        ),
        (
            "remove: [cookie, authorization]",
            "Cookie: a\r\nAuthorization: b\r\nA: b\r\n",
            "A: b\r\n",
        ),
    ] {
        let text = format!("request: {{ {change} }}");
        assert_eq!(passed(&[&text], fields), expected, "{change}");
    }
}

#[test]
fn the_later_policy_comes_before_the_earlier() {
    for (first, second, fields, expected) in [
        ("set: { x: a }", "set: { x: b }", "", "x: b\r\n"),
        ("set: { x: a }", "remove: x", "X: c\r\n", ""),
        ("remove: x", "set: { x: b }", "X: c\r\n", "x: b\r\n"),
        (
            "add: { x: a }",
            "add: { x: b }",
            "X: c\r\n",
            "X: c\r\nx: a\r\nx: b\r\n",
        ),
        ("add: { x: a }", "set: { x: b }", "X: c\r\n", "x: b\r\n"),
        (
            "rename: { y: x }",
            "set: { x: b }",
            "Y: c\r\n",
            "Y: c\r\nx: b\r\n",
        ),
        (
            "rename: { y: x }",
            "rename: { y: z }",
            "Y: c\r\n",
            "z: c\r\n",
        ),
    ] {
        let (first, second) = (
            format!("request: {{ {first} }}"),
            format!("request: {{ {second} }}"),
        );
        assert_eq!(
            passed(&[&first, &second], fields),
            expected,
            "{first} {second}"
        );
    }
}

#[test]
fn hop_by_hop_fields_stay_hop_by_hop() {
    let fields = "Connection: x-a\r\nX-A: 1\r\n";
    assert_eq!(passed(&["request: { rename: { x-a: x-b } }"], fields), "");
}

#[test]
fn the_host_is_made_of_text_and_the_host() {
    let host = |text: &str| {
        let plan = compile(&[text])?;
        let mut out = Vec::new();
        let request = request("");
        let said = with_facts(&request, None, |facts| plan.host(facts, &mut out));
        assert!(plan.request.is_empty());
        Ok::<_, String>(said.then(|| String::from_utf8_lossy(&out).into_owned()))
    };
    for (value, expected) in [
        ("app.internal:8080", "app.internal:8080"),
        ("{host}.internal", "shop.example.internal"),
    ] {
        let text = format!("request: {{ set: {{ host: '{value}' }} }}");
        assert_eq!(host(&text).expect("good").as_deref(), Some(expected));
    }
    assert_eq!(host("{}"), Ok(None));
    for (value, part) in [
        ("{shop}.internal", "choose the host"),
        ("a b", "not a host"),
        ("{user}", "choose the host"),
    ] {
        let text = format!("request: {{ set: {{ host: '{value}' }} }}");
        let problems = host(&text).expect_err(value);
        assert!(problems.contains(part), "{problems}");
    }
}

#[test]
fn only_authentication_says_who_is_asking() {
    for change in [
        "set: { X-Auth-Subject: root }",
        "add: { x-auth-subject: root }",
        "rename: { x-me: x-auth-subject }",
    ] {
        let problems = compile(&[&format!("request: {{ {change} }}")]).expect_err(change);
        assert!(problems.contains("says who is asking"), "{problems}");
    }
    let response = compile(&["response: { set: { x-auth-subject: '{user}' } }"]);
    assert!(response.is_ok(), "answers may say it");
}
