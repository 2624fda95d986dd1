//! The worker threads, as the control side sees them.

use std::{
    io, net::SocketAddr, net::TcpListener as StdListener, rc::Rc, sync::Arc, thread, time::Duration,
};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::mpsc,
};

use super::{Protocol, Shared, Worker, life};
use crate::{
    accept::Gate,
    incident::{Board, Incidents},
    listener::BoundListener,
};

/// How long closing an address waits for workers that are busy.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Commands that may wait for a worker that is busy.
const COMMANDS: usize = 64;
/// Connections that may wait to be taken over; beyond that a worker keeps its own.
const HANDOVERS: usize = 1024;
/// How long connections that are cut may take to say so, to their clients and in the log.
const LAST_WORDS: Duration = Duration::from_millis(500);

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

pub(super) type Apply<P> = Box<dyn FnOnce(&Rc<P>) + Send>;

pub(super) enum Command<P> {
    Listen(Arc<str>, SocketAddr, StdListener),
    /// The sender is dropped once the socket is closed.
    Close(SocketAddr, mpsc::Sender<()>),
    Apply(Apply<P>),
    Drain,
    Cut,
    Stop,
}

/// The worker threads, as the control side sees them.
#[derive(Debug)]
pub struct Workers<P> {
    commands: Vec<mpsc::Sender<Command<P>>>,
    threads: Vec<thread::JoinHandle<()>>,
    shared: Arc<Shared>,
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
            gate,
            board: Board::default(),
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
                    let worker = Worker::new(id, settings, shared);
                    runtime.block_on(life::run(worker, build, receiver, handovers));
                })?;
            threads.push(thread);
        }
        drop(started);
        starts.iter().take(count).collect::<io::Result<()>>()?;
        Ok(Self {
            commands,
            threads,
            shared,
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
        &self.shared.gate
    }

    /// What happened to connections that were not served, as far as workers have told it, since the last call. They do
    /// once a second.
    #[must_use]
    pub fn incidents(&self) -> Vec<Incidents> {
        self.shared.board.take()
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
        let aborted = self.gate().open();
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

    async fn tell(&self, command: impl Fn() -> Command<P>) {
        for commands in &self.commands {
            let _ = commands.send(command()).await;
        }
    }

    /// Waits until no client is connected, but not for longer than `time`.
    async fn wait_empty(&self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while self.gate().open() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
