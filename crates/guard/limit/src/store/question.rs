//! One script call on its way: to the right server, by the script's name, until its deadline.

use std::sync::Arc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::oneshot;

use super::call::{Call, Told};
use super::connection::{send, told};
use super::error::{StoreError, tidy};
use super::hub::Hub;
use super::server::{Address, NOT_SAID, Place, Server};

/// How often a question is sent at most: by name, whole, to another server, there whole, and once more after the store's
/// clock was set.
const ATTEMPTS: u32 = 5;

/// A check that somebody waits for, or something to take back, for which nobody does.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) call: Call,
    /// When nobody waits any more, or it is not worth the while.
    pub(crate) deadline: Instant,
    /// How many servers may still send it elsewhere.
    pub(crate) hops: u8,
    /// Whether it goes to a server that does not own the slot yet (`ASKING`).
    pub(crate) asking: bool,
    /// Who waits for the answer.
    pub(crate) waiting: Option<oneshot::Sender<Result<Told, StoreError>>>,
    /// Free again when all is over.
    pub(crate) _place: Place,
}

impl Question {
    /// Tells whom it may concern; perhaps nobody any more.
    pub(crate) fn answer(self, answer: Result<Told, StoreError>) {
        if let Some(waiting) = self.waiting {
            let _ = waiting.send(answer);
        }
    }

    fn is_over(&self) -> bool {
        let waiting = self.waiting.as_ref();
        waiting.is_some_and(oneshot::Sender::is_closed) || Instant::now() >= self.deadline
    }
}

/// Asks a question and passes the answer on.
pub(crate) async fn ask(
    mut line: MultiplexedConnection,
    question: Question,
    server: Arc<Server>,
    hub: Arc<Hub>,
) {
    let mut whole = false;
    for _ in 0..ATTEMPTS {
        if question.is_over() {
            return question.answer(Err(StoreError::Late));
        }
        let until = server.clock.at(question.deadline);
        let command = question.call.command(until, whole);
        let sent = Instant::now();
        let asked = if question.asking {
            let mut both = redis::pipe();
            both.cmd("ASKING").add_command(command);
            let answers = line.send_packed_commands(&both, 1, 1).await;
            answers
                .and_then(|mut answers| answers.pop().unwrap_or(redis::Value::Nil).extract_error())
        } else {
            send(&mut line, &command).await
        };
        let why = match asked {
            Ok(_) if question.waiting.is_none() => return,
            Ok(answer) => match question.call.read(&answer) {
                Some(told) => {
                    server.learn(sent, told.at);
                    if told.said.is_some() {
                        return question.answer(Ok(told));
                    }
                    // Too late by the store's clock. If it was only set, there is still time.
                    continue;
                }
                None => {
                    let why = "an answer that is none of the script's".to_owned();
                    return question.answer(Err(StoreError::Refused(why)));
                }
            },
            Err(why) => why,
        };
        match why.kind() {
            // Nothing ran. Sent whole, the script is known from now on.
            ErrorKind::Server(ServerErrorKind::NoScript) if !whole => whole = true,
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => {
                return go_elsewhere(question, &why, &server, &hub);
            }
            // The slot is on its way elsewhere, and one of the keys is there already: each must be asked for alone.
            ErrorKind::Server(ServerErrorKind::TryAgain) if question.call.len() > 1 => {
                return question.answer(Err(StoreError::Moved));
            }
            ErrorKind::Server(_) | ErrorKind::Extension => {
                if matches!(
                    why.kind(),
                    ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::ClusterDown)
                ) {
                    hub.look_again.notify_one();
                }
                return question.answer(Err(StoreError::Refused(tidy(&told(&why)))));
            }
            // It may have run or not, so it is not asked again.
            _ => return question.answer(Err(StoreError::Lost)),
        }
    }
    question.answer(Err(StoreError::Late));
}

/// Follows a redirection (Redis Cluster specification, "Redirection and resharding").
fn go_elsewhere(mut question: Question, why: &RedisError, from: &Server, hub: &Hub) {
    if !hub.cluster {
        return question.answer(Err(StoreError::Refused(NOT_SAID.to_owned())));
    }
    question.asking = why.kind() == ErrorKind::Server(ServerErrorKind::Ask);
    if !question.asking {
        // Not only this slot may have moved.
        hub.look_again.notify_one();
    }
    let owner = why
        .redirect_node()
        .and_then(|(address, _)| Address::redirected(address, from))
        .and_then(|address| hub.server_at(&address));
    match owner {
        Some(owner) if question.hops > 0 => {
            question.hops -= 1;
            owner.pass(question);
        }
        _ => question.answer(Err(StoreError::Moved)),
    }
}
