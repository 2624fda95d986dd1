//! Any program that listens on an address it is given: what a test or a benchmark built for itself.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use crate::{Launch, Server};

/// A running program that accepts connections at `@web@`.
#[derive(Debug)]
pub struct Program {
    server: Server,
}

impl Program {
    /// Prepares `binary` with these arguments, which may hold placeholders.
    pub fn launch(name: &'static str, binary: &Path, args: &[&str]) -> Launch {
        Launch::new(name, binary.as_os_str(), "config", "", args)
    }

    /// Starts what [`Program::launch`] prepared, and waits until it accepts on `@web@`; the error holds what the
    /// process wrote before it ended or ran out of time.
    pub fn try_launch(launch: Launch) -> Result<Self, String> {
        let server = launch.start_when_listening("web")?;
        Ok(Self { server })
    }
}

impl Deref for Program {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Program {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
