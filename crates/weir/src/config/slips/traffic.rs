//! Slips about listeners, routes and services.

use weir_config::{Advice, Trouble};

use super::{address, told};

pub(super) fn advice(trouble: &Trouble<'_>) -> Option<Advice> {
    route(trouble)
        .or_else(|| action(trouble))
        .or_else(|| listener(trouble))
        .or_else(|| service(trouble))
        .or_else(|| process(trouble))
}

fn route(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_at("routes") && trouble.message.starts_with("expected") {
        if trouble.is_mapping() {
            return told("routes have no names in front: `routes: [{ path: /a, service: app }]`");
        }
        if trouble.is_scalar() {
            return told("write `{ path: /a, service: app }`");
        }
    }
    if trouble.is_at("routes.path") && trouble.is_list() {
        return told("a route has one path: write one route for each");
    }
    if trouble.is_at("routes.methods")
        && let Some(text) = trouble.text()
        && text.contains([',', '|', ' '])
    {
        let methods: Vec<&str> = text
            .split([',', '|', ' '])
            .filter(|method| !method.is_empty())
            .collect();
        return told(format!("write `[{}]`", methods.join(", ")));
    }
    const SERVICE: [&str; 7] = [
        "service",
        "backend",
        "destination",
        "proxy_pass",
        "target",
        "upstream",
        "url",
    ];
    let names_it = trouble.is_at("routes.*") || trouble.is_at(".forward_auth.*");
    if (names_it && SERVICE.contains(&trouble.key()))
        || (trouble.is_at(".forward_auth") && trouble.is_scalar())
        || (trouble.is_at("routes.mirror") && trouble.is_scalar())
    {
        return named_service(trouble);
    }
    if trouble.is_at("routes.headers") && trouble.is_list() {
        return told("say what each must be, `*` for anything: `headers: { x-version: \"*\" }`");
    }
    if trouble.is_at("routes.retries") {
        return match trouble.as_bool()? {
            true => told("say how often: `retries: 2`"),
            false => told("for none, write `retries: 0`"),
        };
    }
    None
}

/// A service is named, and something else was written.
fn named_service(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_list() {
        return told(
            "several services share the requests of a route by `split: { a: 90, b: 10 }`; several endpoints are one service",
        );
    }
    if trouble.is_mapping() {
        return told("write its name: `service: app`, an entry under `services`");
    }
    let key = match trouble.key() {
        key @ ("forward_auth" | "mirror") => key,
        _ => "service",
    };
    let address = address(trouble.text()?)?;
    let mut help = format!("write its name: `{key}: app`, and `services: {{ app: [{address}] }}`");
    if trouble.is_at(".forward_auth") {
        help.push_str("; a path is said beside it: `{ service: app, path: /verify }`");
    }
    told(help)
}

fn action(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.message.contains("cannot stand beside") {
        return None;
    }
    if trouble.is_at("routes.redirect") && trouble.is_scalar() {
        let status = trouble.text()?;
        return told(format!(
            "write `redirect: {{ to: /new, status: {status} }}`"
        ));
    }
    if trouble.is_at("routes.respond") && trouble.is_scalar() {
        return match trouble.text() {
            Some(text) => told(format!("write `respond: {{ body: {text:?} }}`")),
            None => told("write `respond: { body: ... }`"),
        };
    }
    if trouble.is_at("routes.respond.body") && (trouble.is_mapping() || trouble.is_list()) {
        return told(
            "write it as a text: `body: '{ \"ok\": true }'`, with `content_type: application/json`",
        );
    }
    if trouble.is_at("routes.split") && trouble.is_list() {
        return told("give each its share: `split: { stable: 95, canary: 5 }`");
    }
    if trouble.is_at("routes.redirect.to") && trouble.message.contains("missing") {
        return told("a value with braces goes in quotes: `redirect: '/{rest}'`");
    }
    None
}

fn listener(trouble: &Trouble<'_>) -> Option<Advice> {
    let one =
        |text: &str| text.starts_with([':', '[']) || text.starts_with(|c: char| c.is_ascii_digit());
    if trouble.is_at("listeners") && (trouble.is_list() || trouble.text().is_some_and(one)) {
        return told("give each a name: `listeners: { web: \":8080\" }`");
    }
    if trouble.is_at("listeners.*") || trouble.is_at("listeners.*.address") {
        let address = address(trouble.text().filter(|text| text.contains("://"))?)?;
        return told(format!("leave out the scheme: `{address}`"));
    }
    if trouble.is_at("listeners.*.proxy_protocol") && !trouble.is_mapping() {
        let from = "say which proxies are believed: `proxy_protocol: { from: [10.0.0.0/8] }`";
        return match trouble.as_bool() {
            Some(false) => told("for none, leave the key out"),
            _ => told(from),
        };
    }
    None
}

fn service(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_at("services") && trouble.is_list() {
        return told("give each a name: `services: { app: [127.0.0.1:3001] }`");
    }
    if trouble.is_at("services.*") || trouble.is_at("services.*.endpoints") {
        let address = address(trouble.text()?)?;
        let address = match address.strip_prefix(':') {
            Some(port) => format!("127.0.0.1:{port}"),
            None => address.to_owned(),
        };
        let alone = trouble.message.starts_with("expected a list");
        return told(if alone {
            format!("write `[{address}]`")
        } else {
            format!("write `{address}`")
        });
    }
    if trouble.is_at("services.*.balance")
        && matches!(
            trouble.text(),
            Some("hash" | "ring" | "maglev" | "consistent")
        )
    {
        return told("say by what: `balance: { hash: { on: header x-user } }`");
    }
    if trouble.is_at("services.*.health") && trouble.is_scalar() {
        return told(
            "name a path: `health: /healthz`; to try only to connect: `health: { tcp: true }`",
        );
    }
    if trouble.is_at("services.*.sticky") || trouble.is_at("routes.sticky") {
        trouble.as_bool()?;
        return told("name its cookie: `sticky: lb`");
    }
    if trouble.is_at("services.*.limits") && trouble.is_scalar() {
        return told(
            "say of what: `limits: { requests: 100 }` in flight at all, or `connections` at one endpoint",
        );
    }
    if trouble.is_at("services.*.slow_start") && trouble.as_bool() == Some(true) {
        return told("say for how long: `slow_start: 30s`");
    }
    None
}

fn process(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_at("admin") && trouble.as_bool() == Some(true) {
        return told("it is on unless it is `off`; to say where: `admin: 127.0.0.1:9900`");
    }
    if trouble.is_at("metrics") && trouble.is_scalar() {
        return told("metrics are served by the admin API, at /metrics: `admin: 127.0.0.1:9900`");
    }
    if trouble.is_at("log") && trouble.is_scalar() {
        return match trouble.text() {
            Some(level @ ("error" | "warn" | "info" | "debug")) => {
                told(format!("write `log: {{ level: {level} }}`"))
            }
            Some(target @ ("stdout" | "stderr" | "off")) => {
                told(format!("write `log: {{ access: {target} }}`"))
            }
            _ => told("write `log: { access: stdout, level: info }`"),
        };
    }
    None
}
