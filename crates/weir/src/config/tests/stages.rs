//! All problems at once: those of what could be read are told although something else could not.

use super::slips::checked;

/// The messages of all problems.
fn messages(text: &str) -> Vec<String> {
    let told = checked(text);
    let lines = told.lines();
    let messages = lines.filter_map(|line| line.strip_prefix("error: "));
    messages.map(str::to_owned).collect()
}

#[test]
fn what_only_compiling_shows_is_told_beside_what_cannot_be_read() {
    let text = "\
listeners: { web: ':8080' }
services: { app: [127.0.0.1:3001], slow: { endpoints: [127.0.0.1:3002], slow_start: 5 } }
policies:
  bad: { rate_limit: 100 }
  good: { firewall: { deny: 'country:CH' } }
routes:
  - { path: /a, service: slow, timeout: 5 }
  - { path: /b, service: app, policies: bad }
  - { path: /c, service: app, policies: good }
  - { path: /d, service: app, rewrite: '/{nothing}' }
  - { path: /e, service: nowhere, auth: nobody }
  - { path: e, service: app }
  - { path: /f, service: app, require: { scopes: [a] } }
  - { path: /g, files: /nowhere/at/all }
";
    let messages = messages(text);
    for part in [
        // What cannot be read.
        "expected a duration",
        "found the number 100",
        // What does not go together.
        "there is no service `nowhere`",
        "there is no policy `nobody`",
        // What compiling shows.
        "no database that tells countries",
        "has no parameter `nothing`",
        "does not begin with `/`",
        "`require` needs somebody",
        "cannot open the directory /nowhere/at/all",
    ] {
        let found = messages.iter().any(|message| message.contains(part));
        assert!(found, "{part}: {messages:#?}");
    }
    assert_eq!(messages.len(), 10, "{messages:#?}");
}

#[test]
fn nothing_is_told_that_only_follows_from_something_else() {
    for (text, count) in [
        // The header decides between the two routes.
        (
            "routes: [{ path: /a, headers: [x], respond: 200 }, { path: /a, respond: 204 }]",
            1,
        ),
        // The listener does.
        (
            "listeners: { a: 5, b: ':2' }\nroutes: [{ path: /a, listeners: a, respond: 200 }, { path: /a, respond: 204 }]",
            1,
        ),
        // Who is asking is known by the policy.
        (
            "policies: { p: { jwt: 5 } }\nroutes: [{ policies: p, require: { scopes: [a] }, respond: 200 }]",
            1,
        ),
        (
            "policies: { p: { jwt: 5 } }\ndefaults: { policies: p }\nroutes: [{ require: { scopes: [a] }, respond: 200 }]",
            1,
        ),
        (
            "policies: { p: { jwt: { secret: 0123456789abcdef0123456789abcdef, audience: a } } }\ndefaults: { policies: [p, 5] }\nroutes: [{ require: { scopes: [a] }, respond: 200 }]",
            1,
        ),
        // Countries are known by the database.
        (
            "firewall: { geo: [5] }\nroutes: [{ firewall: { deny: 'country:CH' }, respond: 200 }]",
            1,
        ),
        // What is misspelt is there.
        (
            "polcies: { p: { rate_limit: 10/s } }\nroutes: [{ policies: p, respond: 200 }]",
            1,
        ),
        (
            "upstreams: { app: [127.0.0.1:1] }\nroutes: [{ service: app }]",
            1,
        ),
        (
            "engines: { e: 5 }\nroutes: [{ rate_limit: { limits: 1/s, store: e }, respond: 200 }]",
            1,
        ),
        (
            "services: { a: 5 }\nroutes: [{ service: a, rewrite: /x }]",
            1,
        ),
    ] {
        let messages = messages(text);
        assert_eq!(messages.len(), count, "{text}\n{messages:#?}");
    }
}

#[test]
fn what_compiling_warns_of_is_told() {
    let told = checked("routes: [{ rate_limit: { limits: 10/s, key: user }, respond: 200 }]");
    assert!(
        told.contains("warning: nobody proves who they are"),
        "{told}"
    );
}
