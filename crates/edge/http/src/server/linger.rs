//! Closing gently.
//!
//! Closing a socket with unread bytes resets the connection, and the reset can
//! overtake the answer that explains it. So we end our direction, read away what
//! the client still sends for a moment, and then close (RFC 9112, 9.6).

use std::{future::poll_fn, task::Poll};

use weir_net::now;

use super::Client;
use crate::local::Local;

/// How long a client may go on sending.
const LINGER: u64 = 2_000_000;
/// How much it may send.
const LINGER_BYTES: u64 = 1024 * 1024;

pub(super) async fn linger(local: &Local, client: &mut Client) {
    let worker = &local.worker;
    if poll_fn(|cx| client.wire.stream.poll_shutdown(cx))
        .await
        .is_err()
    {
        return;
    }
    worker.buffers.reclaim(&mut client.wire.input);
    let time = now();
    client.timer.set_yielding(time, time + LINGER);
    let until = client.wire.received + LINGER_BYTES;
    poll_fn(|cx| {
        while client.wire.received < until {
            match client.wire.poll_fill(cx, &worker.buffers) {
                Poll::Ready(Ok(n)) if n > 0 => worker.buffers.reclaim(&mut client.wire.input),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return client.timer.poll_expired(cx, now()),
            }
        }
        Poll::Ready(())
    })
    .await;
}
