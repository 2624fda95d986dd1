//! One thread per core, and what a connection finds there.
//!
//! The control side owns [`Workers`] and talks to each thread over a channel:
//! new listeners, a new plan, drain, stop. A worker owns its sockets and its
//! connections; [`Worker`] is the `!Send` context that every connection shares.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc},
    task::coop::has_budget_remaining,
};

use crate::{
    accept::{Gate, Pass, Refusal},
    buffer::Buffers,
    clock::{self, Micros},
    listener::BoundListener,
    proxied::{self, Preamble},
    splice::Pipes,
    stream::Stream,
    wheel::Wheel,
};

/// A new connection moves to the least loaded worker when ours has this many more.
const HANDOFF_MARGIN: usize = 2;
/// How long closing an address waits for workers that are busy.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// How long accepting rests when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Commands that may wait for a worker that is busy.
const COMMANDS: usize = 64;
/// Connections that may wait to be taken over; beyond that a worker keeps its own.
const HANDOVERS: usize = 1024;
/// How long connections that are cut may take to say so, to their clients and in the log.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Spare pipes a worker keeps for large bodies.
const SPARE_PIPES: usize = 32;

/// What a worker does with a connection.
pub trait Protocol: 'static {
    /// Serves one connection to its end.
    fn serve(self: Rc<Self>, connection: Connection) -> impl Future<Output = ()> + 'static;

    /// What a new connection from `peer` begins with.
    fn preamble(&self, listener: &Listening, peer: IpAddr) -> Preamble {
        let _ = (listener, peer);
        Preamble::None
    }

    /// Whether this client may connect, asked before its connection costs anything. `client` is who the PROXY header
    /// says, if there is one, and else the peer. One that is not admitted is [refused](Self::refused) as
    /// [`Refusal::Denied`].
    fn admit(&self, listener: &Listening, client: IpAddr) -> bool {
        let _ = (listener, client);
        true
    }

    /// A connection was turned away before it was served.
    fn refused(&self, listener: &Listening, refusal: Refusal);
}

/// A listener as one worker sees it.
#[derive(Debug)]
pub struct Listening {
    /// What the plan knows it by; stays the same while the address is bound.
    pub key: Arc<str>,
    /// The address it is bound to.
    pub address: SocketAddr,
    closing: Cell<bool>,
    wake: Notify,
    /// Dropped once the socket is closed.
    open: RefCell<Option<mpsc::Sender<()>>>,
}

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// The client's address: as the socket has it, or as the PROXY header told that came before anything else.
    pub peer: SocketAddr,
    /// Where it came in.
    pub listener: Rc<Listening>,
    /// Its place among all connections; to be kept until it ends.
    pub admission: Admission,
}

/// Counts a connection while it lives.
#[derive(Debug)]
pub struct Admission {
    _pass: Pass,
    _load: Load,
}

/// Settings of the worker threads, fixed for the life of the process.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Threads; at least one.
    pub workers: usize,
    /// Bytes in each read buffer.
    pub buffer: usize,
    /// Idle read buffers each worker keeps.
    pub spare_buffers: usize,
}

