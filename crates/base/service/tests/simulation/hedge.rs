//! A second try beside the first, as the proxy makes it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use weir_service::{EndpointId, Outcome};

use crate::client::{Exchange, Held};
use crate::server::Lost;

/// Who answered first.
pub(crate) enum Winner {
    First(Result<u16, Lost>),
    /// The other one, which was asked at this time.
    Second(u16, Held, u64),
    /// Nobody, in time.
    Late,
}

/// Chooses a second endpoint, if the budget and the endpoints allow it.
pub(crate) fn choose(exchange: &Exchange, first: EndpointId, tried: &[EndpointId]) -> Option<Held> {
    let exclude = [tried, &[first]].concat();
    let held = exchange.pick(&exclude, exchange.worker.now_ms()).ok()?;
    exchange.may_retry().then_some(held)
}

/// Waits for the first good answer of two.
pub(crate) async fn race_two(
    exchange: &Exchange,
    mut first: Pin<&mut impl Future<Output = Result<u16, Lost>>>,
    mut held: Held,
) -> Winner {
    let stage = &exchange.stage;
    let route = &stage.setup.route;
    let begun_us = stage.now_us();
    let server = stage.server_at(held.picked.address());
    let endpoint = held.picked.endpoint().clone();
    let second = async {
        match server.connect().await {
            Ok(connection) => {
                endpoint.succeeded();
                server.answer(connection).await.map_err(|_| Outcome::Reset)
            }
            Err(_) => {
                endpoint.connect_failed(exchange.worker.now_ms());
                Err(Outcome::Connect)
            }
        }
    };
    let mut second = pin!(second);
    let mut first_over: Option<Result<u16, Lost>> = None;
    let mut second_over = false;
    let limit = (begun_us + route.first_byte_us).min(exchange.deadline_us);
    let mut late = pin!(stage.world.sleep_until(limit));
    let unwanted = |status: u16| route.on_5xx && status >= 500;
    let winner = poll_fn(|cx| {
        if first_over.is_none()
            && let Poll::Ready(answered) = first.as_mut().poll(cx)
        {
            let good = answered.is_ok_and(|status| !unwanted(status));
            if good || second_over {
                return Poll::Ready(Some(Ok(answered)));
            }
            first_over = Some(answered);
        }
        if !second_over && let Poll::Ready(answered) = second.as_mut().poll(cx) {
            match answered {
                Ok(status) if !unwanted(status) => return Poll::Ready(Some(Err(status))),
                Ok(status) => match first_over {
                    Some(Ok(first)) => return Poll::Ready(Some(Ok(Ok(first)))),
                    Some(Err(_)) => return Poll::Ready(Some(Err(status))),
                    None => held.report(Outcome::GatewayError, 0, exchange.worker.now_ms()),
                },
                Err(outcome) => {
                    held.report(outcome, 0, exchange.worker.now_ms());
                    if let Some(first) = first_over {
                        return Poll::Ready(Some(Ok(first)));
                    }
                }
            }
            second_over = true;
        }
        late.as_mut().poll(cx).map(|()| None)
    })
    .await;
    match winner {
        Some(Ok(answered)) => Winner::First(answered),
        Some(Err(status)) => Winner::Second(status, held, begun_us),
        None => {
            if !second_over {
                held.report(Outcome::Timeout, 0, exchange.worker.now_ms());
            }
            Winner::Late
        }
    }
}
