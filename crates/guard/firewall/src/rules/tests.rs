use weir_config::{Cx, Decode};

use super::*;
use crate::config::FirewallPolicyConfig;

struct Asking {
    method: &'static str,
    path: &'static str,
    readings: &'static [&'static str],
    query: &'static str,
    fields: &'static [(&'static str, &'static str)],
    client: &'static str,
}

const GET: Asking = Asking {
    method: "GET",
    path: "/",
    readings: &[],
    query: "",
    fields: &[],
    client: "192.0.2.1",
};

impl Request for Asking {
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn readings(&self) -> Vec<Vec<u8>> {
        self.readings
            .iter()
            .map(|path| path.as_bytes().to_vec())
            .collect()
    }

    fn query(&self) -> &[u8] {
        self.query.as_bytes()
    }

    fn any_field<F: FnMut(&[u8]) -> bool>(&self, name: &[u8], mut test: F) -> bool {
        self.fields.iter().any(|(known, value)| {
            known.as_bytes().eq_ignore_ascii_case(name) && test(value.as_bytes())
        })
    }

    fn client(&self) -> IpAddr {
        self.client.parse().expect("an address")
    }
}

fn compile(text: &str) -> Result<RequestRules, String> {
    let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
    let config: Option<FirewallPolicyConfig> = cx.decode();
    let rules = config.map(|config| {
        Firewalls::unwatched()
            .policy(&config, &Geo::default(), &mut cx)
            .rules
    });
    cx.finish(rules)
        .map(|loaded| loaded.value)
        .map_err(|problems| problems.to_string())
}

