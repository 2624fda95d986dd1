//! A worker's view of one service: picks endpoints without locks.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::hash::has_room;
use super::least::{Load, least_loaded};
use super::picked::{Picked, View};
use super::smooth::SmoothRoundRobin;
use crate::breaker::Token;
use crate::endpoint::EndpointId;
use crate::notice::Notice;
use crate::rng::Rng;
use crate::service::Service;
use crate::set::{EndpointSet, Member};
use crate::spec::Balance;

/// How often an algorithm is asked again when it chose an endpoint that will not do, before a plain search takes over.
const TRIES: usize = 8;

/// Picks endpoints of one service, for one worker.
///
/// It keeps its own reference to the published endpoint set. A pick costs one atomic load to see that the set is still the
/// current one, and then touches the counters of the endpoints that it compares.
pub struct Picker {
    version: u64,
    view: Rc<View>,
    rng: Rng,
    rotation: SmoothRoundRobin,
}

/// What a request wants of its endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// The time, in milliseconds.
    pub now_ms: u64,
    /// Endpoints that this request already tried.
    pub exclude: &'a [EndpointId],
    /// What a consistent hash is made of; a request without one goes anywhere.
    pub key: Option<u64>,
    /// The [key](crate::Endpoint::key) of the endpoint that the client is used to.
    pub prefer: Option<u64>,
}

impl Wish<'_> {
    /// Anything will do.
    pub fn at(now_ms: u64) -> Self {
        Self {
            now_ms,
            ..Self::default()
        }
    }
}

/// Why there is no endpoint for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpicked {
    /// The service has none that may be used.
    NoEndpoint,
    /// All that may be used were tried.
    Tried,
    /// Those that are left have as many requests in flight as they may.
    Full,
    /// A circuit breaker is open.
    BreakerOpen {
        /// When it will let a probe through, in milliseconds from now.
        retry_after_ms: u64,
    },
}

/// Whether a member can be had.
enum Taken {
    /// It is: with the right to try it, if a breaker gave one.
    Yes(Option<Token>),
    No(Unpicked),
}

impl Picker {
    /// A picker for `service`. Give every worker another seed: it decides where its rotation starts.
    pub fn new(service: Arc<Service>, seed: u64) -> Self {
        let (version, set) = service.load();
        let mut picker = Self {
            version,
            view: Rc::new(View { service, set }),
            rng: Rng::new(seed),
            rotation: SmoothRoundRobin::default(),
        };
        picker.restart();
        picker
    }

    /// The service that it picks from.
    pub fn service(&self) -> &Arc<Service> {
        &self.view.service
    }

    /// The endpoint set that the next pick chooses from.
    pub fn endpoints(&mut self) -> &Arc<EndpointSet> {
        self.refresh();
        &self.view.set
    }

    /// Chooses an endpoint for a request and counts the request in until the returned guard is dropped.
    ///
    /// An endpoint that lately refused connections, or asked to be left alone, is chosen only if no other is left.
    ///
    /// # Errors
    /// Why there is none.
    #[inline]
    pub fn pick(&mut self, wish: &Wish<'_>) -> Result<Picked, Unpicked> {
        self.refresh();
        let breaker = match self.view.service.breaker() {
            None => None,
            Some(breaker) => match breaker.admit(wish.now_ms) {
                Ok(token) => Some(token),
                Err(refused) => {
                    return Err(Unpicked::BreakerOpen {
                        retry_after_ms: refused.retry_after_ms,
                    });
                }
            },
        };
        match self.choose(wish) {
            Ok((index, own)) => Ok(Picked::start(
                Rc::clone(&self.view),
                index,
                wish.now_ms,
                breaker,
                own,
            )),
            Err(unpicked) => {
                if let (Some(breaker), Some(token)) = (self.view.service.breaker(), breaker) {
                    if let Some(change) = token.change(wish.now_ms) {
                        self.view.service.tell(Notice::Breaker(None, change));
                    }
                    breaker.cancel(token);
                }
                Err(unpicked)
            }
        }
    }

    #[inline]
    fn choose(&mut self, wish: &Wish<'_>) -> Result<(u32, Option<Token>), Unpicked> {
        let view = &*self.view;
        let candidates = view.set.candidates();
        let n = candidates.len() as u32;
        if n == 0 {
            return view.search(wish, 0);
        }
        if let Some(key) = wish.prefer
            && let Some(index) = view.set.position(key)
            && let Taken::Yes(token) = view.take(index, wish, false)
        {
            return Ok((index, token));
        }
        if n == 1 {
            // Never withhold the only one, but for its limits; others may stand in reserve.
            let patient = view.set.reserve().is_empty();
            return match view.take(0, wish, patient) {
                Taken::Yes(token) => Ok((0, token)),
                Taken::No(why) if patient => Err(why),
                Taken::No(_) => view.search(wish, 0),
            };
        }
        if let Some(table) = view.set.hash() {
            let key = wish.key.unwrap_or_else(|| self.rng.next_u64());
            for index in table.walk(key).take(candidates.len()) {
                if view.has_room(index)
                    && let Taken::Yes(token) = view.take(index, wish, false)
                {
                    return Ok((index, token));
                }
            }
            return view.search(wish, self.rng.below(n));
        }
        let draws = view.set.draws();
        for _ in 0..TRIES {
            let index = match view.service.balance() {
                // A retry takes nobody's turn: else, of two, one that fails would get nearly all first tries.
                Balance::RoundRobin if wish.exclude.is_empty() => self.rotation.next(),
                Balance::P2c => {
                    let (a, b) = draws.draw_two(&mut self.rng);
                    let (first, second) = (&candidates[a as usize], &candidates[b as usize]);
                    let (load_a, load_b) = (Load::of(first), Load::of(second));
                    match (view.skips(first, wish), view.skips(second, wish)) {
                        (true, _) => b,
                        (_, true) => a,
                        _ if load_b.is_less(second, load_a, first, wish.now_ms) => b,
                        _ => a,
                    }
                }
                Balance::LeastConnections => {
                    let skip = |m: &Member| view.skips(m, wish);
                    match least_loaded(candidates, &mut self.rng, wish.now_ms, skip) {
                        Some(index) => index as u32,
                        None => continue,
                    }
                }
                Balance::LeastResponseTime => {
                    let mean = view.set.mean_weight();
                    let (a, b) = draws.draw_two(&mut self.rng);
                    let (first, second) = (&candidates[a as usize], &candidates[b as usize]);
                    match (view.skips(first, wish), view.skips(second, wish)) {
                        (true, _) => b,
                        (_, true) => a,
                        _ if second.score(mean, wish.now_ms) < first.score(mean, wish.now_ms) => b,
                        _ => a,
                    }
                }
                // Hashes have a table whenever there are two to choose from.
                Balance::RoundRobin | Balance::Random | Balance::IpHash | Balance::Hash(_) => {
                    draws.draw(&mut self.rng)
                }
            };
            if let Taken::Yes(token) = view.take(index, wish, false) {
                return Ok((index, token));
            }
        }
        view.search(wish, self.rng.below(n))
    }

