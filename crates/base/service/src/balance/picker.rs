//! A worker's view of one service: picks endpoints without locks.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::least::{Load, least_loaded};
use super::smooth::SmoothRoundRobin;
use crate::endpoint::{Endpoint, EndpointId};
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
    service: Arc<Service>,
    version: u64,
    view: Rc<View>,
    rng: Rng,
    rotation: SmoothRoundRobin,
}

/// The worker's one reference to a published set. Picks count references to this, which no other worker touches.
struct View(Arc<EndpointSet>);

impl Picker {
    /// A picker for `service`. Give every worker another seed: it decides where its rotation starts.
    pub fn new(service: Arc<Service>, seed: u64) -> Self {
        let (version, set) = service.load();
        let mut picker = Self {
            service,
            version,
            view: Rc::new(View(set)),
            rng: Rng::new(seed),
            rotation: SmoothRoundRobin::default(),
        };
        picker.restart();
        picker
    }

    /// The service that it picks from.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The endpoint set that the next pick chooses from.
    pub fn endpoints(&mut self) -> &Arc<EndpointSet> {
        self.refresh();
        &self.view.0
    }

    /// Chooses an endpoint for a request and counts the request in until the returned guard is dropped.
    ///
    /// `exclude` names endpoints that this request already tried. An endpoint that lately refused connections is
    /// chosen only if no other is left. `None` means that there is no endpoint (answer 503), or none
    /// that was not tried.
    #[inline]
    pub fn pick(&mut self, now_ms: u64, exclude: &[EndpointId]) -> Option<Picked> {
        self.refresh();
        let index = self.choose(now_ms, exclude)?;
        let picked = Picked {
            view: Rc::clone(&self.view),
            index,
        };
        picked.endpoint().start(now_ms);
        Some(picked)
    }

    #[inline]
    fn choose(&mut self, now_ms: u64, exclude: &[EndpointId]) -> Option<u32> {
        let candidates = self.view.0.candidates();
        let n = candidates.len() as u32;
        if n == 0 {
            return None;
        }
        let excluded = |m: &Member| !exclude.is_empty() && exclude.contains(&m.endpoint.id());
        let skip = |m: &Member| excluded(m) || m.endpoint.is_paused(now_ms);
        if n == 1 {
            // Never withhold the only one.
            return (!excluded(&candidates[0])).then(|| {
                candidates[0].endpoint.admit(now_ms);
                0
            });
        }
        for _ in 0..TRIES {
            let index = match self.service.balance() {
                Balance::RoundRobin => self.rotation.next(),
                Balance::Random => self.view.0.draws().draw(&mut self.rng),
                Balance::P2c => {
                    let (a, b) = self.view.0.draws().draw_two(&mut self.rng);
                    let (first, second) = (&candidates[a as usize], &candidates[b as usize]);
                    let (load_a, load_b) = (Load::of(first), Load::of(second));
                    match (skip(first), skip(second)) {
                        (true, _) => b,
                        (_, true) => a,
                        _ if load_b.is_less(second, load_a, first, now_ms) => b,
                        _ => a,
                    }
                }
                Balance::LeastConnections => {
                    match least_loaded(candidates, &mut self.rng, now_ms, skip) {
                        Some(index) => index as u32,
                        None => continue,
                    }
                }
            };
            let member = &candidates[index as usize];
            if !skip(member) && member.endpoint.admit(now_ms) {
                return Some(index);
            }
        }
        // Most endpoints are out for this request: look at each, from a random one on.
        let start = self.rng.below(n);
        let order = (start..n).chain(0..start);
        order
            .clone()
            .find(|i| {
                !skip(&candidates[*i as usize]) && candidates[*i as usize].endpoint.admit(now_ms)
            })
            .or_else(|| order.clone().find(|i| !excluded(&candidates[*i as usize])))
    }

    #[inline]
    fn refresh(&mut self) {
        if self.service.version() != self.version {
            self.reload();
        }
    }

    #[cold]
    fn reload(&mut self) {
        let (version, set) = self.service.load();
        self.version = version;
        self.view = Rc::new(View(set));
        self.restart();
    }

    fn restart(&mut self) {
        if self.service.balance() == Balance::RoundRobin {
            let weights: Vec<u32> = self.view.0.candidates().iter().map(|m| m.weight).collect();
            self.rotation = SmoothRoundRobin::new_at_random(&weights, &mut self.rng);
        }
    }
}

impl fmt::Debug for Picker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker")
            .field("service", &self.service.name())
            .field("version", &self.version)
            .finish()
    }
}

/// A chosen endpoint; the request counts as in flight there until this is dropped, however it ends.
///
/// It keeps the endpoint set that it was chosen from alive instead of counting references to the endpoint, which all
/// workers would have to write to.
pub struct Picked {
    view: Rc<View>,
    index: u32,
}

impl Picked {
    /// The endpoint.
    #[inline]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.view.0.candidates()[self.index as usize].endpoint
    }
}

impl Deref for Picked {
    type Target = Endpoint;

    #[inline]
    fn deref(&self) -> &Endpoint {
        self.endpoint()
    }
}

impl Drop for Picked {
    #[inline]
    fn drop(&mut self) {
        self.endpoint().finish();
    }
}

impl fmt::Debug for Picked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Picked")
            .field(&self.endpoint().label())
            .finish()
    }
}
