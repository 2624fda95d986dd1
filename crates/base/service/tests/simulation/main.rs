//! Services under a virtual clock: whole systems of workers, control and servers that fail in every way we know, with
//! thousands of seeds.
//!
//! A [`world`](world::World) is a clock, timers and tasks on one thread; its whole course follows from a seed. Everything in it
//! is as in production: `Service`, `Picker`, `Gate`, `Keeper`, budget and breakers. Only sockets are played ([`server`]), and
//! with them what the proxy does with a request ([`client`]) and what the control runtime does besides ([`control`]).
//! At every step [`invariants`] are asserted; [`scenarios`] assert what comes out.
//!
//! `WEIR_SIM_SEEDS` multiplies the number of seeds of each scenario; `WEIR_SIM_SEED` runs one seed only. A failure says its
//! seed.

mod attempt;
mod client;
mod control;
mod hedge;
mod invariants;
mod line;
mod scenarios;
mod server;
mod setup;
mod stage;
mod world;