/// The context of one worker thread.
#[derive(Debug)]
pub struct Worker {
    /// 0 for the first.
    pub id: usize,
    /// Deadlines of this worker's connections.
    pub wheel: Rc<Wheel>,
    /// Read buffers.
    pub buffers: Rc<Buffers>,
    /// Pipes for splicing.
    pub pipes: Rc<Pipes>,
    drift: Cell<i64>,
    draining: Cell<bool>,
    listening: RefCell<HashMap<SocketAddr, Rc<Listening>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gate: Arc<Gate>,
    loads: Vec<Arc<CachePadded>>,
    inboxes: Vec<mpsc::Sender<Handover>>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct CachePadded(AtomicUsize);

/// A connection on its way to another worker.
#[derive(Debug)]
struct Handover {
    socket: StdStream,
    peer: SocketAddr,
    key: Arc<str>,
    address: SocketAddr,
    pass: Pass,
}

/// Counts a connection into its worker's load.
#[derive(Debug)]
struct Load(Arc<CachePadded>);

impl Load {
    fn new(load: &Arc<CachePadded>) -> Self {
        load.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Apply<P> = Box<dyn FnOnce(&Rc<P>) + Send>;

enum Command<P> {
    Listen(Arc<str>, SocketAddr, StdListener),
    /// The sender is dropped once the socket is closed.
    Close(SocketAddr, mpsc::Sender<()>),
    Apply(Apply<P>),
    Drain,
    Cut,
    Stop,
}

impl Worker {
    /// Whether the process is on its way out: finish what runs, begin nothing.
    #[inline]
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether the time for finishing is over: every wait ends, as if its deadline had passed.
    #[inline]
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.wheel.is_cut()
    }

    /// The wall clock at `now`, in milliseconds since 1970.
    #[inline]
    #[must_use]
    pub fn unix_millis(&self, now: Micros) -> u64 {
        clock::unix_millis(now, self.drift.get())
    }

    /// The gate in front of all workers.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Client connections that this worker serves now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.loads[self.id].0.load(Ordering::Relaxed)
    }

    /// The worker that should take a new connection, if another one has clearly less to do.
    fn lighter(&self) -> Option<usize> {
        let mine = self.connections();
        let (id, least) = self
            .shared
            .loads
            .iter()
            .map(|load| load.0.load(Ordering::Relaxed))
            .enumerate()
            .min_by_key(|(_, load)| *load)?;
        (id != self.id && mine >= least + HANDOFF_MARGIN + least / 16).then_some(id)
    }
}

impl Listening {
    /// Whether this listener has gone: finish what runs, begin nothing.
    #[inline]
    #[must_use]
    pub fn closing(&self) -> bool {
        self.closing.get()
    }
}

/// The worker threads, as the control side sees them.
#[derive(Debug)]
pub struct Workers<P> {
    commands: Vec<mpsc::Sender<Command<P>>>,
    threads: Vec<thread::JoinHandle<()>>,
    gate: Arc<Gate>,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Connections that were still open when the deadline came.
    pub aborted: usize,
}

impl<P> std::fmt::Debug for Command<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Listen(..) => "Listen",
            Self::Close(..) => "Close",
            Self::Apply(_) => "Apply",
            Self::Drain => "Drain",
            Self::Cut => "Cut",
            Self::Stop => "Stop",
        })
    }
}

