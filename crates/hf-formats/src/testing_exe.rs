//! Builders of small executables for tests and fuzz targets. What they build is inert.

/// A section of a PE to be built.
#[derive(Debug, Clone)]
pub struct PeSection {
    /// At most eight bytes.
    pub name: &'static [u8],
    /// Address; a multiple of 0x1000.
    pub rva: u32,
    /// Data in the file.
    pub data: Vec<u8>,
}

/// A PE to be built.
#[derive(Debug, Clone, Default)]
pub struct PeSpec {
    /// PE32+.
    pub is_64: bool,
    /// Address of the entry point.
    pub entry_rva: u32,
    /// Sections in order; their data follow each other in the file from [`FIRST_RAW_OFF`] on.
    pub sections: Vec<PeSection>,
    /// Index, address and length of entries of the data directory.
    pub directories: Vec<(usize, u32, u32)>,
    /// Bytes behind the last section.
    pub overlay: Vec<u8>,
}

/// File offset of the first section's data.
pub const FIRST_RAW_OFF: u32 = 0x400;
/// Address of the first section in [`tiny_pe`].
pub const FIRST_RVA: u32 = 0x1000;
const FILE_ALIGN: usize = 0x200;
const PE_OFF: u32 = 0x40;

/// Returns a PE with sections of this data, at 0x1000, 0x2000 and so on (each below 0x1000 bytes).
#[must_use]
pub fn tiny_pe(sections: &[&[u8]], entry_rva: u32) -> Vec<u8> {
    let sections = (1u32..)
        .zip(sections)
        .map(|(page, data)| PeSection { name: b".sec", rva: page * FIRST_RVA, data: data.to_vec() })
        .collect();
    pe(&PeSpec { entry_rva, sections, ..PeSpec::default() })
}

/// Returns a PE.
#[must_use]
pub fn pe(spec: &PeSpec) -> Vec<u8> {
    let mut file = Bytes::default();
    file.raw(b"MZ").zeros_to(0x3c).u32(PE_OFF).raw(b"PE\0\0");
    file.u16(if spec.is_64 { 0x8664 } else { 0x14c }).u16(len_u16(spec.sections.len()));
    file.u32(0x4a5b_6c7d).u32(0).u32(0).u16(if spec.is_64 { 240 } else { 224 }).u16(0x102);
    optional_header(&mut file, spec);
    let mut raw_off = FIRST_RAW_OFF;
    for section in &spec.sections {
        let raw_len = len_u32(section.data.len().next_multiple_of(FILE_ALIGN));
        let mut name = section.name.to_vec();
        name.resize(8, 0);
        file.raw(&name).u32(len_u32(section.data.len().max(1))).u32(section.rva);
        file.u32(raw_len).u32(raw_off).zeros(12).u32(0x6000_0020);
        raw_off += raw_len;
    }
    file.zeros_to(0x400);
    for section in &spec.sections {
        file.raw(&section.data).align(FILE_ALIGN);
    }
    file.raw(&spec.overlay);
    file.0
}

fn optional_header(file: &mut Bytes, spec: &PeSpec) {
    let image_len = spec
        .sections
        .last()
        .map_or(0x1000, |last| last.rva + len_u32(last.data.len().next_multiple_of(0x1000)));
    file.u16(if spec.is_64 { 0x20b } else { 0x10b }).zeros(14).u32(spec.entry_rva).u32(FIRST_RVA);
    if spec.is_64 {
        file.u32(0x40_0000).u32(0);
    } else {
        file.u32(0x2000).u32(0x40_0000);
    }
    file.u32(0x1000).u32(len_u32(FILE_ALIGN)).u16(4).zeros(6).u16(4).zeros(6);
    file.u32(image_len).u32(FIRST_RAW_OFF).u32(0).u16(2).u16(0);
    file.zeros(if spec.is_64 { 36 } else { 20 }).u32(16);
    for idx in 0..16 {
        let entry = spec.directories.iter().find(|entry| entry.0 == idx);
        let (rva, len) = entry.map_or((0, 0), |entry| (entry.1, entry.2));
        file.u32(rva).u32(len);
    }
}

