//! Cookies that keep a user where they are: on an endpoint of a service, or on one side of a split.
//!
//! A cookie's value is `<place>.<signature>`. The place is the lane itself, or an endpoint's
//! [key](weir_service::Endpoint::key), which follows from its address, so that it means the same after a restart and
//! whatever other endpoints come and go. The signature (HMAC-SHA256, cut to 128 bits) is there because a client chooses
//! what it sends: unsigned, anyone could pick the canary, or pile requests onto one endpoint. It also covers what the
//! cookie is for, so that one cannot be passed off as another. It does not say how old it is: a copied cookie leads
//! where its owner would be led, which is no secret.
//!
//! An endpoint's key is not written as it is: addresses are so few that a hash of one soon gives away the network behind
//! Weir. It is masked by a second HMAC, over the signature: a synthetic IV, as in RFC 5297.
//!
//! Without a configured secret the key is random and lives as long as the process. Nothing else of the process serves as
//! key: request ids come from a generator whose state follows from a few of its outputs, which clients see.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::OnceLock,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use weir_service::StickyConfig;

use crate::{
    codec::{Fields, encode},
    cookie,
};

/// Bytes of the signature: forging one takes 2^127 guesses.
const SIGNATURE: usize = 16;

/// A cookie that keeps users where they are.
pub(crate) struct Sticky {
    name: Box<[u8]>,
    /// What stands behind the value in Set-Cookie.
    attributes: Box<[u8]>,
    /// Has taken in the key and what the cookie is for.
    signer: Hmac<Sha256>,
    /// The same for what hides the keys of endpoints.
    mask: Hmac<Sha256>,
}

impl Sticky {
    /// A cookie that says which endpoint of `service` its user is on.
    pub(crate) fn for_endpoints(config: &StickyConfig, service: &str) -> Self {
        Self::new(config, &[b"endpoint", service.as_bytes()])
    }

    /// A cookie that says which service of a split its user is on. It means the same on all routes that know it.
    pub(crate) fn for_lanes(config: &StickyConfig) -> Self {
        Self::new(config, &[b"lane"])
    }

    fn new(config: &StickyConfig, purpose: &[&[u8]]) -> Self {
        let name = config.cookie.value.as_str();
        let key = match &config.secret {
            Some(secret) => secret.value.expose().as_bytes(),
            None => process_key(),
        };
        let begun = |with: &[u8]| {
            let mut hmac = keyed(key);
            hmac.update(with);
            // Neither services nor cookies have a zero byte in their names.
            for part in purpose.iter().copied().chain([name.as_bytes()]) {
                hmac.update(&[0]);
                hmac.update(part);
            }
            hmac.update(&[0]);
            hmac
        };
        let mut attributes = format!("; Path={}; HttpOnly; SameSite=Lax", config.path.as_str());
        if config.secure {
            attributes.push_str("; Secure");
        }
        if let Some(ttl) = config.ttl {
            let seconds = ttl.get().as_secs().max(1);
            attributes.push_str(&format!("; Max-Age={seconds}"));
        }
        Self {
            name: name.as_bytes().into(),
            attributes: attributes.into_bytes().into(),
            signer: begun(b"weir sticky 1"),
            mask: begun(b"weir sticky 1 mask"),
        }
    }

    /// The name of the cookie.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The endpoint that the client's cookie names, if it is one of ours.
    pub(crate) fn endpoint(&self, request: &Fields) -> Option<u64> {
        self.values(request).find_map(|(place, signature)| {
            let key = unhex(place).map(u64::from_be_bytes)? ^ self.mask(&signature);
            self.is_signed(&key.to_be_bytes(), &signature)
                .then_some(key)
        })
    }

    /// What `read` makes of the lane that the client's cookie names, if it is one of ours.
    pub(crate) fn lane<'a, T>(
        &self,
        request: &'a Fields,
        mut read: impl FnMut(&'a [u8]) -> Option<T>,
    ) -> Option<T> {
        self.values(request).find_map(|(place, signature)| {
            if !self.is_signed(place, &signature) {
                return None;
            }
            read(place)
        })
    }

