//! What policies change about the head of an answer.

use super::{Guard, facts, headers::HeadPlan};
use crate::{
    codec::{FieldId, Fields},
    exchange::Exchange,
    local::LocalPlan,
    plan::AddressText,
};

/// The changes for one answer.
pub(crate) struct AnswerEdit<'a> {
    plan: &'a LocalPlan,
    exchange: &'a Exchange,
    guard: Option<&'a Guard>,
}

impl<'a> AnswerEdit<'a> {
    /// What the policies of the route of an exchange change.
    pub(crate) fn of(plan: &'a LocalPlan, exchange: &'a Exchange) -> Self {
        Self {
            plan,
            exchange,
            guard: exchange
                .route
                .and_then(|route| plan.route(route).guard.as_deref()),
        }
    }

    /// Whether a field of the endpoint's is not passed on.
    #[inline]
    pub(crate) fn drops(&self, id: FieldId, name: &[u8]) -> bool {
        let Some(guard) = self.guard else {
            return false;
        };
        guard.answers_drop.has(name)
            || guard
                .head
                .as_ref()
                .is_some_and(|head| head.drops_of_answer(id, name))
    }

    /// Writes what is added to an endpoint's answer with these fields.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>, answer: &Fields) {
        out.extend_from_slice(&self.exchange.answer_lines);
        if let Some((head, address)) = self.head() {
            let facts = facts(self.plan, self.exchange, &address);
            head.write_answer(out, answer, &facts);
        }
    }

    fn head(&self) -> Option<(&'a HeadPlan, AddressText)> {
        let head = self.guard?.head.as_ref()?;
        // Known since the request was checked.
        let address = AddressText::new(self.exchange.client_ip?);
        Some((head, address))
    }
}

/// Changes an answer that Weir gives itself: its status line and fields begin at `start` in `out`, and those that delimit
/// it are not written yet.
pub(crate) fn amend_own_answer(
    out: &mut Vec<u8>,
    start: usize,
    plan: &LocalPlan,
    exchange: &Exchange,
) {
    let edit = AnswerEdit::of(plan, exchange);
    out.extend_from_slice(&exchange.answer_lines);
    if let Some((head, address)) = edit.head() {
        let facts = facts(plan, exchange, &address);
        head.amend(out, start, &facts);
    }
}
