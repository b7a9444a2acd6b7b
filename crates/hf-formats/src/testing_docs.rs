//! Builders of small inert documents: compound files, VBA projects, PDF files.
//!
//! Promises: the same input gives the same bytes. What they build is valid unless asked otherwise.
//! Leaves out: everything that no test needs (dates, class ids, balanced trees, cross-reference tables).
//! Sources: MS-CFB, MS-OVBA, ISO 32000-1.
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "builders index vectors that they made")
)]

/// Builds compound files (version 3) with one level of storages a `/`.
#[derive(Debug, Clone, Default)]
pub struct CfbBuilder {
    streams: Vec<(String, Vec<u8>)>,
}

const SECTOR: usize = 512;
const MINI: usize = 64;
const CUTOFF: usize = 4096;
const END: u32 = 0xffff_fffe;
const FREE: u32 = 0xffff_ffff;
const FAT: u32 = 0xffff_fffd;

struct Node {
    name: String,
    kind: u8,
    data: Vec<u8>,
    children: Vec<usize>,
}

#[derive(Default)]
struct Sectors {
    data: Vec<u8>,
    fat: Vec<u32>,
}

impl Sectors {
    fn put(&mut self, data: &[u8]) -> u32 {
        if data.is_empty() {
            return END;
        }
        chain(&mut self.data, &mut self.fat, data, SECTOR)
    }
}

fn chain(into: &mut Vec<u8>, table: &mut Vec<u32>, data: &[u8], len: usize) -> u32 {
    let start = u32_of(table.len());
    let count = data.len().div_ceil(len);
    for idx in 1..=count {
        table.push(if idx == count { END } else { start + u32_of(idx) });
    }
    into.extend_from_slice(data);
    into.resize(table.len() * len, 0);
    start
}

fn u32_of(value: usize) -> u32 {
    u32::try_from(value).expect("test documents are small")
}

fn u16_of(value: usize) -> u16 {
    u16::try_from(value).expect("test documents are small")
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl CfbBuilder {
    /// Returns an empty compound file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stream; the storages of its path are made when needed.
    #[must_use]
    pub fn stream(mut self, path: &str, data: &[u8]) -> Self {
        self.streams.push((path.to_owned(), data.to_vec()));
        self
    }

    /// Returns the file.
    ///
    /// # Panics
    /// On documents of more than some megabytes.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let nodes = self.nodes();
        let mut sectors = Sectors::default();
        let (mut mini, mut mini_fat) = (Vec::new(), Vec::new());
        let mut starts = vec![END; nodes.len()];
        for (start, node) in starts.iter_mut().zip(&nodes) {
            if !node.data.is_empty() && node.data.len() < CUTOFF {
                *start = chain(&mut mini, &mut mini_fat, &node.data, MINI);
            } else {
                *start = sectors.put(&node.data);
            }
        }
        starts[0] = sectors.put(&mini);
        let table: Vec<u8> = mini_fat.iter().flat_map(|next| next.to_le_bytes()).collect();
        let mut padded = table;
        padded.resize(padded.len().next_multiple_of(SECTOR), 0xff);
        let mini_fat_len = u32_of(padded.len() / SECTOR);
        let mini_fat_start = sectors.put(&padded);
        let directory_start = sectors.put(&directory(&nodes, &starts, mini.len()));
        finish(sectors, directory_start, mini_fat_start, mini_fat_len)
    }

    fn nodes(&self) -> Vec<Node> {
        let new = |name: &str, kind| Node {
            name: name.to_owned(),
            kind,
            data: Vec::new(),
            children: Vec::new(),
        };
        let mut nodes = vec![new("Root Entry", 5)];
        for (path, data) in &self.streams {
            let mut at = 0;
            let steps: Vec<&str> = path.split('/').collect();
            for (depth, step) in steps.iter().enumerate() {
                let leaf = depth + 1 == steps.len();
                let old = nodes[at].children.iter().copied().find(|idx| nodes[*idx].name == *step);
                at = old.filter(|_| !leaf).unwrap_or_else(|| {
                    let idx = nodes.len();
                    nodes.push(new(step, if leaf { 2 } else { 1 }));
                    nodes[at].children.push(idx);
                    idx
                });
            }
            nodes[at].data.clone_from(data);
        }
        nodes
    }
}

