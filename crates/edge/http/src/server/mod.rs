//! A client's connection: heads in, exchanges one after another, the end.

mod client;
mod crowd;
mod linger;
mod tunnel;

use std::{rc::Rc, sync::Arc};

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
///
/// Serving a request takes some kilobytes of room for whatever may have to be awaited, and waiting for one next to none. So that room is
/// boxed: made when a request is there, and given back before the next is waited for. Connections take turns with the same few
/// boxes, which stay in the cache.
pub(crate) fn serve(local: Rc<Local>, connection: Connection) -> impl Future<Output = ()> {
    // Made here, as an argument of an `async fn` keeps its place in the future beside what it was moved into.
    let mut client = Client::new(&local, connection);
    async move {
        let metrics = Arc::clone(&client.options().metrics);
        let open = Open::count(metrics.on(local.worker.id));
        crowd::watch(&local.worker);
        loop {
            let heard = client.hear(&local).await;
            if matches!(heard, Heard::End) {
                break;
            }
            match Box::pin(attend(&local, &mut client, heard)).await {
                Then::Wait => {}
                Then::Close => break,
            }
        }
        client.close(&local);
        drop(open);
        crowd::watch(&local.worker);
    }
}

/// What becomes of a connection that was served.
enum Then {
    /// Another request may follow.
    Wait,
    /// It is over.
    Close,
}

/// Serves a request, and those that came with it.
async fn attend(local: &Local, client: &mut Client, mut heard: Heard) -> Then {
    loop {
        let mut exchange = match heard {
            Heard::Request(exchange) => exchange,
            Heard::Bad(exchange, refusal) => {
                refuse(local, client, exchange, refusal).await;
                return Then::Close;
            }
            Heard::End => return Then::Close,
        };
        let next = run(local, client, &mut exchange).await;
        let next = match next {
            Next::Tunnel(up) => {
                tunnel::run(local, client, &mut exchange, *up).await;
                Next::Close
            }
            // Whatever it was that did not come in time: there was no more time to be had.
            Next::Abort if local.worker.is_cut() => {
                exchange.reason = Some(Reason::Draining);
                Next::Abort
            }
            next => next,
        };
        client.idle_since = record::finish(local, client, &exchange);
        local.spare(exchange);
        client.settle(local);
        match next {
            // It may have sent the next one already, or some of it.
            Next::KeepAlive if !client.wire.input.is_empty() => heard = client.hear(local).await,
            Next::KeepAlive => return Then::Wait,
            Next::Close | Next::Tunnel(_) => return Then::Close,
            Next::Linger => {
                linger::linger(local, client).await;
                return Then::Close;
            }
            Next::Abort => {
                client.wire.stream.reset_on_close();
                return Then::Close;
            }
        }
    }
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