/// A function to import.
#[derive(Debug, Clone, Copy)]
pub enum Import {
    /// By name.
    Name(&'static str),
    /// By number.
    Ordinal(u16),
}

/// Returns the data of a section at this address that is an import table, and the table's length.
#[must_use]
pub fn import_table(rva: u32, is_64: bool, libraries: &[(&str, &[Import])]) -> (Vec<u8>, u32) {
    let table_len = 20 * (libraries.len() + 1);
    let mut descriptors = Bytes::default();
    let mut rest = Bytes::default();
    let at = |rest: &Bytes| rva + len_u32(table_len + rest.0.len());
    for (library, functions) in libraries {
        let name_rva = at(&rest);
        rest.raw(library.as_bytes()).raw(b"\0").align(8);
        let mut thunks = Vec::new();
        for function in *functions {
            thunks.push(match function {
                Import::Ordinal(number) => u64::from(*number) | 1 << if is_64 { 63 } else { 31 },
                Import::Name(name) => {
                    let hint_rva = at(&rest);
                    rest.u16(0).raw(name.as_bytes()).raw(b"\0").align(8);
                    u64::from(hint_rva)
                }
            });
        }
        thunks.push(0);
        let thunks_rva = at(&rest);
        for thunk in thunks {
            let bytes = thunk.to_le_bytes();
            rest.raw(if is_64 { &bytes } else { bytes.first_chunk::<4>().map_or(&[], |b| b) });
        }
        rest.align(8);
        descriptors.u32(thunks_rva).u32(0).u32(0).u32(name_rva).u32(thunks_rva);
    }
    descriptors.zeros_to(table_len).raw(&rest.0);
    (descriptors.0, len_u32(table_len))
}

/// Returns the data of a section at this address that is a resource tree of these resources
/// (type, name, data), each in language 0x409.
#[must_use]
pub fn resource_tree(rva: u32, resources: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut kinds: Vec<u32> = resources.iter().map(|resource| resource.0).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut sorted = resources.to_vec();
    sorted.sort_by_key(|resource| (resource.0, resource.1));
    let of_kind = |kind: u32| sorted.iter().filter(move |resource| resource.0 == kind);
    // A directory for the types, one for each type, one for each name; then leaves, then data.
    let kinds_len = 16 + 8 * kinds.len();
    let languages_off = kinds_len + 16 * kinds.len() + 8 * sorted.len();
    let leaves_off = languages_off + 24 * sorted.len();
    let data_off = leaves_off + 16 * sorted.len();
    let (mut tree, mut names, mut data) = (Bytes::default(), Bytes::default(), Bytes::default());
    tree.zeros(14).u16(len_u16(kinds.len()));
    let mut idx = 0;
    for kind in kinds {
        tree.u32(kind).u32(len_u32(kinds_len + names.0.len()) | 0x8000_0000);
        names.zeros(14).u16(len_u16(of_kind(kind).count()));
        for (_, name, _) in of_kind(kind) {
            names.u32(*name).u32(len_u32(languages_off + 24 * idx) | 0x8000_0000);
            idx += 1;
        }
    }
    tree.raw(&names.0);
    for idx in 0..sorted.len() {
        tree.zeros(14).u16(1).u32(0x409).u32(len_u32(leaves_off + 16 * idx));
    }
    for (_, _, bytes) in &sorted {
        tree.u32(rva + len_u32(data_off + data.0.len())).u32(len_u32(bytes.len())).zeros(8);
        data.raw(bytes).align(8);
    }
    tree.raw(&data.0);
    tree.0
}

/// Returns a `VS_VERSION_INFO` resource with these strings.
#[must_use]
pub fn version_resource(strings: &[(&str, &str)]) -> Vec<u8> {
    let strings: Vec<Vec<u8>> =
        strings.iter().map(|(key, value)| version_block(key, &wide(value), true, &[])).collect();
    let table = version_block("040904b0", &[], true, &strings);
    let info = version_block("StringFileInfo", &[], true, &[table]);
    let mut fixed = 0xfeef_04bd_u32.to_le_bytes().to_vec();
    fixed.resize(52, 0);
    version_block("VS_VERSION_INFO", &fixed, false, &[info])
}

fn version_block(key: &str, value: &[u8], is_text: bool, children: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Bytes::default();
    body.raw(&wide(key));
    // The header in front has six bytes.
    body.zeros((body.0.len() + 6).next_multiple_of(4) - body.0.len() - 6).raw(value);
    for child in children {
        body.zeros((body.0.len() + 6).next_multiple_of(4) - body.0.len() - 6).raw(child);
    }
    let value_len = if is_text { value.len() / 2 } else { value.len() };
    let mut block = Bytes::default();
    block.u16(len_u16(body.0.len() + 6)).u16(len_u16(value_len)).u16(u16::from(is_text));
    block.raw(&body.0);
    block.0
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// Returns an ELF file with one loaded segment and a section `.text` of this code, whose first byte is
/// the entry point.
#[must_use]
pub fn tiny_elf(is_64: bool, is_big_endian: bool, code: &[u8]) -> Vec<u8> {
    let mut file = Bytes::default();
    let order = |bytes: &mut Vec<u8>| {
        if is_big_endian {
            bytes.reverse();
        }
    };
    let put = |file: &mut Bytes, value: u64, len: usize| {
        let mut bytes = value.to_le_bytes().to_vec();
        bytes.truncate(len);
        order(&mut bytes);
        file.raw(&bytes);
    };
    let word = if is_64 { 8 } else { 4 };
    let (header_len, segment_len, section_len) = if is_64 { (64, 56, 64) } else { (52, 32, 40) };
    let code_off = header_len + segment_len;
    let sections_off = (code_off + code.len()).next_multiple_of(8);
    let file_len = sections_off + 2 * section_len;
    let base = 0x40_0000;
    let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    file.raw(b"\x7fELF").raw(&[1 + u8::from(is_64), 1 + u8::from(is_big_endian), 1]).zeros(9);
    for (value, len) in [(2, 2), (62, 2), (1, 4), (base + size(code_off), word)] {
        put(&mut file, value, len);
    }
    for (value, len) in [(size(header_len), word), (size(sections_off), word), (0, 4)] {
        put(&mut file, value, len);
    }
    for value in [header_len, segment_len, 1, section_len, 2, 0] {
        put(&mut file, size(value), 2);
    }
    put(&mut file, 1, 4);
    if is_64 {
        put(&mut file, 5, 4);
    }
    for value in [0, base, base, size(file_len), size(file_len)] {
        put(&mut file, value, word);
    }
    if !is_64 {
        put(&mut file, 5, 4);
    }
    put(&mut file, 0x1000, word);
    file.raw(code).zeros_to(sections_off).zeros(section_len);
    put(&mut file, 0, 4);
    put(&mut file, 1, 4);
    for value in [6, base + size(code_off), size(code_off), size(code.len())] {
        put(&mut file, value, word);
    }
    file.zeros_to(file_len);
    file.0
}

/// Returns a 64-bit Mach-O file (x86-64) with one section of this code; `LC_MAIN` points to its first byte.
#[must_use]
pub fn tiny_macho(code: &[u8]) -> Vec<u8> {
    let code_off = 32 + 72 + 80 + 24;
    let address = 0x1_0000_0000;
    let mut file = Bytes::default();
    file.u32(0xfeed_facf).u32(0x0100_0007).u32(3).u32(2).u32(2).u32(72 + 80 + 24).u32(0).u32(0);
    file.u32(0x19).u32(72 + 80).raw(b"__TEXT\0\0\0\0\0\0\0\0\0\0");
    let len = u64::from(code_off) + u64::try_from(code.len()).unwrap_or(u64::MAX);
    file.u64(address).u64(0x1000).u64(0).u64(len).u32(7).u32(5).u32(1).u32(0);
    file.raw(b"__text\0\0\0\0\0\0\0\0\0\0__TEXT\0\0\0\0\0\0\0\0\0\0");
    file.u64(address + u64::from(code_off)).u64(len - u64::from(code_off)).u32(code_off).zeros(28);
    file.u32(0x8000_0028).u32(24).u64(u64::from(code_off)).u64(0);
    file.raw(code);
    file.0
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn zeros(&mut self, len: usize) -> &mut Self {
        self.0.resize(self.0.len() + len, 0);
        self
    }

    fn zeros_to(&mut self, off: usize) -> &mut Self {
        assert!(self.0.len() <= off, "the headers do not fit");
        self.0.resize(off, 0);
        self
    }

    fn align(&mut self, to: usize) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self
    }
}

fn len_u16(len: usize) -> u16 {
    u16::try_from(len).expect("tests build small files")
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("tests build small files")
}
