//! Who may come in: addresses, countries, networks, and rules on requests.
//!
//! Two questions, asked at two moments. A [`Firewall`] knows addresses only, so a connection can be turned away before a
//! byte of it was read; [`RequestRules`] look at a request whose head is known. Both are compiled from the config once,
//! are immutable, and answer with a [`Verdict`] that says which entry decided, without allocating.
//!
//! What lists and databases hold changes more often than a config does, and may be a million prefixes. So their files
//! are *live*: [`Firewalls`], one for the process, owns each of them once, however many plans name it; a thread of its
//! own looks every second whether a file changed, reads it beside the old one and swaps. What cannot be read changes
//! nothing and is reported. A new plan takes over what the old one has loaded. What a database said about the client of
//! a connection is kept beside it ([`Memo`]), until a database changes.
//!
//! How entries count, at every place that has them:
//!
//! 1. whoever is in `deny` is denied, whatever else says;
//! 2. if there is an `allow`, everybody else is denied, too;
//! 3. an address whose country or network nobody knows is in no `country:` and in no `asn:`.
//!
//! With `dry_run`, the verdict says what would have been denied, and denies nothing.

mod config;
mod database;
mod entries;
mod expression;
mod firewall;
mod geo;
mod list;
mod live;
mod pattern;
mod policy;
mod prefix_set;
mod registry;
mod rules;
mod settling;
mod verdict;

pub use self::{
    config::{
        Entry, FirewallConfig, FirewallPolicyConfig, GeoFile, MatchConfig, QueryConfig, RuleAction,
        RuleConfig, Several,
    },
    firewall::Firewall,
    geo::{Country, Geo, Memo},
    list::{ListError, parse_list},
    live::{FileEvent, FileStatus},
    policy::FirewallPolicy,
    prefix_set::PrefixSet,
    registry::Firewalls,
    rules::{Request, RequestRules, Scratch},
    verdict::{Cause, Verdict},
};
