//! Requests that wait: by priority, and in order of arrival within one.
//!
//! A slab of places, linked into one list for each priority. A place belongs to its ticket from arrival until the ticket
//! collects what became of it or is dropped, so a ticket's index always means its own place, and cancelling takes constant
//! time. Places that are linked are bounded by the caller; the others last as long as their tickets.

use std::task::Waker;

use super::Shed;
use super::spec::Priority;

/// No place.
const NONE: u32 = u32::MAX;

/// What became of a request that waits.
#[derive(Debug)]
pub(super) enum Fate {
    /// It waits. The waker is that of the last poll.
    Waiting(Option<Waker>),
    /// It is let in: the permit is counted and belongs to the ticket.
    Granted,
    Shed(Shed),
    /// The place is free; the next free one.
    Free(u32),
}

/// Where a request stands in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) priority: Priority,
    /// Its number in order of arrival.
    pub(super) number: u64,
    pub(super) since_us: u64,
}

#[derive(Debug)]
struct Place {
    fate: Fate,
    turn: Turn,
    previous: u32,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct List {
    first: u32,
    last: u32,
    len: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    places: Vec<Place>,
    free: u32,
    lists: [List; 3],
}

impl Queue {
    pub(super) fn new() -> Self {
        let empty = List {
            first: NONE,
            last: NONE,
            len: 0,
        };
        Self {
            places: Vec::new(),
            free: NONE,
            lists: [empty; 3],
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lists.iter().map(|l| l.len).sum()
    }

    /// How many of each priority wait.
    pub(super) fn lens(&self) -> [usize; 3] {
        self.lists.map(|l| l.len)
    }

    /// Adds a request, behind those of its priority with lower numbers.
    pub(super) fn insert(&mut self, turn: Turn) -> u32 {
        let list = self.lists[turn.priority.index()];
        // Who comes back after a while belongs close to the front, everyone else at the end.
        let mut next = NONE;
        if list.len > 0 && self.at(list.last).turn.number > turn.number {
            next = list.first;
            while self.at(next).turn.number < turn.number {
                next = self.at(next).next;
            }
        }
        let previous = match next {
            NONE => list.last,
            next => self.at(next).previous,
        };
        let place = Place {
            fate: Fate::Waiting(None),
            turn,
            previous,
            next,
        };
        let index = match self.free {
            NONE => {
                self.places.push(place);
                (self.places.len() - 1) as u32
            }
            index => {
                if let Fate::Free(free) = self.at(index).fate {
                    self.free = free;
                }
                self.places[index as usize] = place;
                index
            }
        };
        let list = &mut self.lists[turn.priority.index()];
        list.len += 1;
        match previous {
            NONE => list.first = index,
            previous => self.places[previous as usize].next = index,
        }
        match next {
            NONE => self.lists[turn.priority.index()].last = index,
            next => self.places[next as usize].previous = index,
        }
        index
    }

    /// Whose turn it is.
    pub(super) fn first(&self) -> Option<(u32, Turn)> {
        let list = self.lists.iter().find(|l| l.len > 0)?;
        Some((list.first, self.at(list.first).turn))
    }

    /// Who of `priority` has waited longest.
    pub(super) fn oldest(&self, priority: Priority) -> Option<(u32, Turn)> {
        let list = self.lists[priority.index()];
        (list.len > 0).then(|| (list.first, self.at(list.first).turn))
    }

    /// Who would be served last.
    pub(super) fn last(&self) -> Option<u32> {
        self.lists.iter().rfind(|l| l.len > 0).map(|l| l.last)
    }

    /// Decides about one who waits. Returns whom to wake.
    pub(super) fn decide(&mut self, index: u32, fate: Fate) -> Option<Waker> {
        self.unlink(index);
        match std::mem::replace(&mut self.places[index as usize].fate, fate) {
            Fate::Waiting(waker) => waker,
            _ => None,
        }
    }

    /// What became of the request in a place.
    pub(super) fn fate(&mut self, index: u32) -> &mut Fate {
        &mut self.places[index as usize].fate
    }

    pub(super) fn turn(&self, index: u32) -> Turn {
        self.at(index).turn
    }

    /// Gives a place back, out of whatever state it is in. Returns what it was.
    pub(super) fn remove(&mut self, index: u32) -> Fate {
        if matches!(self.at(index).fate, Fate::Waiting(_)) {
            self.unlink(index);
        }
        let free = std::mem::replace(&mut self.free, index);
        std::mem::replace(&mut self.places[index as usize].fate, Fate::Free(free))
    }

    /// Are all places free, and in the list of free ones?
    #[cfg(test)]
    pub(super) fn is_unused(&self) -> bool {
        let next = |index: &u32| match self.at(*index).fate {
            Fate::Free(next) if next != NONE => Some(next),
            _ => None,
        };
        let first = (self.free != NONE).then_some(self.free);
        std::iter::successors(first, next).count() == self.places.len()
    }

    fn at(&self, index: u32) -> &Place {
        &self.places[index as usize]
    }

    fn unlink(&mut self, index: u32) {
        let Place {
            previous,
            next,
            turn,
            ..
        } = *self.at(index);
        let list = &mut self.lists[turn.priority.index()];
        list.len -= 1;
        match previous {
            NONE => list.first = next,
            previous => self.places[previous as usize].next = next,
        }
        match next {
            NONE => self.lists[turn.priority.index()].last = previous,
            next => self.places[next as usize].previous = previous,
        }
    }
}