fn directory(nodes: &[Node], starts: &[u32], mini_len: usize) -> Vec<u8> {
    let mut right = vec![FREE; nodes.len()];
    for node in nodes {
        for pair in node.children.windows(2) {
            right[pair[0]] = u32_of(pair[1]);
        }
    }
    let mut out = Vec::new();
    for (idx, node) in nodes.iter().enumerate() {
        let mut name = wide(&node.name);
        let name_len = u16_of(name.len() + 2);
        name.resize(64, 0);
        out.extend_from_slice(&name);
        out.extend_from_slice(&name_len.to_le_bytes());
        out.extend_from_slice(&[node.kind, 1]);
        let child = node.children.first().map_or(FREE, |child| u32_of(*child));
        for word in [FREE, right[idx], child] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&[0; 36]);
        let len = if node.kind == 5 { mini_len } else { node.data.len() };
        let start = if node.kind == 1 { 0 } else { starts[idx] };
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&u64::from(u32_of(len)).to_le_bytes());
    }
    while !out.len().is_multiple_of(SECTOR) {
        let mut free = [0u8; 128];
        free[68..80].fill(0xff);
        out.extend_from_slice(&free);
    }
    out
}

fn finish(sectors: Sectors, directory: u32, mini_fat: u32, mini_fat_len: u32) -> Vec<u8> {
    let Sectors { data, mut fat } = sectors;
    let mut fat_len = 1;
    while fat.len() + fat_len > fat_len * (SECTOR / 4) {
        fat_len += 1;
    }
    assert!(fat_len <= 109, "no DIFAT sectors in test documents");
    let fat_start = u32_of(fat.len());
    fat.resize(fat.len() + fat_len, FAT);
    fat.resize(fat_len * (SECTOR / 4), FREE);
    let mut out = vec![0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
    out.extend_from_slice(&[0; 16]);
    for half in [0x3e_u16, 3, 0xfffe, 9, 6, 0, 0, 0] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    let words = [0, u32_of(fat_len), directory, 0, 4096, mini_fat, mini_fat_len, END, 0];
    for word in words {
        out.extend_from_slice(&u32::to_le_bytes(word));
    }
    for idx in 0..109 {
        let word = if idx < fat_len { fat_start + u32_of(idx) } else { FREE };
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&data);
    out.extend(fat.iter().flat_map(|next| next.to_le_bytes()));
    out
}

/// Compresses as VBA does, with literal tokens only, which is allowed.
///
/// # Panics
/// Never: chunks are cut small enough for literals.
#[must_use]
pub fn ovba_compress(text: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    // Every eighth byte costs a flag byte: 3584 bytes make 4032.
    for chunk in text.chunks(3584) {
        let mut tokens = Vec::new();
        for eight in chunk.chunks(8) {
            tokens.push(0);
            tokens.extend_from_slice(eight);
        }
        let header = 0xb000 | (u16_of(tokens.len()) - 1);
        out.extend_from_slice(&header.to_le_bytes());
        out.extend_from_slice(&tokens);
    }
    out
}

/// Returns a decompressed `dir` stream that names modules and the offsets of their source.
///
/// # Panics
/// On names of more than 64 KiB.
#[must_use]
pub fn vba_dir(modules: &[(&str, u32)]) -> Vec<u8> {
    // The version record's size leaves two of its six bytes out.
    let mut out = vec![9, 0, 4, 0, 0, 0, 0x61, 0, 0, 0, 1, 0];
    let mut record = |id: u16, data: &[u8]| {
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&u32_of(data.len()).to_le_bytes());
        out.extend_from_slice(data);
    };
    record(0x01, &1_u32.to_le_bytes());
    record(0x02, &0x409_u32.to_le_bytes());
    record(0x14, &0x409_u32.to_le_bytes());
    record(0x03, &1252_u16.to_le_bytes());
    record(0x04, b"VBAProject");
    record(0x0f, &u16_of(modules.len()).to_le_bytes());
    record(0x13, &[0xff, 0xff]);
    for (name, text_off) in modules {
        record(0x19, name.as_bytes());
        record(0x47, &wide(name));
        record(0x1a, name.as_bytes());
        record(0x32, &wide(name));
        record(0x1c, b"");
        record(0x48, b"");
        record(0x31, &text_off.to_le_bytes());
        record(0x1e, &[0; 4]);
        record(0x2c, &[0xff, 0xff]);
        record(0x21, b"");
        record(0x2b, b"");
    }
    record(0x10, b"");
    out
}

