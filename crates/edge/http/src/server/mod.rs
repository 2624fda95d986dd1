//! A client's connection: heads in, exchanges one after another, the end.

mod client;
mod crowd;
mod linger;
mod tunnel;

use std::rc::Rc;

use weir_net::{Connection, now};
use weir_telemetry::{ListenerCells, Reason};

pub(crate) use self::client::Client;
use self::client::Heard;
use crate::{
    exchange::{Answer, Exchange, Next, answer, reply, run},
    local::Local,
    record,
};

/// Serves one client connection to its end.
pub(crate) async fn serve(local: Rc<Local>, connection: Connection) {
    let mut client = Client::new(&local, connection);
    let metrics = std::sync::Arc::clone(&client.options().metrics);
    let open = Open::count(metrics.on(local.worker.id));
    crowd::watch(&local.worker);
    let local = &*local;
    loop {
        let mut exchange = match client.hear(local).await {
            Heard::Request(exchange) => exchange,
            Heard::Bad(exchange, refusal) => {
                refuse(local, &mut client, exchange, refusal).await;
                break;
            }
            Heard::End => break,
        };
        let next = run(local, &mut client, &mut exchange).await;
        let next = match next {
            Next::Tunnel(up) => {
                tunnel::run(local, &mut client, &mut exchange, *up).await;
                Next::Close
            }
            // Whatever it was that did not come in time: there was no more time to be had.
            Next::Abort if local.worker.is_cut() => {
                exchange.reason = Some(Reason::Draining);
                Next::Abort
            }
            next => next,
        };
        client.idle_since = record::finish(local, &mut client, &exchange);
        local.spare(exchange);
        client.settle(local);
        match next {
            Next::KeepAlive => {}
            Next::Close => break,
            Next::Linger => {
                linger::linger(local, &mut client).await;
                break;
            }
            Next::Abort => {
                client.wire.stream.reset_on_close();
                break;
            }
            Next::Tunnel(_) => break,
        }
    }
    client.close(local);
    drop(open);
    crowd::watch(&local.worker);
}

/// Counts a connection as open while it lives, however its task ends.
struct Open<'a>(&'a ListenerCells);

impl<'a> Open<'a> {
    fn count(cells: &'a ListenerCells) -> Self {
        cells.accepted.inc();
        cells.open.inc();
        Self(cells)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.dec();
    }
}

/// Answers a head that could not be understood; nothing on this connection can be trusted after it.
async fn refuse(local: &Local, client: &mut Client, mut exchange: Box<Exchange>, refusal: Answer) {
    let plan = Rc::clone(client.plan());
    let listener = plan.listener(client.listener_index);
    exchange.times.start = now();
    // Whatever id it carried cannot be trusted; one of ours leads from what the client sees to the log.
    if listener.request_id {
        exchange.set_request_id(local.new_id().as_bytes());
    }
    answer(local, client, &mut exchange, refusal, None, false);
    let next = if reply::flush(client, listener).await.is_ok() {
        Next::Linger
    } else {
        exchange.reason = Some(Reason::ClientGone);
        Next::Abort
    };
    record::finish(local, client, &exchange);
    local.spare(exchange);
    if matches!(next, Next::Linger) {
        linger::linger(local, client).await;
    }
}
