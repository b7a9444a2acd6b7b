//! Names of the signature languages and the suffixes by which files are told apart.

use crate::grammar;

/// A signature language, or a container of files in such languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    /// `db`: name and pattern.
    Basic,
    /// `cvd`: signed container.
    Cvd,
    /// `cld`: container that was updated in place.
    Cld,
    /// `cud`: unsigned container.
    Cud,
    /// `crb`: rules on certificates.
    Certificates,
    /// `hdb hsb hdu hsu fp sfp`: digests of whole objects.
    Hash,
    /// `mdb msb mdu msu`: digests of PE sections.
    SectionHash,
    /// `imp`: digests of PE imports.
    ImportHash,
    /// `ndb ndu sdb`: patterns with a target and an offset.
    Extended,
    /// `ldb ldu`: logical signatures.
    Logical,
    /// `cbc`: bytecode.
    Bytecode,
    /// `zmd rmd`: old metadata of zip and RAR members.
    OldMetadata,
    /// `cfg`: configuration of parsers.
    Config,
    /// `info`: list of a container's members.
    Info,
    /// `wdb pdb gdb`: phishing lists.
    Phishing,
    /// `ftm`: magics of file types.
    FileTypes,
    /// `ign ign2`: names to leave out.
    Ignore,
    /// `idb`: icons.
    Icons,
    /// `cdb`: metadata of container members.
    Container,
    /// `cat`: catalogues of signed files.
    Catalog,
    /// `ioc`: OpenIOC documents.
    OpenIoc,
    /// `yar yara`: YARA rules.
    Yara,
    /// `pwdb`: passwords.
    Passwords,
}

/// Returns the language of a file by its name's suffix, whatever its case; none for other files.
#[must_use]
pub fn recognised(file_name: &str) -> Option<Language> {
    grammar::entry(file_name).map(|entry| entry.language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes() {
        assert_eq!(recognised("main.ldb"), Some(Language::Logical));
        assert_eq!(recognised("DAILY.HSB"), Some(Language::Hash));
        assert_eq!(recognised("x.info"), Some(Language::Info));
        assert_eq!(recognised("x.ign2"), Some(Language::Ignore));
        assert_eq!(recognised("x.txt"), None);
        assert_eq!(recognised("db"), None);
        assert_eq!(recognised("ä.db"), Some(Language::Basic));
    }
}
