//! Field lines as offsets over one arena.
//!
//! A head is copied once, whole, from the read buffer into the arena; a line is then sixteen bytes of offsets and
//! flags. Nothing is allocated once both vectors are warm, lines that need no change are forwarded as runs of raw
//! bytes, and the read buffer is free as soon as the head is parsed. Another protocol pushes decoded names and values
//! into the same arena, and everything after the codec looks at one type.

use super::facts;
use super::field_id::FieldId;
use super::names::Names;

/// One field line: offsets into the arena of the [`Fields`] that it came from.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    name_start: u32,
    value_start: u32,
    value_len: u32,
    name_len: u16,
    id: FieldId,
    flags: u8,
}

const HOP: u8 = 1;
const CANONICAL: u8 = 2;

impl Field {
    /// Which field it is.
    #[must_use]
    pub const fn id(&self) -> FieldId {
        self.id
    }

    /// Whether it must not be forwarded: hop-by-hop, nominated by Connection, or meaningless behind this hop.
    #[must_use]
    pub const fn hop(&self) -> bool {
        self.flags & HOP != 0
    }

    /// Whether the raw line is exactly `name: value\r\n`, so that it may be copied as it is.
    #[must_use]
    pub const fn canonical(&self) -> bool {
        self.flags & CANONICAL != 0
    }

    /// `name_start..next` is the raw line with its line end; the value lies in it, white space trimmed.
    pub(super) fn new(
        id: FieldId,
        name_start: usize,
        name_len: u16,
        value_start: usize,
        value_len: usize,
        next: usize,
    ) -> Self {
        let exact = value_start == name_start + usize::from(name_len) + 2
            && next == value_start + value_len + 2;
        Self {
            name_start: offset(name_start),
            value_start: offset(value_start),
            value_len: offset(value_len),
            name_len,
            id,
            flags: if id.is_hop_by_hop() { HOP } else { 0 } | if exact { CANONICAL } else { 0 },
        }
    }

    fn line_end(&self) -> u32 {
        self.value_start + self.value_len + 2
    }
}

/// Offsets fit: heads are capped far below 4 GiB (see `section::MAX_HEAD`).
#[allow(
    clippy::cast_possible_truncation,
    reason = "checked by the caps on heads and asserted in tests"
)]
fn offset(at: usize) -> u32 {
    debug_assert!(u32::try_from(at).is_ok());
    at as u32
}

/// Field lines in the order they came, over one arena.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    arena: Vec<u8>,
    list: Vec<Field>,
}

