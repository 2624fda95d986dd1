//! nginx from the system's package: as an endpoint behind Weir, or as a peer beside it.

use std::ops::{Deref, DerefMut};

use crate::{Launch, Server};

/// A running nginx: a master and its workers, all stopped together.
#[derive(Debug)]
pub struct Nginx {
    server: Server,
}

impl Nginx {
    /// Prepares an nginx whose whole config is `config`. It stays in the foreground, logs errors to standard error and
    /// keeps every file in its folder; the config must not say `daemon`, `pid` or `error_log`.
    pub fn launch(config: &str) -> Launch {
        // Workers of a master that runs as root become `nobody`, who may not read a test's temporary files.
        let user = if rustix::process::getuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let config = format!("daemon off;\npid @dir@/nginx.pid;\n{user}\n{config}");
        Launch::new(
            "nginx",
            "nginx",
            "nginx.conf",
            &config,
            &["-e", "stderr", "-p", "@dir@", "-c", "@config@"],
        )
    }

    /// Prepares an nginx with one worker and this content of its `http` block. Its error log, its temporary files and
    /// its MIME types are set; it logs no access.
    pub fn launch_http(http: &str) -> Launch {
        Self::launch(&format!(
            "worker_processes 1;\nevents {{ worker_connections 4096; }}\nhttp {{\n{HTTP_DEFAULTS}\n{http}\n}}\n"
        ))
    }

    /// Starts an nginx that must listen on `@web@`.
    pub fn start(config: &str) -> Self {
        Self::from_launch(Self::launch(config))
    }

    /// Starts what [`Nginx::launch`] prepared, and waits until it accepts on `@web@`.
    pub fn from_launch(launch: Launch) -> Self {
        Self::try_launch(launch).unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Nginx::from_launch`]; the error holds what the process wrote before it ended or ran out of time.
    pub fn try_launch(launch: Launch) -> Result<Self, String> {
        let server = launch.start_when_listening("web")?;
        Ok(Self { server })
    }

    /// An origin on `@web@` that tells who it is. Every response has `X-Origin: NAME`.
    ///
    /// | path | answer |
    /// |---|---|
    /// | `/1m` | a file of 1 MB, with ETag, Last-Modified and ranges |
    /// | `/small.txt` | a file of 26 bytes |
    /// | `/chunked` | the same 26 bytes, chunked |
    /// | `/echo` | JSON with what arrived: `method`, `target`, `host` and the forwarding fields |
    /// | `/status/404`, `/status/500`, `/status/503` | that status |
    /// | anything else | `NAME` and a line feed |
    pub fn origin(name: &str) -> Self {
        Self::from_launch(Self::launch_origin(name))
    }

    /// Prepares [`Nginx::origin`], for placing it on a chosen address with `.value("web", addr)`.
    pub fn launch_origin(name: &str) -> Launch {
        Self::launch_http(ORIGIN)
            .value("name", name)
            .file("files/1m", crate::pattern(1_000_000))
            .file("files/small.txt", b"abcdefghijklmnopqrstuvwxyz")
    }
}

impl Deref for Nginx {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Nginx {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

const HTTP_DEFAULTS: &str = "\
access_log off;
default_type application/octet-stream;
types { text/html html; text/plain txt; text/css css; application/javascript js; image/png png; }
client_body_temp_path @dir@/body;
proxy_temp_path @dir@/proxy;
fastcgi_temp_path @dir@/fastcgi;
uwsgi_temp_path @dir@/uwsgi;
scgi_temp_path @dir@/scgi;";

const ORIGIN: &str = r#"
sendfile on;
keepalive_requests 1000000;
server {
    listen @web@;
    root @dir@/files;
    add_header X-Origin "@name@" always;
    location = /1m { }
    location = /small.txt { }
    location = /chunked { ssi on; ssi_types *; try_files /small.txt =404; }
    location = /echo {
        default_type application/json;
        return 200 '{"origin":"@name@","method":"$request_method","target":"$request_uri","host":"$http_host","forwarded_for":"$http_x_forwarded_for","forwarded_proto":"$http_x_forwarded_proto","forwarded_host":"$http_x_forwarded_host","via":"$http_via","request_id":"$http_x_request_id","traceparent":"$http_traceparent","connection":"$http_connection"}';
    }
    location = /status/404 { return 404; }
    location = /status/500 { return 500; }
    location = /status/503 { return 503; }
    location / { default_type text/plain; return 200 "@name@\n"; }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawClient;

    #[test]
    fn the_origin_answers_as_its_table_says() {
        let origin = Nginx::origin("one");
        let mut client = RawClient::connect(origin.addr("web"));
        assert_eq!(client.get("/").text(), "one\n");
        let file = client.get("/1m");
        assert_eq!((file.status, file.body.len()), (200, 1_000_000));
        assert_eq!(file.body, crate::pattern(1_000_000));
        let chunked = client.get("/chunked");
        assert_eq!(chunked.header("transfer-encoding"), Some("chunked"));
        assert_eq!(chunked.text(), "abcdefghijklmnopqrstuvwxyz");
        let echo = client.get("/echo").json();
        assert_eq!(echo["method"], "GET");
        let missing = client.get("/status/404");
        assert_eq!(
            (missing.status, missing.header("x-origin")),
            (404, Some("one"))
        );
    }

    #[test]
    fn a_killed_nginx_is_gone_with_its_workers() {
        let mut origin = Nginx::origin("two");
        let addr = origin.addr("web");
        origin.kill();
        // A worker that was killed with its master may take a moment to leave its socket.
        crate::wait_until("the port to close", || {
            RawClient::try_connect(addr).is_err()
        });
    }
}