    /// Places and signatures of all cookies of this name: clients may have several, for several paths.
    fn values<'a>(&self, request: &'a Fields) -> impl Iterator<Item = (&'a [u8], [u8; SIGNATURE])> {
        // More are not worth the arithmetic.
        const MOST: usize = 4;
        let values = cookie::values(request, &self.name).take(MOST);
        values.filter_map(|value| {
            let dot = value.iter().rposition(|byte| *byte == b'.')?;
            Some((&value[..dot], unhex(&value[dot + 1..])?))
        })
    }

    /// Takes a time that does not depend on how much of it is right.
    fn is_signed(&self, place: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        let mut signer = self.signer.clone();
        signer.update(place);
        signer.verify_truncated_left(signature).is_ok()
    }

    fn sign(&self, place: &[u8]) -> [u8; SIGNATURE] {
        let mut signer = self.signer.clone();
        signer.update(place);
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(&signer.finalize().into_bytes()[..SIGNATURE]);
        signature
    }

    fn mask(&self, signature: &[u8; SIGNATURE]) -> u64 {
        let mut mask = self.mask.clone();
        mask.update(signature);
        let mut first = [0; 8];
        first.copy_from_slice(&mask.finalize().into_bytes()[..8]);
        u64::from_be_bytes(first)
    }

    /// Writes what keeps cookies from other users, once for all that were written.
    ///
    /// RFC 9111, 5.2.2.7: a shared cache that kept this answer would send all its users to one place.
    pub(crate) fn write_private(out: &mut Vec<u8>) {
        encode::field(out, b"Cache-Control", b"private");
    }

    /// Writes Set-Cookie for an endpoint. It wants [`write_private`](Self::write_private) behind it.
    pub(crate) fn write_endpoint(&self, out: &mut Vec<u8>, key: u64) {
        let signature = self.sign(&key.to_be_bytes());
        let masked = key ^ self.mask(&signature);
        let mut place = [0; 16];
        hex(&mut place, &masked.to_be_bytes());
        self.write(out, &place, &signature);
    }

    /// Writes Set-Cookie for a lane. It wants [`write_private`](Self::write_private) behind it.
    pub(crate) fn write_lane(&self, out: &mut Vec<u8>, name: &[u8]) {
        self.write(out, name, &self.sign(name));
    }

    fn write(&self, out: &mut Vec<u8>, place: &[u8], signature: &[u8; SIGNATURE]) {
        let mut digits = [0; SIGNATURE * 2];
        hex(&mut digits, signature);
        out.extend_from_slice(b"Set-Cookie: ");
        for part in [
            &self.name,
            &b"="[..],
            place,
            b".",
            &digits,
            &self.attributes,
        ] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Whether a Set-Cookie field sets the same cookie. It is not the endpoint's to set.
    pub(crate) fn is_set_by(&self, value: &[u8]) -> bool {
        cookie::name(value) == &*self.name
    }
}

impl std::fmt::Debug for Sticky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sticky")
            .field("name", &self.name.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(signer) => signer,
        // HMAC takes keys of any length (RFC 2104, section 2).
        Err(_) => unreachable!("HMAC takes any key"),
    }
}

/// A key of this process's own, the same for every plan that it runs, so that cookies outlive a reload.
fn process_key() -> &'static [u8; 32] {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut key = [0; 32];
        for chunk in key.chunks_exact_mut(8) {
            // The standard library's hash keys are 128 bits from the operating system; a hash under them is as random.
            let mut hasher = RandomState::new().build_hasher();
            hasher.write(b"weir sticky");
            chunk.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        key
    })
}

fn hex(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = lower_hex(pair[0])? << 4 | lower_hex(pair[1])?;
    }
    Some(bytes)
}

