//! The life of a worker thread: its commands, the listeners it opens and closes, the connections it begins to serve.

use std::{net::SocketAddr, net::TcpListener as StdListener, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{
    Admission, Connection, Listening, Load, Protocol, Worker,
    arrival::{self, Handover},
    control::Command,
};
use crate::{accept::Pass, clock, stream::Stream};

/// How often the clock is compared with that of the wall, and notes are handed over.
const TIDY: Duration = Duration::from_secs(1);

/// From the first command to the last.
pub(super) async fn run<P: Protocol, F: Fn(Rc<Worker>) -> Rc<P>>(
    worker: Rc<Worker>,
    build: Arc<F>,
    mut commands: mpsc::Receiver<Command<P>>,
    mut handovers: mpsc::Receiver<Handover>,
) {
    let protocol = build(Rc::clone(&worker));
    // What it was built of, such as the first plan, must not live as long as the thread.
    drop(build);
    tokio::task::spawn_local(Rc::clone(&worker.wheel).run());
    tokio::task::spawn_local({
        let worker = Rc::clone(&worker);
        async move {
            loop {
                tokio::time::sleep(TIDY).await;
                worker.drift.set(clock::measure_drift());
                worker.notes.hand_over(&worker.shared.board);
            }
        }
    });
    tokio::task::spawn_local({
        let (worker, protocol) = (Rc::clone(&worker), Rc::clone(&protocol));
        async move {
            while let Some(handover) = handovers.recv().await {
                worker.take_over(&protocol, handover);
            }
        }
    });
    while let Some(command) = commands.recv().await {
        match command {
            Command::Listen(key, address, socket) => worker.listen(&protocol, key, address, socket),
            Command::Close(address, open) => {
                if let Some(listening) = worker.listening.borrow_mut().remove(&address) {
                    *listening.open.borrow_mut() = Some(open);
                    listening.close();
                }
                worker.wheel.wake_all();
            }
            Command::Apply(apply) => apply(&protocol),
            Command::Drain => {
                worker.draining.set(true);
                for (_, listening) in worker.listening.borrow_mut().drain() {
                    listening.close();
                }
                worker.wheel.wake_all();
            }
            Command::Cut => worker.wheel.cut(),
            Command::Stop => return,
        }
    }
}

impl Worker {
    fn listen<P: Protocol>(
        self: &Rc<Self>,
        protocol: &Rc<P>,
        key: Arc<str>,
        address: SocketAddr,
        socket: StdListener,
    ) {
        let Ok(socket) = TcpListener::from_std(socket) else {
            return;
        };
        let listening = Listening::new(key, address, false);
        let before = self
            .listening
            .borrow_mut()
            .insert(address, Rc::clone(&listening));
        if let Some(before) = before {
            before.close();
            self.wheel.wake_all();
        }
        tokio::task::spawn_local(arrival::accept(
            Rc::clone(self),
            Rc::clone(protocol),
            listening,
            socket,
        ));
    }

    fn take_over<P: Protocol>(self: &Rc<Self>, protocol: &Rc<P>, handover: Handover) {
        let Ok(socket) = TcpStream::from_std(handover.socket) else {
            return;
        };
        let known = self.listening.borrow().get(&handover.address).cloned();
        // The listener may have closed while the connection was on its way: it is served
        // like any that was accepted just before.
        let listener =
            known.unwrap_or_else(|| Listening::new(handover.key, handover.address, true));
        self.serve(protocol, listener, socket, handover.peer, handover.pass);
    }

    pub(super) fn serve<P: Protocol>(
        self: &Rc<Self>,
        protocol: &Rc<P>,
        listener: Rc<Listening>,
        socket: TcpStream,
        peer: SocketAddr,
        pass: Pass,
    ) {
        let connection = Connection {
            stream: Stream::tcp(socket),
            peer,
            listener,
            admission: Admission::new(pass, Load::new(&self.shared.loads[self.id])),
        };
        tokio::task::spawn_local(Rc::clone(protocol).serve(connection));
    }
}
