//! A real OpenID provider: the `oidc-provider` package for Node, with people who log in at it.

use std::fs;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::{Launch, RawClient, Response, Server, find_program, fnv1a};

const PACKAGE: &str = include_str!("../oidc-provider/package.json");
const LOCK: &str = include_str!("../oidc-provider/package-lock.json");
const SERVER: &str = include_str!("../oidc-provider/server.js");

/// A running provider. Anybody may log in at it, with any name and password.
#[derive(Debug)]
pub struct IdentityProvider {
    server: Server,
}

impl IdentityProvider {
    /// Starts one, and waits until it answers. The first start on a machine installs the package from the npm registry.
    pub fn start() -> Self {
        Self::start_at(crate::free_addr())
    }

    /// Starts one at this address of 127.0.0.1.
    pub fn start_at(addr: SocketAddr) -> Self {
        let script = install().join("server.js").display().to_string();
        let port = addr.port().to_string();
        let launch = Launch::new("oidc-provider", "node", "unused", "", &[&script, &port]);
        let server = launch
            .value("web", addr)
            .start_when_listening("web")
            .unwrap_or_else(|why| panic!("{why}"));
        Self { server }
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.server.addr("web")
    }

    /// What it calls itself.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.at())
    }

    /// Registers a client, in the words of OpenID Connect Dynamic Client Registration.
    pub fn client(&self, metadata: &Value) {
        self.control("client", metadata);
    }

    /// Registers a web application with a secret, where people log in and stay logged in.
    pub fn web_client(&self, id: &str, secret: &str, callback: &str, after_logout: &str) {
        self.client(&json!({
            "client_id": id,
            "client_secret": secret,
            "redirect_uris": [callback],
            "post_logout_redirect_uris": [after_logout],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        }));
    }

    /// Registers a program that gets tokens for itself, and sends its secret in forms.
    pub fn machine_client(&self, id: &str, secret: &str) {
        self.client(&json!({
            "client_id": id,
            "client_secret": secret,
            "redirect_uris": [],
            "grant_types": ["client_credentials"],
            "response_types": [],
            "token_endpoint_auth_method": "client_secret_post",
        }));
    }

    /// An access token for such a program: a JWT if it is for a resource (`urn:...`), or else opaque.
    pub fn machine_token(&self, id: &str, secret: &str, resource: Option<&str>) -> String {
        let mut form = format!(
            "grant_type=client_credentials&scope=orders:read&client_id={id}&client_secret={secret}"
        );
        if let Some(resource) = resource {
            form.push_str(&format!("&resource={resource}"));
        }
        let url = format!("{}/token", self.issuer());
        let answer = Visitor::default().ask(&url, Some(&form));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let token = answer.json()["access_token"].as_str().map(str::to_owned);
        token.unwrap_or_else(|| panic!("no token: {}", answer.text()))
    }

    /// Makes an opaque token inactive.
    pub fn revoke(&self, id: &str, secret: &str, token: &str) {
        let form = format!("token={token}&client_id={id}&client_secret={secret}");
        let url = format!("{}/token/revocation", self.issuer());
        let answer = Visitor::default().ask(&url, Some(&form));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// From now on it signs with a new key; those before are still shown, or not. Returns the id of the new key.
    pub fn rotate(&self, algorithm: &str, keep: bool) -> String {
        let made = self.control("rotate", &json!({ "alg": algorithm, "keep": keep }));
        made["kid"].as_str().unwrap_or_default().to_owned()
    }

    /// How long what it issues from now on is good, in seconds: `AccessToken`, `IdToken`, `RefreshToken`, `Session`.
    pub fn lifetime(&self, kind: &str, seconds: u32) {
        self.control("ttl", &json!({ kind: seconds }));
    }

    /// Ends all that it has issued: nobody is logged in, no token is active.
    pub fn forget(&self) {
        self.control("forget", &json!({}));
    }

    /// Answers a path with this status, whatever is asked, until it is [mended](Self::mend).
    pub fn fail(&self, path: &str, status: u16) {
        self.control("fail", &json!({ "path": path, "status": status }));
    }

    /// Answers a path as it should be answered.
    pub fn mend(&self, path: &str) {
        self.control("fail", &json!({ "path": path }));
    }

    /// Lets every answer take so many milliseconds longer.
    pub fn delay(&self, ms: u64) {
        self.control("delay", &json!({ "ms": ms }));
    }

    /// How many requests there were for a path.
    pub fn count(&self, path: &str) -> u64 {
        self.control("counts", &json!({}))[path]
            .as_u64()
            .unwrap_or(0)
    }

    fn control(&self, name: &str, question: &Value) -> Value {
        let mut client = RawClient::connect(self.at());
        let body = question.to_string();
        client.send(format!(
            "POST /control/{name} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.at(),
            body.len(),
        ));
        let response = client.response_to("POST");
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        response.json()
    }
}

