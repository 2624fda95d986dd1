//! The live files of the process, and what is compiled onto them.
//!
//! The registry itself keeps no file alive: a file lives as long as a plan uses it, and the next plan finds it here
//! before the old one has let go. So a reload of the config does not read a million prefixes again.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use weir_config::{Cx, Span};

use crate::{
    config::{FirewallConfig, FirewallPolicyConfig},
    database::Database,
    firewall::Firewall,
    geo::{Changes, Geo},
    live::{Content, FileEvent, FileStatus, Live},
    policy::FirewallPolicy,
    prefix_set::PrefixSet,
    rules::RequestRules,
    settling::Moment,
};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// All firewalls of the process. A copy is another handle.
#[derive(Clone)]
pub struct Firewalls(Arc<Inner>);

struct Inner {
    lists: Files<PrefixSet>,
    databases: Files<Database>,
    changes: Arc<Changes>,
    report: Box<dyn Fn(FileEvent<'_>) + Send + Sync>,
    watches: bool,
    watching: AtomicBool,
}

type Files<T> = Mutex<HashMap<PathBuf, Weak<Live<T>>>>;

impl fmt::Debug for Firewalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firewalls")
            .field("files", &self.files())
            .finish_non_exhaustive()
    }
}

impl Firewalls {
    /// Firewalls whose files are watched, by a thread that starts with the first file. It calls `report` when one has
    /// changed.
    #[must_use]
    pub fn new(report: impl Fn(FileEvent<'_>) + Send + Sync + 'static) -> Self {
        Self::build(Box::new(report), true)
    }

    /// Firewalls for a look at a config: files are read once.
    #[must_use]
    pub fn unwatched() -> Self {
        Self::build(Box::new(|_| {}), false)
    }

    fn build(report: Box<dyn Fn(FileEvent<'_>) + Send + Sync>, watches: bool) -> Self {
        Self(Arc::new(Inner {
            lists: Mutex::default(),
            databases: Mutex::default(),
            changes: Arc::default(),
            report,
            watches,
            watching: AtomicBool::new(false),
        }))
    }

    /// The databases of a config. What cannot be read is reported to `cx`. Reads files: not for a worker.
    #[must_use]
    pub fn geo(&self, config: &FirewallConfig, cx: &mut Cx) -> Geo {
        let mut incomplete = false;
        let mut databases = Vec::new();
        for file in config.geo.iter() {
            let opened = self.open(&self.0.databases, file.span, file.written(), cx);
            incomplete |= opened.is_none();
            databases.extend(opened);
        }
        Geo::new(databases, incomplete, &self.0.changes)
    }

    /// The firewall in front of all listeners. Reads files.
    #[must_use]
    pub fn global(&self, config: &FirewallConfig, geo: &Geo, cx: &mut Cx) -> Firewall {
        Firewall::compile(&config.deny, &config.allow, config.dry_run, self, geo, cx)
    }

    /// The firewall of a listener, a route or a named policy. Reads files.
    #[must_use]
    pub fn policy(&self, config: &FirewallPolicyConfig, geo: &Geo, cx: &mut Cx) -> FirewallPolicy {
        FirewallPolicy {
            firewall: Firewall::compile(&config.deny, &config.allow, config.dry_run, self, geo, cx),
            rules: RequestRules::compile(&config.rules, config.dry_run, self, geo, cx),
        }
    }

    /// The live files that are in use.
    #[must_use]
    pub fn files(&self) -> Vec<FileStatus> {
        let mut files: Vec<FileStatus> = Vec::new();
        files.extend(used(&self.0.lists).iter().map(|file| file.status()));
        files.extend(used(&self.0.databases).iter().map(|file| file.status()));
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// The list that is meant by a path at this place of the config.
    pub(crate) fn list(
        &self,
        span: Span,
        written: &str,
        cx: &mut Cx,
    ) -> Option<Arc<Live<PrefixSet>>> {
        self.open(&self.0.lists, span, written, cx)
    }

    fn open<T: Content>(
        &self,
        files: &Files<T>,
        span: Span,
        written: &str,
        cx: &mut Cx,
    ) -> Option<Arc<Live<T>>> {
        let path = cx.sources().resolve(span, Path::new(written));
        let mut known = files.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, file| file.strong_count() > 0);
        if let Some(file) = known.get(&path).and_then(Weak::upgrade) {
            return Some(file);
        }
        match Live::open(&path) {
            Ok(file) => {
                let file = Arc::new(file);
                known.insert(path, Arc::downgrade(&file));
                drop(known);
                self.watch(cx);
                Some(file)
            }
            Err(error) => {
                cx.error(span, format!("`{written}`: {error}"));
                None
            }
        }
    }

    fn watch(&self, cx: &mut Cx) {
        if !self.0.watches || self.0.watching.swap(true, Ordering::Relaxed) {
            return;
        }
        let inner = Arc::downgrade(&self.0);
        let started = thread::Builder::new()
            .name("weir-firewall".to_owned())
            .spawn(move || {
                loop {
                    thread::sleep(LOOK);
                    let Some(inner) = inner.upgrade() else { return };
                    inner.look();
                }
            });
        if let Err(error) = started {
            self.0.watching.store(false, Ordering::Relaxed);
            cx.error(
                Span::NONE,
                format!("no thread to watch files with: {error}"),
            );
        }
    }
}

impl Inner {
    /// Looks at every file once.
    fn look(&self) {
        let time = Moment::now();
        for file in used(&self.lists) {
            file.look(time, &self.report);
        }
        for file in used(&self.databases) {
            file.look(time, &|event| {
                if matches!(event, FileEvent::Loaded { .. }) {
                    self.changes.count();
                }
                (self.report)(event);
            });
        }
    }
}

fn used<T>(files: &Files<T>) -> Vec<Arc<Live<T>>> {
    let files = files.lock().unwrap_or_else(PoisonError::into_inner);
    files.values().filter_map(Weak::upgrade).collect()
}
