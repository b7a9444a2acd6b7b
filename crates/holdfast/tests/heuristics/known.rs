//! Files about which the two do not agree, by the start of their names, with reasons.

const CLASS: &str =
    "a class or byte order that the rest of the header does not have: clamscan guesses another one";
const SECTIONS: &str = "more sections than there is room for: clamscan gives up at another number";
const COMMANDS: &str =
    "a load command with a length or a count that does not fit: clamscan goes on at another place";
const ENCRYPTED: &str =
    "what cannot be decrypted is told here as encrypted; clamscan does not notice";

pub(crate) const KNOWN: &[(&str, &str)] = &[
    ("elf32-0004-02", CLASS),
    ("elf32-0049-01", SECTIONS),
    ("elf32be-0005-", CLASS),
    ("elf32be-0048-01", SECTIONS),
    ("elf64-0004-01", CLASS),
    ("elf64-0061-01", SECTIONS),
    ("elf64be-0004-01", CLASS),
    ("elf64be-0005-", CLASS),
    ("elf64be-0060-01", SECTIONS),
    ("macho-0036-ff", COMMANDS),
    ("macho-0037-", COMMANDS),
    ("macho-0038-", COMMANDS),
    ("macho-0039-", COMMANDS),
    ("macho-0096-02", COMMANDS),
    ("macho-0148-", COMMANDS),
    ("macho-0149-", COMMANDS),
    ("macho-0150-", COMMANDS),
    ("macho-0151-", COMMANDS),
    ("macho-0156-", COMMANDS),
    ("macho-0157-", COMMANDS),
    ("macho-0158-", COMMANDS),
    ("macho-0159-", COMMANDS),
    ("macho-cut-0192", COMMANDS),
    ("macho-cut-0196", COMMANDS),
    ("pe-0089-02", "an optional header of another length, cut"),
    ("png-0011-01", "a header of another length: clamscan reads on at the next chunk"),
    ("png-0011-0e", "a header of another length: clamscan reads on at the next chunk"),
    ("macho_universal-two-slices", "each of two slices is told"),
    ("dmg-encrypted", ENCRYPTED),
    ("egg-aes", ENCRYPTED),
    ("egg-password", ENCRYPTED),
    ("ole2-agile-infected", ENCRYPTED),
    ("ole2-excel-locked", ENCRYPTED),
    ("ole2-slides-rc4", ENCRYPTED),
    ("ole2-word-rc4", ENCRYPTED),
    ("ole2-word-locked", ENCRYPTED),
    ("pdf-locked", ENCRYPTED),
    (
        "zip-false-encrypted-bit-central",
        "the directory says encrypted, the member's header does not",
    ),
    ("ole2-vba-damaged-dir", "the project is damaged, and its macros are there"),
];