impl<P: Protocol> Workers<P> {
    /// Starts the threads. `build` runs on each and makes what that worker serves with.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start<F>(settings: Settings, gate: Arc<Gate>, build: F) -> io::Result<Self>
    where
        F: Fn(Rc<Worker>) -> Rc<P> + Send + Sync + 'static,
    {
        let count = settings.workers.max(1);
        let (inboxes, outboxes): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(HANDOVERS)).unzip();
        let shared = Arc::new(Shared {
            gate: Arc::clone(&gate),
            loads: (0..count).map(|_| Arc::default()).collect(),
            inboxes,
        });
        let build = Arc::new(build);
        let (started, starts) = std::sync::mpsc::sync_channel::<io::Result<()>>(count);
        let mut commands = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for (id, handovers) in outboxes.into_iter().enumerate() {
            let (sender, receiver) = mpsc::channel(COMMANDS);
            commands.push(sender);
            let (shared, build) = (Arc::clone(&shared), Arc::clone(&build));
            let started = started.clone();
            let mut builder = Builder::new_current_thread();
            builder.enable_all().max_blocking_threads(16);
            let thread = thread::Builder::new()
                .name(format!("weir-worker-{id}"))
                .spawn(move || {
                    let runtime = match builder.build_local(LocalOptions::default()) {
                        Ok(runtime) => runtime,
                        Err(error) => {
                            let _ = started.send(Err(error));
                            return;
                        }
                    };
                    let _ = started.send(Ok(()));
                    let worker = Rc::new(Worker {
                        id,
                        wheel: Wheel::new(),
                        buffers: Buffers::new(settings.buffer, settings.spare_buffers),
                        pipes: Pipes::new(SPARE_PIPES),
                        drift: Cell::new(clock::measure_drift()),
                        draining: Cell::new(false),
                        listening: RefCell::default(),
                        shared,
                    });
                    runtime.block_on(run(worker, build, receiver, handovers));
                })?;
            threads.push(thread);
        }
        drop(started);
        starts.iter().take(count).collect::<io::Result<()>>()?;
        Ok(Self {
            commands,
            threads,
            gate,
        })
    }

    /// How many threads there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.commands.len()
    }

    /// The gate in front of all workers.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Starts to accept on a bound address.
    pub async fn listen(&self, key: &Arc<str>, bound: BoundListener) {
        for (commands, socket) in self.commands.iter().zip(bound.sockets) {
            let command = Command::Listen(Arc::clone(key), bound.address, socket);
            let _ = commands.send(command).await;
        }
    }

    /// Stops accepting on an address; idle connections from it close, the others finish. The address can be bound again
    /// when this returns.
    pub async fn close(&self, address: SocketAddr) {
        let (open, mut all_closed) = mpsc::channel(1);
        for commands in &self.commands {
            let _ = commands.send(Command::Close(address, open.clone())).await;
        }
        drop(open);
        let _ = tokio::time::timeout(CLOSE_WAIT, all_closed.recv()).await;
    }

    /// Runs `apply` on every worker, between two of its steps.
    pub async fn apply(&self, apply: impl Fn(&Rc<P>) + Clone + Send + 'static) {
        for commands in &self.commands {
            let apply = apply.clone();
            let command = Command::Apply(Box::new(move |protocol| apply(protocol)));
            let _ = commands.send(command).await;
        }
    }

    /// Stops accepting, lets what runs finish until `deadline`, cuts what is left, then ends the threads.
    pub async fn shutdown(self, deadline: Duration) -> ShutdownReport {
        self.tell(|| Command::Drain).await;
        self.wait_empty(deadline).await;
        let aborted = self.gate.open();
        if aborted > 0 {
            self.tell(|| Command::Cut).await;
            self.wait_empty(LAST_WORDS).await;
        }
        self.tell(|| Command::Stop).await;
        let threads = self.threads;
        let _ = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        })
        .await;
        ShutdownReport { aborted }
    }
}

impl<P> Workers<P> {
    async fn tell(&self, command: impl Fn() -> Command<P>) {
        for commands in &self.commands {
            let _ = commands.send(command()).await;
        }
    }

