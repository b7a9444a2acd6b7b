//! Secret keys: in files of mode 0600, plain or under a passphrase; never printed, wiped from memory.
//!
//! A key file is TOML. Its secret is the 32-byte seed of Ed25519 (RFC 8032) or ML-DSA (FIPS 204 ξ), in
//! Base 64; under a passphrase it is sealed by ChaCha20-Poly1305 with a key that Argon2id made of it,
//! and what the file says besides is authenticated with it.
//! A [`Signer`] is all that the rest of this program knows, so that a key may as well sit in a token: then
//! the file has no secret, and names the command that signs ([`command`]).

mod command;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ed25519_dalek::Signer as _;
use hf_trust::log::{Note, Verifier, VerifierKind};
use hf_trust::text::{from_base64, to_base64};
use hf_trust::{PublicKey, Scheme, Time};
use ml_dsa::MlDsa44;
use ml_dsa::signature::{Keypair as _, SignatureEncoding as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Something that signs: a key in a file, or in a token.
pub(crate) trait Signer {
    /// Returns the public key.
    fn public(&self) -> &PublicKey;

    /// Signs exactly these bytes.
    ///
    /// # Errors
    /// The key is not there any more, or refuses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// A secret key.
pub(crate) struct SecretKey {
    public: PublicKey,
    secret: Secret,
}

/// Where a secret is.
enum Secret {
    /// In memory.
    Seed(Zeroizing<[u8; 32]>),
    /// With a command that signs.
    Command(Vec<String>),
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret of {:?}", self.public)
    }
}

impl SecretKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn generate(scheme: Scheme) -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut seed[..])?;
        Self::from_seed(scheme, seed)
    }

    fn from_seed(scheme: Scheme, seed: Zeroizing<[u8; 32]>) -> Result<Self> {
        let public = match scheme {
            Scheme::Ed25519 => {
                ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes().to_vec()
            }
            Scheme::MlDsa44 => ml_dsa_44(&seed).verifying_key().encode().to_vec(),
            other => bail!("keys of {other} are not made here"),
        };
        let public = PublicKey::from_bytes(scheme, &public).context("the key that was made")?;
        Ok(Self { public, secret: Secret::Seed(seed) })
    }
}

fn ml_dsa_44(seed: &[u8; 32]) -> ml_dsa::SigningKey<MlDsa44> {
    ml_dsa::SigningKey::from_seed(&(*seed).into())
}

impl Signer for SecretKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = match (&self.secret, self.public.scheme()) {
            (Secret::Command(words), _) => command::sign(words, message)?,
            (Secret::Seed(seed), Scheme::Ed25519) => {
                let key = ed25519_dalek::SigningKey::from_bytes(seed);
                key.sign(message).to_bytes().to_vec()
            }
            (Secret::Seed(seed), _) => {
                let key = ml_dsa_44(seed);
                let signature = key.expanded_key().sign_deterministic(message, &[]);
                let signature = signature.ok().context("ML-DSA refuses to sign")?;
                signature.to_bytes().to_vec()
            }
        };
        // A signature that does not verify would only be noticed by those who trust us.
        self.public.verify(message, &signature).context("the signature just made")?;
        Ok(signature)
    }
}

/// Signs a note as the holder of `key`, under a name.
///
/// # Errors
/// The text cannot be signed in this way, or the key refuses.
pub(crate) fn sign_note(
    key: &dyn Signer,
    name: &str,
    kind: VerifierKind,
    note: &mut Note,
    time: Time,
) -> Result<()> {
    let verifier = Verifier::new(name, kind, key.public().as_bytes())?;
    let message = verifier.message(note.text(), time).context("this text cannot be cosigned")?;
    let line = verifier.signature(time, &key.sign(&message)?);
    note.add(line.context("the time cannot be written")?);
    Ok(())
}

/// What a key file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    /// What it is for, for people.
    role: String,
    /// Whose it is.
    name: String,
    scheme: String,
    public: String,
    /// In Base 64: the seed, or nonce and sealed seed.
    #[serde(default, skip_serializing_if = "secret_is_elsewhere")]
    secret: Zeroizing<String>,
    /// In place of the secret: the command that signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2id: Option<Kdf>,
}

fn secret_is_elsewhere(secret: &Zeroizing<String>) -> bool {
    secret.is_empty()
}

/// How a passphrase becomes a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    salt: String,
    memory_kib: u32,
    passes: u32,
}

const FORMAT: &str = "holdfast-secret-key/1";
/// Ours: most bytes of a key file.
const FILE_LEN_MAX: u64 = 16 << 10;
/// RFC 9106 §4, second recommended choice.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
/// Ours: a file that asks for more is refused rather than obeyed.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 16;