impl Deref for IdentityProvider {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for IdentityProvider {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// Somebody with a browser, as far as logins need one: it keeps cookies, follows redirects to any address of this machine,
/// and fills in forms. It shows what came at each step, where a real browser shows the end.
#[derive(Debug, Default)]
pub struct Visitor {
    cookies: Vec<Cookie>,
    /// Fields that go with every request.
    pub fields: String,
}

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    path: String,
}

impl Visitor {
    /// One request as a browser's window makes it, a POST if there is a form; redirects are not followed.
    pub fn ask(&mut self, url: &str, form: Option<&str>) -> Response {
        let (authority, addr, target) = split(url);
        let path = target.split('?').next().unwrap_or_default();
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| covers(&cookie.path, path))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        let cookies = match cookies.join("; ") {
            none if none.is_empty() => none,
            some => format!("Cookie: {some}\r\n"),
        };
        let (method, content) = match form {
            None => ("GET", String::new()),
            Some(form) => {
                let kind = "application/x-www-form-urlencoded";
                let length = form.len();
                (
                    "POST",
                    format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n"),
                )
            }
        };
        let accept = "Accept: text/html\r\n";
        let fields = &self.fields;
        let mut client = RawClient::connect(addr);
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{accept}{cookies}{fields}{content}\r\n{}",
            form.unwrap_or_default(),
        ));
        let response = client.response_to(method);
        for line in response.headers.all("set-cookie") {
            self.set_cookie(line);
        }
        response
    }

    /// Follows redirects from this address, up to one that `until` says yes to, which is not asked for, or to the first
    /// answer that is none. Returns where it is then.
    pub fn follow(&mut self, url: &str, until: impl Fn(&str) -> bool) -> (String, Response) {
        self.follow_from(url, None, until)
    }

    /// Goes on as [`Visitor::follow`], and logs in as `name` and agrees to everything when the provider asks.
    pub fn log_in(
        &mut self,
        url: &str,
        name: &str,
        until: impl Fn(&str) -> bool,
    ) -> (String, Response) {
        let (mut at, mut response) = self.follow(url, &until);
        for _ in 0..4 {
            if response.status != 200 || until(&at) {
                break;
            }
            let text = response.text();
            let Some(action) = between(&text, "<form autocomplete=\"off\" action=\"", "\"") else {
                break;
            };
            let form = match between(&text, "name=\"prompt\" value=\"", "\"") {
                Some("login") => format!("prompt=login&login={name}&password=any"),
                Some(prompt) => format!("prompt={prompt}"),
                None => break,
            };
            let action = absolute(&at, action);
            (at, response) = self.follow_from(&action, Some(&form), &until);
        }
        (at, response)
    }

    fn follow_from(
        &mut self,
        url: &str,
        form: Option<&str>,
        until: impl Fn(&str) -> bool,
    ) -> (String, Response) {
        let mut url = url.to_owned();
        let mut form = form;
        for _ in 0..12 {
            let response = self.ask(&url, form);
            let Some(location) = response.header("location").map(str::to_owned) else {
                return (url, response);
            };
            let next = absolute(&url, &location);
            if until(&next) {
                return (next, response);
            }
            (url, form) = (next, None);
        }
        panic!("too many redirects at {url}");
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let found = self.cookies.iter().find(|cookie| cookie.name == name)?;
        Some(&found.value)
    }

    /// The names of all cookies.
    pub fn cookie_names(&self) -> Vec<&str> {
        self.cookies
            .iter()
            .map(|cookie| cookie.name.as_str())
            .collect()
    }

    /// All cookies as the value of a Cookie field for `/`.
    pub fn cookie_field(&self) -> String {
        let of_root = self.cookies.iter().filter(|cookie| cookie.path == "/");
        let pairs: Vec<String> = of_root
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        pairs.join("; ")
    }

    /// Takes a `Set-Cookie` value as a browser does. All addresses of this machine are one host to it, as ports do not
    /// separate cookies.
    pub fn set_cookie(&mut self, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let mut path = "/".to_owned();
        let mut gone = false;
        for part in parts {
            match part.split_once('=') {
                Some((key, value)) if key.eq_ignore_ascii_case("path") => {
                    value.clone_into(&mut path)
                }
                Some((key, "0")) if key.eq_ignore_ascii_case("max-age") => gone = true,
                Some((key, value)) if key.eq_ignore_ascii_case("expires") => {
                    gone |= value.contains(" 1970 ");
                }
                _ => {}
            }
        }
        self.cookies
            .retain(|cookie| cookie.name != name || cookie.path != path);
        if !gone {
            self.cookies.push(Cookie {
                name: name.to_owned(),
                value: value.to_owned(),
                path,
            });
        }
    }
}