fn rules(text: &str) -> RequestRules {
    compile(text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn denied(rules: &RequestRules, request: &Asking) -> Option<String> {
    let verdict = rules.check(request, &Memo::default(), &mut Scratch::default());
    verdict.denied.map(|cause| cause.to_string())
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = rules(
        r#"
rules:
  - { allow: { path: /admin/*, from: [10.0.0.0/8] }, name: office }
  - { deny: /admin/*, name: admin }
  - { deny: { methods: [TRACE, CONNECT] } }
"#,
    );
    assert_eq!(
        rules.names().collect::<Vec<_>>(),
        ["office", "admin", "rule-3"]
    );
    assert_eq!(denied(&rules, &GET), None);
    let admin = Asking {
        path: "/admin/users",
        ..GET
    };
    assert_eq!(denied(&rules, &admin).as_deref(), Some("rule:admin"));
    let inside = Asking {
        client: "::ffff:10.9.8.7",
        ..admin
    };
    assert_eq!(denied(&rules, &inside), None);
    let trace = Asking {
        method: "TRACE",
        ..GET
    };
    assert_eq!(denied(&rules, &trace).as_deref(), Some("rule:rule-3"));
    let traced = Asking {
        method: "TRACE",
        path: "/admin",
        client: "10.0.0.1",
        ..GET
    };
    assert_eq!(denied(&rules, &traced), None, "allowed before");
}

#[test]
fn everything_that_a_rule_says_must_hold() {
    let rules = rules(
        r#"
rules:
  - deny:
      path: ["/wp-admin/*", "~\\.php$"]
      methods: [POST]
      headers: { User-Agent: "~(?i)sqlmap", x-probe: "*" }
      query: { id: "~^[0-9]+ or " }
"#,
    );
    const BAD: Asking = Asking {
        method: "POST",
        path: "/wp-admin/x",
        readings: &[],
        query: "a=b&id=1+or+1%3d1",
        fields: &[("user-agent", "SQLMap/1.7"), ("X-Probe", "")],
        client: "192.0.2.1",
    };
    assert!(denied(&rules, &BAD).is_some());
    assert!(
        denied(
            &rules,
            &Asking {
                path: "/index.php",
                ..BAD
            }
        )
        .is_some()
    );
    for good in [
        Asking {
            method: "GET",
            ..BAD
        },
        Asking { path: "/", ..BAD },
        Asking {
            query: "id=1",
            ..BAD
        },
        Asking { query: "", ..BAD },
        Asking {
            fields: &[("user-agent", "sqlmap")],
            ..BAD
        },
        Asking {
            fields: &[("user-agent", "curl"), ("x-probe", "1")],
            ..BAD
        },
    ] {
        assert_eq!(denied(&rules, &good), None);
    }
}

#[test]
fn an_encoding_neither_hides_nor_opens_anything() {
    let deny = rules(r#"rules: [{ deny: "/wp-admin/*" }, { deny: { query: "~union select" } }]"#);
    for path in ["/wp-admin", "/wp-admin/x", "/wp-admin%2Fx", "/wp-admin%2fx"] {
        assert!(denied(&deny, &Asking { path, ..GET }).is_some(), "{path}");
    }
    for query in ["q=union select", "q=union+select", "q=%75nion%20select"] {
        assert!(denied(&deny, &Asking { query, ..GET }).is_some(), "{query}");
    }
    assert_eq!(
        denied(
            &deny,
            &Asking {
                path: "/wp-admins",
                query: "q=union",
                ..GET
            }
        ),
        None
    );
    let allow = rules(r#"rules: [{ allow: "/public/*" }, { deny: {} }]"#);
    assert_eq!(
        denied(
            &allow,
            &Asking {
                path: "/public/x",
                ..GET
            }
        ),
        None
    );
    assert!(
        denied(
            &allow,
            &Asking {
                path: "/public%2Fx",
                ..GET
            }
        )
        .is_some()
    );
    assert!(denied(&allow, &GET).is_some());
}

#[test]
fn what_is_tried_out_is_told_and_decides_nothing() {
    let (memo, scratch) = (&Memo::default(), &mut Scratch::default());
    let one = rules(
        "rules: [{ deny: /a, dry_run: true, name: tried }, { allow: /a, dry_run: true }, { deny: /a, name: meant }]",
    );
    let verdict = one.check(&Asking { path: "/a", ..GET }, memo, scratch);
    assert_eq!(verdict.would_deny, Some(Cause::Rule("tried")));
    assert_eq!(verdict.denied, Some(Cause::Rule("meant")));
    assert!(!verdict.passes());

    // As a whole: what would happen in earnest, with what it allows.
    let all = rules("{ rules: [{ allow: /a/b }, { deny: /a/*, name: meant }], dry_run: true }");
    assert_eq!(
        all.check(
            &Asking {
                path: "/a/b",
                ..GET
            },
            memo,
            scratch
        ),
        Verdict::PASS
    );
    let verdict = all.check(
        &Asking {
            path: "/a/c",
            ..GET
        },
        memo,
        scratch,
    );
    assert!(verdict.passes());
    assert_eq!(verdict.would_deny, Some(Cause::Rule("meant")));
}

#[test]
fn rules_that_could_not_work_are_refused() {
    for (text, told) in [
        ("rules: [{ deny: wp-admin }]", "does not begin with `/`"),
        ("rules: [{ deny: '~(' }]", "the regex does not compile"),
        ("rules: [{ deny: { methods: post } }]", "write `POST`"),
        ("rules: [{ deny: { methods: 'A B' } }]", "not a method"),
        (
            "rules: [{ deny: { headers: { 'a b': x } } }]",
            "not the name of a header field",
        ),
        (
            "rules: [{ deny: /a, name: x }, { deny: /b, name: x }]",
            "two rules are called `x`",
        ),
        ("rules: [{ deny: { from: 'country:CH' } }]", "no database"),
    ] {
        let problems = compile(text).expect_err(text);
        assert!(problems.contains(told), "{text}\n{problems}");
        assert!(problems.contains("weir.yaml:1"), "{problems}");
    }
    let config = FirewallPolicyConfig::absent().expect("nothing must be said");
    assert!(config.rules.is_empty() && rules("{}").is_empty());
}

#[test]
fn what_servers_may_read_is_denied_and_never_allowed() {
    let rules = rules("rules: [{ allow: /public/* }, { deny: /wp-admin/* }]");
    let asking = |readings| Asking {
        path: "/x",
        readings,
        ..GET
    };
    assert_eq!(denied(&rules, &asking(&[])), None);
    assert!(denied(&rules, &asking(&["/y", "/wp-admin/x"])).is_some());
    assert!(denied(&rules, &asking(&["/wp%2Dadmin/x"])).is_some());
    // Nothing passes because of how it might be read.
    assert!(denied(&rules, &asking(&["/public/a", "/wp-admin/x"])).is_some());
}

#[test]
fn head_is_a_get() {
    let rules = rules(
        "rules: [{ deny: { path: /secret, methods: GET } }, { deny: { path: /head, methods: HEAD } }]",
    );
    for (method, path, expected) in [
        ("GET", "/secret", true),
        ("HEAD", "/secret", true),
        ("POST", "/secret", false),
        ("HEAD", "/head", true),
        ("GET", "/head", false),
    ] {
        let asking = Asking {
            method,
            path,
            ..GET
        };
        assert_eq!(
            denied(&rules, &asking).is_some(),
            expected,
            "{method} {path}"
        );
    }
}