impl Fields {
    /// No fields, nothing allocated.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            arena: Vec::new(),
            list: Vec::new(),
        }
    }

    /// Forgets the fields, keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.list.clear();
    }

    /// Appends a field. `name` must be a token of at most 65,535 bytes, `value` free of control characters and of
    /// white space around it: what a parser has already made sure of.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(super::chars::is_token(name));
        debug_assert!(super::chars::is_field_value(value));
        let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let name = &name[..usize::from(name_len)];
        let name_start = self.arena.len();
        self.arena.reserve(name.len() + value.len() + 4);
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(b": ");
        let value_start = self.arena.len();
        self.arena.extend_from_slice(value);
        self.arena.extend_from_slice(b"\r\n");
        self.list.push(Field::new(
            FieldId::of(name),
            name_start,
            name_len,
            value_start,
            value.len(),
            self.arena.len(),
        ));
    }

    /// Marks as not to be forwarded every field here that the Connection fields of `head` nominate: for trailers, and
    /// for heads that were pushed.
    pub fn mark_nominated_by(&mut self, head: &Self) {
        for field in head.all_fields(FieldId::Connection) {
            nominate(&mut self.list, &self.arena, head.value(field));
        }
    }

    /// The lines in order, with name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&Field, &[u8], &[u8])> {
        self.list
            .iter()
            .map(|field| (field, self.name(field), self.value(field)))
    }

    /// The lines in order.
    #[must_use]
    pub fn list(&self) -> &[Field] {
        &self.list
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The value of the first line with this id (not [`FieldId::Other`]).
    #[must_use]
    pub fn first(&self, id: FieldId) -> Option<&[u8]> {
        self.all(id).next()
    }

    /// The values of all lines with this id (not [`FieldId::Other`]).
    pub fn all(&self, id: FieldId) -> impl Iterator<Item = &[u8]> {
        self.all_fields(id).map(|field| self.value(field))
    }

    /// The value of the first line with this name, in any case. For names that have an id, [`Self::first`] is cheaper.
    #[must_use]
    pub fn by_name(&self, name: &[u8]) -> Option<&[u8]> {
        self.all_by_name(name).next()
    }

    /// The values of all lines with this name, in any case.
    pub fn all_by_name<'a, 'n>(
        &'a self,
        name: &'n [u8],
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.list
            .iter()
            .filter(move |field| {
                usize::from(field.name_len) == name.len()
                    && self.name(field).eq_ignore_ascii_case(name)
            })
            .map(|field| self.value(field))
    }

    /// The name of a line, as it came.
    #[must_use]
    pub fn name(&self, field: &Field) -> &[u8] {
        self.bytes(field.name_start, u32::from(field.name_len))
    }

    /// The value of a line, without the white space around it.
    #[must_use]
    pub fn value(&self, field: &Field) -> &[u8] {
        self.bytes(field.value_start, field.value_len)
    }

    /// The raw line with its line end, if it is canonical.
    #[must_use]
    pub fn line(&self, field: &Field) -> Option<&[u8]> {
        field
            .canonical()
            .then(|| self.bytes(field.name_start, field.line_end() - field.name_start))
    }

    /// Writes the lines that `keep` wants in canonical form, runs of canonical lines as one copy.
    /// Hop-by-hop lines are never written.
    pub fn write_forwarded(&self, out: &mut Vec<u8>, mut keep: impl FnMut(&Field) -> bool) {
        let mut run = 0..0;
        for field in &self.list {
            if field.hop() || !keep(field) {
                continue;
            }
            if field.canonical() && field.name_start == run.end {
                run.end = field.line_end();
                continue;
            }
            out.extend_from_slice(self.bytes(run.start, run.end - run.start));
            if field.canonical() {
                run = field.name_start..field.line_end();
            } else {
                run = 0..0;
                super::encode::field(out, self.name(field), self.value(field));
            }
        }
        out.extend_from_slice(self.bytes(run.start, run.end - run.start));
    }

    pub(super) fn bytes(&self, start: u32, len: u32) -> &[u8] {
        slice(&self.arena, start, len)
    }

    /// Adds a line whose bytes [`Self::adopt`] will bring.
    pub(super) fn push_line(&mut self, field: Field) {
        self.list.push(field);
    }

    /// Takes over the bytes that the lines pushed so far lie in.
    pub(super) fn adopt(&mut self, head: &[u8]) {
        self.arena.clear();
        self.arena.extend_from_slice(head);
    }

    /// Forgets the lines whose names are among these.
    #[inline]
    pub(crate) fn remove_named(&mut self, names: &Names) {
        let Self { arena, list } = self;
        list.retain(|line| !names.has(slice(arena, line.name_start, u32::from(line.name_len))));
    }

    /// Marks as not to be forwarded the lines whose names are among these: for trailers.
    pub(crate) fn mark_named(&mut self, names: &Names) {
        for index in 0..self.list.len() {
            if names.has(self.name(&self.list[index])) {
                self.list[index].flags |= HOP;
            }
        }
    }

    /// As [`Self::mark_nominated_by`], for a head's own Connection fields.
    pub(super) fn mark_own_nominated(&mut self) {
        for index in 0..self.list.len() {
            let field = self.list[index];
            if field.id == FieldId::Connection {
                nominate(
                    &mut self.list,
                    &self.arena,
                    slice(&self.arena, field.value_start, field.value_len),
                );
            }
        }
    }

    /// Marks all lines with this id as not to be forwarded.
    pub(super) fn mark_hop(&mut self, id: FieldId) {
        for line in self.list.iter_mut().filter(|line| line.id == id) {
            line.flags |= HOP;
        }
    }

    fn all_fields(&self, id: FieldId) -> impl Iterator<Item = &Field> {
        self.list.iter().filter(move |field| field.id == id)
    }
}

/// Marks the lines that `connection`, the value of a Connection field, takes out of the message.
fn nominate(lines: &mut [Field], arena: &[u8], connection: &[u8]) {
    for option in
        facts::options(connection).filter(|option| facts::is_nominable(FieldId::of(option)))
    {
        for line in lines.iter_mut() {
            let name = slice(arena, line.name_start, u32::from(line.name_len));
            if name.eq_ignore_ascii_case(option) {
                line.flags |= HOP;
            }
        }
    }
}

fn slice(arena: &[u8], start: u32, len: u32) -> &[u8] {
    let start = start as usize;
    arena.get(start..start + len as usize).unwrap_or_default()
}
