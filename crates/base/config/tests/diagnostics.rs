//! What the user is told, word for word.

use weir_config::{
    Cx, Decode, Diagnostics, Duration, Map, Name, Secret, Spanned, Within, choice, object, one_of,
};

choice! {
    /// How.
    pub enum Balance {
        /// Two.
        P2c = "p2c",
        /// Turns.
        RoundRobin = "round_robin",
    }
}

one_of! {
    /// What becomes of it.
    pub enum Action {
        /// Goes there.
        service => Service(Spanned<Name>),
        /// Goes elsewhere.
        redirect => Redirect(String),
    }
}

object! {
    /// A route.
    pub struct Route {
        /// A path.
        pub path: Spanned<String>,
        /// How long.
        pub timeout: Option<Duration>,
    }
    one_of {
        /// What.
        pub action: Action
    }
}

object! {
    /// Admin.
    pub struct Admin {
        /// Where.
        pub address: String,
        /// Secret.
        pub token: Option<Secret>,
    }
    short address;
}

object! {
    /// All of it.
    pub struct Config {
        /// Threads.
        pub workers: Within<1, 64> = Within::new(4),
        /// How.
        pub balance: Balance = Balance::P2c,
        /// Admin.
        pub admin: Option<Admin>,
        /// Routes.
        pub routes: Vec<Route> = Vec::new(),
        /// Services.
        pub services: Map<Vec<String>> = Map::default(),
    }
}

fn environment(name: &str) -> Option<String> {
    (name == "PASSWORD").then(|| "hunter2".to_owned())
}

fn problems_of<T: Decode + std::fmt::Debug>(name: &str, text: &str) -> Diagnostics {
    let mut cx = Cx::from_text(name, text, &environment);
    let value = cx.decode::<T>();
    cx.finish(value).map(|loaded| loaded.value).expect_err(text)
}

fn told(text: &str) -> String {
    problems_of::<Config>("weir.yaml", text).to_string()
}

#[test]
fn every_problem_is_told_at_once() {
    let text = "\
workers: 0
balance: p2
routes:
  - path: /a
    timout: 5s
    service: users
  - path: /b
    timeout: 5
    service: users
    redirect: /c
  - { timeout: 1m, service: 'a b' }
services:
  users: 127.0.0.1:80
serivces: {}
";
    assert_eq!(
        told(text),
        "\
error: expected a whole number from 1 to 64, found the number 0
 --> weir.yaml:1:10
  |
1 | workers: 0
  |          ^
  = at: workers

error: unknown word: `p2`
 --> weir.yaml:2:10
  |
2 | balance: p2
  |          ^^ did you mean `p2c`?
  = at: balance
  = expected: one of `p2c`, `round_robin`

error: unknown key `timout`
 --> weir.yaml:5:5
  |
5 |     timout: 5s
  |     ^^^^^^ did you mean `timeout`?
  = at: routes[0].timout

error: expected a duration such as `250ms`, `5s`, `1m30s`, `1h` or `1d`, found the number 5
 --> weir.yaml:8:14
  |
8 |     timeout: 5
  |              ^
  = at: routes[1].timeout
  = help: a number needs its unit: `5s` or `5ms`?

error: `redirect` cannot stand beside `service`
  --> weir.yaml:10:5
   |
10 |     redirect: /c
   |     ^^^^^^^^
  ::: weir.yaml:9:5
   |
 9 |     service: users
   |     ------- chosen here
   = at: routes[1].redirect
   = expected: one of `service`, `redirect`

error: the key `path` is missing
  --> weir.yaml:11:5
   |
11 |   - { timeout: 1m, service: 'a b' }
   |     ^
   = at: routes[2].path

error: expected a name of letters, digits, `_`, `-` and `.`, at most 64 long, found the string \"a b\"
  --> weir.yaml:11:29
   |
11 |   - { timeout: 1m, service: 'a b' }
   |                             ^^^^^
   = at: routes[2].service

error: expected a list, found `127.0.0.1:80`
  --> weir.yaml:13:10
   |
13 |   users: 127.0.0.1:80
   |          ^^^^^^^^^^^^
   = at: services.users
   = help: write `[127.0.0.1:80]`

error: unknown key `serivces`
  --> weir.yaml:14:1
   |
14 | serivces: ***
   | ^^^^^^^^ did you mean `services`?
   = at: serivces
"
    );
}

