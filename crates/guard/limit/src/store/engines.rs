//! Stores by name, across reloads.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::config::EngineConfig;
use super::handle::Store;

/// The stores of a process. A reload that does not change one keeps its connections and its breakers.
#[derive(Debug, Default)]
pub struct Engines {
    stores: Mutex<BTreeMap<Box<str>, (EngineConfig, Store)>>,
}

impl Engines {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of this name: the one that there is, if its config is still the same, or else a new one. Those who hold
    /// the old one may go on with it. An error if no thread can be started.
    pub fn prepare(&self, name: &str, config: &EngineConfig) -> io::Result<Store> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, store)) = stores.get(name)
            && known == config
        {
            return Ok(store.clone());
        }
        let store = Store::start(name, config)?;
        if stores.contains_key(name) {
            store.replaces_another();
        }
        stores.insert(name.into(), (config.clone(), store.clone()));
        Ok(store)
    }

    /// Forgets those that are not wanted any more.
    pub fn retain(&self, mut wanted: impl FnMut(&str) -> bool) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|name, _| wanted(name));
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<(Box<str>, Store)> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores
            .iter()
            .map(|(name, (_, store))| (name.clone(), store.clone()))
            .collect()
    }
}
