//! What is known about an exchange while it runs.

use std::{net::IpAddr, sync::Arc};

use weir_auth::{Identity, Place};
use weir_limit::Held;
use weir_net::Micros;
use weir_service::{Endpoint, Priority};
use weir_telemetry::{Reason, TraceParent};

use super::answer::Answer;
use crate::{
    codec::{RequestHead, ResponseHead},
    guard::Said,
    proxy::NEVER,
    route::{Captures, Values},
    wire::Replay,
};

/// What is wrong with a path that an endpoint may read as that of another route.
pub(crate) const AMBIGUOUS_PATH: &str =
    "Some servers read this path as that of another route, which has stricter policies.";

/// When each phase of an exchange was over; zero while it is not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// The first bytes of a head that did not come whole; zero if it did.
    pub(crate) first_bytes: Micros,
    /// The head of the request was complete.
    pub(crate) start: Micros,
    /// It may go to a service: the same, but for requests about which something had to be asked before.
    pub(crate) ready: Micros,
    /// How long it waited in line in front of its service.
    pub(crate) queued: Micros,
    /// How long connecting took; zero on a reused connection.
    pub(crate) connect: Micros,
    /// The request was handed to the endpoint's connection.
    pub(crate) sent: Micros,
    /// The head of the answer was complete.
    pub(crate) first_byte: Micros,
}

/// One request and its answer. Lives in a per-worker pool between exchanges, so
/// that its vectors stay warm; an idle connection holds none.
pub(crate) struct Exchange {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    /// The path that the route was chosen by, when it differs from the one sent.
    pub(crate) path: Vec<u8>,
    /// Whether [`path`](Self::path) is in use.
    pub(crate) path_changed: bool,
    /// Parameters of the path.
    pub(crate) captures: Captures,
    /// Scratch for a target that a template rendered.
    pub(crate) target: Vec<u8>,
    /// Index of the route in the plan.
    pub(crate) route: Option<u32>,
    /// Index of the service in the plan.
    pub(crate) service: Option<u32>,
    /// The service was chosen by chance, so the client's cookie, if it has one, names another.
    pub(crate) lane_drawn: bool,
    /// The key of the endpoint that the client's cookie names.
    pub(crate) preferred: Option<u64>,
    /// A copy goes to another service, and has not gone yet.
    pub(crate) mirrored: bool,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) request_id: [u8; 128],
    pub(crate) request_id_len: u8,
    pub(crate) trace: Option<TraceParent>,
    /// The client sent none that is valid; Weir began it.
    pub(crate) trace_made: bool,
    pub(crate) times: Times,
    /// The status that the client got; zero if none.
    pub(crate) status: u16,
    /// Why Weir answered itself, or why the exchange broke.
    pub(crate) reason: Option<Reason>,
    /// The rule that was broken, as a word for the log.
    pub(crate) rule: &'static str,
    /// The same as a sentence for the client.
    pub(crate) detail: &'static str,
    /// The policy that refused, or would have in a dry run.
    pub(crate) policy: Option<Arc<str>>,
    /// Who is asking, if that is known.
    pub(crate) identity: Option<Arc<Identity>>,
    /// Where its credential stood.
    pub(crate) place: Option<Place>,
    /// The client came by https, as far as is known.
    pub(crate) https: bool,
    /// Places under limits on requests at the same time.
    pub(crate) held: Vec<Held>,
    /// What rate limits said of it.
    pub(crate) said: Vec<Said>,
    /// Field lines that the endpoint gets beside those of the client.
    pub(crate) request_lines: Vec<u8>,
    /// Field lines that policies add to the answer, whoever gives it.
    pub(crate) answer_lines: Vec<u8>,
    /// The client's address as far as trusted proxies tell it; `None` until somebody asked.
    pub(crate) client_ip: Option<IpAddr>,
    /// Body bytes from the client and to it.
    pub(crate) body_in: u64,
    pub(crate) body_out: u64,
    /// Bytes received from the endpoint and sent to it, by the attempt that is being counted.
    pub(crate) endpoint_bytes: (u64, u64),
    /// Times that an endpoint was tried.
    pub(crate) attempts: u8,
    /// A second endpoint was asked beside another.
    pub(crate) hedged: bool,
    /// The endpoint's connection had served before.
    pub(crate) reused: bool,
    /// When it must be over; [`NEVER`](crate::proxy::NEVER) if nobody says.
    pub(crate) deadline: Micros,
    /// The deadline is the route's own, not one that the client asked for.
    pub(crate) own_deadline: bool,
    /// Who comes first when the service has more requests than it may.
    pub(crate) priority: Priority,
    /// What was kept of the request's body.
    pub(crate) replay: Option<Replay>,
    /// How large a body may be to be kept for a mirror; zero if there is none.
    pub(crate) mirror_up_to: usize,
    /// Seconds until another try may succeed, for an answer of 503.
    pub(crate) retry_after: u32,
}