/// Returns the word for a scheme in key files.
fn scheme_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::MlDsa44 => "ml-dsa-44",
        _ => "ed25519",
    }
}

/// Makes a key and its file, which must not be there yet.
///
/// # Errors
/// The file is there, or cannot be written.
pub(crate) fn create(
    path: &Path,
    name: &str,
    role: &str,
    scheme: Scheme,
    passphrase: Option<&Passphrase>,
) -> Result<SecretKey> {
    let key = SecretKey::generate(scheme)?;
    write(path, name, role, &key, passphrase)?;
    Ok(key)
}

fn write(
    path: &Path,
    name: &str,
    role: &str,
    key: &SecretKey,
    passphrase: Option<&Passphrase>,
) -> Result<()> {
    let Secret::Seed(seed) = &key.secret else { bail!("the secret is in a token") };
    let mut file = KeyFile {
        format: FORMAT.to_owned(),
        role: role.to_owned(),
        name: name.to_owned(),
        scheme: scheme_name(key.public.scheme()).to_owned(),
        public: to_base64(key.public.as_bytes()),
        secret: Zeroizing::new(String::new()),
        command: Vec::new(),
        argon2id: None,
    };
    file.secret = match passphrase {
        None => Zeroizing::new(to_base64(&seed[..])),
        Some(passphrase) => {
            let mut salt = [0; 16];
            random(&mut salt)?;
            let mut nonce = [0; 12];
            random(&mut nonce)?;
            let kdf = Kdf { salt: to_base64(&salt), memory_kib: MEMORY_KIB, passes: PASSES };
            let cipher = cipher(passphrase, &kdf)?;
            let payload = Payload { msg: &seed[..], aad: &file.authenticated() };
            let sealed = cipher.encrypt(&Nonce::from(nonce), payload);
            let sealed = sealed.ok().context("the key cannot be sealed")?;
            file.argon2id = Some(kdf);
            Zeroizing::new(to_base64(&[&nonce[..], &sealed].concat()))
        }
    };
    let text = Zeroizing::new(toml::to_string(&file)?);
    let shown = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(shown)?;
    }
    let mut out = OpenOptions::new();
    let mut out = out.write(true).create_new(true).mode(0o600).open(path).with_context(shown)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).with_context(shown)
}

impl KeyFile {
    /// What the seal covers besides the secret.
    fn authenticated(&self) -> Vec<u8> {
        [&self.format, &self.role, &self.name, &self.scheme, &self.public]
            .map(String::as_str)
            .join("\n")
            .into_bytes()
    }
}

/// Reads a key file.
///
/// # Errors
/// It is not there, others can read or write it, it is damaged, or the passphrase is another.
pub(crate) fn read(path: &Path, passphrase: Option<&Passphrase>) -> Result<SecretKey> {
    let shown = path.display();
    let text = read_private(path)?;
    parse(&text, passphrase).with_context(|| format!("key file {shown}"))
}

/// Reads the text of a key file.
///
/// # Errors
/// It is damaged, or the passphrase is missing or another.
pub(crate) fn parse(text: &str, passphrase: Option<&Passphrase>) -> Result<SecretKey> {
    // The library's message quotes the line, which may hold the secret.
    let file: KeyFile = toml::from_str(text).ok().context("is not readable")?;
    ensure!(file.format == FORMAT, "is not of the format {FORMAT}");
    let scheme = match file.scheme.as_str() {
        "ed25519" => Scheme::Ed25519,
        "ml-dsa-44" => Scheme::MlDsa44,
        _ => bail!("has a scheme that is not understood"),
    };
    if !file.command.is_empty() {
        ensure!(file.secret.is_empty(), "has both a secret and a command");
        let public = from_base64(&file.public).context("has a public key that is not Base 64")?;
        let public = PublicKey::from_bytes(scheme, &public).context("has a bad public key")?;
        return Ok(SecretKey { public, secret: Secret::Command(file.command.clone()) });
    }
    let secret = from_base64(&file.secret).map(Zeroizing::new).context("has no secret")?;
    let opened = match (&file.argon2id, passphrase) {
        (None, _) => secret,
        (Some(_), None) => bail!("needs a passphrase (--passphrase-file)"),
        (Some(kdf), Some(passphrase)) => {
            let (nonce, sealed) = secret.split_first_chunk::<12>().context("is too short")?;
            let payload = Payload { msg: sealed, aad: &file.authenticated() };
            let opened = cipher(passphrase, kdf)?.decrypt(&Nonce::from(*nonce), payload);
            Zeroizing::new(opened.ok().context("cannot be opened: another passphrase, or damage")?)
        }
    };
    let seed = <[u8; 32]>::try_from(&opened[..]).ok().context("has a secret of another length")?;
    let key = SecretKey::from_seed(scheme, Zeroizing::new(seed))?;
    ensure!(to_base64(key.public.as_bytes()) == file.public, "has a public key of another secret");
    Ok(key)
}

