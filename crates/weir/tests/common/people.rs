//! What tests of logins share: a shop for which people log in at a provider.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles this module and uses a part of it"
)]

use weir_testkit::{App, IdentityProvider, RawClient, Reply, Response, Visitor, Weir};

/// The binary under test.
pub const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Where browsers find Weir: under another name than the provider, since ports do not separate cookies.
pub fn base(weir: &Weir) -> String {
    format!("http://localhost:{}", weir.addr("web").port())
}

/// A Weir whose routes want a login at this provider, which knows it. `open` wants none.
pub fn weir(provider: &IdentityProvider, app: &App, more: &str) -> Weir {
    let weir = Weir::start(
        WEIR,
        &format!(
            "
workers: 2
listeners: {{ web: {{ address: '@web@', http: {{ forwarded: {{ trusted: [127.0.0.1/32] }} }} }} }}
policies:
  people:
    oidc:
      issuer: {}
      client_id: shop
      client_secret: a secret
      session_secrets: 0123456789abcdef0123456789abcdef
      headers: {{ x-email: email }}
      after_logout: /open/bye
      {more}
routes:
  - {{ path: /*, service: app, auth: people }}
  - {{ path: /admin/*, service: app, auth: people, require: {{ claims: {{ groups: admins }} }} }}
  - {{ path: /open/*, service: app }}
services:
  app: ['{}']
",
            provider.issuer(),
            app.addr()
        ),
    );
    let base = base(&weir);
    provider.web_client(
        "shop",
        "a secret",
        &format!("{base}/oauth2/callback"),
        &format!("{base}/open/bye"),
    );
    weir
}

/// A shop whose pages say who looks at them.
pub fn shop() -> App {
    App::start("shop", |request| {
        let who = request.header("x-email").unwrap_or("nobody");
        let cookie = request.header("cookie").unwrap_or("none");
        let page = format!("<p>{} for {who}, cookies {cookie}</p>", request.target);
        Reply::ok().field("Content-Type", "text/html").body(page)
    })
}

/// Logs somebody in, and returns where they wanted to go.
pub fn log_in(visitor: &mut Visitor, base: &str, name: &str) -> String {
    let here = |url: &str| url.starts_with(base) && !url.contains("/oauth2/");
    let (at, answer) = visitor.log_in(&format!("{base}/page"), name, here);
    assert_eq!(at, format!("{base}/page"), "{answer:?}");
    at
}

/// A GET as a script makes it, with these fields.
pub fn script(weir: &Weir, target: &str, fields: &str) -> Response {
    let web = weir.addr("web");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {web}\r\n{fields}\r\n");
    RawClient::exchange(web, request)
}

/// A GET as a browser's window makes it, with these fields.
pub fn window(weir: &Weir, target: &str, fields: &str) -> Response {
    script(weir, target, &format!("Accept: text/html\r\n{fields}"))
}
