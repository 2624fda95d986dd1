//! HAProxy from the system's package, as a peer beside Weir.

use std::ops::{Deref, DerefMut};

use crate::{Launch, Server};

/// A running HAProxy, one process.
#[derive(Debug)]
pub struct Haproxy {
    server: Server,
}

impl Haproxy {
    /// Prepares a HAProxy on this config, in the foreground.
    pub fn launch(config: &str) -> Launch {
        Launch::new(
            "haproxy",
            "haproxy",
            "haproxy.cfg",
            config,
            &["-db", "-f", "@config@"],
        )
    }

    /// Starts a HAProxy that must listen on `@web@`.
    pub fn start(config: &str) -> Self {
        Self::from_launch(Self::launch(config))
    }

    /// Starts what [`Haproxy::launch`] prepared, and waits until it accepts on `@web@`.
    pub fn from_launch(launch: Launch) -> Self {
        Self::try_launch(launch).unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Haproxy::from_launch`]; the error holds what the process wrote before it ended or ran out of time.
    pub fn try_launch(launch: Launch) -> Result<Self, String> {
        let server = launch.start_when_listening("web")?;
        Ok(Self { server })
    }
}

impl Deref for Haproxy {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Haproxy {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Nginx, RawClient};

    #[test]
    fn it_proxies_to_an_origin() {
        let origin = Nginx::origin("behind");
        let haproxy = Haproxy::from_launch(
            Haproxy::launch(
                "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
                 frontend web\n bind @web@\n default_backend app\nbackend app\n server one @origin@\n",
            )
            .value("origin", origin.addr("web")),
        );
        assert_eq!(
            RawClient::connect(haproxy.addr("web")).get("/").text(),
            "behind\n"
        );
    }
}