impl Exchange {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            request: RequestHead::new(),
            response: ResponseHead::new(),
            path: Vec::new(),
            path_changed: false,
            captures: Captures::default(),
            target: Vec::new(),
            route: None,
            service: None,
            lane_drawn: false,
            preferred: None,
            mirrored: false,
            endpoint: None,
            request_id: [0; 128],
            request_id_len: 0,
            trace: None,
            trace_made: false,
            times: Times::default(),
            status: 0,
            reason: None,
            rule: "",
            policy: None,
            identity: None,
            place: None,
            https: false,
            held: Vec::new(),
            said: Vec::new(),
            request_lines: Vec::new(),
            answer_lines: Vec::new(),
            client_ip: None,
            detail: "",
            body_in: 0,
            body_out: 0,
            endpoint_bytes: (0, 0),
            attempts: 0,
            hedged: false,
            reused: false,
            deadline: NEVER,
            own_deadline: true,
            priority: Priority::Normal,
            replay: None,
            mirror_up_to: 0,
            retry_after: 0,
        })
    }

    /// Forgets the last exchange, keeps the memory.
    pub(crate) fn reset(&mut self) {
        self.request.clear();
        self.response.clear();
        self.path_changed = false;
        self.route = None;
        self.service = None;
        self.lane_drawn = false;
        self.preferred = None;
        self.mirrored = false;
        self.endpoint = None;
        self.request_id_len = 0;
        self.trace = None;
        self.trace_made = false;
        self.times = Times::default();
        self.status = 0;
        self.reason = None;
        self.rule = "";
        self.policy = None;
        self.identity = None;
        self.place = None;
        self.https = false;
        self.held.clear();
        self.said.clear();
        self.request_lines.clear();
        self.answer_lines.clear();
        self.client_ip = None;
        self.detail = "";
        self.body_in = 0;
        self.body_out = 0;
        self.endpoint_bytes = (0, 0);
        self.attempts = 0;
        self.hedged = false;
        self.reused = false;
        self.deadline = NEVER;
        self.own_deadline = true;
        self.priority = Priority::Normal;
        self.replay = None;
        self.mirror_up_to = 0;
        self.retry_after = 0;
    }

    /// The normalised path.
    #[inline]
    pub(crate) fn path(&self) -> &[u8] {
        if self.path_changed {
            &self.path
        } else {
            self.request.path()
        }
    }

    /// The request's id, empty if it has none.
    #[inline]
    pub(crate) fn request_id(&self) -> &[u8] {
        &self.request_id[..usize::from(self.request_id_len)]
    }

    /// The path is one that other servers would read differently.
    pub(crate) fn bad_path(&mut self) -> Answer {
        self.rule = "bad_path";
        self.detail = "The path is not one that every server reads alike.";
        Answer::new(400, Reason::BadRequest)
    }

    /// The answer to a path that an endpoint may read as that of another route.
    pub(crate) fn ambiguous_path(&mut self) -> Answer {
        self.rule = "ambiguous_path";
        self.detail = AMBIGUOUS_PATH;
        Answer::new(400, Reason::BadRequest)
    }

    /// What a template is rendered from.
    pub(crate) fn values(&self) -> Values<'_> {
        Values {
            host: self.request.host(),
            path: self.path(),
            query: self.request.query(),
            captures: &self.captures,
        }
    }

    pub(crate) fn set_request_id(&mut self, id: &[u8]) {
        let n = id.len().min(self.request_id.len());
        self.request_id[..n].copy_from_slice(&id[..n]);
        self.request_id_len = n as u8;
    }
}
