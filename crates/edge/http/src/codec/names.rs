//! Sets of field names.

/// Names of header fields, told apart quickly from those that are not among them.
///
/// Whatever is neither letter nor digit counts as `-`: applications that get fields as CGI variables (RFC 3875, 4.1.18) read `X_User`,
/// `X.User` and `X-User` as the same, so whoever may not send one may not send the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Bit `n`: there is a name of `n` bytes; bit 63 for all that are longer.
    lengths: u64,
    /// In lower case, with `-`.
    names: Vec<Box<[u8]>>,
}

impl Names {
    /// Adds a name.
    pub(crate) fn add(&mut self, name: &[u8]) {
        if self.has(name) {
            return;
        }
        self.lengths |= bit(name.len());
        self.names
            .push(name.iter().map(|byte| fold(*byte)).collect());
    }

    /// Whether this name is among them.
    #[inline]
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.lengths & bit(name.len()) != 0
            && self.names.iter().any(|known| {
                known.len() == name.len() && known.iter().zip(name).all(|(a, b)| *a == fold(*b))
            })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl<'a> FromIterator<&'a [u8]> for Names {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(names: I) -> Self {
        let mut all = Self::default();
        for name in names {
            all.add(name);
        }
        all
    }
}

const fn bit(length: usize) -> u64 {
    1 << if length < 63 { length } else { 63 }
}

const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        let names: Names = [&b"X-Auth-Subject"[..], b"x-user"].into_iter().collect();
        for name in [
            "x-auth-subject",
            "X_Auth-Subject",
            "X_AUTH_SUBJECT",
            "X-USER",
            "x_user",
            "x.auth~subject",
        ] {
            assert!(names.has(name.as_bytes()), "{name}");
        }
        for name in ["", "x-users", "xuser", "x-auth-subjecu", "x-use1"] {
            assert!(!names.has(name.as_bytes()), "{name}");
        }
        assert!(Names::default().is_empty() && !Names::default().has(b""));
    }

    #[test]
    fn long_names_share_a_bit_and_nothing_else() {
        let names: Names = [&[b'a'; 100][..]].into_iter().collect();
        assert!(names.has(&[b'A'; 100]));
        assert!(!names.has(&[b'a'; 99]) && !names.has(&[b'a'; 63]));
    }
}
