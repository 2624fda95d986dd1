//! What YAML and JSON files may hold, and what may not.

use proptest::prelude::*;
use weir_config::{Cx, Decode, Diagnostics, Json, Map, Node, Schemas, Value};

/// Any tree, as JSON with every scalar as its text.
#[derive(Debug, PartialEq)]
struct Tree(Json);

impl Decode for Tree {
    fn decode(node: &Node, _: &mut Cx) -> Option<Self> {
        fn tree(node: &Node) -> Json {
            match &node.value {
                Value::Scalar(scalar) => scalar.text.as_ref().into(),
                Value::List(items) => items.iter().map(tree).collect(),
                Value::Map(entries) => entries
                    .iter()
                    .map(|entry| (entry.key.to_string(), tree(&entry.node)))
                    .collect::<serde_json::Map<_, _>>()
                    .into(),
                Value::Broken => "broken".into(),
            }
        }
        Some(Self(tree(node)))
    }

    fn to_json(&self) -> Json {
        self.0.clone()
    }

    fn schema(_: &mut Schemas) -> Json {
        Json::Bool(true)
    }
}

fn read(name: &str, text: &str) -> Result<Json, Diagnostics> {
    let mut cx = Cx::from_text(name, text, &|_| None);
    let tree = cx.decode::<Tree>();
    cx.finish(tree).map(|loaded| loaded.value.0)
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect(text)
}

/// The first problem, and where it is.
fn problem(name: &str, text: &str) -> String {
    let problems = read(name, text).expect_err(text);
    let problem = problems.iter().next().expect("a problem");
    let place = problem.place.as_ref().expect("a place");
    format!("{}:{}: {}", place.line, place.column, problem.message)
}