/// Returns a compound file with a VBA project in the storage `Macros`.
#[must_use]
pub fn vba_document(modules: &[(&str, &str)]) -> CfbBuilder {
    const CACHE: &[u8] = b"performance cache";
    let offs: Vec<(&str, u32)> =
        modules.iter().map(|(name, _)| (*name, u32_of(CACHE.len()))).collect();
    let mut builder = CfbBuilder::new()
        .stream("WordDocument", &[0; 64])
        .stream("Macros/VBA/dir", &ovba_compress(&vba_dir(&offs)))
        .stream("Macros/VBA/_VBA_PROJECT", &[0xcc, 0x61, 0xff, 0xff, 0, 0, 0]);
    for (name, source) in modules {
        let mut stream = CACHE.to_vec();
        stream.extend(ovba_compress(source.as_bytes()));
        builder = builder.stream(&format!("Macros/VBA/{name}"), &stream);
    }
    builder
}

/// Returns an `\x01Ole10Native` stream that packs a file.
///
/// # Panics
/// On files of 4 GiB and more.
#[must_use]
pub fn ole10_native(name: &str, data: &[u8]) -> Vec<u8> {
    let native = package(name, data);
    let mut out = u32_of(native.len()).to_le_bytes().to_vec();
    out.extend(native);
    out
}

/// Returns packager data (what OLE 1 objects of class `Package` carry).
///
/// # Panics
/// On files of 4 GiB and more.
#[must_use]
pub fn package(name: &str, data: &[u8]) -> Vec<u8> {
    let path = format!("C:\\temp\\{name}\0");
    let mut out = vec![2, 0];
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(&[0, 0, 3, 0]);
    out.extend_from_slice(&u32_of(path.len()).to_le_bytes());
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(&u32_of(data.len()).to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&[0, 0]);
    out
}

/// Returns an embedded OLE 1 object.
///
/// # Panics
/// On data of 4 GiB and more.
#[must_use]
pub fn ole1_object(class: &str, native: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 5, 0, 0, 2, 0, 0, 0];
    out.extend_from_slice(&u32_of(class.len() + 1).to_le_bytes());
    out.extend_from_slice(class.as_bytes());
    out.push(0);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&u32_of(native.len()).to_le_bytes());
    out.extend_from_slice(native);
    out
}

/// Builds PDF files out of objects.
#[derive(Debug, Clone, Default)]
pub struct PdfBuilder {
    objects: Vec<(u32, Vec<u8>)>,
    trailer: String,
}

impl PdfBuilder {
    /// Returns a PDF without objects.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object with this source between `obj` and `endobj`.
    #[must_use]
    pub fn object(mut self, number: u32, source: &str) -> Self {
        self.objects.push((number, source.as_bytes().to_vec()));
        self
    }

    /// Adds a stream; the entries are those of its dictionary besides the length.
    #[must_use]
    pub fn stream(mut self, number: u32, entries: &str, data: &[u8]) -> Self {
        let mut source = format!("<< {entries} /Length {} >>\nstream\n", data.len()).into_bytes();
        source.extend_from_slice(data);
        source.extend_from_slice(b"\nendstream");
        self.objects.push((number, source));
        self
    }

    /// Adds entries to the trailer.
    #[must_use]
    pub fn trailer(mut self, entries: &str) -> Self {
        self.trailer.push_str(entries);
        self
    }

    /// Returns the file.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut out = b"%PDF-1.7\n".to_vec();
        for (number, source) in &self.objects {
            out.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
            out.extend_from_slice(source);
            out.extend_from_slice(b"\nendobj\n");
        }
        out.extend_from_slice(
            format!("trailer\n<< /Root 1 0 R {} >>\n%%EOF\n", self.trailer).as_bytes(),
        );
        out
    }
}

/// Wraps data as zlib without compressing it.
#[must_use]
pub fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let count = data.len().div_ceil(0xffff).max(1);
    for idx in 0..count {
        let block = &data[idx * 0xffff..data.len().min((idx + 1) * 0xffff)];
        let len = u16_of(block.len());
        out.push(u8::from(idx + 1 == count));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend_from_slice(&(b << 16 | a).to_be_bytes());
    out
}
