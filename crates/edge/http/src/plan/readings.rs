//! Routes that an endpoint may take a request for.

use super::{Plan, RoutePlan};
use crate::{
    guard::Guard,
    route::{self, Captures, HeaderSource, Lookup, Outcome},
};

impl Plan {
    /// The route that asks more of a request than the one that takes it, if there is an endpoint that may read its path as that of this
    /// other route. Such a request would get past the policies of that one.
    pub(crate) fn stricter_reading<H: HeaderSource + ?Sized>(
        &self,
        lookup: &Lookup<'_>,
        headers: &H,
        taken: &RoutePlan,
    ) -> Option<&RoutePlan> {
        let readings = route::readings(lookup.path);
        if readings.is_empty() {
            return None;
        }
        let mut captures = Captures::new();
        let mut others = readings.iter().filter_map(|path| {
            let lookup = Lookup { path, ..*lookup };
            match self.table.find(&lookup, headers, &mut captures) {
                Outcome::Route { index } => {
                    Some(&self.routes[self.rule_routes[index as usize] as usize])
                }
                _ => None,
            }
        });
        others.find(|other| {
            let stricter = |guard: &Guard| guard.is_stricter_than(taken.guard.as_deref());
            !std::ptr::eq(*other, taken) && other.guard.as_deref().is_some_and(stricter)
        })
    }
}
