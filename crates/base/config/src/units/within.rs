//! Whole numbers between two bounds.

use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::decode::{Decode, whole, whole_schema};
use crate::node::Node;
use crate::schema::Schemas;

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Within<const LEAST: u64, const MOST: u64>(u64);

impl<const LEAST: u64, const MOST: u64> Within<LEAST, MOST> {
    /// The number, moved to the nearer bound if it lies outside.
    pub const fn new(number: u64) -> Self {
        Self(if number < LEAST {
            LEAST
        } else if number > MOST {
            MOST
        } else {
            number
        })
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number, as a length or count of something in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The number in 32 bits; bounds beyond that are cut.
    pub fn as_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl<const LEAST: u64, const MOST: u64> Decode for Within<LEAST, MOST> {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        whole(node, LEAST, MOST, cx).map(Self)
    }

    fn to_json(&self) -> Json {
        json!(self.0)
    }

    fn schema(schemas: &mut Schemas) -> Json {
        whole_schema(LEAST, MOST, schemas)
    }
}
