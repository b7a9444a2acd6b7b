//! The cipher of the vault: XChaCha20-Poly1305 under the vault's key, in chunks.
//!
//! Promises: a chunk that was changed, moved, dropped or taken from another entry is refused.
//! Leaves out: secrecy from whoever can read the key (`lib.rs` says what it is for).

use std::io;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rustix::rand::GetRandomFlags;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes by which sealed data is longer.
pub const TAG_LEN: usize = 16;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;
/// Bytes of what all nonces of one body begin with.
pub const PREFIX_LEN: usize = 19;
/// Plain bytes of a chunk but the last, which may be shorter.
pub const CHUNK_LEN: usize = 64 << 10;

/// The vault's cipher.
#[derive(Clone)]
pub struct Cipher(XChaCha20Poly1305);

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

/// It was changed, or sealed with another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl Cipher {
    /// Returns the cipher of a key.
    #[must_use]
    pub fn new(key: [u8; KEY_LEN]) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(key)))
    }

    /// Seals bytes; none when they are longer than the cipher can.
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(&XNonce::from(nonce), Payload { msg: bytes, aad }).ok()
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// It was not sealed so.
    pub fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        bytes: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        self.0.decrypt(&XNonce::from(nonce), Payload { msg: bytes, aad }).map_err(|_| Refused)
    }
}

/// Returns the nonce of a chunk of a body.
#[must_use]
pub fn chunk_nonce(prefix: [u8; PREFIX_LEN], number: u32, last: Last) -> [u8; NONCE_LEN] {
    let mut nonce = [0u8; NONCE_LEN];
    let parts = prefix.iter().copied().chain(number.to_be_bytes()).chain([last as u8]);
    nonce.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    nonce
}

/// Whether a chunk is the last of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Others follow.
    No = 0,
    /// It is.
    Yes = 1,
}

/// Returns random bytes of the kernel.
///
/// # Errors
/// The kernel has none, which is an old kernel just started.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    let mut filled = 0;
    while filled < N {
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        match rustix::rand::getrandom(rest, GetRandomFlags::empty()) {
            Ok(len) => filled = filled.saturating_add(len),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(bytes)
}
