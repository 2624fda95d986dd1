//! The total order of rules: the one place that says what "more specific" means. See the docs of `route`.

use std::cmp::Ordering;

use super::condition::Condition;
use super::method::Fit;
use super::rule::Compiled;

/// The most specific first, as far as that does not depend on the request. Equal rules differ in the content of
/// their method and listener lists at most.
pub(super) fn compare(a: &Compiled, b: &Compiled) -> Ordering {
    let fit = |rule: &Compiled| {
        if rule.methods.is_empty() {
            Fit::Any
        } else {
            Fit::Listed
        }
    };
    compare_for(a, fit(a), b, fit(b))
}

/// The most specific first, for a request that the rules take as well as these fits say.
pub(super) fn compare_for(a: &Compiled, a_fit: Fit, b: &Compiled, b_fit: Fit) -> Ordering {
    same_leaf(a, b)
        .then_with(|| a_fit.cmp(&b_fit))
        .then_with(|| b.headers.len().cmp(&a.headers.len()))
        .then_with(|| b.query.len().cmp(&a.query.len()))
        .then_with(|| count(b, Condition::is_exact).cmp(&count(a, Condition::is_exact)))
        .then_with(|| count(b, Condition::is_regex).cmp(&count(a, Condition::is_regex)))
        .then_with(|| compare_text(&a.headers, &b.headers))
        .then_with(|| compare_text(&a.query, &b.query))
        .then_with(|| a.listeners.is_every().cmp(&b.listeners.is_every()))
}

/// Host and path only: rules that are equal here are candidates of the same requests.
pub(super) fn same_leaf(a: &Compiled, b: &Compiled) -> Ordering {
    a.host
        .compare(&b.host)
        .then_with(|| a.path.compare(&b.path))
}

fn count(rule: &Compiled, kind: fn(&Condition) -> bool) -> usize {
    rule.headers
        .iter()
        .chain(&rule.query)
        .filter(|condition| kind(condition))
        .count()
}

/// The lists are sorted and of equal length.
fn compare_text(a: &[Condition], b: &[Condition]) -> Ordering {
    let mut pairs = a.iter().zip(b);
    let difference = pairs.find_map(|(a, b)| Some(a.compare(b)).filter(|order| order.is_ne()));
    difference.unwrap_or(Ordering::Equal)
}