/// Only one way of writing a value is accepted.
const fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_config::Cx;

    fn config(text: &str) -> StickyConfig {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<StickyConfig>();
        cx.finish(config).expect("good").value
    }

    const SECRET: &str = "{ cookie: lb, secret: 0123456789abcdef }";

    fn cookie_of(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        let text = String::from_utf8(out).expect("text");
        let value = text.strip_prefix("Set-Cookie: ").expect("a cookie");
        value.split(';').next().expect("a value").to_owned()
    }

    fn request(cookies: &[&str]) -> Fields {
        let mut fields = Fields::new();
        for cookie in cookies {
            fields.push(b"Cookie", cookie.as_bytes());
        }
        fields
    }

    #[test]
    fn an_endpoint_is_found_again() {
        let sticky = Sticky::for_endpoints(&config(SECRET), "app");
        for key in [0, 1, 0xdead_beef_0123_4567, u64::MAX] {
            let cookie = cookie_of(|out| sticky.write_endpoint(out, key));
            assert_eq!(sticky.endpoint(&request(&[&cookie])), Some(key));
            let among = format!("a=b; {cookie}; c=d");
            assert_eq!(sticky.endpoint(&request(&["x=y", &among])), Some(key));
        }
        assert_eq!(sticky.endpoint(&request(&[])), None);
    }

    #[test]
    fn what_is_set_is_said_in_full() {
        let text = "{ cookie: __Host-lb, secret: 0123456789abcdef, ttl: 1h, secure: true }";
        let sticky = Sticky::for_lanes(&config(text));
        let mut out = Vec::new();
        sticky.write_lane(&mut out, b"canary");
        let out = String::from_utf8(out).expect("text");
        let (cookie, rest) = out.split_once("; ").expect("attributes");
        assert!(cookie.starts_with("Set-Cookie: __Host-lb=canary."), "{out}");
        assert_eq!(
            rest,
            "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600\r\n"
        );
    }

    #[test]
    fn the_signature_is_stable() {
        // Weirs of other versions must read it, so this changes only with the number in what is signed.
        let sticky = Sticky::for_endpoints(&config(SECRET), "app");
        let cookie = cookie_of(|out| sticky.write_endpoint(out, 0x0123_4567_89ab_cdef));
        // As HMAC-SHA256 of another library has it.
        assert_eq!(
            cookie,
            "lb=10e5e2f0d55d8857.f5fc03a48ce57e6066e8b98ffd88a233"
        );
        let sticky = Sticky::for_lanes(&config(SECRET));
        let cookie = cookie_of(|out| sticky.write_lane(out, b"canary"));
        assert_eq!(cookie, "lb=canary.c2e647c0d48fa94d5c4c1cb0a22e337b");
    }

    #[test]
    fn a_cookie_does_not_tell_the_key() {
        let sticky = Sticky::for_endpoints(&config(SECRET), "app");
        let other = Sticky::for_endpoints(&config(SECRET), "api");
        let place = |sticky: &Sticky, key| {
            let cookie = cookie_of(|out| sticky.write_endpoint(out, key));
            let digits = unhex(&cookie.as_bytes()[3..19]).map(u64::from_be_bytes);
            digits.expect("digits")
        };
        assert_eq!(place(&sticky, 7), place(&sticky, 7));
        assert_ne!(place(&sticky, 7), 7);
        // Nor what two keys have in common.
        assert_ne!(place(&sticky, 7) ^ place(&sticky, 6), 1);
        assert_ne!(place(&sticky, 7), place(&other, 7));
    }

    #[test]
    fn a_forged_cookie_is_none() {
        let sticky = Sticky::for_endpoints(&config(SECRET), "app");
        let cookie = cookie_of(|out| sticky.write_endpoint(out, 7));
        let good = cookie.as_bytes();
        for at in 3..good.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bad = good.to_vec();
                bad[at] ^= flip;
                if bad[at] < b' ' || bad[at] >= 127 {
                    continue;
                }
                let bad = String::from_utf8(bad).expect("ASCII");
                assert_eq!(sticky.endpoint(&request(&[&bad])), None, "{bad}");
            }
        }
        for bad in [
            "lb=",
            "lb=.",
            "lb=0000000000000007",
            "lb=0000000000000007.",
            "lb=0000000000000007.00000000000000000000000000000000",
            &cookie[..cookie.len() - 1],
            &format!("{cookie}0"),
            &cookie.to_ascii_uppercase().replace("LB", "lb"),
        ] {
            assert_eq!(sticky.endpoint(&request(&[bad])), None, "{bad}");
        }
    }

    #[test]
    fn a_cookie_is_good_for_one_purpose() {
        let app = Sticky::for_endpoints(&config(SECRET), "app");
        let cookie = cookie_of(|out| app.write_endpoint(out, 7));
        let fields = request(&[&cookie]);
        let other_key = "{ cookie: lb, secret: another0another0 }";
        for other in [
            Sticky::for_endpoints(&config(SECRET), "api"),
            Sticky::for_endpoints(&config(other_key), "app"),
            Sticky::for_endpoints(&config("lb"), "app"),
            Sticky::for_lanes(&config(SECRET)),
        ] {
            assert_eq!(other.endpoint(&fields), None);
            assert_eq!(other.lane(&fields, Some), None);
        }
        // Another name, same purpose.
        let renamed = "{ cookie: ls, secret: 0123456789abcdef }";
        let renamed = Sticky::for_endpoints(&config(renamed), "app");
        let moved = request(&[&cookie.replace("lb=", "ls=")]);
        assert_eq!(renamed.endpoint(&moved), None);
        // What does not belong to its purpose does not change it.
        let other_ttl = "{ cookie: lb, secret: 0123456789abcdef, ttl: 1h, path: /a }";
        let other_ttl = Sticky::for_endpoints(&config(other_ttl), "app");
        assert_eq!(other_ttl.endpoint(&fields), Some(7));
    }

    #[test]
    fn the_key_of_a_process_outlives_a_plan() {
        let lane = |text| Sticky::for_lanes(&config(text));
        let cookie = cookie_of(|out| lane("lane").write_lane(out, b"a.b-c_1"));
        let fields = request(&[&cookie]);
        assert_eq!(lane("lane").lane(&fields, Some), Some(&b"a.b-c_1"[..]));
    }

    #[test]
    fn the_first_good_one_counts() {
        let sticky = Sticky::for_endpoints(&config(SECRET), "app");
        let cookie = cookie_of(|out| sticky.write_endpoint(out, 7));
        let fields = request(&[&format!("lb=bad.sign; {cookie}")]);
        assert_eq!(sticky.endpoint(&fields), Some(7));
        let many = format!("{}{cookie}", "lb=x.y; ".repeat(4));
        assert_eq!(sticky.endpoint(&request(&[&many])), None);
    }

    #[test]
    fn an_endpoint_may_set_other_cookies() {
        let sticky = Sticky::for_endpoints(&config(SECRET), "app");
        assert!(sticky.is_set_by(b"lb=1; Path=/"));
        assert!(!sticky.is_set_by(b"lbs=1"));
    }
}
