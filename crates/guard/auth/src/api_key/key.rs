//! New keys, and what can be said about a key by looking at it.
//!
//! `weir_<id>_<27 characters>_<6 characters>`: a prefix that tells whose it is, the id by which it is known, 160 random bits,
//! and the CRC-32 of all that in the same alphabet of 62 characters, as GitHub's tokens have it. Scanners find it by the
//! regular expression `weir_[A-Za-z0-9.-]{1,64}_[A-Za-z0-9]{27}_[A-Za-z0-9]{6}`.

use std::fmt;

use aws_lc_rs::rand;

use super::entry::KeyHash;

const PREFIX: &[u8] = b"weir_";
const RANDOM: usize = 27;
const CHECK: usize = 6;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key that was just made. It is shown once and never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What it is called.
    pub id: String,
    /// The key.
    pub key: String,
}

/// Why there is no new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The id cannot stand in a key.
    #[error("the id of a key has 1 to 64 letters, digits, `-` and `.`")]
    Id,
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    Random,
}

impl NewKey {
    /// A key with this id, or with one of its own.
    pub fn generate(id: Option<&str>) -> Result<Self, KeyError> {
        let id = match id {
            Some(id) if is_id(id.as_bytes()) => id.to_owned(),
            Some(_) => return Err(KeyError::Id),
            None => random_text::<8>(12)?,
        };
        let begin = format!("weir_{id}_{}", random_text::<20>(RANDOM)?);
        let check = u128::from(crc32(begin.as_bytes()));
        let key = format!("{begin}_{}", base62(check, CHECK));
        Ok(Self { id, key })
    }

    /// What is stored of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.key.as_bytes())
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Whether this would be a key of Weir if it were not broken. Keys that were made elsewhere can be anything else.
pub(super) fn is_mistyped(key: &[u8]) -> bool {
    let Some(rest) = key.strip_prefix(PREFIX) else {
        return false;
    };
    let Some((begin, check)) = key.split_last_chunk::<CHECK>() else {
        return true;
    };
    let Some(begin) = begin.strip_suffix(b"_") else {
        return true;
    };
    let parts = rest.split(|b| *b == b'_').count();
    let right = base62(u128::from(crc32(begin)), CHECK);
    parts != 3 || right.as_bytes() != check
}

fn is_id(id: &[u8]) -> bool {
    (1..=64).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// `N` random bytes as a text of this length, cut to it or filled with zeros on the left.
fn random_text<const N: usize>(length: usize) -> Result<String, KeyError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(base62_bytes(&mut bytes, length))
}

fn base62(mut number: u128, length: usize) -> String {
    let mut text = vec![LETTERS[0]; length];
    for letter in text.iter_mut().rev() {
        *letter = LETTERS[(number % 62) as usize];
        number /= 62;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The same for a number that fills `bytes`, the greatest first; it is gone afterwards.
fn base62_bytes(bytes: &mut [u8], length: usize) -> String {
    let mut text = vec![LETTERS[0]; length];
    for letter in text.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut *bytes {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *letter = LETTERS[rest as usize];
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// CRC-32 as in Ethernet and zip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(base62(u128::from(u32::MAX), CHECK), "4gfFC3");
    }

    #[test]
    fn a_new_key_has_its_form_and_is_like_no_other() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let new = NewKey::generate(None).expect("a key");
            let parts: Vec<&str> = new.key.split('_').collect();
            let [prefix, id, random, check] = parts[..] else {
                panic!("{}", new.key);
            };
            assert_eq!((prefix, id), ("weir", &*new.id));
            assert_eq!((id.len(), random.len(), check.len()), (12, 27, 6));
            assert!(!is_mistyped(new.key.as_bytes()));
            assert!(seen.insert(new.key.clone()) && seen.insert(new.id));
        }
        // 160 bits need all 27 characters but not all values of the first.
        assert_eq!(base62_bytes(&mut [0xff; 20], RANDOM).len(), RANDOM);
        assert_eq!(base62_bytes(&mut [0, 0, 61], 3), "00z");
        assert_eq!(base62_bytes(&mut [1, 0], 3), "048");
    }

    #[test]
    fn ids() {
        assert!(NewKey::generate(Some("partner-7.eu")).is_ok());
        for id in ["", "a_b", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(NewKey::generate(Some(id)), Err(KeyError::Id), "{id}");
        }
    }

    #[test]
    fn nothing_shows_the_key() {
        let new = NewKey::generate(Some("a")).expect("a key");
        assert!(!format!("{new:?}").contains(&new.key[8..]));
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_noticed(at in 0_usize..40, letter in "[A-Za-z0-9_]") {
            let new = NewKey::generate(Some("ab")).expect("a key");
            let mut wrong = new.key.clone();
            wrong.replace_range(5 + at % (new.key.len() - 5)..=5 + at % (new.key.len() - 5), &letter);
            prop_assert_eq!(is_mistyped(wrong.as_bytes()), wrong != new.key);
        }

        #[test]
        fn anything_can_be_looked_at(key in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = is_mistyped(&key);
            let _ = is_mistyped(&[PREFIX, &key].concat());
        }
    }
}
