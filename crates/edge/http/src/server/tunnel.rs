//! Both sides speak another protocol (after 101): bytes pass as they are.

use std::{future::poll_fn, rc::Rc, task::Poll};

use weir_net::now;

use super::Client;
use crate::{
    codec::BodyLength,
    exchange::Exchange,
    local::Local,
    upstream::Upstream,
    wire::{Framing, Relay, Wire},
};

/// One direction, and whether its end was passed on.
#[derive(Default)]
struct Lane {
    relay: Relay,
    shut: bool,
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
    poll_fn(|cx| {
        let mut lane = |lane: &mut Lane, from: &mut Wire, to: &mut Wire| -> Result<(), ()> {
            if !lane.relay.is_done() {
                match lane
                    .relay
                    .poll(cx, from, to, &worker.buffers, &worker.pipes)
                {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Err(()),
                    Poll::Pending => return Ok(()),
                }
            }
            // One side said all it had to say: pass that on, the other may still talk.
            if !lane.shut
                && let Poll::Ready(done) = to.stream.poll_shutdown(cx)
            {
                lane.shut = true;
                done.map_err(|_| ())?;
            }
            Ok(())
        };
        let broken = lane(&mut out, &mut client.wire, &mut up.wire).is_err()
            || lane(&mut back, &mut up.wire, &mut client.wire).is_err();
        if broken || (out.shut && back.shut) {
            return Poll::Ready(());
        }
        let total = out.relay.moved + back.relay.moved;
        let time = now();
        if total != moved {
            moved = total;
            client.timer.set(time.saturating_add(idle));
        }
        client.timer.poll_expired(cx, time)
    })
    .await;
    exchange.body_in = out.relay.moved;
    exchange.body_out = back.relay.moved;
    exchange.endpoint_bytes = up.moved();
}
