//! Routes that an endpoint may take a request for.

use super::{Action, Plan, RoutePlan};
use crate::{
    guard::Guard,
    route::{self, Captures, HeaderSource, Lookup, Outcome},
};

impl Plan {
    /// Whether an endpoint may read the path of a request as one that would not have come to it: one that is refused, or of a route that asks
    /// more of requests than the one that takes this. Such a request would get past the policies of that route. `lookup.path` is
    /// the path as it goes to the endpoint.
    ///
    /// Paths that no route takes are not compared: a name with a slash in it is what `{id}` is there for.
    pub(crate) fn is_ambiguous<H: HeaderSource + ?Sized>(
        &self,
        lookup: &Lookup<'_>,
        headers: &H,
        taken: &RoutePlan,
    ) -> bool {
        // Who else answers reads paths as routes do.
        if !matches!(taken.action, Action::Service { .. } | Action::Split { .. }) {
            return false;
        }
        let mut captures = Captures::new();
        route::readings(lookup.path).iter().any(|path| {
            let lookup = Lookup { path, ..*lookup };
            match self.table.find(&lookup, headers, &mut captures) {
                Outcome::Route { index } => {
                    let other = &self.routes[self.rule_routes[index as usize] as usize];
                    !std::ptr::eq(other, taken) && other.is_stricter_than(taken)
                }
                Outcome::MethodNotAllowed { .. } => true,
                Outcome::NotFound => false,
            }
        })
    }
}

impl RoutePlan {
    /// Whether it would refuse what the other lets through.
    fn is_stricter_than(&self, other: &Self) -> bool {
        let stricter = |guard: &Guard| guard.is_stricter_than(other.guard.as_deref());
        matches!(self.action, Action::Redirect { .. } | Action::Respond(_))
            || self.guard.as_deref().is_some_and(stricter)
    }
}
