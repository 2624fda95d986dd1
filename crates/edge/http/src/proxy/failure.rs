//! What can go wrong once an endpoint is involved, and what the client is told.

use weir_service::Outcome;
use weir_telemetry::Reason;

use crate::{
    codec::{ChunkError, HeadError},
    exchange::Answer,
    wire::BodyError,
};

/// Why an attempt ended without a complete answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client closed or reset its connection.
    ClientGone,
    /// The client takes the answer too slowly.
    ClientSlow,
    /// The framing of the client's body is broken.
    ClientBody(ChunkError),
    /// The client's body is larger than the route takes.
    TooLarge,
    /// A deadline passed.
    Timeout(Reason),
    /// The endpoint closed the connection before it had answered.
    Closed,
    /// The endpoint's connection broke before it had answered.
    Reset,
    /// The endpoint's head broke a rule.
    BadResponse(HeadError),
    /// The endpoint switched protocols although nobody asked, or sent interim answers without end.
    UnexpectedInterim,
    /// The framing of the endpoint's body is broken.
    UpstreamBody(ChunkError),
    /// The endpoint's body ended early.
    Truncated,
    /// The endpoint answered, and another try was made.
    Unwanted,
}

impl Failure {
    /// A request body that could not be read.
    pub(crate) fn of_request(error: BodyError) -> Self {
        match error {
            BodyError::Framing(error) => Self::ClientBody(error),
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Truncated | BodyError::Io => Self::ClientGone,
        }
    }

    /// An answer's body that could not be read.
    pub(crate) fn of_response(error: BodyError) -> Self {
        match error {
            BodyError::Framing(error) => Self::UpstreamBody(error),
            BodyError::TooLarge | BodyError::Truncated | BodyError::Io => Self::Truncated,
        }
    }

    /// A deadline that passed.
    pub(crate) const fn of_deadline(why: Reason) -> Self {
        match why {
            Reason::ClientGone => Self::ClientGone,
            Reason::SendTimeout => Self::ClientSlow,
            why => Self::Timeout(why),
        }
    }

    /// What the client is told, if its answer has not begun.
    pub(crate) const fn answer(&self) -> Answer {
        match self {
            Self::ClientGone => Answer::closing(400, Reason::ClientGone),
            Self::ClientSlow => Answer::closing(408, Reason::SendTimeout),
            Self::ClientBody(_) => Answer::closing(400, Reason::BodyBroken),
            Self::TooLarge => Answer::closing(413, Reason::BodyTooLarge),
            Self::Timeout(reason) => match reason {
                Reason::BodyTimeout => Answer::closing(408, Reason::BodyTimeout),
                Reason::Draining => Answer::closing(503, Reason::Draining),
                reason => Answer::new(504, *reason),
            },
            Self::Closed => Answer::new(502, Reason::UpstreamClosed),
            Self::Reset => Answer::new(502, Reason::UpstreamReset),
            Self::BadResponse(_) | Self::UnexpectedInterim | Self::UpstreamBody(_) => {
                Answer::closing(502, Reason::UpstreamBadResponse)
            }
            Self::Truncated => Answer::closing(502, Reason::UpstreamTruncated),
            Self::Unwanted => Answer::new(502, Reason::UpstreamBadResponse),
        }
    }

    /// What it says about the endpoint; nothing, if it is the client's doing.
    pub(crate) const fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::ClientGone
            | Self::ClientSlow
            | Self::ClientBody(_)
            | Self::TooLarge
            | Self::Timeout(Reason::BodyTimeout | Reason::Draining)
            | Self::Unwanted => None,
            Self::Timeout(_) => Some(Outcome::Timeout),
            Self::Closed | Self::Reset | Self::Truncated => Some(Outcome::Reset),
            Self::BadResponse(_) | Self::UnexpectedInterim | Self::UpstreamBody(_) => {
                Some(Outcome::Invalid)
            }
        }
    }

    /// The rule that was broken, for the log.
    pub(crate) const fn rule(&self) -> &'static str {
        match self {
            Self::ClientBody(error) | Self::UpstreamBody(error) => error.reason(),
            Self::BadResponse(error) => error.reason(),
            Self::UnexpectedInterim => "unexpected_interim",
            _ => "",
        }
    }

    /// Whether the connection to the endpoint was lost rather than misused.
    pub(crate) const fn is_lost_connection(&self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }

    pub(crate) const fn is_client_gone(&self) -> bool {
        matches!(self, Self::ClientGone)
    }
}