#[test]
fn a_value_twice_names_both_places() {
    assert_eq!(
        told("services:\n  users: [a]\n  users: [b]\n"),
        "\
error: the key `users` stands here twice
 --> weir.yaml:3:3
  |
3 |   users: ***
  |   ^^^^^
 ::: weir.yaml:2:3
  |
2 |   users: ***
  |   ----- first defined here
  = at: services.users
"
    );
}

#[test]
fn variables_that_are_missing_are_told() {
    assert_eq!(
        told("admin: ${HOST}:9900\nroutes: [{ path: \"/${x y}/${\", service: a }]\n"),
        "\
error: the environment variable `HOST` is not set
 --> weir.yaml:1:8
  |
1 | admin: ${HOST}:9900
  |        ^^^^^^^^^^^^
  = at: admin
  = help: set it, or give a default: `${HOST:-default}`

error: `x y` is not a variable name
 --> weir.yaml:2:18
  |
2 | routes: [{ path: \"/${x y}/${\", service: a }]
  |                  ^^^^^^^^^^^^
  = at: routes[0].path
  = expected: letters, digits and `_`, as in `${NAME}` or `${NAME:-default}`
  = help: for a literal `${`, write `$${`

error: `${` without its `}`
 --> weir.yaml:2:18
  |
2 | routes: [{ path: \"/${x y}/${\", service: a }]
  |                  ^^^^^^^^^^^^
  = at: routes[0].path
  = help: for a literal `${`, write `$${`
"
    );
}

#[test]
fn what_the_environment_holds_is_not_told() {
    let told = told("workers: ${PASSWORD}\n");
    assert!(told.contains("found the value of `${PASSWORD}`"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn secrets_are_never_told() {
    for text in [
        // Beside a mistake on the same line, in every form.
        "admin: { token: hunter2, adress: a }",
        "admin: { addres: a, token: \"hunter2\" }",
        "{\"admin\": {\"token\": \"hunter2\", \"x\": 1}, \"workers\": 0}",
        // A secret under a misspelt key, or within one.
        "admin: { address: a, tokn: hunter2 }",
        "admn: { address: a, token: hunter2 }",
        "admn: { token: hunter2 }\nworkers: 0",
        "{ admn: { token: hunter2 }, workers: 0 }",
        "admn:\n  token: hunter2\n",
        // Twice.
        "admin: { address: a, token: hunter2, token: hunter2 }",
        "admin: { address: a, token: hunter2 }\nadmin: { address: a, token: hunter2 }",
        // Not a secret at all.
        "admin: { address: a, token: [hunter2] }",
        "admin: { address: a, token: { x: hunter2 } }",
        "admin: { address: a, token: 'hunter2 ${NONE}' }",
        "admin:\n  address: a\n  token: |\n    x\n    hunter2\nworkers: 0",
        // Not even YAML.
        "admin:\n  token: 'hunter2\n",
        "admin: { token: hunter2",
        "admin:\n  token: hunter2: x\n",
        "admin: { address: a, token: ${PASSWORD} }\nworkers: ${PASSWORD}",
    ] {
        let problems = problems_of::<Config>("weir.yaml", text);
        for told in [
            problems.to_string(),
            problems.colored().to_string(),
            problems.to_json().to_string(),
        ] {
            assert!(!told.contains("hunter2"), "{text}\n{told}");
        }
    }
}

#[test]
fn a_hidden_value_leaves_its_place() {
    assert_eq!(
        told("admin: { token: hunter2, addres: a }\n"),
        "\
error: unknown key `addres`
 --> weir.yaml:1:26
  |
1 | admin: { token: ***, addres: *** }
  |                      ^^^^^^ did you mean `address`?
  = at: admin.addres
"
    );
}

#[test]
fn machines_are_told_too() {
    let problems = problems_of::<Config>("weir.yaml", "balance: p2\n");
    let expected = serde_json::json!([{
        "level": "error",
        "place": { "file": "weir.yaml", "line": 1, "column": 10 },
        "path": "balance",
        "message": "unknown word: `p2`",
        "expected": "one of `p2c`, `round_robin`",
        "nearest": "p2c",
        "help": [],
        "also": null,
    }]);
    assert_eq!(problems.to_json(), expected);
}

#[test]
fn colours_are_only_for_those_who_ask() {
    let problems = problems_of::<Config>("weir.yaml", "balance: p2\n");
    assert!(!problems.to_string().contains('\x1b'));
    assert!(
        problems
            .colored()
            .to_string()
            .contains("\x1b[1;31merror\x1b[0m")
    );
}

#[test]
fn long_lines_are_cut_around_the_mark() {
    let long = format!(
        "{{ services: {{ a: [{}] }}, balance: p2, x: [{}] }}",
        "b, ".repeat(500),
        "c, ".repeat(500)
    );
    let told = told(&long);
    assert!(
        told.lines().all(|line| line.chars().count() < 200),
        "{told}"
    );
    assert!(told.contains("balance: p2"), "{told}");
}

#[test]
fn a_thousand_problems_are_counted_not_listed() {
    let text: String = (0..1000).map(|n| format!("key{n}: 1\n")).collect();
    let problems = problems_of::<Config>("weir.yaml", &text);
    assert_eq!((problems.iter().len(), problems.len()), (100, 1000));
    assert!(problems.to_string().ends_with("\n... and 900 more\n"));
}

#[test]
fn columns_count_characters() {
    assert_eq!(
        told("services: { ä😀: [], b: [1] }\n"),
        "\
error: `ä😀` cannot be a name
 --> weir.yaml:1:13
  |
1 | services: { ä😀: [], b: [1] }
  |             ^^
  = at: services[\"ä😀\"]
  = expected: a name of letters, digits, `_`, `-` and `.`, at most 64 long

error: expected a string, found the number 1
 --> weir.yaml:1:25
  |
1 | services: { ä😀: [], b: [1] }
  |                         ^
  = at: services.b[0]
  = help: put it in quotes: \"1\"
"
    );
}

#[test]
fn what_is_not_built_yet_is_not_called_misspelt() {
    let told = told("tls: {}\nbalance: tcp\n");
    assert!(told.contains("= help: TLS is not built yet"), "{told}");
    assert!(
        told.contains("= help: this protocol is not built yet"),
        "{told}"
    );
    assert!(!told.contains("did you mean"), "{told}");
}

#[test]
fn yaml_that_looks_right_is_explained() {
    for (text, help) in [
        ("path: *\n", "in quotes: \"*\"; any path is `/*`"),
        ("path: *.example.com\n", "in quotes"),
        ("a: b\n  c: d\n", "the indent differs"),
        ("a: b: c\n", "a colon or the space after it is missing"),
        (
            "routes:\n  - path: /a\n   service: x\n",
            "begin in one column",
        ),
        (
            "routes:\n  - path: /a\n  service: x\n",
            "begin in one column",
        ),
        ("routes\nservices: {}\n", "on the line above"),
        ("a: [b\nc: d\n", "closing bracket"),
        ("a:\n\tb: c\n", "indent with spaces"),
    ] {
        let told = told(text);
        assert!(
            told.contains("not YAML") && told.contains(help),
            "{text}\n{told}"
        );
    }
}

#[test]
fn what_the_environment_holds_is_in_no_hint() {
    let told = problems_of::<Map<Vec<weir_config::HostPort>>>(
        "weir.yaml",
        "a: ${PASSWORD}\nb: ['${PASSWORD}']\n",
    );
    assert!(!told.to_string().contains("hunter2"), "{told}");
}

#[test]
fn the_schema_that_editors_want_is_no_mistake() {
    let mut cx = Cx::from_text(
        "weir.json",
        r#"{ "$schema": "weir.schema.json", "workers": 2 }"#,
        &|_| None,
    );
    let config = cx.decode::<Config>();
    assert_eq!(cx.finish(config).expect("a config").value.workers.get(), 2);
}

#[test]
fn a_part_is_read_whatever_else_is_wrong() {
    let part = |text: &str| {
        Cx::from_text("weir.yaml", text, &environment).part("workers", || Within::<1, 64>::new(4))
    };
    for (text, expected) in [
        ("workers: 2\nrouts: 5\nadmin: ${NOWHERE}\n", Some(2)),
        ("routs: 5\n", Some(4)),
        ("", Some(4)),
        ("workers: 0\n", None),
        ("workers: 2\nroutes: [\n", None),
    ] {
        assert_eq!(
            part(text).map(|workers| workers.as_u32()),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_misspelt_key_is_read_as_the_one_that_was_meant() {
    // What it holds is looked at, and nobody is told that the key is missing.
    assert_eq!(
        told("routes: [{ paht: /a, service: a, timeuot: 5 }]"),
        "\
error: unknown key `paht`
 --> weir.yaml:1:12
  |
1 | routes: [{ paht: /a, service: a, timeuot: 5 }]
  |            ^^^^ did you mean `path`?
  = at: routes[0].paht

error: unknown key `timeuot`
 --> weir.yaml:1:34
  |
1 | routes: [{ paht: /a, service: a, timeuot: 5 }]
  |                                  ^^^^^^^ did you mean `timeout`?
  = at: routes[0].timeuot

error: expected a duration such as `250ms`, `5s`, `1m30s`, `1h` or `1d`, found the number 5
 --> weir.yaml:1:43
  |
1 | routes: [{ paht: /a, service: a, timeuot: 5 }]
  |                                           ^
  = at: routes[0].timeuot
  = help: a number needs its unit: `5s` or `5ms`?
"
    );
    // What other programs call it, the choice between keys too.
    let told_of = |text: &str| told(text);
    let one = told_of("routes: [{ location: /a, upstream: a }]");
    assert_eq!(one.matches("error:").count(), 2, "{one}");
    assert!(one.contains("did you mean `path`?"), "{one}");
    assert!(one.contains("did you mean `service`?"), "{one}");
    // A key that is there is not read twice.
    let twice = told_of("routes: [{ path: /a, paht: 5, service: a }]");
    assert_eq!(twice.matches("error:").count(), 1, "{twice}");
}

#[test]
fn what_a_misspelt_key_holds_is_not_repeated_beside_secrets() {
    let told = told("admin: { adress: { tok: hunter2 } }\nworkers: 4\n");
    assert!(!told.contains("hunter2"), "{told}");
    let told = crate::told("admin: { adress: [hunter2], token: ab }\n");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_value_in_place_of_a_mapping_is_told_what_it_would_hold() {
    assert_eq!(
        told("routes: [true]"),
        "\
error: expected a mapping, found `true`
 --> weir.yaml:1:10
  |
1 | routes: [true]
  |          ^^^^
  = at: routes[0]
  = expected: some of the keys `path`, `timeout`, `service`, `redirect`
"
    );
    assert!(told("routes: [off]").contains("leave the key out"));
    assert!(told("routes: { a: b }").contains("begins with a dash"));
    assert!(told("routes: /a").contains("write `[/a]`"));
    assert!(told("workers: '5'").contains("write `5`"));
}

#[test]
fn yaml_that_is_cut_or_quoted_wrongly_is_explained() {
    for (text, at, help) in [
        (
            "a: [{ path: /a/{id}, b: c }]",
            "1:16",
            "goes in quotes: '/a/{id}'",
        ),
        ("a: [{ b: ab{cd} }]", "1:12", "goes in quotes"),
        ("a:\n  - b: c\n\td: e\n", "3:1", "indent with spaces"),
        ("a: %b", "1:4", "goes in quotes"),
        ("a: \"\\d\"", "1:4", "single quotes"),
        ("a: \"b\n", "1:4", "never closed"),
        (
            "a: [{ b: c }\nd: {}\n",
            "2:1",
            "a closing bracket is missing",
        ),
    ] {
        let told = told(text);
        assert!(
            told.contains(&format!("weir.yaml:{at}\n")),
            "{text}\n{told}"
        );
        assert!(told.contains(help), "{text}\n{told}");
    }
    let hidden = told("a: [{ b: ab{cd} }]");
    assert!(
        !hidden.contains("quotes: '"),
        "only paths are repeated: {hidden}"
    );
}
