//! A database in MaxMind's format, written for a test.
//!
//! Specification: "MaxMind DB File Format Specification", version 2.0. A tree of bits that ends in records, then the
//! records, then what describes the whole. IPv4 addresses stand beneath `::/96`, as in the databases that are sold.

use std::{collections::HashMap, net::IpAddr};

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MmdbValue {
    /// A string.
    Text(String),
    /// A number.
    Number(u32),
    /// A mapping.
    Map(Vec<(&'static str, Self)>),
    /// A list.
    List(Vec<Self>),
}

/// A database while it is put together.
#[derive(Clone, Debug)]
pub struct Mmdb {
    kind: String,
    ip_version: u16,
    record_bits: u16,
    networks: Vec<(u128, u8, MmdbValue)>,
}

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

impl Mmdb {
    /// An empty database for IPv4 and IPv6, of a kind such as `GeoLite2-Country`.
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            ip_version: 6,
            record_bits: 28,
            networks: Vec::new(),
        }
    }

    /// For IPv4 only.
    pub fn ipv4_only(mut self) -> Self {
        self.ip_version = 4;
        self
    }

    /// With records of 24, 28 or 32 bits in the tree.
    pub fn record_bits(mut self, bits: u16) -> Self {
        assert!(
            matches!(bits, 24 | 28 | 32),
            "records have 24, 28 or 32 bits"
        );
        self.record_bits = bits;
        self
    }

    /// Adds a network with its record. The longest one counts.
    pub fn with(mut self, prefix: &str, value: MmdbValue) -> Self {
        let (address, length) = prefix.split_once('/').expect("a prefix");
        let length: u8 = length.parse().expect("the length of a prefix");
        let entry = match address.parse().expect("an address") {
            IpAddr::V4(v4) if self.ip_version == 4 => (u128::from(v4.to_bits()) << 96, length),
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), length + 96),
            IpAddr::V6(v6) => (v6.to_bits(), length),
        };
        self.networks.push((entry.0, entry.1, value));
        self
    }

    /// Adds a network of a country, as MaxMind has it.
    pub fn country(self, prefix: &str, code: &str) -> Self {
        let names = MmdbValue::Map(vec![("en", MmdbValue::Text(format!("the country {code}")))]);
        let country = MmdbValue::Map(vec![
            ("geoname_id", MmdbValue::Number(2_658_434)),
            ("iso_code", MmdbValue::Text(code.to_owned())),
            ("names", names),
        ]);
        let continent = MmdbValue::Map(vec![("code", MmdbValue::Text("EU".to_owned()))]);
        let record = MmdbValue::Map(vec![("continent", continent), ("country", country)]);
        self.with(prefix, record)
    }

    /// Adds the network of an autonomous system, as MaxMind has it.
    pub fn asn(self, prefix: &str, number: u32) -> Self {
        let organization = MmdbValue::Text(format!("Network {number}"));
        let record = MmdbValue::Map(vec![
            ("autonomous_system_number", MmdbValue::Number(number)),
            ("autonomous_system_organization", organization),
        ]);
        self.with(prefix, record)
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let mut known: HashMap<&MmdbValue, usize> = HashMap::new();
        let mut nodes = vec![[Record::Empty; 2]];
        let mut networks: Vec<_> = self.networks.iter().collect();
        networks.sort_by_key(|(_, length, _)| *length);
        for (bits, length, value) in networks {
            let offset = *known.entry(value).or_insert_with(|| {
                let offset = data.len();
                write_value(&mut data, value);
                offset
            });
            insert(&mut nodes, *bits, *length, offset);
        }
        let count = nodes.len();
        let number = |record: &Record| match *record {
            Record::Empty => count,
            Record::Node(node) => node,
            Record::Data(offset) => count + 16 + offset,
        };
        let mut file = Vec::new();
        for [left, right] in &nodes {
            let (left, right) = (number(left) as u32, number(right) as u32);
            let (l, r) = (left.to_be_bytes(), right.to_be_bytes());
            match self.record_bits {
                24 => file.extend([l[1], l[2], l[3], r[1], r[2], r[3]]),
                28 => file.extend([l[1], l[2], l[3], l[0] << 4 | r[0], r[1], r[2], r[3]]),
                _ => file.extend(l.into_iter().chain(r)),
            }
        }
        file.extend([0; 16]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        self.write_metadata(&mut file, count);
        file
    }

    fn write_metadata(&self, file: &mut Vec<u8>, nodes: usize) {
        let number = |out: &mut Vec<u8>, key: &str, kind: u8, bytes: &[u8]| {
            write_text(out, key);
            write_control(out, kind, bytes.len());
            out.extend(bytes);
        };
        write_control(file, 7, 9);
        number(file, "binary_format_major_version", 5, &[2]);
        number(file, "binary_format_minor_version", 5, &[]);
        number(file, "build_epoch", 9, &1_700_000_000_u64.to_be_bytes());
        write_text(file, "database_type");
        write_text(file, &self.kind);
        write_text(file, "description");
        write_control(file, 7, 1);
        write_text(file, "en");
        write_text(file, "made for a test");
        number(file, "ip_version", 5, &self.ip_version.to_be_bytes());
        write_text(file, "languages");
        write_control(file, 11, 1);
        write_text(file, "en");
        number(file, "node_count", 6, &(nodes as u32).to_be_bytes());
        number(file, "record_size", 5, &self.record_bits.to_be_bytes());
    }
}

fn insert(nodes: &mut Vec<[Record; 2]>, bits: u128, length: u8, offset: usize) {
    assert!(
        length > 0,
        "the whole address space has no bit to branch at"
    );
    let mut node = 0;
    for depth in 0..length {
        let side = (bits >> (127 - depth) & 1) as usize;
        if depth + 1 == length {
            nodes[node][side] = Record::Data(offset);
            return;
        }
        node = match nodes[node][side] {
            Record::Node(next) => next,
            // A shorter network: both halves inherit its record.
            record => {
                nodes.push([record; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Record::Node(next);
                next
            }
        };
    }
}

fn write_value(out: &mut Vec<u8>, value: &MmdbValue) {
    match value {
        MmdbValue::Text(text) => write_text(out, text),
        MmdbValue::Number(number) => {
            write_control(out, 6, 4);
            out.extend(number.to_be_bytes());
        }
        MmdbValue::Map(entries) => {
            write_control(out, 7, entries.len());
            for (key, value) in entries {
                write_text(out, key);
                write_value(out, value);
            }
        }
        MmdbValue::List(values) => {
            write_control(out, 11, values.len());
            for value in values {
                write_value(out, value);
            }
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_control(out, 2, text.len());
    out.extend(text.as_bytes());
}

/// The kind of a value and its size.
fn write_control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (short, more) = match size {
        0..29 => (size as u8, None),
        29..285 => (29, Some((size - 29) as u8)),
        _ => panic!("values of tests are short"),
    };
    if kind < 8 {
        out.push(kind << 5 | short);
    } else {
        out.extend([short, kind - 7]);
    }
    out.extend(more);
}
