//! What becomes of connections that are not served, and what is kept of it until somebody asks.
//!
//! Whoever floods a listener with connections that are refused must not make them cost more than connections that are
//! served, so nothing is written, nobody is woken and no lock is taken for one of them: its worker adds one to a number
//! and notes the address. Once a second a worker that has noted something hands it over, in one piece; the control side
//! takes it from there when it likes. What can be kept is bounded by the listeners times the kinds of incidents.

use std::{
    cell::RefCell,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// [`ConnectionLimits::total`](crate::ConnectionLimits::total) was reached.
    Total,
    /// [`ConnectionLimits::per_address`](crate::ConnectionLimits::per_address) was reached.
    PerAddress,
    /// [`ConnectionLimits::rate`](crate::ConnectionLimits::rate) was exceeded.
    Rate,
    /// The protocol does not [admit](crate::Protocol::admit) the client.
    Denied,
    /// The peer is none of the proxies that connect to this listener.
    NotAProxy,
    /// It began with an HTTP request, where a PROXY header has to come first.
    PlainHttp,
    /// It began with something else than a PROXY header.
    NoProxyHeader,
    /// Its PROXY header was malformed, too long or cut off.
    BadProxyHeader,
    /// Its PROXY header did not come in time.
    LateProxyHeader,
}

/// Something that happened to a connection before it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Incident {
    /// It was turned away.
    Refused(Refusal),
    /// It was let in, though a rule that is only tried out would have turned it away.
    WouldRefuse,
    /// It waits outside: the system gives this process no more sockets.
    NotAccepted,
}

/// Equal incidents at one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incidents {
    /// The [key](crate::Listening::key) of the listener.
    pub listener: Arc<str>,
    /// What happened.
    pub incident: Incident,
    /// How often.
    pub count: u64,
    /// To whom one of the last times, if that is known: the last of the worker that told last.
    pub last: Option<IpAddr>,
}

/// What one worker has noted.
#[derive(Debug, Default)]
pub(crate) struct Notes(RefCell<Vec<Incidents>>);

/// What all workers have handed over.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Vec<Incidents>>);

impl Notes {
    /// Notes one incident. Once there was one of its kind, the next allocate nothing.
    pub(crate) fn note(&self, listener: &Arc<str>, incident: Incident, client: Option<IpAddr>) {
        let mut notes = self.0.borrow_mut();
        let mut known = notes.iter_mut();
        let same = |known: &&mut Incidents| {
            known.incident == incident && Arc::ptr_eq(&known.listener, listener)
        };
        if let Some(known) = known.find(same) {
            known.count += 1;
            known.last = client;
        } else {
            notes.push(Incidents {
                listener: Arc::clone(listener),
                incident,
                count: 1,
                last: client,
            });
        }
    }

    /// Hands over what was noted since the last time.
    pub(crate) fn hand_over(&self, board: &Board) {
        let mut notes = self.0.borrow_mut();
        if !notes.is_empty() {
            board.put(notes.drain(..));
        }
    }
}

impl Board {
    fn put(&self, incidents: impl Iterator<Item = Incidents>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for new in incidents {
            let known = all
                .iter_mut()
                .find(|known| known.incident == new.incident && known.listener == new.listener);
            match known {
                Some(known) => {
                    known.count += new.count;
                    known.last = new.last;
                }
                None => all.push(new),
            }
        }
    }

    /// What was handed over since the last call.
    pub(crate) fn take(&self) -> Vec<Incidents> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: Incident = Incident::Refused(Refusal::Denied);

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_flood_is_one_note_for_each_listener_and_kind() {
        let (web, api): (Arc<str>, Arc<str>) = ("web".into(), "api".into());
        let (board, workers) = (Board::default(), [Notes::default(), Notes::default()]);
        for worker in &workers {
            for _ in 0..1000 {
                worker.note(&web, DENIED, ip(1));
                worker.note(&api, DENIED, ip(2));
                worker.note(&web, Incident::Refused(Refusal::Rate), ip(3));
            }
            worker.note(&web, DENIED, ip(9));
            assert_eq!(worker.0.borrow().len(), 3);
        }
        for worker in &workers {
            worker.hand_over(&board);
            assert!(worker.0.borrow().is_empty());
        }
        let all = board.take();
        assert_eq!(all.len(), 3, "{all:?}");
        assert_eq!((all[0].count, all[0].last), (2002, ip(9)), "{all:?}");
        assert!(board.take().is_empty());
    }

    #[test]
    fn who_does_not_take_is_not_sent_more() {
        let (board, notes, web) = (Board::default(), Notes::default(), Arc::from("web"));
        for _ in 0..100 {
            notes.note(&web, Incident::NotAccepted, None);
            notes.hand_over(&board);
        }
        let all = board.take();
        assert_eq!((all.len(), all[0].count), (1, 100));
    }
}
