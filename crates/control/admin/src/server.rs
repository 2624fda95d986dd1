//! The server: connections in, answers out, everything bounded.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};
use weir_config::Secret;

use crate::api;
use crate::control::Control;
use crate::limits::Limits;
use crate::places::{Place, Places};

/// What all connections share.
struct Shared {
    token: Option<Secret>,
    control: Arc<dyn Control>,
    limits: Limits,
    /// Turns true when the server is to end.
    ending: watch::Receiver<bool>,
}

/// Serves the admin API on `listener` until `shutdown`, then lets answers that are under way finish.
///
/// # Errors
/// If the listener cannot be used by the runtime that this is called on.
pub async fn serve(
    listener: std::net::TcpListener,
    token: Option<Secret>,
    control: Arc<dyn Control>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (end, ending) = watch::channel(false);
    let places = Places::new(limits.connections);
    let shared = Arc::new(Shared {
        token,
        control,
        limits,
        ending,
    });
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let (stream, client) = accept(&listener).await;
            // Without a place, what comes behind it waits in the backlog of the system.
            (places.take(client).await, stream)
        };
        tokio::select! {
            (Some(place), stream) = accepted => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move { serve_connection(stream, &place, &shared).await });
            }
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    let _ = end.send(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// The next connection. Errors are those of single connections, or of a process without free descriptors: both pass.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => return (stream, client.ip()),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve_connection(stream: TcpStream, place: &Place, shared: &Arc<Shared>) {
    // Answers are one write each: waiting for more would only delay them. Failing that, they are a little late.
    let _ = stream.set_nodelay(true);
    let limits = shared.limits;
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(shared);
        async move {
            let (head, body) = request.into_parts();
            let too_large = body.size_hint().lower() > shared.limits.body;
            place.asked();
            let response =
                api::respond(&head, too_large, shared.token.as_ref(), &shared.control).await;
            place.answered();
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        // Without a timer, hyper's timeout does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut ending = shared.ending.clone();
    let over = async {
        tokio::select! {
            () = sleep(limits.lifetime) => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
    };
    // What goes wrong on a connection concerns only its client, who has noticed.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = place.displaced() => return,
        () = over => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(limits.grace, connection).await;
}
