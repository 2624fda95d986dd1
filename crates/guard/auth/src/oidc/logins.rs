//! Logins beside the routes: their returns and their ends come to paths that no route need know.

use std::sync::Arc;

use super::answer;
use crate::ask::Asker;
use crate::asked::{Asked, Found};
use crate::check::{Answered, Check, Question};
use crate::method::{Kind, Method, Tried};
use crate::refusal::{Refusal, Why};

/// The logins of a config. Made by [`Auth::logins`](crate::Auth::logins).
#[derive(Debug)]
pub struct Logins {
    methods: Vec<Arc<Method>>,
    asker: Asker,
}

impl Logins {
    pub(crate) fn new(methods: Vec<Arc<Method>>, asker: Asker) -> Self {
        Self { methods, asker }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty()
    }

    /// Whether a request for this path (without its query) belongs to a login, whatever routes say.
    #[inline]
    pub fn owns(&self, path: &[u8]) -> bool {
        // Every request is asked about, and most configs have no login.
        !self.methods.is_empty() && self.is_anybodys(path)
    }

    fn is_anybodys(&self, path: &[u8]) -> bool {
        self.methods.iter().any(|method| match &method.kind {
            Kind::Oidc(oidc) => oidc.owns(path),
            _ => false,
        })
    }

    /// Answers such a request: never with [`Check::Pass`]. `now` is in seconds since 1970.
    pub fn check<R: Asked>(&self, request: &R, now: u64) -> Check {
        // Several may have the same paths: the end of a session is for whoever has one.
        let each = || self.methods.iter().enumerate();
        let has_session = |(_, method): &(usize, &Arc<Method>)| {
            matches!(method.find(request), Found::Credential(_))
        };
        let served = each()
            .filter(has_session)
            .chain(each())
            .find_map(|(at, method)| Some((at, method.serve(request, now)?)));
        match served {
            Some((at, tried)) => self.settle(at, tried),
            None => nobodys(),
        }
    }

    /// The answer when a [`Question`] was answered.
    pub fn resume(&self, answered: Answered) -> Check {
        self.settle(answered.method, answered.tried)
    }

    fn settle(&self, at: usize, tried: Tried) -> Check {
        let Some(method) = self.methods.get(at) else {
            return nobodys();
        };
        let refuse = |mut refusal: Box<Refusal>| {
            refusal.policy = Some(Arc::clone(&method.name));
            Check::Refuse(refusal)
        };
        let fault = match tried {
            Tried::Answer(refusal) => return refuse(refusal),
            Tried::Refused(fault) => fault,
            Tried::Accepted(_) => return nobodys(),
            Tried::Ask(asking) => {
                let deadline = asking.deadline;
                match self.asker.ask(asking, &method.share) {
                    Ok(answer) => {
                        return Check::Ask(Question {
                            answer,
                            deadline,
                            method: at,
                            worst: None,
                        });
                    }
                    Err(fault) => fault,
                }
            }
        };
        match answer(503, fault.why, Vec::new(), fault.detail) {
            Tried::Answer(refusal) => refuse(refusal),
            _ => nobodys(),
        }
    }
}

fn nobodys() -> Check {
    Check::Refuse(Box::new(Refusal {
        status: 400,
        why: Why::Malformed,
        fields: Vec::new(),
        detail: "this login was not begun here",
        policy: None,
        identity: None,
    }))
}
