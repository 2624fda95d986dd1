//! A real browser: Chromium without a window, driven through its WebDriver (W3C WebDriver 2).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Launch, RawClient, Server, TempDir, wait_until};

/// How long one step may take: the first starts the browser.
const STEP: Duration = Duration::from_secs(60);
/// The name under which WebDriver gives out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window and a profile of its own; dropped, it is closed.
#[derive(Debug)]
pub struct Chromium {
    driver: Server,
    session: String,
    _profile: TempDir,
}

impl Chromium {
    /// Starts one that reaches nothing but this machine.
    pub fn start() -> Self {
        let addr = crate::free_addr();
        let port = format!("--port={}", addr.port());
        let driver = Launch::new("chromedriver", "chromedriver", "unused", "", &[&port])
            .value("web", addr)
            .start_when_listening("web")
            .unwrap_or_else(|why| panic!("{why}"));
        let profile = TempDir::new("chromium");
        let mut chromium = Self {
            driver,
            session: String::new(),
            _profile: profile,
        };
        let profile = format!("--user-data-dir={}", chromium._profile.path().display());
        let args = [
            "--headless=new",
            // Tests may run as root, where the sandbox does not; what it shows is our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            &profile,
        ];
        let options = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": args } });
        let made = chromium.call(
            "POST",
            "/session",
            Some(&json!({ "capabilities": { "alwaysMatch": options } })),
        );
        made["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("no session: {made}"))
            .clone_into(&mut chromium.session);
        chromium
    }

    /// Goes to an address, and waits until the page is there.
    pub fn go(&self, url: &str) {
        self.act("/url", &json!({ "url": url }));
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.ask("/url").as_str().unwrap_or_default().to_owned()
    }

    /// What the page says.
    pub fn text(&self) -> String {
        let text = self.script("return document.body ? document.body.innerText : ''");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Writes into the first element that a CSS selector finds.
    pub fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.act(
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    /// Clicks on the first element that a CSS selector finds, which leads to another page, and waits until that is there.
    pub fn click(&self, selector: &str) {
        // The driver waits for navigations that it sees coming, and not for those that begin a moment later. A page that
        // has the mark is the old one.
        self.script("window.isOld = true");
        let element = self.element(selector);
        self.act(&format!("/element/{element}/click"), &json!({}));
        let is_new = json!({
            "script": "return !window.isOld && document.readyState === 'complete'",
            "args": [],
        });
        let path = format!("/session/{}/execute/sync", self.session);
        wait_until("the next page", || {
            // Between two pages there is none to ask.
            self.try_call("POST", &path, Some(&is_new)) == Ok(Value::Bool(true))
        });
    }

    /// Runs a script in the page, and gives what it returns.
    pub fn script(&self, script: &str) -> Value {
        self.act("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The cookies that the page's host gets, with their attributes: `name`, `value`, `httpOnly`, `sameSite`, ...
    pub fn cookies(&self) -> Vec<Value> {
        self.ask("/cookie").as_array().cloned().unwrap_or_default()
    }

    /// Opens another tab and goes on there; returns the one before, for [`Chromium::tab`].
    pub fn new_tab(&self) -> String {
        let before = self.ask("/window").as_str().unwrap_or_default().to_owned();
        let made = self.act("/window/new", &json!({ "type": "tab" }));
        self.tab(made["handle"].as_str().unwrap_or_default());
        before
    }

    /// Goes on in that tab.
    pub fn tab(&self, handle: &str) {
        self.act("/window", &json!({ "handle": handle }));
    }

    fn element(&self, selector: &str) -> String {
        let path = format!("/session/{}/element", self.session);
        let wanted = json!({ "using": "css selector", "value": selector });
        match self.try_call("POST", &path, Some(&wanted)) {
            Ok(found) => found[ELEMENT].as_str().unwrap_or_default().to_owned(),
            Err(error) => panic!("{error} at {}: {}", self.url(), self.text()),
        }
    }

    fn act(&self, path: &str, body: &Value) -> Value {
        self.call(
            "POST",
            &format!("/session/{}{path}", self.session),
            Some(body),
        )
    }

    fn ask(&self, path: &str) -> Value {
        self.call("GET", &format!("/session/{}{path}", self.session), None)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.try_call(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Value> {
        let addr = self.driver.addr("web");
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        let mut client = RawClient::connect(addr);
        client.timeout(STEP).send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let response = client.response_to(method);
        let mut answer = response.json();
        match response.status {
            200 => Ok(answer["value"].take()),
            _ => Err(answer["value"]["message"].take()),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The browser is a child of the driver, and goes with it if it does not go by itself.
        let addr = self.driver.addr("web");
        if let Ok(mut client) = RawClient::try_connect(addr) {
            let session = &self.session;
            let _ = client.try_send(format!(
                "DELETE /session/{session} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
            ));
            let _ = client.try_response();
        }
        self.driver.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::App;

    #[test]
    fn it_shows_pages_and_runs_their_scripts() {
        let app = App::start("page", |_| {
            crate::Reply::ok().field("Content-Type", "text/html").body(
                "<form action=/next><input name=q><button>Go</button></form><p>hello</p>\
                 <script>document.querySelector('p').textContent += ' there'</script>",
            )
        });
        let browser = Chromium::start();
        browser.go(&format!("http://{}/", app.addr()));
        assert!(browser.text().contains("hello there"), "{}", browser.text());
        browser.write("input", "words");
        browser.click("button");
        assert!(
            browser.url().ends_with("/next?q=words"),
            "{}",
            browser.url()
        );
    }
}
