//! Keys by their hashes, a million of them in a few hundred bytes each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::entry::{KeyEntry, KeyHash};

/// What is known about a key.
#[derive(Debug)]
pub(crate) struct Record {
    hash: KeyHash,
    pub(super) id: Box<str>,
    pub(super) subject: Option<Box<str>>,
    pub(super) plan: Option<Arc<str>>,
    pub(super) scopes: Arc<[Box<str>]>,
    pub(super) expires: Option<u64>,
    pub(super) disabled: bool,
    pub(super) metadata: Option<Box<Map<String, Value>>>,
}

/// All keys of a method.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    records: Vec<Record>,
    /// By the beginnings of hashes, which are as good as random.
    index: HashMap<u64, u32, foldhash::fast::RandomState>,
}

/// Two keys that cannot both be meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Twins {
    /// Which entry.
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// What many keys have in common is stored once.
#[derive(Default)]
struct Shared {
    plans: HashSet<Arc<str>>,
    scopes: HashSet<Arc<[Box<str>]>>,
}

impl KeyTable {
    /// Keys with different ids and hashes.
    pub(crate) fn new<'a>(
        entries: impl ExactSizeIterator<Item = &'a KeyEntry>,
    ) -> Result<Self, Twins> {
        let mut table = Self {
            records: Vec::with_capacity(entries.len()),
            index: HashMap::with_capacity_and_hasher(entries.len(), Default::default()),
        };
        let mut ids = HashSet::with_capacity(entries.len());
        let mut shared = Shared::default();
        for (at, entry) in entries.enumerate() {
            if !ids.insert(entry.id.as_str()) {
                let what = "another key has the same id";
                return Err(Twins { at, what });
            }
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            // Two different hashes with the same beginning are as likely as one guessed key in a million million.
            if table.index.insert(entry.hash.begin(), number).is_some() {
                let what = "another key has the same hash";
                return Err(Twins { at, what });
            }
            table.records.push(shared.record(entry));
        }
        Ok(table)
    }

    /// The key with this hash.
    pub(super) fn find(&self, hash: &KeyHash) -> Option<&Record> {
        let at = *self.index.get(&hash.begin())?;
        let record = self.records.get(at as usize)?;
        (record.hash == *hash).then_some(record)
    }

    /// How many keys there are.
    pub(crate) const fn len(&self) -> usize {
        self.records.len()
    }
}

impl Shared {
    fn record(&mut self, entry: &KeyEntry) -> Record {
        let plan = entry
            .plan
            .as_ref()
            .map(|plan| match self.plans.get(plan.as_str()) {
                Some(plan) => Arc::clone(plan),
                None => {
                    let plan: Arc<str> = plan.as_str().into();
                    self.plans.insert(Arc::clone(&plan));
                    plan
                }
            });
        let scopes: Vec<Box<str>> = entry.scopes.iter().map(|s| s.as_str().into()).collect();
        let scopes = match self.scopes.get(scopes.as_slice()) {
            Some(scopes) => Arc::clone(scopes),
            None => {
                let scopes: Arc<[Box<str>]> = scopes.into();
                self.scopes.insert(Arc::clone(&scopes));
                scopes
            }
        };
        let metadata: Map<String, Value> = entry
            .metadata
            .iter()
            .map(|(name, value)| (name.value.as_str().to_owned(), Value::from(value.as_str())))
            .collect();
        Record {
            hash: entry.hash,
            id: entry.id.as_str().into(),
            subject: entry.subject.as_deref().map(Box::from),
            plan,
            scopes,
            expires: entry.expires.map(super::Timestamp::unix),
            disabled: entry.disabled,
            metadata: (!metadata.is_empty()).then(|| Box::new(metadata)),
        }
    }
}
