//! Both sides speak another protocol (after 101): bytes pass as they are, and so does how a side ends: the end of a
//! direction as an end, a reset as a reset. A reset behind an end is no more than a close: it would discard what is
//! still on its way to the other side, which was whole.

use std::{future::poll_fn, rc::Rc, task::Poll};

use weir_net::{ResetWatch, now};
use weir_telemetry::Reason;

use super::Client;
use crate::{
    codec::BodyLength,
    exchange::Exchange,
    local::Local,
    upstream::Upstream,
    wire::{Framing, Relay, RelayError, Wire},
};

/// One direction, and whether its end was passed on.
#[derive(Default)]
struct Lane {
    relay: Relay,
    shut: bool,
    /// Waits for a reset of the side that has ended its direction.
    reset: ResetWatch,
}

/// Which side of a [`Lane`] broke.
#[derive(Clone, Copy)]
enum Broken {
    From,
    To,
}

/// How a tunnel ends.
#[derive(Clone, Copy)]
enum End {
    /// Both sides said all that they had to say.
    Closed,
    /// Nobody said anything for too long, or Weir ends.
    Expired,
    ClientReset,
    EndpointReset,
}

pub(super) async fn run(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    mut up: Upstream,
) {
    let worker = &local.worker;
    let plan = Rc::clone(client.plan());
    let idle = plan.listener(client.listener_index).tunnel_timeout;
    for wire in [&mut client.wire, &mut up.wire] {
        wire.expect_body(BodyLength::UntilClose);
        wire.frame(Framing::Identity);
    }
    let (mut out, mut back) = (Lane::default(), Lane::default());
    let mut moved = u64::MAX;
    let end = poll_fn(|cx| {
        let mut lane = |lane: &mut Lane, from: &mut Wire, to: &mut Wire| -> Result<(), Broken> {
            if !lane.relay.is_done() {
                match lane
                    .relay
                    .poll(cx, from, to, &worker.buffers, &worker.pipes)
                {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(RelayError::Source(_))) => return Err(Broken::From),
                    Poll::Ready(Err(RelayError::Sink)) => return Err(Broken::To),
                    Poll::Pending => return Ok(()),
                }
            }
            // One side said all it had to say: pass that on, the other may still talk.
            if !lane.shut
                && let Poll::Ready(done) = to.stream.poll_shutdown(cx)
            {
                lane.shut = true;
                done.map_err(|_| Broken::To)?;
            }
            // Nobody reads from it any more, so nobody would notice.
            match lane.reset.poll(cx, &from.stream) {
                Poll::Ready(()) => Err(Broken::From),
                Poll::Pending => Ok(()),
            }
        };
        let outward = lane(&mut out, &mut client.wire, &mut up.wire);
        let inward = lane(&mut back, &mut up.wire, &mut client.wire);
        if out.shut && back.shut {
            return Poll::Ready(End::Closed);
        }
        match (outward, inward) {
            (Err(Broken::From), _) | (_, Err(Broken::To)) => return Poll::Ready(End::ClientReset),
            (Err(Broken::To), _) | (_, Err(Broken::From)) => {
                return Poll::Ready(End::EndpointReset);
            }
            (Ok(()), Ok(())) => {}
        }
        let total = out.relay.moved + back.relay.moved;
        let time = now();
        if total != moved {
            moved = total;
            client.timer.set(time.saturating_add(idle));
        }
        client.timer.poll_expired(cx, time).map(|()| End::Expired)
    })
    .await;
    match end {
        End::Closed => {}
        End::Expired => exchange.reason = worker.is_cut().then_some(Reason::Draining),
        End::ClientReset => {
            exchange.reason = Some(Reason::ClientGone);
            if !out.shut {
                up.wire.stream.reset_on_close();
            }
        }
        End::EndpointReset => {
            exchange.reason = Some(Reason::UpstreamReset);
            if !back.shut {
                client.wire.stream.reset_on_close();
            }
        }
    }
    exchange.body_in = out.relay.moved;
    exchange.body_out = back.relay.moved;
    exchange.endpoint_bytes = up.moved();
}
