//! Services from outside: balancing, names, health checks, reload.

mod balance;
mod dns;
mod health;
mod reload;
mod srv;
mod support;
