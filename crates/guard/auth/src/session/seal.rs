//! Sealing: AES-256-GCM (NIST SP 800-38D) under keys that HKDF-SHA-256 (RFC 5869) makes of the secrets in the config.
//!
//! Each key is good for one purpose: who may have the same secret in another policy, or for another provider, still cannot
//! use its cookies here. The first secret seals, all of them open, so that a secret can be replaced without ending
//! sessions: put the new one in front, and drop the old one when its last session is over.
//!
//! Nonces are random. A key may seal 2^32 messages before two nonces are likely to meet (section 8.3), which are logins and
//! refreshes, not requests.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::encoding::base64url;

/// How many random bytes a seal needs.
pub(crate) const NONCE: usize = 12;
const ID: usize = 4;
const TAG: usize = 16;
const VERSION: u8 = 1;

/// Seals and opens.
pub(crate) struct Sealer {
    keys: Vec<Key>,
}

struct Key {
    /// Stands in front of what it sealed, so that opening does not try all keys.
    id: [u8; ID],
    aead: LessSafeKey,
}

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl Sealer {
    /// Keys of these secrets for this purpose: the parts of its name, of which none can be taken for another. `None` if
    /// there is no secret.
    pub(crate) fn new<'a>(
        secrets: impl IntoIterator<Item = &'a str>,
        purpose: &[&str],
    ) -> Option<Self> {
        let mut info = Vec::new();
        for part in purpose {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part.as_bytes());
        }
        let keys: Vec<Key> = secrets
            .into_iter()
            .map(|secret| Key::new(secret, &info))
            .collect::<Option<_>>()?;
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Seals `plain` for `place`, which must be the same where it is opened: a text of the cookie's alphabet.
    pub(crate) fn seal(&self, place: &str, plain: &[u8], nonce: [u8; NONCE]) -> Option<String> {
        let key = self.keys.first()?;
        let mut bytes = Vec::with_capacity(1 + ID + NONCE + plain.len() + TAG);
        bytes.push(VERSION);
        bytes.extend_from_slice(&key.id);
        bytes.extend_from_slice(&nonce);
        let mut text = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.aead
            .seal_in_place_append_tag(nonce, Aad::from(place.as_bytes()), &mut text)
            .ok()?;
        bytes.extend_from_slice(&text);
        Some(to_base64url(&bytes))
    }

    /// What was sealed for `place` with one of the secrets; `None` for anything else.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let bytes = base64url(sealed)?;
        let (&[version, ref id @ ..], rest) = bytes.split_first_chunk::<{ 1 + ID }>()?;
        let (&nonce, text) = rest.split_first_chunk::<NONCE>()?;
        if version != VERSION {
            return None;
        }
        self.keys
            .iter()
            .filter(|key| key.id == *id)
            .find_map(|key| {
                let mut text = text.to_vec();
                let nonce = Nonce::assume_unique_for_key(nonce);
                let aad = Aad::from(place.as_bytes());
                let plain = key.aead.open_in_place(nonce, aad, &mut text).ok()?.len();
                text.truncate(plain);
                Some(text)
            })
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Key {
    fn new(secret: &str, info: &[u8]) -> Option<Self> {
        let mut material = [0; 32 + ID];
        Salt::new(HKDF_SHA256, b"weir")
            .extract(secret.as_bytes())
            .expand(&[info], Bytes(material.len()))
            .ok()?
            .fill(&mut material)
            .ok()?;
        let (key, id) = material.split_at(32);
        Some(Self {
            id: id.try_into().ok()?,
            aead: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?),
        })
    }
}

/// base64url without padding (RFC 4648, section 5).
pub(crate) fn to_base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..).zip(chunk).fold(0_u32, |bits, (at, byte)| {
            bits | u32::from(*byte) << (16 - 8 * at)
        });
        for at in 0..=chunk.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 0x3f]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "the old secret, thirty-two bytes long";
    const NEW: &str = "the new secret, thirty-two bytes long";

    fn sealer(secrets: &[&str], purpose: &[&str]) -> Sealer {
        Sealer::new(secrets.iter().copied(), purpose).expect("a secret")
    }

    #[test]
    fn a_secret_can_be_replaced() {
        let before = sealer(&[OLD], &["a"]);
        let between = sealer(&[NEW, OLD], &["a"]);
        let after = sealer(&[NEW], &["a"]);
        let old = before.seal("x", b"plain", [1; NONCE]).expect("sealed");
        let new = between.seal("x", b"plain", [2; NONCE]).expect("sealed");
        assert_eq!(
            between.open("x", old.as_bytes()).as_deref(),
            Some(&b"plain"[..])
        );
        assert_eq!(
            between.open("x", new.as_bytes()).as_deref(),
            Some(&b"plain"[..])
        );
        assert_eq!(
            after.open("x", new.as_bytes()).as_deref(),
            Some(&b"plain"[..])
        );
        assert_eq!(after.open("x", old.as_bytes()), None);
        assert_eq!(before.open("x", new.as_bytes()), None);
    }

    #[test]
    fn a_purpose_is_told_from_any_other() {
        let sealed = sealer(&[OLD], &["ab", "c"]).seal("x", b"plain", [1; NONCE]);
        let sealed = sealed.expect("sealed");
        for purpose in [&["a", "bc"][..], &["abc"], &["ab", "c", ""], &[]] {
            assert_eq!(
                sealer(&[OLD], purpose).open("x", sealed.as_bytes()),
                None,
                "{purpose:?}"
            );
        }
        assert_eq!(
            sealer(&[OLD], &["ab", "c"]).open("y", sealed.as_bytes()),
            None
        );
    }

    #[test]
    fn without_a_secret_there_is_nothing() {
        assert!(Sealer::new([], &["a"]).is_none());
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_and_nothing_else(
            plain in proptest::collection::vec(any::<u8>(), 0..200),
            nonce in any::<[u8; NONCE]>(),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..=255,
            cut in any::<prop::sample::Index>(),
        ) {
            let sealer = sealer(&[NEW, OLD], &["a"]);
            let sealed = sealer.seal("x", &plain, nonce).expect("sealed");
            prop_assert_eq!(sealer.open("x", sealed.as_bytes()), Some(plain));
            let mut bytes = sealed.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(sealer.open("x", &bytes), None);
            let cut = cut.index(sealed.len());
            prop_assert_eq!(sealer.open("x", &sealed.as_bytes()[..cut]), None);
            prop_assert_eq!(sealer.open("x", format!("{sealed}A").as_bytes()), None);
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(sealer(&[OLD], &["a"]).open("x", &bytes), None);
        }

        #[test]
        fn base64url_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(base64url(to_base64url(&bytes).as_bytes()), Some(bytes));
        }
    }
}