    #[inline]
    fn refresh(&mut self) {
        if self.view.service.version() != self.version {
            self.reload();
        }
    }

    #[cold]
    fn reload(&mut self) {
        let service = Arc::clone(&self.view.service);
        let (version, set) = service.load();
        self.version = version;
        self.view = Rc::new(View { service, set });
        self.restart();
    }

    fn restart(&mut self) {
        if *self.view.service.balance() == Balance::RoundRobin {
            let candidates = self.view.set.candidates();
            let weights: Vec<u32> = candidates.iter().map(|m| m.weight).collect();
            self.rotation = SmoothRoundRobin::new_at_random(&weights, &mut self.rng);
        }
    }
}

impl View {
    /// Would this request rather go elsewhere?
    #[inline]
    fn skips(&self, member: &Member, wish: &Wish<'_>) -> bool {
        let endpoint = &member.endpoint;
        is_excluded(member, wish)
            || endpoint.is_paused(wish.now_ms)
            || endpoint.active() >= self.set.connections()
            || (member.breaker.as_ref()).is_some_and(|breaker| breaker.is_refusing(wish.now_ms))
    }

    /// Takes a member for a request, if it will do. `patient`: there is no other, so pauses do not count.
    #[inline]
    fn take(&self, index: u32, wish: &Wish<'_>, patient: bool) -> Taken {
        let member = self.set.member(index);
        let endpoint = &member.endpoint;
        if is_excluded(member, wish) {
            return Taken::No(Unpicked::Tried);
        }
        if endpoint.active() >= self.set.connections() {
            return Taken::No(Unpicked::Full);
        }
        if !endpoint.admit(wish.now_ms) && !patient {
            return Taken::No(Unpicked::Tried);
        }
        match &member.breaker {
            None => Taken::Yes(None),
            Some(breaker) => match breaker.admit(wish.now_ms) {
                Ok(token) => Taken::Yes(Some(token)),
                Err(refused) => Taken::No(Unpicked::BreakerOpen {
                    retry_after_ms: refused.retry_after_ms,
                }),
            },
        }
    }

    /// Most endpoints are out for this request: look at each, from `start` on, then at those in reserve, and in the end
    /// also at those that should rather be left alone.
    #[cold]
    fn search(&self, wish: &Wish<'_>, start: u32) -> Result<(u32, Option<Token>), Unpicked> {
        let n = self.set.candidates().len() as u32;
        let all = n + self.set.reserve().len() as u32;
        let order = || (start..n).chain(0..start).chain(n..all);
        let mut why = Unpicked::NoEndpoint;
        for patient in [false, true] {
            for index in order() {
                match self.take(index, wish, patient) {
                    Taken::Yes(token) => return Ok((index, token)),
                    Taken::No(reason) => why = worse(why, reason),
                }
            }
        }
        Err(why)
    }

    /// Whether a bounded hash may give this member more.
    #[inline]
    fn has_room(&self, index: u32) -> bool {
        let Some(factor) = self.set.bounded() else {
            return true;
        };
        let member = self.set.member(index);
        has_room(
            member.endpoint.active(),
            member.weight,
            self.service.in_flight(),
            self.set.total_weight(),
            factor,
        )
    }
}

#[inline]
fn is_excluded(member: &Member, wish: &Wish<'_>) -> bool {
    !wish.exclude.is_empty() && wish.exclude.contains(&member.endpoint.id())
}

/// Of two reasons the one that tells more: limits and breakers pass, and waiting helps.
fn worse(a: Unpicked, b: Unpicked) -> Unpicked {
    match (a, b) {
        (
            Unpicked::BreakerOpen { retry_after_ms: a },
            Unpicked::BreakerOpen { retry_after_ms: b },
        ) => Unpicked::BreakerOpen {
            retry_after_ms: a.min(b),
        },
        (Unpicked::Full, _) | (_, Unpicked::Full) => Unpicked::Full,
        (open @ Unpicked::BreakerOpen { .. }, _) | (_, open @ Unpicked::BreakerOpen { .. }) => open,
        _ => Unpicked::Tried,
    }
}

impl fmt::Debug for Picker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker")
            .field("service", &self.view.service.name())
            .field("version", &self.version)
            .finish()
    }
}
