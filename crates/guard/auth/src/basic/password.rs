//! Slow hashes: argon2, with the costs that each hash names itself, up to a bound.

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use aws_lc_rs::rand;

use super::config::PasswordHash;

/// The most memory that one hash may take.
const MOST_KIB: u32 = 256 << 10;
/// The most passes and lanes.
const MOST_PASSES: u32 = 32;
const MOST_LANES: u32 = 16;

/// Checks guesses at one password.
#[derive(Clone, Default)]
pub(super) struct Verifier(Option<Phc>);

/// Why there is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Browsers cannot send it.
    #[error("a password has 1 to 512 characters, and no control characters")]
    Unfit,
    /// The system has no randomness, or not enough memory.
    #[error("the system gives no random numbers or no memory")]
    System,
}

/// The hash of a password for the config: argon2id with 19 MiB and two passes, as OWASP recommends.
pub fn hash_password(password: &str) -> Result<String, PasswordError> {
    if password.is_empty() || password.len() > 512 || password.contains(char::is_control) {
        return Err(PasswordError::Unfit);
    }
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| PasswordError::System)?;
    Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash: Phc| hash.to_string())
        .map_err(|_| PasswordError::System)
}

/// What is wrong with a hash.
pub(super) fn problem(phc: &Phc) -> Option<&'static str> {
    let Ok(algorithm) = Algorithm::try_from(phc.algorithm.as_str()) else {
        return Some("this hash is not argon2");
    };
    if phc.salt.is_none() || phc.hash.is_none() {
        return Some("this hash is not complete");
    }
    let version = phc.version.map(Version::try_from);
    if matches!(version, Some(Err(_))) {
        return Some("this hash has a version of argon2 that nobody knows");
    }
    let Ok(params) = Params::try_from(phc) else {
        return Some("this hash has costs that argon2 cannot have");
    };
    if algorithm == Algorithm::Argon2d {
        return Some("argon2d is not for passwords");
    }
    let fits = params.m_cost() <= MOST_KIB
        && params.t_cost() <= MOST_PASSES
        && params.p_cost() <= MOST_LANES;
    (!fits).then_some("this hash takes more than 256 MiB, 32 passes or 16 lanes")
}

impl Verifier {
    /// For a hash of the config, which is known to be one.
    pub(super) fn new(hash: &PasswordHash) -> Self {
        Self(Phc::new(hash.phc()).ok())
    }

    /// How long a guess takes, more or less.
    pub(super) fn cost(&self) -> u64 {
        let params = self.0.as_ref().and_then(|phc| Params::try_from(phc).ok());
        params.map_or(0, |params| {
            u64::from(params.m_cost()) * u64::from(params.t_cost())
        })
    }

    /// Whether a guess is right. Slow.
    pub(super) fn matches(&self, guess: &[u8]) -> bool {
        let Some(phc) = &self.0 else {
            return false;
        };
        // Costs and version come from the hash; the comparison is in constant time.
        Argon2::default().verify_password(guess, phc).is_ok()
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_password_only() {
        let hash = hash_password("correct horse").expect("a hash");
        let other = hash_password("correct horse").expect("a hash");
        assert_ne!(hash, other, "salted");
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let verifier = Verifier::new(&PasswordHash::new(&hash));
        assert!(verifier.matches(b"correct horse"));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!verifier.matches(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{verifier:?}").contains("argon"));
    }

    #[test]
    fn hashes_that_cost_too_much_or_nothing_are_problems() {
        let tail = "$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";
        for (text, fine) in [
            ("$argon2id$v=19$m=19456,t=2,p=1", true),
            ("$argon2id$v=19$m=262144,t=32,p=16", true),
            ("$argon2i$v=19$m=19456,t=2,p=1", true),
            ("$argon2d$v=19$m=19456,t=2,p=1", false),
            ("$argon2id$v=19$m=262145,t=2,p=1", false),
            ("$argon2id$v=19$m=19456,t=33,p=1", false),
            ("$argon2id$v=19$m=19456,t=2,p=17", false),
            ("$argon2id$v=18$m=19456,t=2,p=1", false),
            ("$scrypt$ln=16,r=8,p=1", false),
        ] {
            let text = format!("{text}{tail}");
            let phc = Phc::new(&text).expect("PHC");
            assert_eq!(problem(&phc).is_none(), fine, "{text}");
        }
        let phc = Phc::new("$argon2id$v=19$m=19456,t=2,p=1").expect("PHC");
        assert!(problem(&phc).is_some());
    }

    #[test]
    fn passwords_that_nobody_can_send_have_no_hash() {
        for password in ["", "a\nb", &"a".repeat(513)] {
            assert_eq!(hash_password(password), Err(PasswordError::Unfit));
        }
    }
}