#[test]
fn yaml_is_taken_in_all_its_common_shapes() {
    for (text, want) in [
        ("", "{}"),
        ("# nothing\n", "{}"),
        ("---\n...\n", "{}"),
        ("\u{feff}a: b\n", r#"{"a": "b"}"#),
        ("%YAML 1.2\n---\na: b\n...\n", r#"{"a": "b"}"#),
        ("a: b\r\nc:\r\n  - d\r\n", r#"{"a": "b", "c": ["d"]}"#),
        (
            "a: 'it''s'\nb: \"\\u00e4\\n\"\n",
            r#"{"a": "it's", "b": "ä\n"}"#,
        ),
        (
            "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
            r#"{"a": "x\ny\n", "b": "x y"}"#,
        ),
        (
            "a: { b: [c, {d: e}], }\n",
            r#"{"a": {"b": ["c", {"d": "e"}]}}"#,
        ),
        ("'a b': 1.10\n8080: x\n", r#"{"a b": "1.10", "8080": "x"}"#),
        ("a: &x [b]\nc: *x\n", r#"{"a": ["b"], "c": ["b"]}"#),
        ("&k a: b\nc: *k\n", r#"{"a": "b", "c": "a"}"#),
        (
            "a: &x {p: q, r: s}\nb: {<<: *x, r: t}\n",
            r#"{"a": {"p": "q", "r": "s"}, "b": {"p": "q", "r": "t"}}"#,
        ),
        (
            "a: &x {p: q}\nb: &y {p: z, r: s}\nc: {<<: [*x, *y]}\n",
            r#"{"a": {"p": "q"}, "b": {"p": "z", "r": "s"}, "c": {"p": "q", "r": "s"}}"#,
        ),
        (
            "path: ~^/a/\\d+$\nlisten: :80\n",
            r#"{"path": "~^/a/\\d+$", "listen": ":80"}"#,
        ),
    ] {
        assert_eq!(read("a.yaml", text).expect(text), json(want), "{text}");
    }
}

#[test]
fn what_is_no_config_in_yaml_is_refused() {
    for (text, want) in [
        ("a: 1\na: 2\n", "2:1: the key `a` stands here twice"),
        ("a: {b: 1, b: 2}\n", "1:11: the key `b` stands here twice"),
        ("a: b\n---\nc: d\n", "2:1: a second document starts here"),
        ("a: !!int 5\n", "1:4: tags (`!...`) are not taken"),
        ("a: !secret x\n", "1:4: tags (`!...`) are not taken"),
        (
            "a: *b\n",
            "1:4: not YAML: while parsing node, found unknown anchor",
        ),
        (
            "a: &a [*a]\n",
            "1:8: an alias to a value that is not complete yet",
        ),
        ("? [a]\n: b\n", "1:3: this cannot be a key"),
        (": b\n", "1:1: this cannot be a key"),
        (
            "a: {<<: x}\n",
            "1:5: `<<` takes in a mapping, and this is none",
        ),
        ("a: \0\n", "1:4: a NUL character cannot stand here"),
    ] {
        assert_eq!(problem("a.yaml", text), want, "{text}");
    }
    for text in [
        "a: [b\n",
        "a:\n\t- b\n",
        "a: b: c\n",
        "a: 'b\n",
        "- a\nb: c\n",
        "}\n",
        "a: @b\n",
    ] {
        assert!(problem("a.yaml", text).contains("not YAML"), "{text}");
    }
}

#[test]
fn aliases_and_depth_are_bounded() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let items = vec![format!("*a{}", n - 1); 9].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{items}]\n"));
    }
    let many = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(100)
    );
    for text in [laughs, many] {
        let told = problem("a.yaml", &text);
        assert!(
            told.ends_with("the aliases of this file add up to too much"),
            "{told}"
        );
    }
    for nested in ["[", "{a: ", "- ", "[{a: ", "? "] {
        // The scanner has a limit of its own, which a long line of brackets reaches before the first of them is told.
        let told = problem("a.yaml", &nested.repeat(100_000));
        let bounded = told.ends_with("more than 64 levels deep")
            || told.ends_with("recursion limit exceeded");
        assert!(bounded || told.ends_with("this cannot be a key"), "{told}");
    }
    assert!(problem("a.json", &"[".repeat(100_000)).ends_with("more than 64 levels deep"));
    let deep = format!("{}x{}", "[".repeat(60), "]".repeat(60));
    assert!(read("a.yaml", &deep).is_ok());
}

#[test]
fn json_is_taken_whole() {
    for (text, want) in [
        (
            "{\t\"a\"\t:\r\n\t1 , \"b\": [ true,null , false ]\n}\n",
            r#"{"a": "1", "b": ["true", "null", "false"]}"#,
        ),
        ("\u{feff}{}", "{}"),
        (
            r#"{"\u00e4\ud83d\ude00\/\b\f\n\r\t\"\\": "\u0041"}"#,
            r#"{"ä😀/\b\f\n\r\t\"\\": "A"}"#,
        ),
        (
            "[-0, 0.5, 1e3, 1E+3, -1.25e-7]",
            r#"["-0", "0.5", "1e3", "1E+3", "-1.25e-7"]"#,
        ),
        (
            "{\"a\": \"\u{7f}é😀\", \"#\": \"# no comment\"}",
            "{\"a\": \"\u{7f}é😀\", \"#\": \"# no comment\"}",
        ),
        ("{\"<<\": {\"a\": 1}}", r#"{"<<": {"a": "1"}}"#),
    ] {
        assert_eq!(read("a.json", text).expect(text), json(want), "{text}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for (text, want) in [
        ("", "1:1: expected a JSON value, found the end of the file"),
        ("{} x", "1:4: something follows the end of the JSON value"),
        (
            "{\"a\": 1,}",
            "1:9: expected a key in double quotes, found `}`",
        ),
        ("[1,]", "1:4: expected a JSON value, found `]`"),
        ("{a: 1}", "1:2: expected a key in double quotes, found `a`"),
        (
            "{'a': 1}",
            "1:2: expected a key in double quotes, found `'`",
        ),
        ("{\"a\" 1}", "1:6: expected `:` after the key, found `1`"),
        (
            "[1 2]",
            "1:4: expected `,` or `]` after the item, found `2`",
        ),
        ("// x\n{}", "1:1: expected a JSON value, found `/`"),
        ("[01]", "1:3: a JSON number does not begin with 0"),
        ("[+1]", "1:2: expected a JSON value, found `+`"),
        ("[1.]", "1:4: expected a digit, found `]`"),
        ("[.5]", "1:2: expected a JSON value, found `.`"),
        ("[-]", "1:3: expected a digit, found `]`"),
        ("[NaN]", "1:2: expected a JSON value, found `N`"),
        ("[nul]", "1:2: not a JSON value"),
        ("[\"\\x\"]", "1:4: `x` is not a JSON escape"),
        (
            "[\"\\ud800\"]",
            "1:9: half of a surrogate pair stands alone",
        ),
        (
            "[\"\\ud800\\u0041\"]",
            "1:15: half of a surrogate pair stands alone",
        ),
        (
            "[\"\\udc00\"]",
            "1:9: half of a surrogate pair stands alone",
        ),
        (
            "[\"\\u00g0\"]",
            "1:7: expected four hexadecimal digits after `\\u`",
        ),
        (
            "[\"a\nb\"]",
            "1:4: the character U+000A must be escaped in a string",
        ),
        ("[\"a", "1:4: this string has no end"),
        (
            "{\"a\": 1, \"a\": 2}",
            "1:10: the key `a` stands here twice",
        ),
    ] {
        assert_eq!(problem("a.json", text), want, "{text}");
    }
}

#[test]
fn ten_thousand_routes_are_read_in_a_moment() {
    let mut text = "routes:\n".to_owned();
    for n in 0..10_000 {
        text.push_str(&format!(
            "  - host: h{n}.example.com\n    path: /api/v{n}/*\n    methods: [GET, POST]\n    service: users\n"
        ));
    }
    let read = read("a.yaml", &text).expect("routes");
    assert_eq!(read["routes"].as_array().map(Vec::len), Some(10_000));
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[^$\0]*".prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
            prop::collection::hash_map("[^$\0]{1,8}", inner, 0..8)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// Every scalar as text, as [`Tree`] has it.
fn texts(json: &Json) -> Json {
    match json {
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(texts).collect(),
        Json::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), texts(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        scalar => scalar.to_string().into(),
    }
}

proptest! {
    #[test]
    fn any_json_is_read_as_serde_reads_it(json in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.expect("json");
        prop_assert_eq!(read("a.json", &text).expect("read"), texts(&json));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), name in prop_oneof![Just("a.yaml"), Just("a.json")]) {
        let _ = read(name, &text).map_err(|problems| problems.to_string());
    }

    #[test]
    fn no_text_that_is_nearly_yaml_makes_it_panic(
        text in "([a-c&*!|>%@#'\"`?:,\\[\\]{}\\- \t\r\n\\\\$~<]|: |- |\n  |\\$\\{|é|😀|---\n|\\.\\.\\.\n|<<: |\\*a|&a ){0,60}",
        name in prop_oneof![Just("a.yaml"), Just("a.json")],
    ) {
        let _ = read(name, &text).map_err(|problems| problems.colored().to_string());
        let mut cx = Cx::from_text(name, &text, &|_| None);
        let map = cx.decode::<Map<Vec<String>>>();
        let _ = cx.finish(map).map_err(|problems| problems.to_string());
    }
}
