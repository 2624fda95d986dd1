//! The clock, and everything that waits for it.
//!
//! Tasks are futures on one thread. Those that were woken run in the order in which they were; when none is left the clock jumps
//! to the next timer. So the whole course is a function of what the tasks do.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A clock, in microseconds, with timers and tasks.
pub(crate) struct World {
    now_us: Cell<u64>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    timers_made: Cell<u64>,
    /// `None`: over, or running right now.
    tasks: RefCell<Vec<Option<(Task, Waker)>>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(Mutex<VecDeque<usize>>);

struct Bell {
    task: usize,
    woken: Arc<Woken>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.woken.0.lock().unwrap().push_back(self.task);
    }
}

impl World {
    pub(crate) fn new(now_us: u64) -> Rc<Self> {
        Rc::new(Self {
            now_us: Cell::new(now_us),
            timers: RefCell::default(),
            timers_made: Cell::new(0),
            tasks: RefCell::default(),
            woken: Arc::default(),
        })
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let id = tasks.len();
        let woken = Arc::clone(&self.woken);
        let waker = Waker::from(Arc::new(Bell { task: id, woken }));
        waker.wake_by_ref();
        tasks.push(Some((Box::pin(task), waker)));
    }

    pub(crate) fn sleep_until(self: &Rc<Self>, at_us: u64) -> Sleep {
        Sleep {
            world: Rc::clone(self),
            at_us,
            timer: None,
        }
    }

    pub(crate) fn sleep(self: &Rc<Self>, us: u64) -> Sleep {
        self.sleep_until(self.now_us() + us)
    }

    /// Runs until nothing is left to do, or until this time. `step` is called whenever all that was to be done at one moment is
    /// done.
    pub(crate) fn run_until(&self, end_us: u64, mut step: impl FnMut()) {
        loop {
            while let Some(id) = self.next_woken() {
                self.run(id);
            }
            step();
            let next = self.timers.borrow().first_key_value().map(|(key, _)| *key);
            match next {
                Some((at, _)) if at <= end_us => {
                    self.now_us.set(self.now_us().max(at));
                    let due = self.timers.borrow_mut().pop_first();
                    due.into_iter().for_each(|(_, waker)| waker.wake());
                }
                _ => {
                    self.now_us.set(self.now_us().max(end_us));
                    return;
                }
            }
        }
    }

    fn next_woken(&self) -> Option<usize> {
        self.woken.0.lock().unwrap().pop_front()
    }

    fn run(&self, id: usize) {
        let Some((mut task, waker)) = self.tasks.borrow_mut()[id].take() else {
            return;
        };
        if task
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
        {
            self.tasks.borrow_mut()[id] = Some((task, waker));
        }
    }

    /// Drops all tasks, as the end of a worker would. They hold the world, which holds them.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.woken.0.lock().unwrap().clear();
    }
}

/// Waits for a moment. A wait that is dropped leaves no timer behind.
pub(crate) struct Sleep {
    world: Rc<World>,
    at_us: u64,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.world.now_us() >= this.at_us {
            return Poll::Ready(());
        }
        let number = *this.timer.get_or_insert_with(|| {
            let made = this.world.timers_made.get();
            this.world.timers_made.set(made + 1);
            made
        });
        let mut timers = this.world.timers.borrow_mut();
        timers.insert((this.at_us, number), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.timer {
            self.world.timers.borrow_mut().remove(&(self.at_us, number));
        }
    }
}

/// Which of two was first. If both are ready at once, the left one.
pub(crate) enum Either<A, B> {
    Left(A),
    Right(B),
}

/// Waits for the first of two, and drops the other.
pub(crate) async fn race<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> Either<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(a) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(a));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}