fn covers(cookie: &str, path: &str) -> bool {
    cookie == "/"
        || path == cookie
        || path.starts_with(&format!("{}/", cookie.trim_end_matches('/')))
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// The authority, address and target of an `http` URL on this machine.
fn split(url: &str) -> (&str, SocketAddr, &str) {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("not http: {url}"));
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(at);
    let addr = authority.replace("localhost", "127.0.0.1").parse();
    let addr = addr.unwrap_or_else(|e| panic!("{e}: {url}"));
    (
        authority,
        addr,
        if target.is_empty() { "/" } else { target },
    )
}

fn absolute(base: &str, location: &str) -> String {
    if location.starts_with('/') {
        return format!("http://{}{location}", split(base).0);
    }
    location.to_owned()
}

/// The folder with the provider and all that it needs, below the target folder. It is made once for each version of them:
/// in a folder of its own, which is moved to its place when it is complete.
fn install() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let version = fnv1a([PACKAGE, LOCK, SERVER].concat().as_bytes());
    let below = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testkit");
    let place = below.join(format!("oidc-provider-{version:016x}"));
    if place.is_dir() {
        return place;
    }
    let making = below.join(format!(
        "oidc-provider-{version:016x}.{}",
        std::process::id()
    ));
    fs::create_dir_all(&making).unwrap_or_else(|e| panic!("{}: {e}", making.display()));
    for (name, text) in [
        ("package.json", PACKAGE),
        ("package-lock.json", LOCK),
        ("server.js", SERVER),
    ] {
        fs::write(making.join(name), text).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let npm = find_program("npm").expect("npm; `cargo xtask setup` installs what tests need");
    let installed = Command::new(npm)
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&making)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("npm: {e}"));
    assert!(
        installed.status.success(),
        "npm ci: {}",
        String::from_utf8_lossy(&installed.stderr)
    );
    // Another process may have been faster, which is as good.
    if fs::rename(&making, &place).is_err() {
        assert!(place.is_dir(), "{} cannot be made", place.display());
        let _ = fs::remove_dir_all(&making);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_logs_in_and_a_program_gets_tokens() {
        let provider = IdentityProvider::start();
        let issuer = provider.issuer();
        provider.web_client(
            "app",
            "secret",
            "http://127.0.0.1:9/callback",
            "http://127.0.0.1:9/",
        );
        let question = "response_type=code&client_id=app&scope=openid&state=s\
            &redirect_uri=http://127.0.0.1:9/callback&code_challenge_method=S256\
            &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let mut visitor = Visitor::default();
        let (at, _) = visitor.log_in(&format!("{issuer}/auth?{question}"), "ann", |url| {
            url.starts_with("http://127.0.0.1:9/")
        });
        assert!(
            at.contains("/callback?code=") && at.contains("&state=s"),
            "{at}"
        );
        assert_eq!(provider.count("/auth"), 1);

        provider.machine_client("robot", "beep");
        let opaque = provider.machine_token("robot", "beep", None);
        assert!(!opaque.contains('.'), "{opaque}");
        let jwt = provider.machine_token("robot", "beep", Some("urn:api"));
        assert_eq!(jwt.split('.').count(), 3, "{jwt}");

        let before = Visitor::default()
            .ask(&format!("{issuer}/jwks"), None)
            .text();
        let kid = provider.rotate("ES256", true);
        let after = Visitor::default()
            .ask(&format!("{issuer}/jwks"), None)
            .text();
        assert!(after.contains(&kid) && !before.contains(&kid) && after.contains("key-1"));
        provider.fail("/jwks", 500);
        assert_eq!(
            Visitor::default()
                .ask(&format!("{issuer}/jwks"), None)
                .status,
            500
        );
    }
}
