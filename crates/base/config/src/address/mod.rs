//! Places in a network: where to listen, whom to call, whom to trust.

mod cidr;
mod host_port;
mod listen;

pub use cidr::Cidr;
pub use host_port::{Host, HostPort};
pub use listen::ListenAddress;
