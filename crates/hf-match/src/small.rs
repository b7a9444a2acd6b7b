//! Kinds of signatures of which there are few: one postcard list each.

use std::io::{Seek, Write};

use hf_core::signature::{
    CertificateSig, ConfigSig, ContainerSig, IconSig, IgnoreSig, MagicSig, PasswordSig, PhishingSig,
};
use hf_pack::{Pack, PackWriter, SectionId, WritePackError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A signature of a rare kind with its name and origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named<T> {
    /// Name as written.
    pub name: String,
    /// Base name of the database file.
    pub file: String,
    /// Line in it, from 1.
    pub line: u32,
    /// From a database of potentially unwanted applications.
    pub pua: bool,
    /// The signature.
    pub sig: T,
}

/// All signatures of rare kinds of one pack, in load order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Small {
    pub(crate) containers: Vec<Named<ContainerSig>>,
    pub(crate) icons: Vec<Named<IconSig>>,
    pub(crate) magics: Vec<Named<MagicSig>>,
    pub(crate) passwords: Vec<Named<PasswordSig>>,
    pub(crate) phishing: Vec<Named<PhishingSig>>,
    pub(crate) certificates: Vec<Named<CertificateSig>>,
    pub(crate) ignored: Vec<Named<IgnoreSig>>,
    pub(crate) config: Vec<Named<ConfigSig>>,
    pub(crate) yara: Vec<Named<String>>,
}

impl Small {
    pub(crate) fn read(pack: &Pack) -> Self {
        Self {
            containers: list(pack, CONTAINERS),
            icons: list(pack, ICONS),
            magics: list(pack, MAGICS),
            passwords: list(pack, PASSWORDS),
            phishing: list(pack, PHISHING),
            certificates: list(pack, CERTIFICATES),
            ignored: list(pack, IGNORED),
            config: list(pack, CONFIG),
            yara: list(pack, SectionId::YARA_BASE),
        }
    }

    pub(crate) fn write<W: Write + Seek>(
        &self,
        pack: &mut PackWriter<W>,
    ) -> Result<(), WritePackError> {
        put(pack, CONTAINERS, &self.containers)?;
        put(pack, ICONS, &self.icons)?;
        put(pack, MAGICS, &self.magics)?;
        put(pack, PASSWORDS, &self.passwords)?;
        put(pack, PHISHING, &self.phishing)?;
        put(pack, IGNORED, &self.ignored)?;
        put(pack, CERTIFICATES, &self.certificates)?;
        put(pack, CONFIG, &self.config)?;
        put(pack, SectionId::YARA_BASE, &self.yara)
    }

    /// Takes another pack's signatures behind these.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.containers.append(&mut other.containers);
        self.icons.append(&mut other.icons);
        self.magics.append(&mut other.magics);
        self.passwords.append(&mut other.passwords);
        self.phishing.append(&mut other.phishing);
        self.certificates.append(&mut other.certificates);
        self.ignored.append(&mut other.ignored);
        self.config.append(&mut other.config);
        self.yara.append(&mut other.yara);
    }
}

/// Reads a list; a damaged one is empty.
fn list<T: DeserializeOwned>(pack: &Pack, id: SectionId) -> Vec<T> {
    postcard::from_bytes(pack.section(id)).unwrap_or_default()
}

fn put<W: Write + Seek, T: Serialize>(
    pack: &mut PackWriter<W>,
    id: SectionId,
    list: &[T],
) -> Result<(), WritePackError> {
    if list.is_empty() {
        return Ok(());
    }
    let bytes = postcard::to_stdvec(list).map_err(|_| WritePackError::Meta)?;
    pack.write_section(id, &bytes)
}

const CONTAINERS: SectionId = SectionId::OTHER_BASE;
const ICONS: SectionId = SectionId::OTHER_BASE.plus(1);
const MAGICS: SectionId = SectionId::OTHER_BASE.plus(2);
const PASSWORDS: SectionId = SectionId::OTHER_BASE.plus(3);
const PHISHING: SectionId = SectionId::OTHER_BASE.plus(4);
const IGNORED: SectionId = SectionId::OTHER_BASE.plus(5);
const CONFIG: SectionId = SectionId::OTHER_BASE.plus(6);
const CERTIFICATES: SectionId = SectionId::OTHER_BASE.plus(7);