    /// Waits until no client is connected, but not for longer than `time`.
    async fn wait_empty(&self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while self.gate.open() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The life of one worker thread.
async fn run<P: Protocol, F: Fn(Rc<Worker>) -> Rc<P>>(
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
                tokio::time::sleep(Duration::from_secs(1)).await;
                worker.drift.set(clock::measure_drift());
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

impl Listening {
    fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
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
        let listening = Rc::new(Listening {
            key,
            address,
            closing: Cell::new(false),
            wake: Notify::new(),
            open: RefCell::default(),
        });
        let before = self
            .listening
            .borrow_mut()
            .insert(address, Rc::clone(&listening));
        if let Some(before) = before {
            before.close();
            self.wheel.wake_all();
        }
        tokio::task::spawn_local(accept(
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
        let listener = known.unwrap_or_else(|| {
            Rc::new(Listening {
                key: handover.key,
                address: handover.address,
                closing: Cell::new(true),
                wake: Notify::new(),
                open: RefCell::default(),
            })
        });
        self.serve(protocol, listener, socket, handover.peer, handover.pass);
    }

    fn serve<P: Protocol>(
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
            admission: Admission {
                _pass: pass,
                _load: Load::new(&self.shared.loads[self.id]),
            },
        };
        tokio::task::spawn_local(Rc::clone(protocol).serve(connection));
    }

    /// A connection was accepted: finds out whose it is.
    fn arrive<P: Protocol>(
        self: &Rc<Self>,
        protocol: &Rc<P>,
        listener: &Rc<Listening>,
        socket: TcpStream,
        peer: SocketAddr,
    ) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let time = match protocol.preamble(listener, peer.ip()) {
            Preamble::None => return self.admit(protocol, listener, socket, peer, None),
            Preamble::Refused => {
                return turn_away(&**protocol, listener, &socket, Refusal::NotAProxy);
            }
            Preamble::ProxyHeader(time) => time,
        };
        // It has a place before its client is known, so that there are not more of these than of any.
        let held = match self.shared.gate.hold() {
            Ok(held) => held,
            Err(refusal) => return protocol.refused(listener, refusal),
        };
        let (worker, protocol) = (Rc::clone(self), Rc::clone(protocol));
        let listener = Rc::clone(listener);
        tokio::task::spawn_local(async move {
            let timer = worker.wheel.timer();
            let closing = || listener.closing() || worker.draining();
            let client = proxied::read_header(&socket, peer, &timer, time, closing).await;
            match client {
                Ok(Some(client)) => {
                    worker.admit(&protocol, &listener, socket, client, Some(held));
                }
                Ok(None) => {}
                Err(refusal) => turn_away(&*protocol, &listener, &socket, refusal),
            }
        });
    }

    fn admit<P: Protocol>(
        self: &Rc<Self>,
        protocol: &Rc<P>,
        listener: &Rc<Listening>,
        socket: TcpStream,
        client: SocketAddr,
        held: Option<Pass>,
    ) {
        // First the one that keeps no state: who is denied takes no place in a table.
        if !protocol.admit(listener, client.ip()) {
            return turn_away(&**protocol, listener, &socket, Refusal::Denied);
        }
        let now = clock::now();
        let pass = match held {
            Some(held) => held.claim(client.ip(), now),
            None => self.shared.gate.enter(client.ip(), now),
        };
        let pass = match pass {
            Ok(pass) => pass,
            Err(Refusal::Rate) => {
                return turn_away(&**protocol, listener, &socket, Refusal::Rate);
            }
            Err(refusal) => return protocol.refused(listener, refusal),
        };
        let inbox = self.lighter().map(|other| &self.shared.inboxes[other]);
        // A place in the inbox first: once the socket has left this worker there is no way back.
        let Some(place) = inbox.and_then(|inbox| inbox.try_reserve().ok()) else {
            self.serve(protocol, Rc::clone(listener), socket, client, pass);
            return;
        };
        if let Ok(socket) = socket.into_std() {
            place.send(Handover {
                socket,
                peer: client,
                key: Arc::clone(&listener.key),
                address: listener.address,
                pass,
            });
        }
    }
}

/// Closes a connection at once, by a reset: the system keeps nothing of it, and whoever floods gains nothing.
fn turn_away<P: Protocol>(
    protocol: &P,
    listener: &Listening,
    socket: &TcpStream,
    refusal: Refusal,
) {
    let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
    protocol.refused(listener, refusal);
}

/// Accepts until the listener closes, then takes what already waits and ends.
async fn accept<P: Protocol>(
    worker: Rc<Worker>,
    protocol: Rc<P>,
    listening: Rc<Listening>,
    socket: TcpListener,
) {
    loop {
        let mut closed = std::pin::pin!(listening.wake.notified());
        let accepted = poll_fn(|cx| match socket.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            // Unless it is pending only because this task has had its turn, nobody waits any more.
            Poll::Pending if listening.closing() && has_budget_remaining() => Poll::Ready(None),
            Poll::Pending => closed.as_mut().poll(cx).map(|()| None),
        })
        .await;
        match accepted {
            Some(Ok((stream, peer))) => worker.arrive(&protocol, &listening, stream, peer),
            Some(Err(error)) if is_about_one_connection(&error) => {}
            Some(Err(_)) => tokio::time::sleep(ACCEPT_PAUSE).await,
            None if listening.closing() => break,
            None => {}
        }
    }
    drop(socket);
    listening.open.take();
}

/// The connection died between the kernel's accept and ours: the next one is fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