fn read_private(path: &Path) -> Result<Zeroizing<String>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open the key file {shown}"))?;
    let meta = file.metadata()?;
    ensure!(meta.is_file(), "{shown} is not a file");
    ensure!(
        meta.mode() & 0o077 == 0,
        "{shown} can be read by others (mode {:03o}): chmod 600 it, and think about rotating the key",
        meta.mode() & 0o777
    );
    let mine = rustix::process::geteuid().as_raw();
    ensure!(meta.uid() == mine || mine == 0, "{shown} belongs to another user");
    ensure!(meta.len() <= FILE_LEN_MAX, "{shown} is too long for a key file");
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(FILE_LEN_MAX)?));
    file.take(FILE_LEN_MAX).read_to_string(&mut text).with_context(|| format!("{shown}"))?;
    Ok(text)
}

fn cipher(passphrase: &Passphrase, kdf: &Kdf) -> Result<ChaCha20Poly1305> {
    ensure!(
        (8..=MEMORY_KIB_MAX).contains(&kdf.memory_kib) && (1..=PASSES_MAX).contains(&kdf.passes),
        "asks for more memory or passes than is allowed"
    );
    let salt = from_base64(&kdf.salt).context("has no salt")?;
    let params = argon2::Params::new(kdf.memory_kib, kdf.passes, 1, Some(32));
    let params = params.ok().context("has bad parameters for its passphrase")?;
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    let made = argon2.hash_password_into(passphrase.0.as_bytes(), &salt, &mut key[..]);
    made.ok().context("has a salt that cannot be used")?;
    Ok(ChaCha20Poly1305::new(&Key::from(*key)))
}

/// A passphrase.
pub(crate) struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Reads the first line of a file; none when no file is named.
    ///
    /// # Errors
    /// The file cannot be read, or others can read it.
    pub(crate) fn from_file(path: Option<&PathBuf>) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let text = read_private(path)?;
        let line = text.lines().next().unwrap_or_default();
        ensure!(!line.is_empty(), "{} holds no passphrase", path.display());
        Ok(Some(Self(Zeroizing::new(line.to_owned()))))
    }

    #[cfg(test)]
    fn test(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

/// Fills with random bytes of the system.
fn random(bytes: &mut [u8]) -> Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let taken = rustix::rand::getrandom(&mut *left, rustix::rand::GetRandomFlags::empty())?;
        left = left.get_mut(taken..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn seed_of(key: &SecretKey) -> &[u8] {
        let Secret::Seed(seed) = &key.secret else { panic!("it was made here") };
        &seed[..]
    }

    #[test]
    fn keys_come_back() {
        let temp = tempfile::tempdir().unwrap();
        for scheme in [Scheme::Ed25519, Scheme::MlDsa44] {
            let path = temp.path().join(scheme_name(scheme));
            let key = create(&path, "a.example", "root", scheme, None).unwrap();
            let again = read(&path, None).unwrap();
            assert_eq!(again.public(), key.public());
            let signature = again.sign(b"text").unwrap();
            key.public().verify(b"text", &signature).unwrap();
            assert!(key.public().verify(b"other", &signature).is_err());
            assert!(create(&path, "a.example", "root", scheme, None).is_err(), "never overwritten");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert!(read(&path, None).unwrap_err().to_string().contains("by others"));
        }
    }

    #[test]
    fn passphrases_seal() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        let phrase = Passphrase::test("correct horse");
        let key = create(&path, "a.example", "root", Scheme::Ed25519, Some(&phrase)).unwrap();
        assert_eq!(read(&path, Some(&phrase)).unwrap().public(), key.public());
        assert!(read(&path, None).is_err());
        assert!(read(&path, Some(&Passphrase::test("other"))).is_err());
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&to_base64(seed_of(&key))));
        // What the file says of the key is authenticated with it.
        assert!(parse(&text.replace("\"root\"", "\"log\""), Some(&phrase)).is_err());
        let greedy = text.replace("memory_kib = 65536", "memory_kib = 4000000000");
        assert!(parse(&greedy, Some(&phrase)).is_err());
    }

    #[test]
    fn nothing_prints_a_secret() {
        let key = SecretKey::generate(Scheme::Ed25519).unwrap();
        let shown = format!("{key:?}");
        assert!(!shown.contains(&to_base64(seed_of(&key))));
        let text = "format = \"holdfast-secret-key/1\"\nsecret = \"c2VjcmV0";
        let error = format!("{:#}", parse(text, None).unwrap_err());
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}
