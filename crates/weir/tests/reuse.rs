//! Connections to endpoints are used again only if they are still good, however busy the worker is.

mod common;

use weir_testkit::{Origin, Step, Weir, send};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp";
const LOCAL: &[u8] = b"GET /local HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// The runtime makes a task that has done much in one go wait for its turn, and says "nothing to read" meanwhile,
/// which must not be taken for a connection on which nothing has arrived. Pipelined requests use that patience up: for
/// some number of them, the next look at a connection is the one that gets no answer.
#[test]
fn a_closed_connection_is_recognised_after_any_number_of_pipelined_requests() {
    // Serves one request and closes the connection without having said so.
    let origin = Origin::script([Step::ReadRequest, send(ANSWER)]);
    let weir = Weir::start(
        common::WEIR,
        &format!(
            "
workers: 1
listeners: {{ web: '@web@' }}
routes:
  - {{ path: /*, service: app }}
  - {{ path: /local, respond: {{ body: local }} }}
services: {{ app: ['{}'] }}
",
            origin.addr()
        ),
    );
    for pipelined in (118..134).chain(246..262) {
        // The endpoint's connection is idle now in Weir's pool, and closed.
        let number = origin.connections();
        assert_eq!(weir.client("web").get("/app").status, 200);
        origin
            .wait_end(number)
            .expect("the endpoint answered and closed");

        let mut client = weir.client("web");
        let mut bytes = LOCAL.repeat(pipelined);
        bytes.extend_from_slice(POST);
        client.send(&bytes);
        for _ in 0..pipelined {
            assert_eq!(client.response().text(), "local");
        }
        let response = client.response();
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "app"),
            "after {pipelined} pipelined requests"
        );
    }
}
